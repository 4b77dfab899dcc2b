package feed

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/postgres"
)

// walk is a way through all feeds, in the order of their keys, again and again. The database remembers where it is, so
// nodes share it. What a node that dies had taken is visited in the next round.
type walk struct {
	name string
	step time.Duration // from one stretch of feeds to the next
	rest time.Duration // from the end of a round to the next
	size int           // of a stretch
}

// stretch takes the next feeds of a walk; none if it isn't due, or another node is at it.
func (s *Service) stretch(ctx context.Context, w walk) (feeds []key, err error) {
	err = postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
		feeds = nil
		now := s.now()
		var last key
		err := tx.QueryRow(ctx, takeWalk, w.name, now).Scan(&last.recipient, &last.channel)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectFeedsAfter, last.recipient, last.channel, w.size)
		if err != nil {
			return err
		}
		feeds, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k key, err error) {
			return k, row.Scan(&k.env, &k.recipient, &k.channel)
		})
		if err != nil {
			return err
		}
		due := now.Add(w.step)
		if last = (key{}); len(feeds) < w.size {
			due = now.Add(w.rest)
		} else {
			last = feeds[len(feeds)-1]
		}
		_, err = tx.Exec(ctx, moveWalk, w.name, last.recipient, last.channel, due)
		return err
	})
	return feeds, err
}

const takeWalk = `SELECT after_recipient, after_channel FROM feed_walks WHERE name = $1 AND due_at <= $2 FOR UPDATE SKIP LOCKED`

const selectFeedsAfter = `SELECT environment_id, recipient_id, channel FROM feeds
 WHERE (recipient_id, channel) > ($1, $2) ORDER BY recipient_id, channel LIMIT $3`

const moveWalk = `UPDATE feed_walks SET after_recipient = $2, after_channel = $3, due_at = $4 WHERE name = $1`
