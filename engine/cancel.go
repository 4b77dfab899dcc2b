package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// CancelResult says what a cancellation did, in runs.
type CancelResult struct {
	Cancelled       int // runs that won't go on, and activities that were taken out of their batch
	AlreadyFinished int // too late
	// Uncounted: subscribers or members of an audience were still to be found. Those of them who are meant won't get a run
	// that goes on, but how many they are isn't known, so Cancelled is that many at least.
	Uncounted bool
}

// Cancel cancels the runs of all triggers of a workflow that were accepted with a cancellation key, for some recipients or
// for all. A trigger that is accepted later isn't touched, whatever its key.
//
// A run that waits is over. One that has not begun won't. In a batch that is open the activity is removed; the batch stays
// open, whoever opened it. Behind a batch only the key of the run that carries it counts: the others ended when they
// joined.
//
// Runs of recipients who were found in sources of a trigger are cancelled a chunk at a time. An error may mean that some of
// them have been, and nothing that hasn't begun will: call it again.
func (e *Engine) Cancel(ctx context.Context, env belfry.EnvironmentID, workflow, key string, recipients []belfry.RecipientRef) (*CancelResult, error) {
	if key == "" {
		return nil, belfry.Errorf(belfry.Invalid, "say which triggers, by their cancellation key").At("input.cancellationKey")
	}
	if len(recipients) > MaxRecipients {
		return nil, belfry.Beyond("input.recipients", MaxRecipients, "recipients")
	}
	var out *CancelResult
	var triggers []uuid.UUID
	if err := cancelAgain(func() (err error) {
		out, triggers, err = e.cancel(ctx, env, workflow, key, recipients)
		return err
	}); err != nil || recipients != nil || len(triggers) == 0 {
		return out, err
	}
	for after := (foundKey{}); ; {
		var end foundKey
		var more CancelResult
		if err := cancelAgain(func() (err error) {
			end, more, err = e.cancelFound(ctx, env, triggers, after)
			return err
		}); err != nil || end == after {
			return out, err
		}
		after = end
		out.Cancelled, out.AlreadyFinished = out.Cancelled+more.Cancelled, out.AlreadyFinished+more.AlreadyFinished
	}
}

// cancelAgain does a transaction once more if a worker that closes one batch and joins another held it up, and it the worker.
func cancelAgain(do func() error) error {
	for attempt := 1; ; attempt++ {
		if err := do(); !postgres.IsDeadlock(err) || attempt == cancelAttempts {
			return err
		}
	}
}

const (
	cancelAttempts  = 5
	foundsCancelled = 10 // rows of found recipients whose runs are cancelled in one transaction
)

// foundKey names a row of recipients that were found.
type foundKey struct {
	trigger uuid.UUID
	n       int
}

// cancelFound cancels the runs of recipients who were found in sources, some at a time. It returns the last row that it saw
// to.
func (e *Engine) cancelFound(ctx context.Context, env belfry.EnvironmentID, triggers []uuid.UUID, after foundKey) (foundKey, CancelResult, error) {
	var out CancelResult
	end := after
	err := postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		end, out = after, CancelResult{}
		rows, err := tx.Query(ctx, selectFound, triggers, after.trigger, after.n, foundsCancelled)
		if err != nil {
			return err
		}
		var recipients []int64
		var ids [][16]byte
		var found []int64
		if _, err := pgx.ForEachRow(rows, []any{&end.trigger, &end.n, &found}, func() error {
			for _, id := range found {
				recipients, ids = append(recipients, id), append(ids, end.trigger)
			}
			return nil
		}); err != nil || len(ids) == 0 {
			return err
		}
		c := &cancellation{env: env, triggers: triggers}
		if err := c.stop(ctx, tx, e, lockFound, recipients, ids); err != nil {
			return fmt.Errorf("cancel waiting runs: %w", err)
		}
		if err := c.leaveBatches(ctx, tx); err != nil {
			return fmt.Errorf("cancel activities: %w", err)
		}
		out.Cancelled, out.AlreadyFinished = c.stopped+c.left, c.finished-c.leftByFinished
		tx.AfterCommit(e.Wake)
		return nil
	})
	return end, out, err
}

func (e *Engine) cancel(ctx context.Context, env belfry.EnvironmentID, workflow, key string, recipients []belfry.RecipientRef) (*CancelResult, []uuid.UUID, error) {
	out := &CancelResult{}
	var triggers []uuid.UUID
	err := postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		c, err := e.cancelled(ctx, tx, env, workflow, key, recipients)
		if err != nil || len(c.triggers) == 0 {
			return err
		}
		triggers = c.triggers
		pending, err := c.bury(ctx, tx, e)
		if err != nil {
			return fmt.Errorf("cancel what hasn't begun: %w", err)
		}
		if err := c.stop(ctx, tx, e, lockCancelled, c.triggers, c.only); err != nil {
			return fmt.Errorf("cancel waiting runs: %w", err)
		}
		if err := c.leaveBatches(ctx, tx); err != nil {
			return fmt.Errorf("cancel activities: %w", err)
		}
		out.Cancelled, out.AlreadyFinished, out.Uncounted = pending+c.stopped+c.left, c.finished-c.leftByFinished, c.uncounted
		tx.AfterCommit(e.Wake)
		return nil
	})
	return out, triggers, err
}

