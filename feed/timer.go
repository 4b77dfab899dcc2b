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

// What happens to an item at its time.
const (
	expireTimer = "expire" // it is removed
	returnTimer = "return" // it comes back after it was snoozed
)

const (
	timerInterval = time.Second // how often due timers are looked for
	timerFeeds    = 100         // timers whose feeds are dealt with before the next look
	timerChunk    = 100         // timers of one feed that are fired in one transaction
	timerRetry    = time.Minute // after a feed that failed
	maxFailures   = 100         // feeds that may fail before upkeep leaves the rest to its next turn
)

// setTimers has items that came at an instant removed at their time.
func setTimers(ctx context.Context, tx pgx.Tx, messages []*belfry.Message, at time.Time) error {
	var recipients, envs, seqs []int64
	var channels []string
	var due []time.Time
	for _, m := range messages {
		if when := expiry(m.Content.Item, at); when != nil {
			recipients, envs, seqs = append(recipients, int64(m.Recipient)), append(envs, int64(m.Environment)), append(seqs, m.Seq)
			channels, due = append(channels, m.Channel), append(due, *when)
		}
	}
	if len(seqs) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, insertTimers, recipients, channels, envs, seqs, due, expireTimer)
	return err
}

// FireTimers does what is due: items expire, and come back. Run calls it.
//
// Whatever of a feed is due is found again under the feed's lock, which comes first, as everywhere: nodes that fire the same
// timers wait for each other, and all but one find nothing. What is due of a feed that fails is put off, so that it holds up no
// other.
func (s *Service) FireTimers(ctx context.Context) error {
	return s.eachDue(ctx, selectDue, s.fire, s.putOff)
}

// eachDue does something to each feed that a statement finds, in a transaction each, until it finds no more. What fails is put
// off.
func (s *Service) eachDue(ctx context.Context, find string, do func(context.Context, *postgres.Tx, key) error, putOff func(context.Context, key) error) error {
	var failed []error
	for {
		rows, err := s.Pool.Query(ctx, find, s.now(), timerFeeds)
		if err != nil {
			return err
		}
		due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k key, err error) {
			return k, row.Scan(&k.env, &k.recipient, &k.channel)
		})
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		feeds := slices.Clone(due)
		slices.SortFunc(feeds, compareKeys)
		feeds = slices.Compact(feeds)
		for _, k := range feeds {
			err := postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error { return do(ctx, tx, k) })
			if err == nil {
				continue
			}
			failed = append(failed, fmt.Errorf("feed of recipient %d on %q: %w", k.recipient, k.channel, err))
			if err := putOff(ctx, k); err != nil { // then it would be found again at once
				return errors.Join(append(failed, err)...)
			}
		}
		if len(failed) >= maxFailures || len(due) < timerFeeds {
			return errors.Join(failed...)
		}
	}
}

// putOff has what is due in a feed done later.
func (s *Service) putOff(ctx context.Context, k key) error {
	return postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
		if _, err := readHeader(ctx, tx, lockHeader, k); err != nil {
			return err
		}
		now := s.now()
		_, err := tx.Exec(ctx, postponeTimers, k.recipient, k.channel, now, now.Add(timerRetry))
		return err
	})
}

// fire does what is due in one feed, as far as it fits into a transaction.
func (s *Service) fire(ctx context.Context, tx *postgres.Tx, k key) error {
	h, err := readHeader(ctx, tx, lockHeader, k)
	if err != nil {
		return err
	}
	at := s.now()
	rows, err := tx.Query(ctx, takeDue, k.recipient, k.channel, at, timerChunk)
	if err != nil {
		return err
	}
	seqs := map[string][]int64{}
	var kind string
	var seq int64
	if _, err := pgx.ForEachRow(rows, []any{&kind, &seq}, func() error {
		seqs[kind] = append(seqs[kind], seq)
		return nil
	}); err != nil || h.epoch == 0 {
		return err
	}
	owners, err := s.owners(ctx, tx, []key{k})
	if err != nil {
		return err
	}
	expired, err := readMarkable(ctx, tx, h, seqs[expireTimer])
	if err != nil {
		return err
	}
	if err := s.remove(ctx, tx, h, owners[k], Expired, expired, at); err != nil {
		return err
	}
	returned, err := readMarkable(ctx, tx, h, seqs[returnTimer])
	if err != nil {
		return err
	}
	_, err = s.bringBack(ctx, tx, h, owners[k], returned, at)
	return err
}

// Lag is for how long what is to be done to feeds in the background has been due: by time, or by an operation. 0 if nothing is.
func (s *Service) Lag(ctx context.Context) (time.Duration, error) {
	var oldest *time.Time
	if err := s.Pool.QueryRow(ctx, selectOldestDue).Scan(&oldest); err != nil || oldest == nil {
		return 0, err
	}
	return max(0, s.now().Sub(*oldest)), nil
}

const selectOldestDue = `SELECT least((SELECT min(due_at) FROM feed_timers), (SELECT min(due_at) FROM feed_expansions), (SELECT min(due_at) FROM feed_operations WHERE finished_at IS NULL))`

const insertTimers = `INSERT INTO feed_timers (recipient_id, channel, environment_id, seq, due_at, kind)
SELECT *, $6 FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[])
    ON CONFLICT (recipient_id, channel, kind, seq) DO UPDATE SET due_at = excluded.due_at`

const selectDue = `SELECT environment_id, recipient_id, channel FROM feed_timers WHERE due_at <= $1 ORDER BY due_at LIMIT $2`

const postponeTimers = `UPDATE feed_timers SET due_at = $4 WHERE recipient_id = $1 AND channel = $2 AND due_at <= $3`

const takeDue = `DELETE FROM feed_timers WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM feed_timers WHERE recipient_id = $1 AND channel = $2 AND due_at <= $3 ORDER BY due_at LIMIT $4))
RETURNING kind, seq`
