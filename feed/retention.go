package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// KeepPolicy says how much the feeds of a channel keep. The zero KeepPolicy keeps everything.
type KeepPolicy struct {
	MaxAge   time.Duration // older items are removed; 0: any age. Whole seconds
	MaxItems int           // of more, the oldest are removed; 0: any number. Snoozed items don't count, but go with those around them
}

// Limits of a KeepPolicy.
const (
	MinRetention     = 24 * time.Hour
	MaxRetention     = 10 * 365 * 24 * time.Hour
	MinRetainedItems = 10
	MaxRetainedItems = 10_000_000
)

// retentionWalk visits each feed once an hour, or as fast as it gets through them.
var retentionWalk = walk{name: "retention", step: 0, rest: time.Hour, size: 500}

// trimChunk is how many items of a feed one transaction removes.
const trimChunk = 1000

// SetRetention says how much the feeds of a channel keep from now on. The zero KeepPolicy is no limit.
func (s *Service) SetRetention(ctx context.Context, env belfry.EnvironmentID, channel string, keep KeepPolicy) error {
	if err := belfry.ValidateKey(channel, "input.channel"); err != nil {
		return err
	}
	switch {
	case keep.MaxAge != 0 && keep.MaxAge < MinRetention:
		return belfry.Errorf(belfry.Invalid, "keep items for a day at least, or leave it out to keep them for ever").At("input.maxAge")
	case keep.MaxAge > MaxRetention:
		return belfry.Beyond("input.maxAge", int(MaxRetention/(24*time.Hour)), "days")
	case keep.MaxItems != 0 && keep.MaxItems < MinRetainedItems:
		return belfry.Errorf(belfry.Invalid, "keep %d items at least, or leave it out to keep all", MinRetainedItems).At("input.maxItems")
	case keep.MaxItems > MaxRetainedItems:
		return belfry.Beyond("input.maxItems", MaxRetainedItems, "items")
	}
	if keep == (KeepPolicy{}) {
		_, err := s.Pool.Exec(ctx, deleteRetention, env, channel)
		return err
	}
	_, err := s.Pool.Exec(ctx, upsertRetention, env, channel, int64(keep.MaxAge/time.Second), keep.MaxItems)
	return err
}

// Retention reads how much the feeds of a channel keep.
func (s *Service) Retention(ctx context.Context, env belfry.EnvironmentID, channel string) (KeepPolicy, error) {
	var seconds int64
	var keep KeepPolicy
	err := s.Pool.QueryRow(ctx, selectRetention, env, channel).Scan(&seconds, &keep.MaxItems)
	if errors.Is(err, pgx.ErrNoRows) {
		return KeepPolicy{}, nil
	}
	keep.MaxAge = time.Duration(seconds) * time.Second
	return keep, err
}

// Trim removes what the next feeds of a round keep no longer. A feed that fails holds up no other: it is tried again in the next
// round. Run calls it.
func (s *Service) Trim(ctx context.Context) error {
	var failed []error
	for len(failed) < maxFailures {
		feeds, err := s.nextRetained(ctx)
		if err != nil || len(feeds) == 0 {
			return errors.Join(append(failed, err)...)
		}
		excessive, err := s.excessive(ctx, feeds)
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for _, e := range excessive {
			if err := s.trim(ctx, e); err != nil {
				failed = append(failed, fmt.Errorf("trim the feed of recipient %d on %q: %w", e.recipient, e.channel, err))
			}
		}
	}
	return errors.Join(failed...)
}

// nextRetained takes the next feeds of a round; none if no channel says how much its feeds keep.
func (s *Service) nextRetained(ctx context.Context) ([]key, error) {
	var any bool
	if err := s.Pool.QueryRow(ctx, anyRetention).Scan(&any); err != nil || !any {
		return nil, err
	}
	return s.stretch(ctx, retentionWalk)
}

// excess is a feed that holds more than it should.
type excess struct {
	key
	keep KeepPolicy
}

// excessive finds those of some feeds that hold more than they should, by their counters and their oldest item.
func (s *Service) excessive(ctx context.Context, feeds []key) ([]excess, error) {
	envs, recipients, channels := make([]int64, len(feeds)), make([]int64, len(feeds)), make([]string, len(feeds))
	for i, k := range feeds {
		envs[i], recipients[i], channels[i] = int64(k.env), int64(k.recipient), k.channel
	}
	rows, err := s.Pool.Query(ctx, selectExcessive, envs, recipients, channels, s.now())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e excess, err error) {
		var seconds int64
		err = row.Scan(&e.env, &e.recipient, &e.channel, &seconds, &e.keep.MaxItems)
		e.keep.MaxAge = time.Duration(seconds) * time.Second
		return e, err
	})
}

