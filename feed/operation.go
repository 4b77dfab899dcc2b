package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

const (
	// MaxOpenOperations is how many operations of an environment may be unfinished.
	MaxOpenOperations = 100

	operationFeeds     = 20                 // feeds in one transaction
	operationAtOnce    = 5                  // transactions before the caller is answered; the rest is done in the background
	operationRetry     = time.Minute        // after one that failed
	operationRetention = 7 * 24 * time.Hour // how long finished operations can be asked for
)

// Operation is what is done to all feeds of an environment that have items about a resource, or of a trigger, in the background
// if they are many. It goes on after a crash where it was. What comes while it lasts may or may not be covered.
type Operation struct {
	ID          uuid.UUID
	Environment belfry.EnvironmentID
	Kind        string    // retract, or a belfry.Mark
	ResourceKey string    // empty: Trigger says
	Trigger     uuid.UUID // whose runs made the items
	Feeds       int       // that it has changed so far
	Items       int
	CreatedAt   time.Time
	FinishedAt  *time.Time // nil: it goes on

	after key
	// before is not 0 if after isn't done: a feed may have more items than are dealt with at a time. Those from before on are
	// done, and inFeed of them were changed.
	before int64
	inFeed int
}

// retractKind is the Kind of an Operation that removes items.
const retractKind = "retract"

// ResolveResource marks all items about a resource, in whichever feeds of the environment.
func (s *Service) ResolveResource(ctx context.Context, env belfry.EnvironmentID, resourceKey string, as belfry.Mark) (*Operation, error) {
	if err := belfry.ValidateResourceKey(resourceKey, "input.resourceKey"); err != nil {
		return nil, err
	}
	if as.Pins() {
		return nil, errPinsByID
	}
	return s.start(ctx, &Operation{Environment: env, Kind: string(as), ResourceKey: resourceKey})
}

// RetractResource removes all items about a resource, from whichever feeds of the environment.
func (s *Service) RetractResource(ctx context.Context, env belfry.EnvironmentID, resourceKey string) (*Operation, error) {
	if err := belfry.ValidateResourceKey(resourceKey, "input.where.resourceKey"); err != nil {
		return nil, err
	}
	return s.start(ctx, &Operation{Environment: env, Kind: retractKind, ResourceKey: resourceKey})
}

// RetractTrigger removes all items that runs of a trigger have made so far, from whichever feeds of the environment. What
// still waits for its time isn't there yet, and what went to another user by a merge has lost its trace.
func (s *Service) RetractTrigger(ctx context.Context, env belfry.EnvironmentID, trigger uuid.UUID) (*Operation, error) {
	return s.start(ctx, &Operation{Environment: env, Kind: retractKind, Trigger: trigger})
}

// start stores an operation, from when on it will be done whatever happens, and does the beginning of it.
func (s *Service) start(ctx context.Context, o *Operation) (*Operation, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	o.ID, o.CreatedAt = id, s.now()
	err = postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, deleteOldOperations, o.Environment, o.CreatedAt.Add(-operationRetention)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, insertOperation, o.Environment, o.ID, o.Kind, o.ResourceKey, o.Trigger, o.CreatedAt, MaxOpenOperations)
		if err == nil && tag.RowsAffected() == 0 {
			return belfry.Errorf(belfry.Conflict, "%d operations on feeds are unfinished: wait for some of them", MaxOpenOperations)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for range operationAtOnce {
		claimed, err := s.operateOn(ctx, claimThis, o.ID)
		if err != nil {
			s.Log.Warn("an operation on feeds could not begin; it is tried again", "operation", o.ID, "error", err)
		}
		if err != nil || claimed == nil || claimed.FinishedAt != nil {
			break
		}
	}
	return s.OperationByID(ctx, o.Environment, o.ID)
}

// OperationByID reads an operation; NotFound if there is none, or it was finished long ago.
func (s *Service) OperationByID(ctx context.Context, env belfry.EnvironmentID, id uuid.UUID) (*Operation, error) {
	o := &Operation{}
	err := s.Pool.QueryRow(ctx, selectOperation, env, id).Scan(o.fields()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "no such operation")
	}
	return o, err
}

