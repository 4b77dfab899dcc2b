package recipient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

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
		{"an operator empties the table", func() error { return exec(`TRUNCATE recipients CASCADE`) }, true},
		{"it is filled again", func() error { return identify("fay", "gus") }, false},
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
		if w.epoch(t, w.staging) != elsewhere && !strings.Contains(c.what, "empties") {
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

// Of two transactions that delete users, neither waits for the other before it commits, whatever each does after deleting.
func TestDeletionsWaitForEachOtherAtTheirCommitOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.identify(t.Context(), w.production, user("ann", nil), user("ben", nil)); err != nil {
		t.Fatal(err)
	}
	ann, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ann.Rollback(context.WithoutCancel(t.Context())) }()
	ben, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ben.Rollback(context.WithoutCancel(t.Context())) }()
	for _, c := range []struct {
		tx  pgx.Tx
		who string
	}{{ann, "ann"}, {ben, "ben"}} {
		for _, sql := range []string{`SET LOCAL lock_timeout = '5s'`, `DELETE FROM recipients WHERE external_id = '` + c.who + `'`, `SELECT 1`} {
			if _, err := c.tx.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s while both are open: %v", sql, err)
			}
		}
	}
	for _, tx := range []pgx.Tx{ben, ann} {
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// An id that was found in an epoch that is over isn't remembered, however late or early it comes.
func TestIDsAreRememberedForTheLastEpochOnly(t *testing.T) {
	t.Parallel()
	s := New(nil, time.Now)
	first, second := Epoch{Server: time.Unix(1, 0)}, Epoch{Server: time.Unix(2, 0)}
	ann, ben := belfry.User("ann"), belfry.User("ben")
	for i, c := range []struct {
		do   func()
		who  []belfry.RecipientRef
		want []belfry.RecipientID
		in   Epoch
	}{
		{func() {}, []belfry.RecipientRef{ann}, nil, Epoch{}},
		{func() { s.Remember(1, first, []belfry.RecipientRef{ann, ben}, []belfry.RecipientID{10, 20}) }, []belfry.RecipientRef{ben, ann}, []belfry.RecipientID{20, 10}, first},
		{func() { s.Remember(2, second, []belfry.RecipientRef{ann}, []belfry.RecipientID{30}) }, []belfry.RecipientRef{ann}, []belfry.RecipientID{10}, first},
		{func() { s.Remember(1, second, []belfry.RecipientRef{ann}, []belfry.RecipientID{11}) }, []belfry.RecipientRef{ann}, []belfry.RecipientID{11}, second},
		{func() {}, []belfry.RecipientRef{ann, ben}, nil, Epoch{}},
		{func() { s.Remember(1, first, []belfry.RecipientRef{ben}, []belfry.RecipientID{20}) }, []belfry.RecipientRef{ann}, nil, Epoch{}}, // an answer that comes late
		{func() {}, []belfry.RecipientRef{ben}, []belfry.RecipientID{20}, first},
		{func() { s.remembered.Remove(address{1, ben}) }, []belfry.RecipientRef{ben}, nil, Epoch{}},
	} {
		c.do()
		got, in := s.Remembered(1, c.who)
		if !slices.Equal(got, c.want) || !in.Server.Equal(c.in.Server) {
			t.Errorf("%d: %v in %v, want %v in %v", i, got, in.Server, c.want, c.in.Server)
		}
	}
}

// What is remembered of a request is the ids, not the text that they were found in.
func TestRememberedIDsDoNotKeepTheirRequests(t *testing.T) {
	t.Parallel()
	s := New(nil, time.Now)
	request := "ann" + strings.Repeat(" and the rest of a large request", 100)
	s.Remember(1, Epoch{}, []belfry.RecipientRef{{Collection: request[3:8], ExternalID: request[:3]}}, []belfry.RecipientID{1})
	for _, a := range s.remembered.Keys() {
		if unsafe.StringData(a.ExternalID) == unsafe.StringData(request) || unsafe.StringData(a.Collection) == unsafe.StringData(request[3:]) {
			t.Error("an id is a part of the request")
		}
	}
}
