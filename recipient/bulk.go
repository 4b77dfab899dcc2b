package recipient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/watch"
	"github.com/belfryhq/belfry/postgres"
)

const (
	// MaxBulk is how many items a bulk operation has at most.
	MaxBulk = 1000
	// MaxOpenBulks is how many bulk operations of an environment may be unfinished.
	MaxOpenBulks = 100

	bulkChunk     = 50                 // items in one transaction
	bulkRetention = 7 * 24 * time.Hour // how long finished operations can be asked for
)

// Bulk is an operation on many recipients that is worked off in the background.
type Bulk struct {
	ID          uuid.UUID
	Kind        BulkKind
	Total, Done int // items; Done counts those that failed too
	Failures    []BulkFailure
	CreatedAt   time.Time
	FinishedAt  *time.Time // nil: it goes on
}

// BulkFailure is an item that was refused, and why. All others that are done were done.
type BulkFailure struct {
	Index int           `json:"index"`
	Error *belfry.Error `json:"error"`
}

// StartBulk accepts an operation: when it returns, it is stored and will be done, whatever happens to this node. Items that
// are wrong are found out one by one. Errors of the whole: TooLarge and Invalid, Conflict if too many operations are
// unfinished.
func (s *Service) StartBulk(ctx context.Context, env belfry.EnvironmentID, kind BulkKind, items []BulkItem) (*Bulk, error) {
	work := bulkWorks[kind]
	switch {
	case len(items) == 0:
		return nil, belfry.Errorf(belfry.Invalid, "at least one item is required").At("%s", work.list)
	case len(items) > MaxBulk:
		return nil, belfry.Beyond(work.list, MaxBulk, "items of one operation")
	}
	b := &Bulk{Kind: kind, Total: len(items), CreatedAt: s.now(), Failures: []BulkFailure{}}
	stored := make([]BulkItem, len(items)) // those that are refused stay empty: perhaps they can't even be stored
	for i := range items {
		err := work.check(&items[i], fmt.Sprintf("%s[%d]", work.list, i))
		if refused, ok := errors.AsType[*belfry.Error](err); ok {
			b.Failures = append(b.Failures, BulkFailure{i, refused})
		} else if err != nil {
			return nil, err
		} else {
			stored[i] = items[i]
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	b.ID = id
	encoded, err := json.Marshal(stored)
	if err != nil {
		return nil, err
	}
	failures, err := json.Marshal(b.Failures)
	if err != nil {
		return nil, err
	}
	err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, deleteOldBulks, env, b.CreatedAt.Add(-bulkRetention)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, insertBulk, env, b.ID, kind, encoded, b.Total, failures, b.CreatedAt, MaxOpenBulks)
		if err == nil && tag.RowsAffected() == 0 {
			return belfry.Errorf(belfry.Conflict, "%d bulk operations are unfinished: wait for some of them", MaxOpenBulks)
		}
		tx.AfterCommit(s.Wake)
		return err
	})
	return b, err
}

// BulkByID reads an operation; NotFound if there is none, or it was finished long ago.
func (s *Service) BulkByID(ctx context.Context, env belfry.EnvironmentID, id uuid.UUID) (*Bulk, error) {
	b := &Bulk{ID: id}
	err := s.pool.QueryRow(ctx, selectBulk, env, id).Scan(&b.Kind, &b.Total, &b.Done, &b.Failures, &b.CreatedAt, &b.FinishedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "no such bulk operation")
	}
	slices.SortFunc(b.Failures, func(a, c BulkFailure) int { return a.Index - c.Index })
	return b, err
}

// WatchBulk tells how an operation goes on: as it is, then whenever it has got further, until it has ended. NotFound as in
// BulkByID. The channel is closed then, when ctx ends, or when the database can't be read.
func (s *Service) WatchBulk(ctx context.Context, env belfry.EnvironmentID, id uuid.UUID) (<-chan *Bulk, error) {
	if _, err := s.BulkByID(ctx, env, id); err != nil {
		return nil, err
	}
	told := -1
	return watch.Follow(ctx, &s.bulks, id, watchInterval, func() (b *Bulk, news, over bool) {
		b, err := s.BulkByID(ctx, env, id)
		if err != nil {
			return nil, false, true
		}
		news, told = b.Done != told, b.Done
		return b, news, b.FinishedAt != nil
	}), nil
}

// bulkSome does a chunk of the oldest operation that is due and that nobody else is at, and reports whether there may be more to do. One
// that fails waits: the others go on.
func (s *Service) bulkSome(ctx context.Context) (more bool, err error) {
	b := &claimedBulk{}
	err = again(func() error {
		*b = claimedBulk{}
		return postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error { return s.bulkNext(ctx, tx, b) })
	})
	if err == nil || ctx.Err() != nil || b.ID == uuid.Nil {
		return err == nil && b.ID != uuid.Nil, err
	}
	err = fmt.Errorf("bulk operation %s: %w", b.ID, err)
	if _, failed := s.pool.Exec(ctx, postponeBulk, b.env, b.ID, s.later(b.CreatedAt)); failed != nil {
		return false, errors.Join(err, failed)
	}
	return true, err
}

// claimedBulk is an operation that is being worked at.
type claimedBulk struct {
	Bulk
	env belfry.EnvironmentID
}

// bulkNext does the next chunk of an operation, which b names from then on, whether or not that fails; nothing if none is due.
func (s *Service) bulkNext(ctx context.Context, tx *postgres.Tx, b *claimedBulk) error {
	var stored []byte
	err := tx.QueryRow(ctx, claimBulk, bulkChunk, s.now()).Scan(&b.env, &b.ID, &b.CreatedAt, &b.Kind, &stored, &b.Total, &b.Done, &b.Failures)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	items, err := decodeItems(stored)
	if err != nil {
		return err
	}
	done, failures, err := s.bulkChunk(ctx, tx, b.env, &b.Bulk, items)
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(append([]BulkFailure{}, failures...)) // not null
	if err != nil {
		return err
	}
	id := b.ID
	tx.AfterCommit(func() { s.bulks.Ring(slices.Values([]uuid.UUID{id})) })
	_, err = tx.Exec(ctx, moveBulk, b.env, b.ID, b.Done+done, encoded, s.now())
	return err
}

const insertBulk = `INSERT INTO bulk_operations (environment_id, id, kind, items, total, failures, created_at, due_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $7
 WHERE (SELECT count(*) FROM bulk_operations WHERE environment_id = $1 AND finished_at IS NULL) < $8`

const deleteOldBulks = `DELETE FROM bulk_operations WHERE environment_id = $1 AND finished_at < $2`

const selectBulk = `SELECT kind, total, done, failures, created_at, finished_at FROM bulk_operations WHERE environment_id = $1 AND id = $2`

const postponeBulk = `UPDATE bulk_operations SET due_at = $3 WHERE environment_id = $1 AND id = $2`

const claimBulk = `SELECT environment_id, id, created_at, kind,
       (SELECT coalesce(jsonb_agg(i.item ORDER BY i.n), '[]') FROM jsonb_array_elements(items) WITH ORDINALITY AS i (item, n)
         WHERE i.n > b.done AND i.n <= b.done + $1), total, done, failures
  FROM bulk_operations b WHERE finished_at IS NULL AND due_at <= $2 ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED`

const moveBulk = `UPDATE bulk_operations SET done = $3, failures = failures || $4::jsonb,
       items = CASE WHEN $3 >= total THEN '[]' ELSE items END, finished_at = CASE WHEN $3 >= total THEN $5::timestamptz END
 WHERE environment_id = $1 AND id = $2`