// RunOperations does what is left of the operations that are due. Run calls it; several nodes may.
func (s *Service) RunOperations(ctx context.Context) error {
	for {
		o, err := s.operateOn(ctx, claimDue, s.now())
		if err != nil && o != nil && ctx.Err() == nil { // it waits, and lets others go on
			_, late := s.Pool.Exec(ctx, postponeOperation, o.Environment, o.ID, s.now().Add(operationRetry))
			return errors.Join(fmt.Errorf("operation %s on feeds: %w", o.ID, err), late)
		}
		if err != nil || o == nil {
			return err
		}
	}
}

// operateOn does the next feeds of the operation that a statement claims; nil if that claims none.
func (s *Service) operateOn(ctx context.Context, claim string, argument any) (claimed *Operation, err error) {
	err = postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
		claimed = nil
		o := &Operation{}
		err := tx.QueryRow(ctx, claim, argument).Scan(o.fields()...)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		claimed = o
		return s.operateSome(ctx, tx, o)
	})
	return claimed, err
}

// operateSome does the operation to some feeds, in the order of their keys.
func (s *Service) operateSome(ctx context.Context, tx *postgres.Tx, o *Operation) error {
	feeds, items, end, err := s.feedsOf(ctx, tx, o)
	if err != nil {
		return err
	}
	owners, err := s.owners(ctx, tx, feeds)
	if err != nil {
		return err
	}
	now := s.now()
	for i, k := range feeds {
		if err := s.operateIn(ctx, tx, o, k, items[k], owners[k], now); err != nil {
			return err
		}
		if o.before > 0 { // the others have to wait
			end = &feeds[i]
			break
		}
	}
	if end == nil {
		o.FinishedAt = &now
	} else {
		o.after = *end
	}
	_, err = tx.Exec(ctx, moveOperation, o.Environment, o.ID, o.after.recipient, o.after.channel, o.Feeds, o.Items, o.FinishedAt, o.before, o.inFeed)
	return err
}

// feedsOf finds the next feeds of an operation, in the order of their keys, and where to go on behind them: nil if these are
// the last. items are those of a trigger.
func (s *Service) feedsOf(ctx context.Context, tx *postgres.Tx, o *Operation) (feeds []key, items map[key][]int64, end *key, err error) {
	switch {
	case o.before > 0:
		last := key{o.Environment, o.after.recipient, o.after.channel}
		return []key{last}, nil, &last, nil
	case o.ResourceKey == "":
		return s.feedsOfTrigger(ctx, tx, o)
	default:
		return s.feedsOfResource(ctx, tx, o)
	}
}

// feedsOfResource finds the next feeds that have items of a resource.
func (s *Service) feedsOfResource(ctx context.Context, tx *postgres.Tx, o *Operation) (feeds []key, _ map[key][]int64, end *key, err error) {
	rows, err := tx.Query(ctx, selectFeedsOfResource, o.Environment, o.ResourceKey, o.after.recipient, o.after.channel, operationFeeds)
	if err != nil {
		return nil, nil, nil, err
	}
	feeds, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k key, err error) {
		k.env = o.Environment
		return k, row.Scan(&k.recipient, &k.channel)
	})
	if len(feeds) == operationFeeds {
		end = &feeds[len(feeds)-1]
	}
	return feeds, nil, end, err
}

// feedsOfTrigger finds the feeds of the next recipients of a trigger, and which of their items its runs made.
func (s *Service) feedsOfTrigger(ctx context.Context, tx *postgres.Tx, o *Operation) (feeds []key, items map[key][]int64, end *key, err error) {
	ids, last, more, err := s.ItemsOf(ctx, tx, o.Environment, o.Trigger, o.after.recipient, operationFeeds)
	if err != nil {
		return nil, nil, nil, err
	}
	items = map[key][]int64{}
	for _, id := range ids {
		k := key{o.Environment, id.Recipient, id.Channel}
		if items[k] == nil {
			feeds = append(feeds, k)
		}
		items[k] = append(items[k], id.Seq)
	}
	slices.SortFunc(feeds, compareKeys)
	if more {
		end = &key{recipient: last}
	}
	return feeds, items, end, nil
}

