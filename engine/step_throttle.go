package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
)

// throttleQuestion asks whether a run may pass.
type throttleQuestion struct {
	step, key string
	limit     int
	closes    time.Time // the window, if it opens now
}

type throttleAnswer struct {
	passed bool
	closes time.Time
}

// throttle lets the run pass, or ends it.
func (c *course) throttle(op *workflow.Op) flow {
	spec := op.Throttle
	if a, ok := c.answer.(*throttleAnswer); ok {
		c.answer = nil
		if a.passed {
			c.note(LogEntry{Step: op.Step, Outcome: OutcomePassed})
			return forward
		}
		return c.halt(LogEntry{Step: op.Step, Reason: "throttled", Detail: fmt.Sprintf("%d runs have passed", spec.Limit), Until: &a.closes})
	}
	key, err := spec.Key.Of(c.ctx, c.scope)
	if err != nil {
		return c.invalid(op.Step, "invalid_key", err, spec.Span.Halt)
	}
	closes, err := spec.Span.End(c.scope, c.now, c.zone())
	if err != nil {
		return c.invalid(op.Step, "invalid_window", err, spec.Span.Halt)
	}
	return c.question(&throttleQuestion{step: op.Step, key: key, limit: spec.Limit, closes: closes.UTC()})
}

// throttleKey names a throttle.
type throttleKey struct {
	recipient belfry.RecipientID
	workflow  int64
	step, key string
}

func (k throttleKey) compare(o throttleKey) int {
	return cmp.Or(cmp.Compare(k.recipient, o.recipient), cmp.Compare(k.workflow, o.workflow), cmp.Compare(k.step, o.step), cmp.Compare(k.key, o.key))
}

// throttleRow is a throttle as it is stored.
type throttleRow struct {
	passed int
	closes time.Time
}

// admit decides whether a run may pass, and counts it if so. The first one behind the end of a window opens the next.
func (t *throttleRow) admit(q *throttleQuestion, now time.Time) *throttleAnswer {
	if !t.closes.After(now) {
		*t = throttleRow{0, q.closes}
	}
	a := &throttleAnswer{passed: t.passed < q.limit, closes: t.closes}
	if a.passed {
		t.passed++
	}
	return a
}

// throttles answers the runs that ask to pass, in their order.
func throttles(ctx context.Context, tx *postgres.Tx, runs []*run, now time.Time) error {
	var keys []throttleKey
	envs := map[throttleKey]belfry.EnvironmentID{}
	asking := 0
	keyOf := func(r *run, q *throttleQuestion) throttleKey {
		return throttleKey{r.recipient, r.trigger.workflow, q.step, q.key}
	}
	for _, r := range runs {
		if q, ok := r.ask.(*throttleQuestion); ok {
			k := keyOf(r, q)
			asking++
			if _, seen := envs[k]; !seen {
				envs[k] = r.trigger.env
				keys = append(keys, k)
			}
		}
	}
	if asking == 0 {
		return nil
	}
	slices.SortFunc(keys, throttleKey.compare) // everybody locks in this order
	rows, err := lockThrottles(ctx, tx, keys, envs)
	if err != nil {
		return fmt.Errorf("lock throttles: %w", err)
	}
	for _, r := range runs {
		q, ok := r.ask.(*throttleQuestion)
		if !ok {
			continue
		}
		r.reply(rows[keyOf(r, q)].admit(q, now))
	}
	return writeThrottles(ctx, tx, keys, rows)
}

// lockThrottles makes those that are missing, with a window that is over, and locks all.
func lockThrottles(ctx context.Context, tx *postgres.Tx, keys []throttleKey, envs map[throttleKey]belfry.EnvironmentID) (map[throttleKey]*throttleRow, error) {
	recipients, workflows, steps, texts := throttleColumns(keys)
	environments := make([]int64, len(keys))
	for i, k := range keys {
		environments[i] = int64(envs[k])
	}
	if _, err := tx.Exec(ctx, insertThrottles, recipients, workflows, steps, texts, environments); err != nil {
		return nil, err
	}
	result, err := tx.Query(ctx, selectThrottles, recipients, workflows, steps, texts)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	out := make(map[throttleKey]*throttleRow, len(keys))
	for result.Next() {
		var k throttleKey
		row := &throttleRow{}
		if err := result.Scan(&k.recipient, &k.workflow, &k.step, &k.key, &row.passed, &row.closes); err != nil {
			return nil, err
		}
		row.closes = row.closes.UTC()
		out[k] = row
	}
	if err := result.Err(); err != nil {
		return nil, err
	}
	if len(out) != len(keys) {
		return nil, fmt.Errorf("%d of %d throttles are there: some were dropped meanwhile", len(out), len(keys))
	}
	return out, nil
}

func writeThrottles(ctx context.Context, tx *postgres.Tx, keys []throttleKey, rows map[throttleKey]*throttleRow) error {
	recipients, workflows, steps, texts := throttleColumns(keys)
	passed, closes := make([]int32, len(keys)), make([]time.Time, len(keys))
	for i, k := range keys {
		passed[i], closes[i] = int32(rows[k].passed), rows[k].closes
	}
	if _, err := tx.Exec(ctx, updateThrottles, recipients, workflows, steps, texts, passed, closes); err != nil {
		return fmt.Errorf("write throttles: %w", err)
	}
	return nil
}

func throttleColumns(keys []throttleKey) (recipients, workflows []int64, steps, texts []string) {
	for _, k := range keys {
		recipients, workflows = append(recipients, int64(k.recipient)), append(workflows, k.workflow)
		steps, texts = append(steps, k.step), append(texts, k.key)
	}
	return recipients, workflows, steps, texts
}

const insertThrottles = `INSERT INTO throttles (recipient_id, workflow_id, step_ref, key, environment_id, passed, closes_at)
SELECT recipient_id, workflow_id, step_ref, key, environment_id, 0, '-infinity'
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) AS q (recipient_id, workflow_id, step_ref, key, environment_id)
    ON CONFLICT DO NOTHING`

// selectThrottles looks each up by itself, in the order of the keys, which is the order of locks.
const selectThrottles = `SELECT t.recipient_id, t.workflow_id, t.step_ref, t.key, t.passed,
       greatest(t.closes_at, 'epoch') -- a time that Go can hold
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS q (recipient_id, workflow_id, step_ref, key)
 CROSS JOIN LATERAL (
   SELECT * FROM throttles
    WHERE recipient_id = q.recipient_id AND workflow_id = q.workflow_id AND step_ref = q.step_ref AND key = q.key
      FOR UPDATE) t`

const updateThrottles = `UPDATE throttles t SET passed = q.passed, closes_at = q.closes_at
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::timestamptz[])
    AS q (recipient_id, workflow_id, step_ref, key, passed, closes_at)
 WHERE t.recipient_id = q.recipient_id AND t.workflow_id = q.workflow_id AND t.step_ref = q.step_ref AND t.key = q.key`
