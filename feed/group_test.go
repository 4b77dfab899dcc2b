package feed

import (
	"fmt"
	"testing"

	"github.com/belfryhq/belfry"
)

// A feed of too many groups is counted one by one. Once many of its items have gone, or it was put right, that is tried anew.
func TestFeedsOfTooManyGroupsAreGroupedAfterTheyHaveShrunk(t *testing.T) {
	t.Parallel()
	for name, shrink := range map[string]func(*testing.T, *world, Ref){
		"trimmed": func(t *testing.T, w *world, ann Ref) {
			w.keep(t, ann.Channel, KeepPolicy{MaxItems: MinRetainedItems})
			w.round(t, func() error { return w.Trim(t.Context()) })
		},
		"retracted": func(t *testing.T, w *world, _ Ref) {
			if _, err := w.RetractResource(t.Context(), env, "campaign:1"); err != nil {
				t.Fatal(err)
			}
		},
		"put right": func(t *testing.T, w *world, _ Ref) {
			w.exec(t, `DELETE FROM feed_items WHERE seq > 10`)
			if err := w.Audit(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ann := w.know(env, "ann")
			messages := make([]belfry.Message, groupBehind+1)
			for i := range messages {
				messages[i] = w.about(ann, "x", belfry.ItemOptions{ResourceKey: "campaign:1"})
				messages[i].Workflow = fmt.Sprint("workflow ", i%(maxGroups+1))
			}
			if err := w.append(t.Context(), messages...); err != nil {
				t.Fatal(err)
			}
			ask := func() *header {
				t.Helper()
				if _, err := w.Count(t.Context(), ann, []Filter{{Workflows: []string{"welcome"}}}); err != nil {
					t.Fatal(err)
				}
				return w.header(t, ann)
			}
			if h := ask(); h.groupedTo != ungroupable {
				t.Fatalf("grouped up to %d, want too many groups", h.groupedTo)
			}
			last := w.page(t, ann, 1).Items[0].ID
			w.retract(t, last)
			if h := ask(); h.groupedTo != ungroupable {
				t.Errorf("grouped up to %d, want it left alone until many have gone", h.groupedTo)
			}
			shrink(t, w, ann)
			w.fill(t, ann, groupBehind+1)
			if h := ask(); h.groupedTo != h.lastSeq {
				t.Errorf("grouped up to %d, want %d", h.groupedTo, h.lastSeq)
			}
		})
	}
}
