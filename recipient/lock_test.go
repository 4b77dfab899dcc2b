package recipient

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// crowd identifies a project, and users, the last name first: in the order of their internal ids they are in another order than by name.
func (w *world) crowd(t *testing.T, n int) (identities []Identity, parties []Party) {
	t.Helper()
	if _, err := w.Upsert(t.Context(), w.production, Identity{RecipientRef: project("p")}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		id := fmt.Sprintf("u%02d", n-1-i)
		if _, err := w.IdentifyUser(t.Context(), w.production, user(id, nil)); err != nil {
			t.Fatal(err)
		}
		identities, parties = append(identities, user(id, nil)), append(parties, Party{Ref: belfry.User(id)})
	}
	return identities, parties
}

// Who is identified may be referred to at the same time: foreign keys lock rows in an order of their own, and neither has to wait.
func TestIdentifyingDoesNotWaitForReferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crowd(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, upsertSubscriptions, w.production, w.id(t, project("p")), []belfry.RecipientID{w.id(t, belfry.User("u01"))}, []bool{false}, nil, w.now())
		if err != nil {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err = w.identify(soon, w.production, user("u01", map[string]any{"plan": "pro"}), Identity{RecipientRef: project("p"), Properties: map[string]any{"n": 1}})
		return err
	}); err != nil {
		t.Error(err)
	}
}

// Whoever is identified again and again is never the victim of those who subscribe, or add to audiences, the same people.
func TestIdentifyingIsNotTheVictimOfReferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	identities, parties := w.crowd(t, 50)
	// On the spot, the first half of the rows is locked behind the second.
	for i := range parties[25:] {
		parties[25+i] = Party{Identify: &Identity{RecipientRef: parties[25+i].Ref, Properties: map[string]any{"i": i}}}
	}
	ctx := context.WithoutCancel(t.Context())
	if _, err := w.UpsertAudience(ctx, w.production, Audience{Key: "a", Name: "a"}); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	loop := func(name string, do func(round int) error) {
		var err error
		for round := 0; round < 40 && err == nil; round++ {
			if err = do(round); err != nil {
				err = fmt.Errorf("%s, round %d: %w", name, round, err)
			}
		}
		errs <- err
	}
	go loop("identify", func(round int) error {
		for i := range identities {
			identities[i].Properties = map[string]any{"round": round}
		}
		_, err := w.identify(ctx, w.production, identities...)
		return err
	})
	go loop("subscribe", func(round int) error {
		_, err := w.Subscribe(ctx, w.production, project(fmt.Sprint(round)), parties, nil)
		return err
	})
	go loop("members", func(round int) error {
		_, err := w.AddMembers(ctx, w.production, "a", parties, fmt.Sprint(round))
		return err
	})
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	var deadlocks int
	if err := w.pool.QueryRow(ctx, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks); err != nil || deadlocks > 0 {
		t.Errorf("%d deadlocks, %v", deadlocks, err)
	}
}

// Deleting needs rows for itself, and may be the victim of who refers to several of them. Then it is done again.
func TestDeletingIsDoneAgainBehindADeadlock(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(w *world) error{
		"delete": func(w *world) error {
			_, err := w.Delete(t.Context(), w.production, []belfry.RecipientRef{belfry.User("u00"), belfry.User("u01")}, "users")
			return err
		},
		"merge": func(w *world) error {
			_, err := w.MergeUsers(t.Context(), w.production, "u00", "u01")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.crowd(t, 2)
			refer := func(tx pgx.Tx, user string) error {
				_, err := tx.Exec(t.Context(), upsertSubscriptions, w.production, w.id(t, project("p")), []belfry.RecipientID{w.id(t, belfry.User(user))}, []bool{false}, nil, w.now())
				return err
			}
			removed := make(chan error)
			if err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), `SET LOCAL deadlock_timeout = '1min'`); err != nil { // so that the other one is the victim
					return err
				}
				if err := refer(tx, "u01"); err != nil {
					return err
				}
				go func() { removed <- remove(w) }()
				w.untilSomebodyWaits(t)
				return refer(tx, "u00")
			}); err != nil {
				t.Error(err)
			}
			if err := <-removed; err != nil {
				t.Error(err)
			}
		})
	}
}

// untilSomebodyWaits polls until a transaction of the database waits for a lock.
func (w *world) untilSomebodyWaits(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var waits bool
		if err := w.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		if waits {
			return
		}
	}
	t.Fatal("nobody waits")
}

// Whoever is deleted while they are being subscribed is no error of the call.
func TestSubscribingSomebodyWhoIsBeingDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crowd(t, 2)
	results := make(chan []Result)
	if err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), deleteRecipients, w.production, []belfry.RecipientID{w.id(t, belfry.User("u01"))}); err != nil {
			return err
		}
		go func() {
			list, err := w.Subscribe(t.Context(), w.production, project("p"), named("u00", "u01"), nil)
			if err != nil {
				t.Error(err)
			}
			results <- list
		}()
		w.untilSomebodyWaits(t)
		return nil
	}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]belfry.Code{"", belfry.NotFound}, codes(<-results)); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}
