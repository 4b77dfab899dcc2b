package feed

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
)

func (w *world) keep(t *testing.T, channel string, keep KeepPolicy) {
	t.Helper()
	if err := w.SetRetention(t.Context(), env, channel, keep); err != nil {
		t.Fatal(err)
	}
}

// round lets a walk begin anew, whenever the next round would be.
func (w *world) round(t *testing.T, do func() error) {
	t.Helper()
	w.sleep(2 * time.Hour)
	if err := do(); err != nil {
		t.Fatal(err)
	}
}

// What feeds keep no longer goes: by number, and by age; the oldest first, pinned or not. Who listens is told up to where.
func TestFeedsKeepNoMoreThanTheyShould(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, theirs := w.know(env, "ann"), w.know(env, "bob"), w.know(2, "cay")
	tasks := ann
	tasks.Channel = "tasks"
	trim := func() { t.Helper(); w.round(t, func() error { return w.Trim(t.Context()) }) }
	for _, ref := range []Ref{ann, tasks, theirs} {
		w.fill(t, ref, 15)
	}
	ids := w.fill(t, bob, 3)
	heard := w.subscribe(t, ann, nil)
	heard.want(t, Synced, 15)
	start := belfry.Position{}
	w.mark(t, ann, belfry.Pinned, belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 2}, belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 14})
	heard.want(t, Patched, 16)
	trim()
	w.keep(t, ann.Channel, KeepPolicy{MaxItems: 12, MaxAge: 48 * time.Hour})
	trim()
	if e := heard.want(t, Removed, 17); e.Removal != Retention || e.UpTo != 3 || e.Seqs != nil || e.Badge.Total != 12 {
		t.Errorf("%+v", e)
	}
	back := w.subscribe(t, ann, &start)
	for range 3 {
		back.next(t, Removed)
	}
	back.next(t, Upserted)
	if pinned, err := w.Pinned(t.Context(), ann); err != nil || !slices.Equal(seqs(pinned), []int64{14}) {
		t.Errorf("pinned %v, %v", seqs(pinned), err)
	}
	for ref, want := range map[Ref]int{tasks: 15, theirs: 15, bob: 3} {
		if n := w.page(t, ref, 1).Badge.Total; n != want {
			t.Errorf("%v: %d, want %d", ref, n, want)
		}
	}
	w.sleep(48 * time.Hour)
	w.fill(t, bob, 2)
	trim()
	if page := w.page(t, bob, 9); len(page.Items) != 2 || page.Position.Version != 6 {
		t.Errorf("%v at %d", seqs(page.Items), page.Position.Version)
	}
	if badge := w.page(t, ann, 1).Badge; badge != (belfry.Badge{}) {
		t.Errorf("%+v", badge)
	}
	w.keep(t, ann.Channel, KeepPolicy{})
	if keep, err := w.Retention(t.Context(), env, ann.Channel); err != nil || keep != (KeepPolicy{}) {
		t.Errorf("%+v, %v", keep, err)
	}
	if _, err := w.Item(t.Context(), bob, ids[0]); belfry.CodeOf(err) != belfry.NotFound {
		t.Error(err)
	}
}

// A long feed is trimmed a transaction at a time; what is too old to be replayed leaves nothing behind.
func TestLongFeedsAreTrimmedInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, trimChunk+20)
	w.sleep(changeRetention + time.Hour)
	w.keep(t, ann.Channel, KeepPolicy{MaxItems: MinRetainedItems})
	w.round(t, func() error { return w.Trim(t.Context()) })
	if page := w.page(t, ann, 1); page.Badge.Total != MinRetainedItems || page.Position.Version != trimChunk+22 {
		t.Errorf("%+v at %d", page.Badge, page.Position.Version)
	}
	if n := w.count(t, `SELECT count(*) FROM feed_changes`); n != 2 {
		t.Errorf("%d changes, want one a transaction", n)
	}
}

func TestRetentionHasLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for keep, code := range map[KeepPolicy]belfry.Code{
		{MaxAge: MinRetention}: "", {MaxAge: MinRetention - time.Second}: belfry.Invalid,
		{MaxAge: MaxRetention}: "", {MaxAge: MaxRetention + time.Second}: belfry.TooLarge,
		{MaxItems: MinRetainedItems}: "", {MaxItems: MinRetainedItems - 1}: belfry.Invalid, {MaxItems: -1}: belfry.Invalid,
		{MaxItems: MaxRetainedItems}: "", {MaxItems: MaxRetainedItems + 1}: belfry.TooLarge,
	} {
		err := w.SetRetention(t.Context(), env, "in-app", keep)
		if code == "" && err != nil || code != "" && belfry.CodeOf(err) != code {
			t.Errorf("%+v: %v", keep, err)
		}
		if got, err := w.Retention(t.Context(), env, "in-app"); code == "" && (err != nil || got != keep) {
			t.Errorf("%+v, %v; want %+v", got, err, keep)
		}
	}
	if err := w.SetRetention(t.Context(), env, "no key", KeepPolicy{MaxItems: 10}); belfry.CodeOf(err) != belfry.Invalid {
		t.Error(err)
	}
}

// A feed that can't be trimmed takes no other's turn.
func TestAFeedThatFailsToBeTrimmedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	w.fill(t, ann, MinRetainedItems+1)
	w.fill(t, bob, MinRetainedItems+1)
	w.keep(t, ann.Channel, KeepPolicy{MaxItems: MinRetainedItems})
	w.exec(t, fmt.Sprintf(`ALTER TABLE feeds ADD CHECK (recipient_id > 1 OR unseen > %d)`, MinRetainedItems))
	if err := w.Trim(t.Context()); err == nil {
		t.Error("no error")
	}
	if a, b := w.page(t, ann, 1).Badge.Total, w.page(t, bob, 1).Badge.Total; a != MinRetainedItems+1 || b != MinRetainedItems {
		t.Errorf("ann has %d, bob %d; want his trimmed", a, b)
	}
}

// Snoozed items are in no counter, so those that go make up for none that should.
func TestSnoozedItemsDontCountAsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 3*MinRetainedItems)
	until := w.tick().Add(24 * time.Hour)
	w.snooze(t, ann, &until, ids[:MinRetainedItems]...)
	w.snooze(t, ann, &until, ids[3*MinRetainedItems-1])
	w.keep(t, ann.Channel, KeepPolicy{MaxItems: MinRetainedItems})
	w.round(t, func() error { return w.Trim(t.Context()) })
	if n := w.page(t, ann, 1).Badge.Total; n != MinRetainedItems {
		t.Errorf("%d items are kept, want %d", n, MinRetainedItems)
	}
	if n := w.count(t, `SELECT count(*) FROM feed_items WHERE snoozed_until IS NOT NULL`); n != 1 {
		t.Errorf("%d are snoozed, want the newest", n)
	}
}
