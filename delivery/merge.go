package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// mergeChunk is how many messages one call of Merge takes at most.
const mergeChunk = 1000

// Merge gives messages of a user who became a part of another one to that one, with their attempts and their place in the
// queue: a part of them, and says when to go on; the zero time if there are none left. Older ones are deleted on the way,
// and those that have become items of a feed, which it is the feed's to give. What is being sent is waited for.
func (s *Service) Merge(ctx context.Context, tx *postgres.Tx, m belfry.Merge) (again time.Time, err error) {
	if again, err = s.merge(ctx, tx, m); err != nil {
		err = fmt.Errorf("merge messages: %w", err)
	}
	return again, err
}

func (s *Service) merge(ctx context.Context, tx *postgres.Tx, m belfry.Merge) (again time.Time, err error) {
	rows, err := tx.Query(ctx, selectOldest, m.From, m.Environment, m.Since, mergeChunk)
	if err != nil {
		return again, err
	}
	var ids, kept, gone []int64
	var id int64
	var keep bool
	keeps := map[int64]bool{}
	if _, err := pgx.ForEachRow(rows, []any{&id, &keep}, func() error {
		ids, keeps[id] = append(ids, id), keep
		return nil
	}); err != nil || len(ids) == 0 {
		return again, err
	}
	leased, free, err := s.leasedAmong(ctx, tx, m, ids)
	if err != nil {
		return again, err
	}
	for _, id := range ids {
		switch {
		case leased[id]:
		case keeps[id]:
			kept = append(kept, id)
		default:
			gone = append(gone, id)
		}
	}
	if len(leased) == len(ids) {
		return free, nil
	}
	batch := &pgx.Batch{}
	batch.Queue(moveDeliveries, m.From, m.Environment, kept, m.Into) // in the order in which workers lock
	batch.Queue(moveAttempts, m.From, m.Environment, kept, m.Into)
	batch.Queue(moveMessages, m.From, m.Environment, kept, m.Into, m.User)
	for _, sql := range deleteMessages {
		batch.Queue(sql, m.From, m.Environment, gone)
	}
	return s.now(), tx.SendBatch(ctx, batch).Close()
}

// leasedAmong takes messages out of reach of workers, and says which of them one is at, and until when at least.
func (s *Service) leasedAmong(ctx context.Context, tx *postgres.Tx, m belfry.Merge, ids []int64) (leased map[int64]bool, until time.Time, err error) {
	rows, err := tx.Query(ctx, lockDeliveries, m.From, m.Environment, ids, s.now())
	if err != nil {
		return nil, until, err
	}
	leased = map[int64]bool{}
	var id int64
	var held bool
	var end *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &held, &end}, func() error {
		if held {
			if leased[id] = true; until.IsZero() || end.Before(until) {
				until = *end
			}
		}
		return nil
	})
	return leased, until, err
}

const selectOldest = `SELECT id, created_at >= $3 AND moved_to IS NULL FROM messages WHERE recipient_id = $1 AND environment_id = $2 ORDER BY id LIMIT $4`

// Parts are at the head of what somebody has, and the upper bound says so: with the ids alone the planner may read all of it.
const (
	theseDeliveries = ` WHERE recipient_id = $1 AND environment_id = $2 AND message_id = ANY ($3) AND message_id <= (SELECT max(n) FROM unnest($3::bigint[]) n)`
	theseMessages   = ` WHERE recipient_id = $1 AND environment_id = $2 AND id = ANY ($3) AND id <= (SELECT max(n) FROM unnest($3::bigint[]) n)`
)

// lockDeliveries makes those that claim pass them over.
const lockDeliveries = `SELECT message_id, leased_until > $4, nullif(leased_until, '-infinity') FROM deliveries` + theseDeliveries + ` ORDER BY message_id FOR UPDATE`

// Ids of messages are unique, whoever they belong to.
const (
	moveDeliveries = `UPDATE deliveries SET recipient_id = $4` + theseDeliveries
	moveAttempts   = `UPDATE attempts SET recipient_id = $4` + theseDeliveries
	moveMessages   = `UPDATE messages SET recipient_id = $4, user_id = $5` + theseMessages
)

var deleteMessages = []string{
	`DELETE FROM deliveries` + theseDeliveries,
	`DELETE FROM attempts` + theseDeliveries,
	`DELETE FROM messages` + theseMessages,
}
