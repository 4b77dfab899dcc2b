package engine

import (
	"context"
	"fmt"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// forgetChunk is how many rows one call of Forget changes at most.
const forgetChunk = 2000

// Forget stops the waiting runs and deletes the schedules of recipients who are deleted, and whatever else is kept about
// them: a part of it, and reports whether there may be more. Runs stay as rows that say nothing but how they ended, so that
// the progress of a trigger adds up. Each call changes one kind of rows, so it holds nothing that a worker waits for while
// it waits for a worker.
func (e *Engine) Forget(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (more bool, err error) {
	tag, err := tx.Exec(ctx, blankRuns, env, ids, forgetChunk, e.now())
	if err != nil {
		return false, fmt.Errorf("forget runs: %w", err)
	}
	if tag.RowsAffected() > 0 {
		return true, nil
	}
	if more, err = tx.FirstEffect(ctx, forgetRest, env, ids, forgetChunk); err != nil {
		err = fmt.Errorf("forget what runs left: %w", err)
	}
	return more, err
}

const blankRuns = `UPDATE runs r SET status = CASE status WHEN 'waiting' THEN 'cancelled' ELSE status END,
       log = CASE status WHEN 'waiting' THEN '[{"outcome": "cancelled", "reason": "recipient_deleted"}]'::json ELSE '[]' END,
       finished_at = coalesce(finished_at, $4), state = NULL, due_at = NULL, waiting_for = NULL
  FROM (SELECT recipient_id, trigger_id FROM runs
         WHERE recipient_id = ANY ($2) AND environment_id = $1
           AND (status = 'waiting' OR log::text NOT IN ('[]', '[{"outcome": "cancelled", "reason": "recipient_deleted"}]'))
         ORDER BY recipient_id, trigger_id LIMIT $3 FOR UPDATE) q
 WHERE r.recipient_id = q.recipient_id AND r.trigger_id = q.trigger_id`

// forgetRest is in the order in which it is forgotten: what is worked off before what only remembers.
var forgetRest = []string{forgetFrom("fetches"), forgetFrom("waits"), forgetFrom("batches"), forgetActivities, forgetFrom("throttles"),
	forgetFirstRuns, forgetFrom("schedules")}

// forgetFrom deletes rows of a table that knows its environment.
func forgetFrom(table string) string {
	return `DELETE FROM ` + table + ` WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM ` + table + ` WHERE recipient_id = ANY ($2) AND environment_id = $1 LIMIT $3 FOR UPDATE))`
}

// The other two don't, but internal ids are unique over all environments.
const (
	forgetActivities = `DELETE FROM batch_activities WHERE $1::bigint <> 0 AND ctid = ANY (ARRAY(
  SELECT ctid FROM batch_activities WHERE recipient_id = ANY ($2) LIMIT $3 FOR UPDATE))`

	forgetFirstRuns = `DELETE FROM first_runs WHERE $1::bigint <> 0 AND ctid = ANY (ARRAY(
  SELECT ctid FROM first_runs WHERE recipient_id = ANY ($2) LIMIT $3 FOR UPDATE))`
)