// cancellation is what is to be cancelled: every recipient of every trigger, or some.
type cancellation struct {
	env      belfry.EnvironmentID
	triggers []uuid.UUID
	only     []int64 // recipients; nil: all

	uncounted                               bool // sources of triggers were being read
	stopped, finished, left, leftByFinished int
	activities                              []cancelledActivity
}

type cancelledActivity struct {
	recipient belfry.RecipientID
	activityKey
	finished bool // its run ended when it joined
}

func (e *Engine) cancelled(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, workflow, key string, recipients []belfry.RecipientRef) (*cancellation, error) {
	var workflowID int64
	err := tx.QueryRow(ctx, selectWorkflowID, env, workflow).Scan(&workflowID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "no workflow has the key %.100q", workflow).At("input.workflow")
	}
	if err != nil {
		return nil, err
	}
	c := &cancellation{env: env}
	if recipients != nil {
		known, err := e.Recipients.Find(ctx, tx, env, recipients)
		if err != nil {
			return nil, err
		}
		c.only = []int64{}
		for _, id := range known {
			c.only = append(c.only, int64(id))
		}
	}
	rows, err := tx.Query(ctx, selectCancellable, env, workflowID, key)
	if err != nil {
		return nil, err
	}
	c.triggers, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return c, err
}

// bury leaves tombstones for runs that haven't begun, and counts them. Whoever turns fan-outs into runs right now is
// waited for: what comes of it is stopped next.
func (c *cancellation) bury(ctx context.Context, tx *postgres.Tx, e *Engine) (pending int, err error) {
	if _, err := tx.Exec(ctx, lockFanOuts, c.triggers, c.env); err != nil {
		return 0, err
	}
	if err := tx.QueryRow(ctx, countPending, c.triggers, c.only, c.env).Scan(&pending); err != nil {
		return 0, err
	}
	if _, err = tx.Exec(ctx, insertTombstones, c.triggers, c.only, c.env, e.now()); err != nil {
		return 0, err
	}
	if err := tx.QueryRow(ctx, selectUncounted, c.triggers).Scan(&c.uncounted); err != nil || !c.uncounted || c.only != nil {
		return pending, err // those of some who are found yet meet their tombstone
	}
	_, err = tx.Exec(ctx, stopReading, c.triggers, c.env)
	return pending, err
}

