package feed

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// all reads the whole feed, newest first.
func (w *world) all(t *testing.T, ref Ref) (items []*Item, badge belfry.Badge) {
	t.Helper()
	for before := int64(0); ; {
		page, err := w.Page(t.Context(), ref, everyItem, MaxPageSize, before)
		if err != nil {
			t.Fatal(err)
		}
		items, badge = append(items, page.Items...), page.Badge
		if !page.HasMore {
			return items, badge
		}
		before = page.Next
	}
}

// counted sees that the badge and the cells of a feed are what looking at each item says, and returns the items.
func (w *world) counted(t *testing.T, ref Ref) []*Item {
	t.Helper()
	items, badge := w.all(t, ref)
	var c Cells
	for _, it := range items {
		c.Add(it.State, 1)
	}
	id, err := w.UserID(t.Context(), ref.Environment, ref.User)
	if err != nil {
		t.Fatal(err)
	}
	h, err := readHeader(t.Context(), w.Pool, selectHeader, key{ref.Environment, id, ref.Channel})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, h.cells); diff != "" || badge != c.Badge() {
		t.Errorf("the feed of %s on %s has the badge %+v, and the cells (-counted +stored):\n%s", ref.User, ref.Channel, badge, diff)
	}
	return items
}

// merge takes one part of a feed over, and reports whether there is more.
func (w *world) merge(t *testing.T, from, into Ref, since time.Time) (more bool) {
	t.Helper()
	a, _ := w.userID(t.Context(), env, from.User)
	b, _ := w.userID(t.Context(), env, into.User)
	err := postgres.InTx(t.Context(), w.Pool, func(tx *postgres.Tx) error {
		again, err := w.Merge(t.Context(), tx, belfry.Merge{Environment: env, From: a, Into: b, User: into.User, Since: since})
		more = !again.IsZero()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return more
}

// labels are what items say, newest first.
func labels(items []*Item) (out []string) {
	for _, it := range items {
		out = append(out, it.Content.Body.Content)
	}
	return out
}

// Whichever of the two is older: feeds are locked in the order of their keys.
func TestMergedFeedsKeepTheStateOfEachItem(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"ann", "ann@work"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.know(env, first)
			ann, work := w.know(env, "ann"), w.know(env, "ann@work")
			elsewhere, there := work, ann
			elsewhere.Channel, there.Channel = "tasks", "tasks"

			tooOld := w.fill(t, work, 3)
			w.mark(t, work, belfry.Seen, tooOld[0])
			since := w.tick()
			ids := w.fill(t, work, 6)
			w.mark(t, work, belfry.Archived, ids[0], ids[1])
			w.mark(t, work, belfry.Read, ids[1], ids[2])
			w.markAll(t, work, belfry.Seen, belfry.Position{Epoch: w.page(t, work, 1).Position.Epoch, Version: ids[3].Seq})
			w.mark(t, work, belfry.Unseen, ids[2])
			w.fill(t, elsewhere, 2) // of this channel ann has no feed
			own := w.fill(t, ann, 2)
			w.markAll(t, ann, belfry.Read)
			want, _ := w.all(t, work)
			w.told()

			parts := 0
			for w.merge(t, work, ann, since) {
				parts++
			}
			if told := w.told(); len(told) > 0 {
				t.Errorf("observed %+v: these were sent before", told)
			}
			if parts != 2 {
				t.Errorf("it took %d transactions, want one for each feed", parts)
			}
			got := w.counted(t, ann)
			wantLabels := append(labels(want[:6]), "message 2", "message 1")
			if diff := cmp.Diff(wantLabels, labels(got)); diff != "" {
				t.Fatalf("the feed (-want +got):\n%s", diff)
			}
			position := w.page(t, ann, 1).Position.Version
			for i, it := range got[:6] {
				was := want[i].State
				if was.Version = it.State.Version; !cmp.Equal(was, it.State) || it.CreatedAt != want[i].CreatedAt || it.ID.Seq != position-int64(i) {
					t.Errorf("item %d is %+v of %v at %d, was %+v of %v", i, it.State, it.CreatedAt, it.ID.Seq, was, want[i].CreatedAt)
				}
			}
			for i, it := range got[6:] {
				if it.State.Level != Read || it.ID != own[1-i] {
					t.Errorf("ann's own is %+v", it)
				}
			}
			w.markAll(t, ann, belfry.Interacted)
			for _, it := range w.counted(t, ann) {
				if it.State.InteractedAt == nil {
					t.Errorf("a mark on everything leaves out %+v", it)
				}
			}
			if n := len(w.counted(t, there)); n != 2 {
				t.Errorf("%d items on the other channel, want 2", n)
			}
			for _, ref := range []Ref{work, elsewhere} {
				if n := len(w.counted(t, ref)); n != 0 {
					t.Errorf("%d items are left on %s", n, ref.Channel)
				}
			}
		})
	}
}

