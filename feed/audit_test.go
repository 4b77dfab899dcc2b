package feed

import (
	"fmt"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Counters that are wrong, which they never are, are found and put right; who listens reads the feed again.
func TestTheAuditHealsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refs := make([]Ref, auditWalk.size+2)
	for i := range refs {
		refs[i] = w.know(env, fmt.Sprint("user ", i))
		ids := w.fill(t, refs[i], 3)
		w.mark(t, refs[i], belfry.Archived, ids[0])
		w.mark(t, refs[i], belfry.Pinned, ids[1])
		w.markAll(t, refs[i], belfry.Seen)
	}
	audit := func() {
		t.Helper()
		for range 2 {
			if err := w.Audit(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.sleep(auditWalk.step)
		}
		w.sleep(auditWalk.rest)
	}
	w.groupIn(t, t, refs[5])
	audit()
	if n := w.Stats().BadgeDrift; n != 0 {
		t.Fatalf("%d drifts where there are none", n)
	}
	broken, last := refs[3], refs[len(refs)-1]
	w.exec(t, `UPDATE feeds SET unseen = 7 WHERE recipient_id = 4`)
	w.exec(t, `UPDATE feeds SET pins = '[{"s": 99, "t": "2026-01-01T00:00:00Z"}]' WHERE recipient_id = $1`, len(refs))
	w.exec(t, `UPDATE feed_groups SET groups = '[]'`)
	heard := w.subscribe(t, broken, nil)
	heard.want(t, Synced, 6)
	audit()
	if n := w.Stats().BadgeDrift; n != 3 {
		t.Errorf("%d drifts, want 3", n)
	}
	if e := heard.want(t, Reset, 7); e.Badge != (belfry.Badge{Total: 2, Unread: 2}) {
		t.Errorf("%+v", e)
	}
	if items, err := w.Pinned(t.Context(), last); err != nil || len(items) != 0 {
		t.Errorf("%v, %v", items, err)
	}
	audit()
	if n := w.Stats().BadgeDrift; n != 3 {
		t.Errorf("%d drifts, want no more", n)
	}
}

// A feed that can't be recounted takes no other's turn.
func TestAFeedThatFailsToBeAuditedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	w.fill(t, ann, 1)
	w.fill(t, bob, 1)
	w.exec(t, `UPDATE feeds SET unseen = 7`)
	w.exec(t, `ALTER TABLE feeds ADD CHECK (recipient_id > 1 OR unseen = 7)`)
	if err := w.Audit(t.Context()); err == nil {
		t.Error("no error")
	}
	if a, b := w.page(t, ann, 1).Badge.Total, w.page(t, bob, 1).Badge.Total; a != 7 || b != 1 {
		t.Errorf("ann has %d, bob %d; want his put right", a, b)
	}
}

// Those who are deleted leave their feeds piece by piece, the counters last: that is no drift.
func TestTheAuditLeavesOutFeedsThatAreBeingForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, 3)
	delete(w.people, fmt.Sprint(env, "/ann"))
	if err := postgres.InTx(t.Context(), w.Pool, func(tx *postgres.Tx) error {
		more, err := w.Forget(t.Context(), tx, env, []belfry.RecipientID{1})
		if !more {
			t.Error("nothing more is to be forgotten")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.Stats().BadgeDrift; n != 0 {
		t.Errorf("%d drifts, want none", n)
	}
}
