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
	for _, sql := range moveMessages {
		batch.Queue(sql, m.From, m.Environment, kept, m.Into)
	}
	batch.Queue(renameUser, m.Into, m.Environment, kept, m.User)
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

// lockDeliveries makes those that claim pass them over.
const lockDeliveries = `SELECT message_id, leased_until > $4, nullif(leased_until, '-infinity')
  FROM deliveries WHERE recipient_id = $1 AND environment_id = $2 AND message_id = ANY ($3) ORDER BY message_id FOR UPDATE`

// moveMessages is in the order in which workers lock. Ids of messages are unique, whoever they belong to.
var moveMessages = []string{
	`UPDATE deliveries SET recipient_id = $4 WHERE recipient_id = $1 AND environment_id = $2 AND message_id = ANY ($3)`,
	`UPDATE attempts SET recipient_id = $4 WHERE recipient_id = $1 AND environment_id = $2 AND message_id = ANY ($3)`,
	`UPDATE messages SET recipient_id = $4 WHERE recipient_id = $1 AND environment_id = $2 AND id = ANY ($3)`,
}

const renameUser = `UPDATE messages SET user_id = $4 WHERE recipient_id = $1 AND environment_id = $2 AND id = ANY ($3)`

var deleteMessages = []string{
	`DELETE FROM deliveries WHERE recipient_id = $1 AND environment_id = $2 AND message_id = ANY ($3)`,
	`DELETE FROM attempts WHERE recipient_id = $1 AND environment_id = $2 AND message_id = ANY ($3)`,
	`DELETE FROM messages WHERE recipient_id = $1 AND environment_id = $2 AND id = ANY ($3)`,
}
