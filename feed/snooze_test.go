package feed

import (
	"slices"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
)

func (w *world) snooze(t *testing.T, ref Ref, until *time.Time, ids ...belfry.MessageID) Marked {
	t.Helper()
	got, err := w.Snooze(t.Context(), ref, ids, until)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Who snoozes an item has it out of sight until then: marks on everything pass it by, and it comes back unseen.
func TestSnoozedItemsComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 3)
	w.markAll(t, ann, belfry.Read)
	start := w.page(t, ann, 1).Position
	heard := w.subscribe(t, ann, nil)
	heard.want(t, Synced, 4)
	until := w.tick().Add(time.Hour).UTC().Truncate(time.Second)
	unknown := belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 99}
	got := w.snooze(t, ann, &until, ids[0], ids[1], unknown)
	if got.Changed != 2 || got.Badge != (belfry.Badge{Total: 1}) || len(got.NotFound) != 1 {
		t.Errorf("%+v", got)
	}
	if e := heard.want(t, Removed, 5); e.Removal != Snoozed || !slices.Equal(e.Seqs, []int64{1, 2}) {
		t.Errorf("%+v", e)
	}
	if again := w.snooze(t, ann, &until, ids[0]); again.Changed != 0 {
		t.Errorf("again: %+v", again)
	}
	if got := w.markAll(t, ann, belfry.Archived); got.Changed != 1 {
		t.Errorf("a mark on everything changed %d, want what is there", got.Changed)
	}
	heard.want(t, MarkedAll, 6)
	for scope, want := range map[SnoozedScope][]int64{SnoozedExclude: {3}, SnoozedOnly: {2, 1}, SnoozedInclude: {3, 2, 1}} {
		page, err := w.Page(t.Context(), ann, Filter{Archived: ArchivedInclude, Snoozed: scope}, 9, 0)
		if err != nil || !slices.Equal(seqs(page.Items), want) {
			t.Errorf("%s: %v, %v; want %v", scope, seqs(page.Items), err, want)
		}
	}
	if it, err := w.Item(t.Context(), ann, ids[0]); err != nil || it.State.SnoozedUntil == nil || !it.State.SnoozedUntil.Equal(until) || it.State.Archived {
		t.Errorf("%+v, %v", it, err)
	}
	if got := w.snooze(t, ann, nil, ids[1], ids[2]); got.Changed != 1 || got.Badge != (belfry.Badge{Total: 1, Unseen: 1, Unread: 1}) {
		t.Errorf("brought back: %+v", got)
	}
	if e := heard.want(t, Upserted, 7); e.Item.ID != ids[1] || e.Item.State.Level != Unseen || e.Item.State.SnoozedUntil != nil {
		t.Errorf("%+v", e)
	}
	w.sleep(time.Hour)
	for range 2 {
		if err := w.FireTimers(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if e := heard.want(t, Upserted, 8); e.Item.ID != ids[0] || e.Badge.Unseen != 2 {
		t.Errorf("%+v", e)
	}
	back := w.subscribe(t, ann, &start)
	for _, kind := range []EventKind{Removed, MarkedAll, Upserted, Upserted, Synced} {
		back.next(t, kind)
	}
	if n := w.count(t, `SELECT count(*) FROM feed_timers`); n != 0 {
		t.Errorf("%d timers are left", n)
	}
}

func TestSnoozingHasLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, MaxSnoozed+1)
	soon := w.tick().Add(time.Hour)
	for i := 0; i < MaxSnoozed; i += MaxMarkIDs {
		w.snooze(t, ann, &soon, ids[i:i+MaxMarkIDs]...)
	}
	past, late, latest := w.tick(), w.tick().Add(MaxSnooze+time.Hour), w.tick().Add(MaxSnooze-time.Hour)
	for name, c := range map[string]struct {
		ids   []belfry.MessageID
		until time.Time
		code  belfry.Code
	}{
		"one too many": {ids[MaxSnoozed:], soon, belfry.TooLarge},
		"the past":     {ids[:1], past, belfry.Invalid},
		"too late":     {ids[:1], late, belfry.TooLarge},
		"too many ids": {ids[:MaxMarkIDs+1], soon, belfry.TooLarge},
	} {
		if _, err := w.Snooze(t.Context(), ann, c.ids, &c.until); belfry.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.snooze(t, ann, &latest, ids[0])
	if badge := w.page(t, ann, 1).Badge; badge.Total != 1 {
		t.Errorf("%+v: what was refused has been done", badge)
	}
}

// A snooze ends where its item goes to another user's feed.
func TestMergedItemsAreAwakeAndPinned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	since := w.tick()
	ann, work := w.know(env, "ann"), w.know(env, "ann@work")
	ids := w.fill(t, work, 3)
	w.fill(t, ann, 1)
	w.markAll(t, work, belfry.Read)
	until := w.tick().Add(time.Hour)
	w.snooze(t, work, &until, ids[1])
	w.mark(t, work, belfry.Pinned, ids[2])
	for w.merge(t, work, ann, since) {
	}
	items := w.counted(t, ann)
	if len(items) != 4 || items[1].State.SnoozedUntil != nil || items[1].State.Level != Unseen || items[0].PinnedAt == nil || items[1].PinnedAt != nil {
		t.Errorf("%+v", items)
	}
	if n := w.count(t, `SELECT count(*) FROM feed_timers`); n != 0 {
		t.Errorf("%d timers are left", n)
	}
}
