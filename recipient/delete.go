package recipient

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// MaxDeleted is how many recipients one call deletes.
const MaxDeleted = 1000

// Delete makes recipients unknown, all in one transaction: their ids may be used again at once, and whoever gets one
// inherits nothing. What belonged to them follows soon: see Run. It returns those that nobody knew. Errors: TooLarge at
// field, Invalid for what is no id.
func (s *Service) Delete(ctx context.Context, env belfry.EnvironmentID, refs []belfry.RecipientRef, field string) (unknown []belfry.RecipientRef, err error) {
	if len(refs) > MaxDeleted {
		return nil, belfry.Beyond(field, MaxDeleted, "recipients at once")
	}
	for _, ref := range refs {
		if err := validateRef(ref, field); err != nil {
			return nil, err
		}
	}
	refs = slices.Compact(slices.SortedFunc(slices.Values(refs), compareRefs))
	err = s.inTxAgain(ctx, func(tx *postgres.Tx) error {
		known, err := lockKnown(ctx, tx, env, refs)
		if err != nil {
			return err
		}
		unknown = slices.DeleteFunc(slices.Clone(refs), func(ref belfry.RecipientRef) bool { return known[ref] != nil })
		return s.delete(ctx, tx, env, known)
	})
	if err != nil {
		return nil, fmt.Errorf("delete recipients: %w", err)
	}
	return unknown, nil
}

// inTxAgain does a transaction, and once more if another one was in its way.
func (s *Service) inTxAgain(ctx context.Context, do func(tx *postgres.Tx) error) error {
	return again(func() error { return postgres.InTx(ctx, s.pool, do) })
}

// delete makes locked recipients unknown.
func (s *Service) delete(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, known map[belfry.RecipientRef]*locked) error {
	if len(known) == 0 {
		return nil
	}
	ids := make([]int64, 0, len(known))
	for _, l := range known {
		ids = append(ids, int64(l.id))
	}
	batch := &pgx.Batch{}
	batch.Queue(insertForgotten, env, ids, s.now())
	batch.Queue(deleteRecipients, env, ids)
	tx.AfterCommit(func() {
		for ref := range known {
			s.ids.Remove(address{env, ref})
		}
		s.Wake()
	})
	return tx.SendBatch(ctx, batch).Close()
}

const insertForgotten = `INSERT INTO forgotten (recipient_id, environment_id, collection, external_id, at, due_at)
SELECT id, environment_id, collection, external_id, $3, $3 FROM recipients WHERE environment_id = $1 AND id = ANY ($2)`

const deleteRecipients = `DELETE FROM recipients WHERE environment_id = $1 AND id = ANY ($2)`