// stop ends the runs that wait for anything but an open batch. They are those that the statement locks.
func (c *cancellation) stop(ctx context.Context, tx *postgres.Tx, e *Engine, lock string, args ...any) error {
	rows, err := tx.Query(ctx, lock, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var stopped []runKey
	var recipients []int64
	var triggers [][16]byte
	for rows.Next() {
		var recipient belfry.RecipientID
		var trigger uuid.UUID
		var status Status
		var waitingFor string
		var raw []byte
		if err := rows.Scan(&recipient, &trigger, &status, &waitingFor, &raw); err != nil {
			return err
		}
		var state State
		if raw != nil {
			if err := decode(raw, &state); err != nil {
				state = State{} // it can be ended all the same
			}
		}
		if status != Waiting {
			c.finished++
		}
		switch {
		case state.Joined != nil && (status == Done || waitingFor == waitBatch):
			c.activities = append(c.activities, cancelledActivity{recipient, *state.Joined, status == Done})
		case status == Waiting:
			stopped = append(stopped, runKey{recipient, trigger})
			recipients, triggers = append(recipients, int64(recipient)), append(triggers, trigger)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	c.stopped = len(recipients)
	if len(recipients) == 0 {
		return nil
	}
	now := e.now()
	log, err := encode([]LogEntry{{Outcome: OutcomeCancelled, Reason: "cancellation_key", At: &now}})
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(cancelRuns, recipients, triggers, string(log), now)
	batch.Queue(deleteWaits, recipients, triggers)
	batch.Queue(deleteFetches, recipients, triggers)
	tx.AfterCommit(func() {
		e.stats.cancelled.Add(int64(len(stopped)))
		e.watchers.Ring(slices.Values(stopped))
	})
	return tx.SendBatch(ctx, batch).Close()
}

// leaveBatches removes activities from batches that are open.
func (c *cancellation) leaveBatches(ctx context.Context, tx *postgres.Tx) error {
	if len(c.activities) == 0 {
		return nil
	}
	var recipients []int64
	var openers [][16]byte
	var steps []string
	var ns []int32
	finished := map[activityID]bool{}
	for _, a := range c.activities {
		recipients, openers = append(recipients, int64(a.recipient)), append(openers, a.Opener)
		steps, ns = append(steps, a.Step), append(ns, int32(a.N))
		finished[activityID{a.recipient, a.activityKey}] = a.finished
	}
	if _, err := tx.Exec(ctx, lockBatchesOf, recipients, openers, steps); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, deleteActivities, recipients, openers, steps, ns)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id activityID
		if err := rows.Scan(&id.recipient, &id.Opener, &id.Step, &id.N); err != nil {
			return err
		}
		if c.left++; finished[id] {
			c.leftByFinished++
		}
	}
	return rows.Err()
}

type activityID struct {
	recipient belfry.RecipientID
	activityKey
}

const selectWorkflowID = `SELECT id FROM workflows WHERE environment_id = $1 AND key = $2 AND version_id <> 0`

const selectCancellable = `SELECT id FROM triggers WHERE environment_id = $1 AND workflow_id = $2 AND cancellation_key = $3`

const lockFanOuts = `SELECT FROM fan_outs WHERE environment_id = $2 AND lane IN (0, 1, 2) AND trigger_id = ANY($1)
 ORDER BY environment_id, lane, trigger_id FOR UPDATE`

const countPending = `SELECT count(*)
  FROM fan_outs f JOIN triggers t ON t.id = f.trigger_id
 CROSS JOIN LATERAL unnest(t.recipient_ids[f.position + 1 :]) AS r (id)
 WHERE f.environment_id = $3 AND f.lane IN (0, 1, 2) AND f.trigger_id = ANY($1) AND ($2::bigint[] IS NULL OR r.id = ANY($2))
   AND NOT EXISTS (SELECT FROM cancellations c WHERE c.trigger_id = t.id AND c.recipient_id IN (0, r.id))`

// insertTombstones only concerns triggers that aren't all runs yet.
const insertTombstones = `INSERT INTO cancellations (trigger_id, recipient_id, at)
SELECT f.trigger_id, r.id, $4
  FROM fan_outs f CROSS JOIN unnest(coalesce($2::bigint[], '{0}')) AS r (id)
 WHERE f.environment_id = $3 AND f.lane IN (0, 1, 2) AND f.trigger_id = ANY($1)
    ON CONFLICT DO NOTHING`

const selectUncounted = `SELECT EXISTS (SELECT FROM triggers t WHERE t.id = ANY($1) AND ` + expanding + `)`

// stopReading leaves the sources of triggers as if they had been read to their end: who hasn't been found gets no run.
const stopReading = `UPDATE fan_outs f SET cursor = jsonb_build_object('source', jsonb_array_length(t.sources), 'found', coalesce((f.cursor ->> 'found')::int, 0))
  FROM triggers t
 WHERE t.id = f.trigger_id AND t.sources IS NOT NULL AND f.environment_id = $2 AND f.lane IN (0, 1, 2) AND f.trigger_id = ANY($1)`

const selectFound = `SELECT trigger_id, n, recipient_ids FROM found_recipients
 WHERE trigger_id = ANY($1) AND (trigger_id, n) > ($2::uuid, $3::int) ORDER BY trigger_id, n LIMIT $4`

const lockFound = `SELECT r.recipient_id, r.trigger_id, r.status, coalesce(r.waiting_for, ''), r.state
  FROM unnest($1::bigint[], $2::uuid[]) AS k (recipient_id, trigger_id)
  JOIN runs r USING (recipient_id, trigger_id)
 ORDER BY r.recipient_id, r.trigger_id
   FOR UPDATE OF r`

const lockCancelled = `SELECT r.recipient_id, r.trigger_id, r.status, coalesce(r.waiting_for, ''), r.state
  FROM triggers t CROSS JOIN LATERAL unnest(coalesce($2::bigint[], t.recipient_ids)) AS who (id)
  JOIN runs r ON r.recipient_id = who.id AND r.trigger_id = t.id
 WHERE t.id = ANY($1)
 ORDER BY r.recipient_id, r.trigger_id
   FOR UPDATE OF r`

var cancelRuns = `UPDATE runs r SET status = 'cancelled', log = ` + appended("$3::json") + `, state = NULL, due_at = NULL, waiting_for = NULL, finished_at = $4
  FROM unnest($1::bigint[], $2::uuid[]) AS q (recipient_id, trigger_id)
 WHERE r.recipient_id = q.recipient_id AND r.trigger_id = q.trigger_id`

const deleteFetches = `DELETE FROM fetches f USING unnest($1::bigint[], $2::uuid[]) AS q (recipient_id, trigger_id)
 WHERE f.recipient_id = q.recipient_id AND f.trigger_id = q.trigger_id`

const lockBatchesOf = `SELECT FROM batches b JOIN unnest($1::bigint[], $2::uuid[], $3::text[]) AS q (recipient_id, opener_id, step_ref)
 USING (recipient_id, opener_id, step_ref)
 ORDER BY b.recipient_id, b.workflow_id, b.step_ref, b.version_id, b.key
   FOR UPDATE OF b`

const deleteActivities = `DELETE FROM batch_activities a
 USING unnest($1::bigint[], $2::uuid[], $3::text[], $4::int[]) AS q (recipient_id, opener_id, step_ref, n), batches b
 WHERE a.recipient_id = q.recipient_id AND a.opener_id = q.opener_id AND a.step_ref = q.step_ref AND a.n = q.n
   AND b.recipient_id = q.recipient_id AND b.opener_id = q.opener_id AND b.step_ref = q.step_ref AND b.close_at IS NOT NULL
RETURNING a.recipient_id, a.opener_id, a.step_ref, a.n`
