package recipient

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// count counts rows.
func (w *world) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	if err := w.pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// forgotten works off what deletions left to do.
func (w *world) forgotten(t *testing.T) (transactions int) {
	t.Helper()
	for {
		more, err := w.forgetSome(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return transactions
		}
		transactions++
	}
}

func TestADeletedIDIsFreeAtOnceAndInheritsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"name": "Ann"}))
	if err != nil {
		t.Fatal(err)
	}
	there, err := w.IdentifyUser(t.Context(), w.staging, user("ann", map[string]any{"name": "Anna"}))
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := w.UserID(t.Context(), w.production, "ann"); id != first.ID { // now it is remembered
		t.Fatal(id)
	}
	unknown, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("nobody"), belfry.User("ann"), belfry.User("ann")}, "input.ids")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]belfry.RecipientRef{belfry.User("nobody")}, unknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
	if id, err := w.UserID(t.Context(), w.production, "ann"); id != 0 || err != nil {
		t.Errorf("ann is still %d, %v", id, err)
	}
	second, err := w.IdentifyUser(t.Context(), w.production, user("ann", nil))
	if err != nil || second.ID == first.ID || len(second.Properties) != 0 {
		t.Errorf("ann again: %+v, %v", second, err)
	}
	w.forgotten(t)
	if got, err := w.UserByExternalID(t.Context(), w.production, "ann"); err != nil || got.ID != second.ID {
		t.Errorf("ann again was deleted with her namesake: %+v, %v", got, err)
	}
	if got, err := w.UserByID(t.Context(), w.staging, there.ID); err != nil || got.Properties["name"] != "Anna" {
		t.Errorf("staging's ann: %+v, %v", got, err)
	}
}

// A node remembers whose id is whose. What another node deletes is noticed when it looks.
func TestDeletionsOfOtherNodesAreNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := New(w.pool, w.now)
	old, err := w.IdentifyUser(t.Context(), w.production, user("ann", nil))
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := other.UserID(t.Context(), w.production, "ann"); id != old.ID {
		t.Fatal(id)
	}
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("ann")}, ""); err != nil {
		t.Fatal(err)
	}
	w.forgotten(t)
	if err := other.evict(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := other.UserID(t.Context(), w.production, "ann"); id != 0 || err != nil {
		t.Errorf("the other node still takes ann for %d, %v", id, err)
	}
}

// Others forget in bounded parts, each in a transaction of its own; one that fails is tried again.
// A node that didn't look for so long that nothing tells of a deletion any more remembers nobody.
func TestANodeThatWasAwayRemembersNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var away time.Duration
	other := New(w.pool, func() time.Time { return w.now().Add(away) })
	old, err := w.IdentifyUser(t.Context(), w.production, user("ann", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.evict(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, _ := other.UserID(t.Context(), w.production, "ann"); id != old.ID {
		t.Fatal(id)
	}
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("ann")}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), `DELETE FROM forgotten`); err != nil { // as it is when all is gone
		t.Fatal(err)
	}
	again, err := w.IdentifyUser(t.Context(), w.production, user("ann", nil))
	if err != nil {
		t.Fatal(err)
	}
	away = settleTime + time.Minute
	if err := other.evict(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := other.UserID(t.Context(), w.production, "ann"); id != again.ID || err != nil {
		t.Errorf("the other node takes ann for %d, %v; want %d", id, err, again.ID)
	}
}

// Nor does one that only was busy: it looks at everything since it last did.
func TestABusyNodeStillNoticesDeletions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var late time.Duration
	other := New(w.pool, func() time.Time { return w.now().Add(late) })
	if _, err := w.IdentifyUser(t.Context(), w.production, user("ann", nil)); err != nil {
		t.Fatal(err)
	}
	if err := other.evict(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := other.UserID(t.Context(), w.production, "ann"); id == 0 || err != nil {
		t.Fatal(id, err)
	}
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("ann")}, ""); err != nil {
		t.Fatal(err)
	}
	late = settleTime - time.Minute
	if err := other.evict(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := other.UserID(t.Context(), w.production, "ann"); id != 0 || err != nil {
		t.Errorf("the other node takes ann for %d, %v", id, err)
	}
}

func TestForgettingGoesOnUntilAllIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	left, failures := 3, 2
	var asked []string
	w.Forget = []Forget{
		func(_ context.Context, _ *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (bool, error) {
			if env != w.production || len(ids) != 1 {
				t.Errorf("asked to forget %v of %d", ids, env)
			}
			asked = append(asked, fmt.Sprint("first ", left))
			left--
			return left > 0, nil
		},
		func(context.Context, *postgres.Tx, belfry.EnvironmentID, []belfry.RecipientID) (bool, error) {
			asked = append(asked, "second")
			if failures--; failures >= 0 {
				return false, errors.New("no")
			}
			return false, nil
		},
	}
	if _, err := w.IdentifyUser(t.Context(), w.production, user("ann", nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("ann")}, ""); err != nil {
		t.Fatal(err)
	}
	for {
		more, err := w.forgetSome(t.Context())
		if err == nil && !more {
			break
		}
		if _, err := w.pool.Exec(t.Context(), `UPDATE forgotten SET due_at = 'epoch' WHERE NOT settled`); err != nil { // who waits needn't
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"first 3", "first 2", "first 1", "second", "first 0", "second", "first -1", "second"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if n := w.count(t, `SELECT count(*) FROM forgotten WHERE settled`); n != 1 {
		t.Errorf("%d recipients are looked at again, want 1", n)
	}
	// What was being written while ann was deleted is removed by a last look.
	later := New(w.pool, func() time.Time { return w.now().Add(settleTime + time.Minute) })
	looked := 0
	later.Forget = []Forget{func(context.Context, *postgres.Tx, belfry.EnvironmentID, []belfry.RecipientID) (bool, error) {
		looked++
		return false, nil
	}}
	for more := true; more; {
		var err error
		if more, err = later.forgetSome(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count(t, `SELECT count(*) FROM forgotten`); n != 0 || looked != 1 {
		t.Errorf("%d are still to be forgotten after %d more looks", n, looked)
	}
}

// Identifying somebody while they are deleted makes them known again, and fails nobody.
func TestIdentifyingAndDeletingAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	done := make(chan error, 1)
	go func() {
		for range 50 {
			if _, err := w.Delete(context.Background(), w.production, []belfry.RecipientRef{belfry.User("ann"), belfry.User("bob")}, ""); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 50 {
		if _, err := w.identify(t.Context(), w.production, user("bob", nil), user("ann", map[string]any{"a": 1.0})); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDeletionHasALimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refs := make([]belfry.RecipientRef, MaxDeleted+1)
	for i := range refs {
		refs[i] = belfry.User(fmt.Sprint(i))
	}
	_, err := w.Delete(t.Context(), w.production, refs, "input.ids")
	wantError(t, err, belfry.TooLarge, "input.ids", MaxDeleted)
	if unknown, err := w.Delete(t.Context(), w.production, refs[1:], "input.ids"); err != nil || len(unknown) != MaxDeleted {
		t.Errorf("%d unknown, %v", len(unknown), err)
	}
	_, err = w.Delete(t.Context(), w.production, []belfry.RecipientRef{{Collection: "$other", ExternalID: "x"}}, "input")
	wantError(t, err, belfry.Invalid, "input.collection", 0)
}