// operateIn does the operation to the next items of one feed, counts what it changed, and remembers where to go on if there may
// be more. seqs are the feed's items, if the operation is about a trigger.
func (s *Service) operateIn(ctx context.Context, tx *postgres.Tx, o *Operation, k key, seqs []int64, ref Ref, at time.Time) error {
	h, err := readHeader(ctx, tx, lockHeader, k)
	if err != nil {
		return err
	}
	if h.epoch == 0 { // no row means no lock
		o.before, o.inFeed = 0, 0
		return nil
	}
	var items []markable
	var next int64
	if o.ResourceKey == "" {
		items, err = readOfTrigger(ctx, tx, h, seqs, o.Trigger)
	} else {
		items, err = readOfResource(ctx, tx, h, o.ResourceKey, cmp.Or(o.before, math.MaxInt64))
		if len(items) == maxOfResource {
			next = items[len(items)-1].seq
		}
	}
	if err != nil {
		return err
	}
	n := 0
	switch {
	case o.Retracts():
		n = len(items)
		err = s.remove(ctx, tx, h, ref, Retracted, items, at)
	case ref.User != "": // a mark is something that somebody did, and those who are being forgotten do nothing
		n, err = s.markThese(ctx, tx, h, ref, belfry.Mark(o.Kind), items, at)
	}
	if n > 0 && o.inFeed == 0 {
		o.Feeds++
	}
	o.Items += n
	if o.before, o.inFeed = next, o.inFeed+n; next == 0 {
		o.inFeed = 0
	}
	return err
}

// Retracts reports whether the operation removes items; otherwise it marks them.
func (o *Operation) Retracts() bool { return o.Kind == retractKind }

func (o *Operation) fields() []any {
	return []any{&o.Environment, &o.ID, &o.Kind, &o.ResourceKey, &o.Trigger, &o.after.recipient, &o.after.channel, &o.before, &o.inFeed, &o.Feeds, &o.Items, &o.CreatedAt, &o.FinishedAt}
}

const operationColumns = `environment_id, id, kind, resource_key, coalesce(trigger_id, '00000000-0000-0000-0000-000000000000'), after_recipient, after_channel, before_seq, feed_items, feeds, items, created_at, finished_at`

const insertOperation = `INSERT INTO feed_operations (environment_id, id, kind, resource_key, trigger_id, created_at, due_at)
SELECT $1, $2, $3, $4, $5, $6, $6
 WHERE (SELECT count(*) FROM feed_operations WHERE environment_id = $1 AND finished_at IS NULL) < $7`

const deleteOldOperations = `DELETE FROM feed_operations WHERE environment_id = $1 AND finished_at < $2`

const selectOperation = `SELECT ` + operationColumns + ` FROM feed_operations WHERE environment_id = $1 AND id = $2`

const claimThis = `SELECT ` + operationColumns + ` FROM feed_operations WHERE id = $1 AND finished_at IS NULL FOR UPDATE SKIP LOCKED`

const claimDue = `SELECT ` + operationColumns + ` FROM feed_operations WHERE finished_at IS NULL AND due_at <= $1 ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED`

const moveOperation = `UPDATE feed_operations SET after_recipient = $3, after_channel = $4, feeds = $5, items = $6, finished_at = $7, before_seq = $8, feed_items = $9
 WHERE environment_id = $1 AND id = $2`

const postponeOperation = `UPDATE feed_operations SET due_at = $3 WHERE environment_id = $1 AND id = $2`

// readOfTrigger reads what removing items needs, as far as they really are the trigger's.
func readOfTrigger(ctx context.Context, tx *postgres.Tx, h *header, seqs []int64, trigger uuid.UUID) ([]markable, error) {
	rows, err := tx.Query(ctx, selectOfTrigger, h.recipient, h.channel, h.env, seqs, trigger, h.watermarks.needData())
	if err != nil {
		return nil, err
	}
	return collectMarkable(rows, h)
}

const selectOfTrigger = `SELECT ` + stateColumns + `, ` + attributeColumns + `, CASE WHEN $6 THEN content->'data' END, step_ref
  FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq = ANY ($4) AND trigger_id = $5 ORDER BY seq`

// selectFeedsOfResource finds the next feeds that have something of a resource.
const selectFeedsOfResource = `SELECT recipient_id, channel FROM feed_items
 WHERE environment_id = $1 AND resource_key = $2 AND (recipient_id, channel) > ($3, $4)
 GROUP BY recipient_id, channel ORDER BY recipient_id, channel LIMIT $5`