// Whatever a crash leaves is right: each item is in one of the two feeds, and both count theirs.
func TestLargeFeedsAreMergedInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, work := w.know(env, "ann"), w.know(env, "ann@work")
	since := w.tick()
	w.fill(t, ann, 1)
	ids := w.fill(t, work, mergeChunk+3)
	w.mark(t, work, belfry.Read, ids[0], ids[mergeChunk])
	for _, want := range []struct{ left, taken int }{{3, mergeChunk}, {0, mergeChunk + 3}} {
		if !w.merge(t, work, ann, since) {
			t.Error("it is said to be all")
		}
		left, taken := len(w.counted(t, work)), len(w.counted(t, ann))
		if left != want.left || taken != want.taken+1 {
			t.Errorf("%d are left and %d taken, want %+v", left, taken-1, want)
		}
	}
	if w.merge(t, work, ann, since) {
		t.Error("there is more")
	}
}

// Who listens is told each item in its state and in order, or is reset if these are too many.
func TestListenersHearOfMergedItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, work := w.know(env, "ann"), w.know(env, "ann@work")
	since := w.tick()
	ids := w.fill(t, work, 3)
	w.mark(t, work, belfry.Read, ids[1])
	heard := w.subscribe(t, ann, nil)
	heard.want(t, Synced, 0)
	w.merge(t, work, ann, since)
	for i, level := range []Level{Unseen, Read, Unseen} {
		e := heard.want(t, Upserted, int64(i+1))
		if e.Item.State.Level != level || e.Badge != (belfry.Badge{Total: 3, Unseen: 2, Unread: 2}) {
			t.Errorf("event %d: %+v of %+v", i, e, e.Item)
		}
	}
	back := w.page(t, ann, 1).Position
	w.fill(t, work, mergeChunk+1)
	for w.merge(t, work, ann, since) {
	}
	w.fill(t, ann, 1)
	late := w.subscribe(t, ann, &back)
	late.want(t, Reset, 3+mergeChunk+2)
}

// Filtered marks, also by data, are about the old feed; the groups of both feeds stay true, or go.
func TestMergeKnowsFilteredMarksAndGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, into := w.know(env, "old"), w.know(env, "into")
	for _, ref := range []Ref{old, into} {
		w.fillKinds(t, ref, 12)
		w.groupIn(t, t, ref)
		for _, f := range []Filter{{Data: map[string]any{"n": 1}}, {Workflows: []string{"invoice"}, Status: StatusUnread}, ofAcme} {
			if _, err := w.MarkWhere(t.Context(), ref, belfry.Read, f, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []belfry.Badge{}
	views := []Filter{ofAcme, {Data: map[string]any{"n": 1}}, {Workflows: []string{"welcome"}}}
	before, err := w.Count(t.Context(), old, views)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range before.Views {
		want = append(want, belfry.Badge{Total: 2 * b.Total, Unseen: 2 * b.Unseen, Unread: 2 * b.Unread})
	}
	for w.merge(t, old, into, time.Time{}) {
	}
	after, err := w.Count(t.Context(), into, views)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, after.Views); diff != "" {
		t.Errorf("(-both +merged):\n%s", diff)
	}
	w.counted(t, into)
	w.counted(t, old)
	if left, err := w.Count(t.Context(), old, views); err != nil || left.Views[0].Total != 0 {
		t.Errorf("left: %+v, %v", left, err)
	}
}

func TestForgetTakesGroupsAndExpansionsToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lookAtOnce = 1
	ann, ben := w.know(env, "ann"), w.know(env, "ben")
	for _, ref := range []Ref{ann, ben} {
		w.fillKinds(t, ref, 3)
		w.groupIn(t, t, ref)
		w.markAll(t, ref, belfry.Read)
	}
	for more := true; more; {
		err := postgres.InTx(t.Context(), w.Pool, func(tx *postgres.Tx) (err error) {
			more, err = w.Forget(t.Context(), tx, env, []belfry.RecipientID{1})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"feed_groups", "feed_expansions"} {
		var left []int64
		if err := w.Pool.QueryRow(t.Context(), `SELECT array_agg(recipient_id) FROM `+table).Scan(&left); err != nil || len(left) != 1 || left[0] != 2 {
			t.Errorf("%s of %v are left, %v", table, left, err)
		}
	}
}
