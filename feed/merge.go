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

// mergeChunk is how many items one call of Merge takes at most: as many as a subscriber is told one by one.
const mergeChunk = maxReplay

// Merge gives items of a user who became a part of another one to that one: a part of them, and says when to go on; the zero
// time if there are none left. Older items are deleted on the way.
//
// To the feed that gets them they are news: they come at its end, in their order, each at a position of its own, in the
// state that they were in. So positions and ids that somebody remembers keep their meaning, and whoever listens is told, or
// reset if there are too many, as ever. Nobody is told that they were sent: they were before.
func (s *Service) Merge(ctx context.Context, tx *postgres.Tx, m belfry.Merge) (again time.Time, err error) {
	from := key{m.Environment, m.From, ""}
	err = tx.QueryRow(ctx, selectAnyItem, from.recipient, from.env).Scan(&from.channel)
	if errors.Is(err, pgx.ErrNoRows) {
		return again, nil
	}
	if err == nil {
		err = s.mergeFeed(ctx, tx, from, m)
	}
	if err != nil {
		return again, fmt.Errorf("merge feeds: %w", err)
	}
	return s.now(), nil
}

// mergeFeed moves the oldest items of a feed.
func (s *Service) mergeFeed(ctx context.Context, tx *postgres.Tx, from key, m belfry.Merge) error {
	old, into, err := s.lockTwo(ctx, tx, from, key{from.env, m.Into, from.channel})
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, selectOldest, from.recipient, from.channel, from.env, mergeChunk, old.watermarks.needData())
	if err != nil {
		return err
	}
	var moved []stored
	var it markable // in the end, the last one
	woken := false
	if _, err := pgx.ForEachRow(rows, it.allFields(), func() error {
		it.overtake(old.watermarks)
		old.tell(&it)
		old.cells.Add(it.State, -1)
		if it.SnoozedUntil != nil { // in the other feed it is news, like all
			it.State, it.SnoozedUntil = it.Apply(belfry.Unseen, it.CreatedAt), nil
			woken = true
		}
		it.Data = nil
		if it.CreatedAt.Before(m.Since) {
			return nil
		}
		into.cells.Add(it.State, 1)
		moved = append(moved, stored{seq: it.seq, State: it.State})
		if at := old.pins.at(it.seq); at != nil && len(into.pins) < MaxPins {
			into.pins = append(into.pins, Pin{into.version + int64(len(moved)), *at})
		}
		return nil
	}); err != nil {
		return err
	}
	old.pins = slices.DeleteFunc(old.pins, func(p Pin) bool { return p.Seq <= it.seq })
	if len(old.watermarks) > 0 || woken { // what they say is about the old feed
		if err := writeStates(ctx, tx, from, moved); err != nil {
			return err
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(wakeItems, from.recipient, from.channel, from.env, it.seq)
	batch.Queue(deleteOlder, from.recipient, from.channel, from.env, it.seq, m.Since)
	batch.Queue(moveItems, from.recipient, from.channel, from.env, it.seq, into.recipient, into.version)
	batch.Queue(moveTimers, from.recipient, from.channel, it.seq, into.recipient, into.version, expireTimer)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	old.groupedTo = 0
	if err := s.writeHeader(ctx, tx, old); err != nil || len(moved) == 0 {
		return err
	}
	into.version += int64(len(moved))
	into.lastSeq = into.version
	tx.AfterCommit(func() {
		s.publish([]addressed{{env: from.env, channel: from.channel, user: m.User, version: into.version}})
	})
	return s.writeHeader(ctx, tx, into)
}

// lockTwo locks two feeds in the order of their keys, and makes the latter if there is none.
func (s *Service) lockTwo(ctx context.Context, tx *postgres.Tx, from, into key) (old, current *header, err error) {
	lockInto := func() error {
		if _, err := tx.Exec(ctx, insertEmpty, into.recipient, into.channel, into.env, s.now().UnixMicro()); err != nil {
			return err
		}
		current, err = readHeader(ctx, tx, lockHeader, into)
		return err
	}
	if into.recipient < from.recipient {
		if err := lockInto(); err != nil {
			return nil, nil, err
		}
	}
	if old, err = readHeader(ctx, tx, lockHeader, from); err != nil {
		return nil, nil, err
	}
	if current == nil {
		err = lockInto()
	}
	return old, current, err
}

const selectAnyItem = `SELECT channel FROM feed_items WHERE recipient_id = $1 AND environment_id = $2 LIMIT 1`

const selectOldest = `SELECT ` + stateColumns + `, ` + attributeColumns + `, CASE WHEN $5 THEN content->'data' END, step_ref
  FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 ORDER BY seq LIMIT $4`

const insertEmpty = `INSERT INTO feeds (recipient_id, channel, environment_id, epoch, version, last_seq, unseen)
VALUES ($1, $2, $3, $4, 0, 0, 0) ON CONFLICT DO NOTHING`

const deleteOlder = `DELETE FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq <= $4 AND created_at < $5`

// wakeItems ends the snooze of what is moved.
const wakeItems = `UPDATE feed_items SET snoozed_until = NULL
 WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq <= $4 AND snoozed_until IS NOT NULL`

// moveTimers sets the timers of items that were moved behind the version $5 of the new feed anew.
const moveTimers = `WITH old AS (DELETE FROM feed_timers WHERE recipient_id = $1 AND channel = $2 AND kind IN ('expire', 'return') AND seq <= $3)
INSERT INTO feed_timers (recipient_id, channel, kind, seq, environment_id, due_at)
SELECT recipient_id, channel, $6, seq, environment_id, expires_at
  FROM feed_items WHERE recipient_id = $4 AND channel = $2 AND seq > $5 AND expires_at IS NOT NULL`

// moveItems numbers what there is up to $4 anew, behind the version $6 of the new feed. A state is as old as its item there.
const moveItems = `UPDATE feed_items AS i SET recipient_id = $5, seq = $6 + q.n, state_version = $6 + q.n
  FROM (SELECT ctid AS place, row_number() OVER (ORDER BY seq) AS n
          FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq <= $4) q
 WHERE i.ctid = q.place`
