package feed

import (
	"slices"
	"strings"
	"testing"

	"github.com/belfryhq/belfry"
)

// about is a message about a resource.
func (w *world) about(ref Ref, label string, o belfry.ItemOptions) belfry.Message {
	m := w.message(ref, label)
	m.Content.Item = &o
	return m
}

func TestItemsOfAResourceAreMarkedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	about := func(key string) belfry.ItemOptions { return belfry.ItemOptions{ResourceKey: key} }
	if err := w.append(t.Context(), w.about(ann, "one", about("invoice:1")), w.message(ann, "two"), w.about(ann, "three", about("invoice:1")),
		w.about(ann, "four", about("invoice:10")), w.about(bob, "one", about("invoice:1"))); err != nil {
		t.Fatal(err)
	}
	w.markAll(t, ann, belfry.Seen)
	got, err := w.MarkResource(t.Context(), ann, belfry.Archived, "invoice:1")
	if want := (belfry.Badge{Total: 2, Unread: 2}); err != nil || got.Changed != 2 || got.Badge != want {
		t.Errorf("%+v, %v; want 2 changed, badge %+v", got, err, want)
	}
	if again, err := w.MarkResource(t.Context(), ann, belfry.Archived, "invoice:1"); err != nil || again.Changed != 0 || again.Position != got.Position {
		t.Errorf("again: %+v, %v; want nothing changed", again, err)
	}
	for _, it := range w.page(t, ann, 9).Items {
		if want := slices.Contains([]string{"one", "three"}, it.Content.Body.Content); it.State.Archived != want {
			t.Errorf("%s archived: %t", it.Content.Body.Content, it.State.Archived)
		}
	}
	if n := w.page(t, bob, 1).Badge.Unseen; n != 1 {
		t.Errorf("bob has %d unseen, want his", n)
	}
	for _, key := range []string{"", strings.Repeat("k", belfry.MaxResourceKey+1), "a\x00"} {
		if _, err := w.MarkResource(t.Context(), ann, belfry.Read, key); belfry.CodeOf(err) == belfry.Internal || err == nil {
			t.Errorf("key of %d bytes: %v", len(key), err)
		}
	}
	if _, err := w.MarkResource(t.Context(), ann, belfry.Read, strings.Repeat("k", belfry.MaxResourceKey)); err != nil {
		t.Error(err)
	}
}

// Items of which nothing of the kind is said are stored as before; those of which something is keep it.
func TestOptionsOfItemsAreStoredInColumns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	all := belfry.ItemOptions{ResourceKey: "a", Priority: belfry.UrgentPriority, Severity: belfry.ErrorSeverity, ExpiresAfter: 60}
	for _, messages := range [][]belfry.Message{{w.message(ann, "plain")}, {w.message(ann, "plain"), w.about(ann, "all", all), w.about(ann, "one", belfry.ItemOptions{Severity: belfry.InfoSeverity})}} {
		if err := w.append(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	rows, _ := w.Pool.Query(t.Context(), `SELECT concat_ws(' ', seq, resource_key, priority, severity, expires_at - created_at) FROM feed_items ORDER BY seq`)
	var row string
	for rows.Next() {
		if err := rows.Scan(&row); err != nil {
			t.Fatal(err)
		}
		got = append(got, row)
	}
	if want := []string{"1", "2", "3 a URGENT ERROR 00:01:00", "4 INFO"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	items := w.page(t, ann, 4).Items
	if at := items[1].ExpiresAt(); at == nil || !at.Equal(items[1].CreatedAt.Add(60e9)) || items[0].ExpiresAt() != nil || *items[1].Content.Item != all {
		t.Errorf("%+v expires at %v", items[1].Content.Item, at)
	}
}
