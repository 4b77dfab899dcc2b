package recipient

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// An operation that fails, whatever is tried, waits ever longer; others go on.
func TestABulkOperationThatFailsIsInNobodysWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	broken, err := w.StartBulk(t.Context(), w.production, IdentifyUsers, identityItems([]Identity{user("ann", nil)}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), `UPDATE bulk_operations SET items = '[5]' WHERE id = $1`, broken.ID); err != nil {
		t.Fatal(err)
	}
	fine, err := w.StartBulk(t.Context(), w.production, IdentifyUsers, identityItems([]Identity{user("bob", nil)}))
	if err != nil {
		t.Fatal(err)
	}
	more, err := w.bulkSome(t.Context())
	if !more || err == nil || !strings.Contains(err.Error(), broken.ID.String()) {
		t.Fatalf("the broken one: %v, %v", more, err)
	}
	if _, err := w.bulkSome(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := w.BulkByID(t.Context(), w.production, fine.ID); err != nil || b.FinishedAt == nil {
		t.Errorf("the other one: %+v, %v", b, err)
	}
	if _, err := w.pool.Exec(t.Context(), `UPDATE bulk_operations SET items = '[{"id": "ann"}]' WHERE id = $1`, broken.ID); err != nil {
		t.Fatal(err)
	}
	later := New(w.pool, func() time.Time { return w.now().Add(maxLater) })
	if more, err := later.bulkSome(t.Context()); !more || err != nil {
		t.Fatal(more, err)
	}
	if b, err := w.BulkByID(t.Context(), w.production, broken.ID); err != nil || b.FinishedAt == nil {
		t.Errorf("once it can be done: %+v, %v", b, err)
	}
}

// Somebody who can't be forgotten waits; others go on, even those who would be forgotten together with them.
func TestWhoCannotBeForgottenIsInNobodysWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids, err := w.identify(t.Context(), w.production, user("ann", nil), user("bob", nil), user("cy", nil))
	if err != nil {
		t.Fatal(err)
	}
	bob := ids[belfry.User("bob")]
	w.Forget = []Forget{func(_ context.Context, _ *postgres.Tx, _ belfry.EnvironmentID, ids []belfry.RecipientID) (bool, error) {
		if slices.Contains(ids, bob) {
			return false, errors.New("no")
		}
		return false, nil
	}}
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("ann"), belfry.User("bob"), belfry.User("cy")}, ""); err != nil {
		t.Fatal(err)
	}
	failures := 0
	for range 4 { // ann, bob, cy, and nobody
		if _, err := w.forgetSome(t.Context()); err != nil {
			failures++
		}
	}
	if n := w.count(t, `SELECT count(*) FROM forgotten WHERE settled`); n != 2 || failures != 1 {
		t.Errorf("%d of 2 are forgotten, with %d failures", n, failures)
	}
	later := New(w.pool, func() time.Time { return w.now().Add(maxLater) })
	if more, err := later.forgetSome(t.Context()); !more || err != nil {
		t.Fatal(more, err)
	}
	if n := w.count(t, `SELECT count(*) FROM forgotten WHERE settled`); n != 3 {
		t.Errorf("%d of 3 are forgotten in the end", n)
	}
}
