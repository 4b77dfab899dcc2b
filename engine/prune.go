package engine

import (
	"context"
	"fmt"
	"time"
)

const (
	pruneInterval = time.Hour
	// prunedAtOnce is how many rows one statement drops: a day of a busy environment would not fit the statement timeout.
	prunedAtOnce = 10_000
)

// prune drops what has served its purpose: idempotency keys that have expired, throttles whose window is over, and
// tombstones of triggers that are all runs.
func (e *Engine) prune(ctx context.Context) {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		if err := e.pruneOnce(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("what has expired could not be dropped; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) pruneOnce(ctx context.Context) error {
	for what, sql := range map[string]string{"idempotency keys": deleteExpiredKeys, "throttles": deleteClosedThrottles, "tombstones": deleteOldTombstones} {
		for {
			tag, err := e.Pool.Exec(ctx, sql, e.now(), prunedAtOnce)
			if err != nil {
				return fmt.Errorf("drop %s: %w", what, err)
			}
			if tag.RowsAffected() < prunedAtOnce {
				break
			}
		}
	}
	return nil
}

// deleteExpiredKeys leaves alone what is being used right now.
const deleteExpiredKeys = `DELETE FROM idempotency_keys k
 USING (SELECT environment_id, key FROM idempotency_keys WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED) old
 WHERE k.environment_id = old.environment_id AND k.key = old.key`

const deleteClosedThrottles = `DELETE FROM throttles t
 USING (SELECT recipient_id, workflow_id, step_ref, key FROM throttles WHERE closes_at <= $1::timestamptz - interval '1 day' LIMIT $2 FOR UPDATE SKIP LOCKED) old
 WHERE t.recipient_id = old.recipient_id AND t.workflow_id = old.workflow_id AND t.step_ref = old.step_ref AND t.key = old.key`

const deleteOldTombstones = `DELETE FROM cancellations c
 USING (SELECT c.trigger_id, c.recipient_id FROM cancellations c JOIN triggers t ON t.id = c.trigger_id
         WHERE c.at <= $1::timestamptz - interval '1 day'
           AND NOT EXISTS (SELECT FROM fan_outs f WHERE f.environment_id = t.environment_id AND f.lane IN (0, 1, 2) AND f.trigger_id = t.id)
         LIMIT $2) old
 WHERE c.trigger_id = old.trigger_id AND c.recipient_id = old.recipient_id`
