package recipient

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

const (
	watchInterval   = time.Second     // how often a node looks for deletions
	settleTime      = 5 * time.Minute // longer than any transaction takes that still saw somebody who is deleted
	forgetTogether  = 50              // recipients in one transaction
	forgetChunk     = 5000            // rows of this package that one transaction deletes
	maxEvicted      = 10_000          // deletions that are looked at one by one; beyond, no id is remembered
	maxLater        = time.Minute     // how long what failed waits at most
	evictionOverlap = time.Minute     // longer than a deletion may take to commit, and than clocks of nodes may differ
)

// Forget deletes what another package keeps about recipients that are deleted: a bounded part of it, and says whether
// there may be more. It must not lock what is others' in the same call: one kind of rows at a time.
type Forget func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (more bool, err error)

// HandOver gives what another package keeps about a user who has become a part of another one to that one: a bounded part
// of it. It says when to call it again: the zero time if there is nothing left to give. It is asked once more after
// settleTime, for what was being written meanwhile; the rest is forgotten then.
type HandOver func(ctx context.Context, tx *postgres.Tx, m belfry.Merge) (again time.Time, err error)

// Wake has deleted recipients looked at now.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it will
	}
}

// Run works off bulk operations, and removes what belonged to deleted recipients, in transactions of bounded size, until ctx
// ends. A crash costs nothing: whoever runs next goes on. When all is gone it looks once more after settleTime, for what was
// being written about somebody while they were deleted. Several nodes may run it; each has to, for it also forgets the ids
// that the node remembers.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for looked := (time.Time{}); ; {
		for forget, bulk := true, true; forget || bulk; { // by turns: neither waits for all of the other
			if time.Since(looked) >= watchInterval/2 {
				looked = time.Now()
				if err := s.evict(ctx); err != nil && ctx.Err() == nil {
					s.Log.Error("the ids of deleted recipients could not be read; it is tried again", "error", err)
				}
			}
			if forget {
				forget = s.some(ctx, s.forgetSome, "what belonged to deleted recipients could not be removed; it is tried again")
			}
			if bulk {
				bulk = s.some(ctx, s.bulkSome, "a bulk operation could not go on; it is tried again")
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// later is when something is tried again that failed: after as long as it has been there already, so ever less often.
func (s *Service) later(since time.Time) time.Time {
	now := s.now()
	return now.Add(min(max(now.Sub(since), watchInterval), maxLater))
}

// some does a transaction's work, and reports whether there may be more of it to do at once.
func (s *Service) some(ctx context.Context, do func(context.Context) (bool, error), failure string) (more bool) {
	more, err := do(ctx)
	if err != nil && ctx.Err() == nil {
		s.Log.Error(failure, "error", err)
	}
	return more && ctx.Err() == nil
}

// evict drops ids from memory whose recipients were deleted on any node since it last did.
func (s *Service) evict(ctx context.Context) error {
	now := s.now()
	rows, err := s.pool.Query(ctx, selectForgotten, s.evicted.Add(-evictionOverlap), maxEvicted)
	if err != nil {
		return err
	}
	var a address
	var id belfry.RecipientID
	tag, err := pgx.ForEachRow(rows, []any{&id, &a.env, &a.Collection, &a.ExternalID}, func() error {
		if cached, ok := s.ids.Peek(a); ok && cached == id {
			s.ids.Remove(a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if tag.RowsAffected() == maxEvicted || now.Sub(s.evicted) > settleTime { // after that time nothing tells of a deletion any more
		s.ids.Purge()
	}
	s.evicted = now
	return nil
}

// forgotten is somebody who is deleted.
type forgotten struct {
	id      belfry.RecipientID
	env     belfry.EnvironmentID
	ref     belfry.RecipientRef
	at      time.Time
	settled bool
	into    belfry.RecipientID // 0: was merged into nobody
}

// forgetSome does one transaction's work, and reports whether there may be more to do. Of those who can't be forgotten together each is
// tried alone, and who can't be then waits: the others go on.
func (s *Service) forgetSome(ctx context.Context) (more bool, err error) {
	for _, together := range []int{forgetTogether, 1} {
		var group []forgotten
		err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) (err error) {
			if group, err = s.claimForgotten(ctx, tx, together); err != nil || len(group) == 0 {
				return err
			}
			return s.forgetGroup(ctx, tx, group)
		})
		if err == nil || ctx.Err() != nil || len(group) == 0 {
			return err == nil && len(group) > 0, err
		}
		if f := &group[0]; len(group) == 1 {
			err = fmt.Errorf("recipient %d of environment %d: %w", f.id, f.env, err)
			if _, failed := s.pool.Exec(ctx, postponeForgotten, f.id, s.later(f.at)); failed != nil {
				return false, errors.Join(err, failed)
			}
			return true, err
		}
	}
	return false, err
}

// forgetGroup does what is next to do about those who are claimed.
func (s *Service) forgetGroup(ctx context.Context, tx *postgres.Tx, group []forgotten) error {
	if again, err := s.handOver(ctx, tx, &group[0]); err != nil || !again.IsZero() {
		if err == nil {
			_, err = tx.Exec(ctx, postponeForgotten, group[0].id, again)
		}
		return err
	}
	if f := &group[0]; f.into != 0 && !f.settled {
		// What is being written to the deleted user commits within settleTime. It is handed over then, too, before the rest is forgotten.
		_, err := tx.Exec(ctx, settleForgotten, []belfry.RecipientID{f.id}, s.now().Add(settleTime))
		return err
	}
	unfinished, err := s.forget(ctx, tx, group)
	if err != nil || unfinished {
		return err
	}
	var ids, settled []belfry.RecipientID
	for _, f := range group {
		if ids = append(ids, f.id); f.settled {
			settled = append(settled, f.id)
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(deleteForgotten, settled)
	batch.Queue(settleForgotten, ids, s.now().Add(settleTime))
	return tx.SendBatch(ctx, batch).Close()
}

// claimForgotten locks those of one environment who are to be forgotten, or one who was merged.
func (s *Service) claimForgotten(ctx context.Context, tx *postgres.Tx, together int) (group []forgotten, err error) {
	rows, err := tx.Query(ctx, claimForgotten, s.now(), together)
	if err != nil {
		return nil, err
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f forgotten, err error) {
		return f, row.Scan(&f.id, &f.env, &f.ref.Collection, &f.ref.ExternalID, &f.at, &f.settled, &f.into)
	})
	if err != nil || len(due) == 0 || due[0].into != 0 {
		return due[:min(len(due), 1)], err
	}
	return slices.DeleteFunc(due, func(f forgotten) bool { return f.env != due[0].env || f.into != 0 }), nil // these are next
}

// handOver gives a part of what belonged to a merged user to the other one, and says when to go on; the zero time: never. Of whoever
// there is nobody to give to, into is 0 then.
func (s *Service) handOver(ctx context.Context, tx *postgres.Tx, f *forgotten) (again time.Time, err error) {
	if f.into == 0 {
		return again, nil
	}
	into, err := Load(ctx, tx, []belfry.EnvironmentID{f.env}, []belfry.RecipientID{f.into})
	if err != nil {
		return again, err
	}
	if into[f.into] == nil { // deleted, too
		f.into = 0
		return again, nil
	}
	// Parts are read in the order of keys: sorting all there is for each part could take hours.
	if _, err := tx.Exec(ctx, `SET LOCAL enable_bitmapscan = off`); err != nil {
		return again, err
	}
	m := belfry.Merge{Environment: f.env, From: f.id, Into: f.into, User: into[f.into].ExternalID, Since: f.at.Add(-belfry.MergedHistory)}
	for _, give := range s.HandOver {
		if again, err = give(ctx, tx, m); err != nil || !again.IsZero() {
			return again, err
		}
	}
	return again, nil
}

// forget removes a part of what is kept about recipients.
func (s *Service) forget(ctx context.Context, tx *postgres.Tx, group []forgotten) (more bool, err error) {
	env := group[0].env
	var ids []belfry.RecipientID
	var tenants []string
	var gone []time.Time
	for _, f := range group {
		if ids = append(ids, f.id); f.ref.Collection == belfry.Tenants {
			tenants, gone = append(tenants, f.ref.ExternalID), append(gone, f.at)
		}
	}
	if _, err := tx.Exec(ctx, deleteAllChannelData, env, ids); err != nil { // preferences go with the row
		return false, fmt.Errorf("forget channel data: %w", err)
	}
	if more, err := forgetTenants(ctx, tx, env, tenants, gone); err != nil || more {
		return more, err
	}
	for _, forget := range s.Forget {
		if more, err := forget(ctx, tx, env, ids); err != nil || more {
			return more, err
		}
	}
	return false, nil
}

const deleteAllChannelData = `DELETE FROM channel_data WHERE environment_id = $1 AND recipient_id = ANY ($2)`

// forgetTenants deletes what anybody wanted in the name of tenants that are gone since some times, but not what was written for
// a later tenant of the same id. The recipients are locked before, as by whoever writes a set: a set that changes changes their row.
func forgetTenants(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, tenants []string, gone []time.Time) (more bool, err error) {
	if len(tenants) == 0 {
		return false, nil
	}
	rows, err := tx.Query(ctx, lockTenantPreferences, env, tenants, gone, forgetChunk)
	if err != nil {
		return false, err
	}
	var who []belfry.RecipientID
	var sets []string
	var ats []time.Time
	var id belfry.RecipientID
	var set string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &set, &at}, func() error {
		who, sets, ats = append(who, id), append(sets, set), append(ats, at)
		return nil
	}); err != nil || len(who) == 0 {
		return false, err
	}
	_, err = tx.Exec(ctx, deleteTenantPreferences, env, who, sets, ats)
	return err == nil, err
}

const lockTenantPreferences = `SELECT r.id, p.set, p.at
  FROM (SELECT s.recipient_id, s.set, t.at FROM unnest($2::text[], $3::timestamptz[]) AS t (id, at)
         CROSS JOIN LATERAL (SELECT recipient_id, set FROM preference_sets
           WHERE environment_id = $1 AND set = t.id AND set <> 'default' AND updated_at <= t.at LIMIT $4) s
         LIMIT $4) p
  JOIN recipients r ON r.id = p.recipient_id
 ORDER BY r.collection, r.external_id FOR NO KEY UPDATE OF r`

const deleteTenantPreferences = `DELETE FROM preference_sets p USING unnest($2::bigint[], $3::text[], $4::timestamptz[]) AS t (recipient_id, set, at)
 WHERE p.recipient_id = t.recipient_id AND p.set = t.set AND p.environment_id = $1 AND p.updated_at <= t.at`

const selectForgotten = `SELECT recipient_id, environment_id, collection, external_id FROM forgotten WHERE at >= $1 ORDER BY at DESC LIMIT $2`

const claimForgotten = `SELECT recipient_id, environment_id, collection, external_id, at, settled, coalesce(merged_into, 0) FROM forgotten WHERE due_at <= $1
 ORDER BY due_at, recipient_id LIMIT $2 FOR UPDATE SKIP LOCKED`

const postponeForgotten = `UPDATE forgotten SET due_at = $2 WHERE recipient_id = $1`

const deleteForgotten = `DELETE FROM forgotten WHERE recipient_id = ANY ($1)`

const settleForgotten = `UPDATE forgotten SET settled = true, due_at = $2 WHERE recipient_id = ANY ($1)`
