package recipient

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// An epoch of an environment ends when one of its recipients loses an id, in whichever way, and not before.
func TestAnEpochEndsWhenSomebodyLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exec := func(sql string, args ...any) error {
		_, err := w.pool.Exec(t.Context(), sql, args...)
		return err
	}
	identify := func(names ...string) error {
		for _, name := range names {
			if _, err := w.identify(t.Context(), w.production, user(name, map[string]any{"name": name})); err != nil {
				return err
			}
		}
		return nil
	}
	remove := func(names ...string) error {
		var refs []belfry.RecipientRef
		for _, name := range names {
			refs = append(refs, belfry.User(name))
		}
		_, err := w.Delete(t.Context(), w.production, refs, "")
		return err
	}
	for _, c := range []struct {
		what string
		do   func() error
		ends bool
	}{
		{"users are identified", func() error { return identify("ann", "ben", "cal", "dee", "eve", "fay", "gus") }, false},
		{"known users are identified", func() error { return identify("ann") }, false},
		{"a preference is stored, which the recipient's row tells of", func() error {
			return exec(`INSERT INTO preference_sets (recipient_id, set, environment_id, preferences, updated_at) SELECT id, 'default', environment_id, '{}', 'epoch' FROM recipients WHERE external_id = 'ann'`)
		}, false},
		{"a user is deleted", func() error { return remove("ann") }, true},
		{"nobody is deleted", func() error { return remove("ann") }, false},
		{"the id is given again", func() error { return identify("ann") }, false},
		{"several are deleted", func() error { return remove("ann", "ben") }, true},
		{"two are merged", func() error {
			_, err := w.MergeUsers(t.Context(), w.production, "cal", "dee")
			return err
		}, true},
		{"a deletion is undone", func() error {
			undone := errors.New("undone")
			if err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
				if _, err := tx.Exec(t.Context(), `DELETE FROM recipients`); err != nil {
					return err
				}
				return undone
			}); err != undone {
				return fmt.Errorf("%w, want it undone", err)
			}
			return nil
		}, false},
		{"an operator deletes", func() error { return exec(`DELETE FROM recipients WHERE external_id = 'cal'`) }, true},
		{"an operator renames", func() error { return exec(`UPDATE recipients SET external_id = 'ivy' WHERE external_id = 'eve'`) }, true},
		{"somebody is deleted by a transaction that a restored row happens to name", func() error {
			return postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
				var xid string
				if err := tx.QueryRow(t.Context(), `SELECT pg_current_xact_id()::text`).Scan(&xid); err != nil {
					return err
				}
				if err := exec(`UPDATE recipient_epochs SET changed_by = $1::text::xid8`, xid); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), `DELETE FROM recipients WHERE external_id = 'ivy'`)
				return err
			})
		}, true},
		{"two leave in one transaction, one after the other", func() error {
			return postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
				for _, name := range []string{"fay", "gus"} {
					if _, err := tx.Exec(t.Context(), `DELETE FROM recipients WHERE external_id = $1`, name); err != nil {
						return err
					}
				}
				return nil
			})
		}, true},
	} {
		before, elsewhere := w.epoch(t, w.production), w.epoch(t, w.staging)
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if after := w.epoch(t, w.production); (after != before) != c.ends {
			t.Errorf("%s: the epoch was %v, and is %v", c.what, before, after)
		}
		if w.epoch(t, w.staging) != elsewhere {
			t.Errorf("%s: an epoch of another environment ended", c.what)
		}
	}
}

func (w *world) epoch(t *testing.T, env belfry.EnvironmentID) (out pgtype.UUID) {
	t.Helper()
	err := w.pool.QueryRow(t.Context(), `SELECT epoch FROM recipient_epochs WHERE environment_id = $1`, env).Scan(&out)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return out
}

// Deletions of many users at the same time don't hold each other up for good, whatever else their transactions lock behind.
func TestDeletionsBeginEpochsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var names []Identity
	for i := range 40 {
		names = append(names, user(fmt.Sprint(i), nil))
	}
	if _, err := w.identify(t.Context(), w.production, names...); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	for i := range 20 {
		go func() {
			_, err := w.Delete(context.WithoutCancel(t.Context()), w.production, []belfry.RecipientRef{names[i].RecipientRef, names[39-i].RecipientRef}, "")
			failed <- err
		}()
	}
	for range 20 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if n := w.count(t, `SELECT count(*) FROM recipients`); n != 0 {
		t.Errorf("%d are left", n)
	}
}
