package feed

import (
	"slices"
	"testing"

	"github.com/belfryhq/belfry"
)

func TestPinnedItemsAreKeptOnTop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 4)
	heard := w.subscribe(t, ann, nil)
	heard.want(t, Synced, 4)
	pinned := func() []int64 {
		t.Helper()
		items, err := w.Pinned(t.Context(), ann)
		if err != nil {
			t.Fatal(err)
		}
		return seqs(items)
	}
	w.mark(t, ann, belfry.Pinned, ids[2])
	if e := heard.want(t, Patched, 5); e.Mark != belfry.Pinned || e.Badge.Unseen != 4 {
		t.Errorf("%+v", e)
	}
	got := w.mark(t, ann, belfry.Pinned, ids[0], ids[2], belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 99})
	if got.Changed != 1 || len(got.NotFound) != 1 {
		t.Errorf("%+v", got)
	}
	if got := pinned(); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("pinned: %v, want the last one first", got)
	}
	only, err := w.Page(t.Context(), ann, Filter{Pinned: PinnedOnly}, 1, 0)
	if err != nil || !slices.Equal(seqs(only.Items), []int64{3}) || !only.HasMore {
		t.Errorf("%v, %v", seqs(only.Items), err)
	}
	if next, err := w.Page(t.Context(), ann, Filter{Pinned: PinnedOnly}, 1, only.Next); err != nil || !slices.Equal(seqs(next.Items), []int64{1}) || next.HasMore {
		t.Errorf("%v, %v", seqs(next.Items), err)
	}
	w.mark(t, ann, belfry.Archived, ids[0])
	if got := pinned(); !slices.Equal(got, []int64{3}) {
		t.Errorf("pinned: %v, want none that is archived", got)
	}
	w.mark(t, ann, belfry.Unpinned, ids[0])
	w.retract(t, ids[2])
	if got := pinned(); len(got) != 0 {
		t.Errorf("pinned: %v", got)
	}
	if len(w.told()) == 0 || slices.ContainsFunc(w.told(), func(c belfry.StatusChange) bool { return c.Kind == "" }) {
		t.Error("pinning is no engagement")
	}
	for name, err := range map[string]error{
		"all":         second(w.MarkAll(t.Context(), ann, belfry.Pinned, nil)),
		"a resource":  second(w.MarkResource(t.Context(), ann, belfry.Unpinned, "x")),
		"everywhere":  second(w.ResolveResource(t.Context(), env, "x", belfry.Pinned)),
		"nobody":      nil,
		"one's first": second(w.Mark(t.Context(), w.know(env, "new"), belfry.Pinned, ids)),
	} {
		if want := name == "all" || name == "a resource" || name == "everywhere"; (belfry.CodeOf(err) == belfry.Invalid) != want && (err != nil || want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestPinsAreFew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, MaxPins+1)
	w.mark(t, ann, belfry.Pinned, ids[:MaxPins]...)
	if _, err := w.Mark(t.Context(), ann, belfry.Pinned, ids[MaxPins:]); belfry.CodeOf(err) != belfry.TooLarge {
		t.Error(err)
	}
	w.mark(t, ann, belfry.Unpinned, ids[3])
	w.mark(t, ann, belfry.Pinned, ids[MaxPins])
}
