package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestInTxRunsHooksInOrderAfterTheCommit(t *testing.T) {
	t.Parallel()
	pool := notes(t)
	var seen []int
	err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
		for _, hook := range []int{1, 2} {
			tx.AfterCommit(func() { seen = append(seen, hook*100+count(t, pool)) })
		}
		if err := write(t.Context(), tx, "a"); err != nil {
			return err
		}
		seen = append(seen, count(t, pool)) // from outside: not there yet
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 101, 201}, seen); diff != "" {
		t.Errorf("order of hooks and rows that they saw (-want +got):\n%s", diff)
	}
}

// The setting is the transaction's: whoever has the connection next is planned for as usual.
func TestKeepingPlansEndsWithTheTransaction(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	mode := func(in func(context.Context, *pgxpool.Pool, func(*postgres.Tx) error) error) (mode, isolation string) {
		if err := in(t.Context(), pool, func(tx *postgres.Tx) error {
			const sql = `select current_setting('plan_cache_mode'), current_setting('transaction_isolation')`
			return tx.QueryRow(t.Context(), sql).Scan(&mode, &isolation)
		}); err != nil {
			t.Fatal(err)
		}
		return mode, isolation
	}
	if mode, isolation := mode(postgres.InTxKeepingPlans); mode != "force_generic_plan" || isolation != "read committed" {
		t.Errorf("within: %s, %s", mode, isolation)
	}
	if mode, _ := mode(postgres.InTx); mode != "auto" {
		t.Errorf("thereafter: %s", mode)
	}
}

func TestInTxUndoesEverythingAndRunsNoHook(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		fn   func(ctx context.Context, cancel func(), tx *postgres.Tx) error
		want error
	}{
		"error": {func(context.Context, func(), *postgres.Tx) error { return refused }, refused},
		"swallowed error of the server": {func(ctx context.Context, _ func(), tx *postgres.Tx) error {
			_, _ = tx.Exec(ctx, `select 1/0`)
			return nil
		}, pgx.ErrTxCommitRollback},
		"context that ended": {func(ctx context.Context, cancel func(), _ *postgres.Tx) error {
			cancel()
			return ctx.Err()
		}, context.Canceled},
		"refused at the commit": {func(ctx context.Context, _ func(), tx *postgres.Tx) error {
			_, err := tx.Exec(ctx, `insert into notes values ('twice'), ('twice')`)
			return err
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := notes(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := postgres.InTx(ctx, pool, func(tx *postgres.Tx) error {
				tx.AfterCommit(func() { t.Error("the hook ran") })
				if err := write(ctx, tx, "a"); err != nil {
					return err
				}
				return c.fn(ctx, cancel, tx)
			})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error = %v, want %v", err, c.want)
			}
			expectIdle(t, pool, 0)
		})
	}
}

func TestInTxRollsBackAndPanicsOn(t *testing.T) {
	t.Parallel()
	pool := notes(t)
	defer func() {
		if got := recover(); got != "boom" {
			t.Errorf("recovered %v, want the panic of the function", got)
		}
		expectIdle(t, pool, 0)
	}()
	_ = postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
		tx.AfterCommit(func() { t.Error("the hook ran") })
		if err := write(t.Context(), tx, "a"); err != nil {
			t.Error(err)
		}
		panic("boom")
	})
}

func TestInTxKeepsTheConnectionWhenTheCallerGivesUp(t *testing.T) {
	t.Parallel()
	pool := notes(t)
	before := backend(t, pool)
	ctx, cancel := context.WithCancel(t.Context())
	_ = postgres.InTx(ctx, pool, func(*postgres.Tx) error {
		cancel()
		return ctx.Err()
	})
	if after := backend(t, pool); after != before {
		t.Errorf("connection went from backend %d to %d: it was thrown away", before, after)
	}
}

func TestInSnapshotSeesOneMomentAndCannotWrite(t *testing.T) {
	t.Parallel()
	pool := notes(t)
	err := postgres.InSnapshot(t.Context(), pool, func(tx pgx.Tx) error {
		if n := count(t, tx); n != 0 {
			t.Errorf("rows = %d, want 0", n)
		}
		if _, err := pool.Exec(t.Context(), `insert into notes values ('meanwhile')`); err != nil {
			return err
		}
		if n := count(t, tx); n != 0 {
			t.Errorf("rows after a concurrent insert = %d, want still 0", n)
		}
		return write(t.Context(), tx, "mine")
	})
	if err == nil {
		t.Error("a write inside a snapshot succeeded")
	}
	expectIdle(t, pool, 1)
}

// notes is a database with a table whose uniqueness is checked at the commit.
func notes(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := open(t, postgres.Config{URL: pgtest.EmptyURL(t)})
	_, err := pool.Exec(t.Context(), `create table notes (body text unique deferrable initially deferred)`)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func open(t *testing.T, cfg postgres.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pgtest.Close(t, pool) })
	return pool
}

func write(ctx context.Context, tx pgx.Tx, body string) error {
	_, err := tx.Exec(ctx, `insert into notes values ($1)`, body)
	return err
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func count(t *testing.T, q querier) (n int) {
	t.Helper()
	if err := q.QueryRow(t.Context(), `select count(*) from notes`).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

func backend(t *testing.T, q querier) (pid int) {
	t.Helper()
	if err := q.QueryRow(t.Context(), `select pg_backend_pid()`).Scan(&pid); err != nil {
		t.Error(err)
	}
	return pid
}

// expectIdle checks that no connection is still in use, and counts the rows.
func expectIdle(t *testing.T, pool *pgxpool.Pool, rows int) {
	t.Helper()
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections were not given back", n)
	}
	if n := count(t, pool); n != rows {
		t.Errorf("rows = %d, want %d", n, rows)
	}
}

func TestFirstEffectStopsAtTheFirstChange(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	statements := []string{`DELETE FROM first WHERE n = $1`, `DELETE FROM second WHERE n = $1`}
	if _, err := pool.Exec(t.Context(), `CREATE TABLE first AS SELECT 1 AS n; CREATE TABLE second AS SELECT 1 AS n`); err != nil {
		t.Fatal(err)
	}
	for call, want := range []struct {
		changed     bool
		first, last int
	}{{true, 0, 1}, {true, 0, 0}, {false, 0, 0}} {
		err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
			changed, err := tx.FirstEffect(t.Context(), statements, 1)
			if changed != want.changed {
				t.Errorf("call %d: changed = %t", call, changed)
			}
			return err
		})
		var first, last int
		if err == nil {
			err = pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM first), (SELECT count(*) FROM second)`).Scan(&first, &last)
		}
		if err != nil || first != want.first || last != want.last {
			t.Errorf("call %d leaves %d and %d, want %+v (%v)", call, first, last, want, err)
		}
	}
}
