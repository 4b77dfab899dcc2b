package recipient

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

const (
	watchInterval   = time.Second     // how often a node looks for deletions
	settleTime      = 5 * time.Minute // longer than any transaction takes that still saw somebody who is deleted
	forgetTogether  = 50              // recipients in one transaction
	maxEvicted      = 10_000          // deletions that are looked at one by one; beyond, no id is remembered
	evictionOverlap = 15 * time.Second
)

// Forget deletes what another package keeps about recipients that are deleted: a bounded part of it, and says whether
// there may be more. It must not lock what is others' in the same call: one kind of rows at a time.
type Forget func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (more bool, err error)

// Wake has deleted recipients looked at now.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it will
	}
}

// Run works off bulk operations, and removes what belonged to deleted recipients, in transactions of bounded size, until ctx
// ends. A crash costs nothing: whoever runs next goes on. When all is gone it looks once more after settleTime, for what was
// being written about somebody while they were deleted. Several nodes may run it; each has to, for it also forgets the ids
// that the node remembers.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if err := s.evict(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("the ids of deleted recipients could not be read; it is tried again", "error", err)
		}
		for forget, bulk := true, true; forget || bulk; { // by turns: neither waits for all of the other
			if forget {
				forget = s.some(ctx, s.forgetSome, "what belonged to deleted recipients could not be removed; it is tried again")
			}
			if bulk {
				bulk = s.some(ctx, s.bulkSome, "a bulk operation could not go on; it is tried again")
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// some does a transaction's work, and reports whether there may be more of it to do at once.
func (s *Service) some(ctx context.Context, do func(context.Context) (bool, error), failure string) (more bool) {
	more, err := do(ctx)
	if err != nil && ctx.Err() == nil {
		s.Log.Error(failure, "error", err)
	}
	return more && err == nil
}

// evict drops ids from memory whose recipients were deleted on any node.
func (s *Service) evict(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, selectForgotten, s.now().Add(-evictionOverlap), maxEvicted)
	if err != nil {
		return err
	}
	var a address
	var id belfry.RecipientID
	tag, err := pgx.ForEachRow(rows, []any{&id, &a.env, &a.Collection, &a.ExternalID}, func() error {
		if cached, ok := s.ids.Peek(a); ok && cached == id {
			s.ids.Remove(a)
		}
		return nil
	})
	if err == nil && tag.RowsAffected() == maxEvicted {
		s.ids.Purge()
	}
	return err
}

// forgetSome does one transaction's work, and reports whether there was any.
func (s *Service) forgetSome(ctx context.Context) (more bool, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		var env belfry.EnvironmentID
		var ids, settled []belfry.RecipientID
		rows, err := tx.Query(ctx, claimForgotten, s.now(), forgetTogether)
		if err != nil {
			return err
		}
		var at belfry.EnvironmentID
		var id belfry.RecipientID
		var done bool
		if _, err := pgx.ForEachRow(rows, []any{&id, &at, &done}, func() error {
			if env == 0 {
				env = at
			}
			if at == env { // the others are next
				if ids = append(ids, id); done {
					settled = append(settled, id)
				}
			}
			return nil
		}); err != nil || len(ids) == 0 {
			return err
		}
		more = true
		unfinished, err := s.forget(ctx, tx, env, ids)
		if err != nil || unfinished {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(deleteForgotten, settled)
		batch.Queue(settleForgotten, ids, s.now().Add(settleTime))
		return tx.SendBatch(ctx, batch).Close()
	})
	return more, err
}

// forget removes a part of what is kept about recipients.
func (s *Service) forget(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (more bool, err error) {
	for _, sql := range forgetOwn {
		if _, err := tx.Exec(ctx, sql, env, ids); err != nil {
			return false, fmt.Errorf("forget recipients: %w", err)
		}
	}
	for _, forget := range s.Forget {
		if more, err := forget(ctx, tx, env, ids); err != nil || more {
			return more, err
		}
	}
	return false, nil
}

// forgetOwn deletes what this package keeps beside the recipients themselves.
var forgetOwn = []string{deleteAllChannelData} // preferences go with the row

const deleteAllChannelData = `DELETE FROM channel_data WHERE environment_id = $1 AND recipient_id = ANY ($2)`

const selectForgotten = `SELECT recipient_id, environment_id, collection, external_id FROM forgotten WHERE at >= $1 ORDER BY at DESC LIMIT $2`

const claimForgotten = `SELECT recipient_id, environment_id, settled FROM forgotten WHERE due_at <= $1
 ORDER BY due_at, recipient_id LIMIT $2 FOR UPDATE SKIP LOCKED`

const deleteForgotten = `DELETE FROM forgotten WHERE recipient_id = ANY ($1)`

const settleForgotten = `UPDATE forgotten SET settled = true, due_at = $2 WHERE recipient_id = ANY ($1)`