// trim removes the oldest items of a feed until it holds what it should, a transaction at a time.
func (s *Service) trim(ctx context.Context, e excess) error {
	for more := true; more; {
		err := postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) (err error) {
			more, err = s.trimSome(ctx, tx, e)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trimSome removes the oldest items. It stops at the first that may stay, so that one position tells which have gone.
func (s *Service) trimSome(ctx context.Context, tx *postgres.Tx, e excess) (more bool, err error) {
	h, err := readHeader(ctx, tx, lockHeader, e.key)
	if err != nil || h.epoch == 0 {
		return false, err
	}
	at := s.now()
	tooMany := 0
	if e.keep.MaxItems > 0 {
		tooMany = h.cells.total() - e.keep.MaxItems
	}
	var last int64
	rows, err := tx.Query(ctx, selectOldest, h.recipient, h.channel, h.env, trimChunk, h.watermarks.needData())
	if err != nil {
		return false, err
	}
	var it markable
	n, counted, stays := 0, 0, false
	moved := newTally()
	if _, err := pgx.ForEachRow(rows, it.allFields(), func() error {
		stays = stays || counted >= tooMany && (e.keep.MaxAge == 0 || !it.CreatedAt.Before(at.Add(-e.keep.MaxAge)))
		if !stays {
			it.overtake(h.watermarks)
			h.uncount(moved, &it.stored)
			h.tell(&it)
			last = it.seq
			n++
			if it.SnoozedUntil == nil { // the counters, which say how many are too many, don't know the others
				counted++
			}
		}
		it.Data = nil
		return nil
	}); err != nil || n == 0 {
		return false, err
	}
	if err := moveGroups(ctx, tx, h, moved); err != nil {
		return false, err
	}
	h.thinned() // few at a time come to many, and rounds are an hour apart
	h.pins = slices.DeleteFunc(h.pins, func(p Pin) bool { return p.Seq <= last })
	owners, err := s.owners(ctx, tx, []key{e.key})
	if err != nil {
		return false, err
	}
	batch := &pgx.Batch{}
	batch.Queue(trimItems, h.recipient, h.channel, h.env, last, at, Retention, at.Add(-changeRetention))
	batch.Queue(trimTimers, h.recipient, h.channel, last)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return false, err
	}
	return n == trimChunk, s.record(ctx, tx, h, owners[e.key], Event{Kind: Removed, Removal: Retention, UpTo: last, At: at}, nil)
}

const (
	anyRetention = `SELECT EXISTS (SELECT FROM feed_retention)`

	upsertRetention = `INSERT INTO feed_retention (environment_id, channel, max_age_seconds, max_items) VALUES ($1, $2, nullif($3, 0), nullif($4, 0))
    ON CONFLICT (environment_id, channel) DO UPDATE SET max_age_seconds = excluded.max_age_seconds, max_items = excluded.max_items`

	deleteRetention = `DELETE FROM feed_retention WHERE environment_id = $1 AND channel = $2`

	selectRetention = `SELECT coalesce(max_age_seconds, 0), coalesce(max_items, 0) FROM feed_retention WHERE environment_id = $1 AND channel = $2`

	// selectExcessive looks at the first item of each feed only.
	selectExcessive = `SELECT t.environment_id, t.recipient_id, t.channel, coalesce(r.max_age_seconds, 0), coalesce(r.max_items, 0)
  FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS t (environment_id, recipient_id, channel)
  JOIN feed_retention r USING (environment_id, channel)
 CROSS JOIN LATERAL (SELECT unseen + seen + read + archived_unseen + archived_seen + archived_read AS items FROM feeds
   WHERE recipient_id = t.recipient_id AND channel = t.channel AND environment_id = t.environment_id OFFSET 0) f
 CROSS JOIN LATERAL (SELECT created_at FROM feed_items
   WHERE recipient_id = t.recipient_id AND channel = t.channel AND environment_id = t.environment_id ORDER BY seq LIMIT 1) i
 WHERE f.items > r.max_items OR i.created_at < $4::timestamptz - r.max_age_seconds * interval '1 second'`

	// trimItems leaves a change at the versions of those items that came since $7: before, nothing is replayed.
	trimItems = `WITH gone AS (
  DELETE FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq <= $4 RETURNING seq, created_at)
INSERT INTO feed_changes (recipient_id, channel, version, environment_id, at, mark, seqs)
SELECT $1, $2, seq, $3, $5, $6, ARRAY[seq] FROM gone WHERE created_at >= $7`

	trimTimers = `DELETE FROM feed_timers WHERE recipient_id = $1 AND channel = $2 AND kind IN ('expire', 'return') AND seq <= $3`
)
