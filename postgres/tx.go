package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rollbackTimeout bounds a rollback whose caller has already given up.
const rollbackTimeout = 3 * time.Second

// Tx is a transaction that remembers what to do once it is durable.
type Tx struct {
	pgx.Tx
	afterCommit []func()
}

// AfterCommit registers fn to run once the transaction has committed: ringing
// a bus, waking a worker. Hooks run in order on the caller's goroutine, after
// the connection has gone back to the pool. They must be quick, must not use
// the transaction, and cannot fail: a crash may skip them, so whatever they
// announce must also be found by polling.
func (tx *Tx) AfterCommit(fn func()) { tx.afterCommit = append(tx.afterCommit, fn) }

// FirstEffect executes statements with the same arguments, one after the other,
// until one of them changes a row, and reports whether one did. So large work
// whose parts depend on each other is done a transaction at a time: each
// statement bounds how many rows it changes, and is called again until none has
// any left.
func (tx *Tx) FirstEffect(ctx context.Context, statements []string, args ...any) (bool, error) {
	for _, sql := range statements {
		tag, err := tx.Exec(ctx, sql, args...)
		if err != nil || tag.RowsAffected() > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// InTx runs fn in a READ COMMITTED transaction. It commits when fn returns nil,
// and rolls back when fn returns an error (returned as it is) or panics (the
// panic goes on). Use only tx inside fn, never the pool.
//
// When ctx ends during the commit, the error does not tell whether the commit
// happened, and no hook runs.
func InTx(ctx context.Context, pool *pgxpool.Pool, fn func(tx *Tx) error) error {
	return inHookedTx(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, fn)
}

// InTxKeepingPlans is InTx for statements that a connection executes over and
// over, and whose rows are found in the same way whatever the arguments are: each
// is planned once, for any arguments. Left alone, PostgreSQL compares estimates,
// and plans some of them anew each time, which takes longer than they run: it
// takes every array that it can't see for one of ten elements.
//
// Statements that may be skipped in part, such as by $1 IS NULL OR …, or that
// depend on LIMIT $1 being small, don't belong there unless a test has looked at
// their generic plan.
func InTxKeepingPlans(ctx context.Context, pool *pgxpool.Pool, fn func(tx *Tx) error) error {
	return inHookedTx(ctx, pool, pgx.TxOptions{BeginQuery: beginKeepingPlans}, fn)
}

// beginKeepingPlans is one round trip, as begin alone would be. The setting ends with the transaction.
const beginKeepingPlans = "begin isolation level read committed; set local plan_cache_mode = force_generic_plan"

func inHookedTx(ctx context.Context, pool *pgxpool.Pool, opts pgx.TxOptions, fn func(tx *Tx) error) error {
	var tx *Tx
	err := inTx(ctx, pool, opts, func(raw pgx.Tx) error {
		tx = &Tx{Tx: raw}
		return fn(tx)
	})
	if err != nil {
		return err
	}
	for _, hook := range tx.afterCommit {
		hook()
	}
	return nil
}

// InSnapshot runs fn in a REPEATABLE READ, READ ONLY transaction: every query
// in it sees the database as of the first one. It takes no locks, blocks
// nobody and cannot fail to serialize.
func InSnapshot(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	return inTx(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

func inTx(ctx context.Context, pool *pgxpool.Pool, opts pgx.TxOptions, fn func(pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		// The caller's context may be over; with it pgx would throw the
		// connection away instead of rolling back.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = tx.Rollback(ctx) // fails only when the connection is gone, and the transaction with it
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return nil
}
