package recipient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
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

// BulkKind is what is done with each item.
type BulkKind string

const (
	IdentifyUsers BulkKind = "identify_users"
	DeleteUsers   BulkKind = "delete_users"
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

// bulkItem is an item as it is stored.
type bulkItem struct {
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties,omitempty"`
	Unset      []string       `json:"unset,omitempty"`
	// Preferences are merged into those that are there.
	Preferences map[string]map[string]any `json:"preferences,omitempty"`
}

// StartBulk accepts an operation on users: when it returns, it is stored and will be done, whatever happens to this node.
// Items that are wrong are found out one by one; of deletions only the ids count. Errors of the whole: TooLarge and Invalid
// at field, Conflict if too many operations are unfinished.
func (s *Service) StartBulk(ctx context.Context, env belfry.EnvironmentID, kind BulkKind, identities []Identity, field string) (*Bulk, error) {
	switch {
	case len(identities) == 0:
		return nil, belfry.Errorf(belfry.Invalid, "at least one item is required").At("%s", field)
	case len(identities) > MaxBulk:
		return nil, belfry.Beyond(field, MaxBulk, "items of one operation")
	}
	b := &Bulk{Kind: kind, Total: len(identities), CreatedAt: s.now(), Failures: []BulkFailure{}}
	items := make([]bulkItem, len(identities)) // those that are refused stay empty: perhaps they can't even be stored
	for i, identity := range identities {
		err := identity.Validate(fmt.Sprintf("%s[%d]", field, i))
		if refused, ok := errors.AsType[*belfry.Error](err); ok {
			if kind == DeleteUsers { // its items are ids
				refused = refused.At("%s", strings.TrimSuffix(refused.Field, ".id"))
			}
			b.Failures = append(b.Failures, BulkFailure{i, refused})
		} else if err != nil {
			return nil, err
		} else {
			items[i] = bulkItem{identity.ExternalID, identity.Properties, identity.Unset, identity.Preferences}
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	b.ID = id
	encoded, err := json.Marshal(items)
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

// bulkSome does a chunk of the oldest operation that nobody else is at, and reports whether there was one.
func (s *Service) bulkSome(ctx context.Context) (more bool, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		var env belfry.EnvironmentID
		b := &Bulk{}
		var stored []byte
		err := tx.QueryRow(ctx, claimBulk, bulkChunk).Scan(&env, &b.ID, &b.Kind, &stored, &b.Total, &b.Done, &b.Failures)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		more = true
		var items []bulkItem
		decoder := json.NewDecoder(bytes.NewReader(stored))
		decoder.UseNumber() // or large ones would change
		if err := decoder.Decode(&items); err != nil {
			return fmt.Errorf("bulk operation %s: %w", b.ID, err)
		}
		done, failures, err := s.bulkChunk(ctx, tx, env, b, items)
		if err != nil {
			return fmt.Errorf("bulk operation %s: %w", b.ID, err)
		}
		if failures == nil {
			failures = []BulkFailure{}
		}
		encoded, err := json.Marshal(failures)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, moveBulk, env, b.ID, b.Done+done, encoded, s.now())
		return err
	})
	return more, err
}

// bulkChunk does the next items together, or only the first of them if one is refused, for then it may be that one.
func (s *Service) bulkChunk(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, b *Bulk, items []bulkItem) (done int, failures []BulkFailure, err error) {
	refused := map[int]bool{} // when they were accepted
	for _, f := range b.Failures {
		refused[f.Index] = true
	}
	for len(items) > 0 {
		var identities []Identity
		var refs []belfry.RecipientRef
		var fields []string
		for i, item := range items {
			if !refused[b.Done+i] {
				refs = append(refs, belfry.User(item.ID))
				identities = append(identities, Identity{RecipientRef: belfry.User(item.ID), Properties: item.Properties, Unset: item.Unset, Preferences: item.Preferences})
				fields = append(fields, fmt.Sprintf("input.users[%d]", b.Done+i))
			}
		}
		if b.Kind == DeleteUsers {
			slices.SortFunc(refs, compareRefs)
			known, err := lockKnown(ctx, tx, env, slices.Compact(refs))
			if err != nil {
				return 0, nil, err
			}
			return len(items), nil, s.delete(ctx, tx, env, known)
		}
		err := tx.Savepoint(ctx, func() error {
			_, err := s.Identify(ctx, tx, env, identities, fields)
			return err
		})
		e, isRefusal := errors.AsType[*belfry.Error](err)
		switch {
		case err == nil:
			return len(items), nil, nil
		case !isRefusal:
			return 0, nil, err
		case len(items) == 1:
			return 1, []BulkFailure{{b.Done, e}}, nil
		}
		items = items[:1]
	}
	return 0, nil, nil
}

const insertBulk = `INSERT INTO bulk_operations (environment_id, id, kind, items, total, failures, created_at)
SELECT $1, $2, $3, $4, $5, $6, $7
 WHERE (SELECT count(*) FROM bulk_operations WHERE environment_id = $1 AND finished_at IS NULL) < $8`

const deleteOldBulks = `DELETE FROM bulk_operations WHERE environment_id = $1 AND finished_at < $2`

const selectBulk = `SELECT kind, total, done, failures, created_at, finished_at FROM bulk_operations WHERE environment_id = $1 AND id = $2`

const claimBulk = `SELECT environment_id, id, kind,
       (SELECT coalesce(jsonb_agg(i.item ORDER BY i.n), '[]') FROM jsonb_array_elements(items) WITH ORDINALITY AS i (item, n)
         WHERE i.n > b.done AND i.n <= b.done + $1), total, done, failures
  FROM bulk_operations b WHERE finished_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`

const moveBulk = `UPDATE bulk_operations SET done = $3, failures = failures || $4::jsonb,
       items = CASE WHEN $3 >= total THEN '[]' ELSE items END, finished_at = CASE WHEN $3 >= total THEN $5::timestamptz END
 WHERE environment_id = $1 AND id = $2`
