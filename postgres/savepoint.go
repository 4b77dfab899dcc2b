package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Savepoint runs fn as a part of the transaction that can be undone alone. When
// fn returns an error, what it wrote is undone, the hooks that it registered
// with AfterCommit are dropped, and the transaction can go on; the error is
// returned as it is. Locks that fn took are given up as well. A panic goes on,
// and undoes everything. Inside fn, go on using tx.
//
// It costs two round trips: not for the usual path.
func (tx *Tx) Savepoint(ctx context.Context, fn func() error) error {
	hooks := len(tx.afterCommit)
	err := pgx.BeginFunc(ctx, tx.Tx, func(pgx.Tx) error { return fn() })
	if err != nil {
		// What they announce never happened.
		clear(tx.afterCommit[hooks:])
		tx.afterCommit = tx.afterCommit[:hooks]
	}
	return err
}
