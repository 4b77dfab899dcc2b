package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// gathering waits, and sums up what comes together.
var gathering = vars{"key": "gather", "name": "gather", "steps": []vars{
	{"ref": "delay", "delay": vars{"for": vars{"unit": "seconds", "value": 1}}},
	{"ref": "batch", "batch": vars{"for": vars{"unit": "seconds", "value": 2}, "renderLimit": 100}},
	{"ref": "sum", "inApp": vars{"body": "{{ total_activities }}: {% for a in activities %}{{ a.text }} {% endfor %}", "format": "TEXT"}},
}}

const cancelTriggers = `mutation ($input: CancelTriggersInput!) { cancelTriggers(input: $input) { cancelled alreadyFinished } }`

// gathers is a backend that triggers what is summed up, and takes some of it back.
func (k *killing) gathers(ctx context.Context) {
	r := k.random(200)
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("gather-%d", n)
		recipients := make([]vars, 1+r.IntN(5))
		for i, user := range r.Perm(killUsers)[:len(recipients)] {
			recipients[i] = vars{"user": k.user(user)}
		}
		input := vars{"workflow": "gather", "recipients": recipients, "data": vars{"text": key}, "idempotencyKey": key}
		if n%2 == 0 {
			input["cancellationKey"] = key
		}
		if err := k.untilAnswered(r, triggerWorkflow, input, func(a answer) error { return k.acknowledge(key, len(recipients), a) }); err != nil {
			k.t.Errorf("%s: %v", key, err)
			return
		}
		if back := n - r.IntN(12); n%3 == 0 && back >= 0 && back%2 == 0 { // waits, is in a batch, or too late
			if err := k.takeBack(r, fmt.Sprintf("gather-%d", back)); err != nil {
				k.t.Errorf("cancel: %v", err)
				return
			}
		}
	}
}

func (k *killing) takeBack(r *rand.Rand, key string) error {
	return k.untilAnswered(r, cancelTriggers, vars{"workflow": "gather", "cancellationKey": key}, func(a answer) error {
		if err := decode(a, new(any)); err != nil {
			return err
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if _, before := k.cancelled[key]; !before {
			k.cancelled[key] = time.Now()
		}
		return nil
	})
}

// checkBatches: each activity is in the item of its batch, once, unless it was cancelled in time.
func (k *killing) checkBatches() {
	k.t.Helper()
	k.none("runs that neither are an activity nor can have been cancelled", `
		SELECT r.trigger_id, r.recipient_id, r.status, count(a) FROM runs r JOIN triggers t ON t.id = r.trigger_id JOIN workflows w ON w.id = t.workflow_id
		LEFT JOIN batch_activities a ON a.trigger_id = r.trigger_id AND a.recipient_id = r.recipient_id
		WHERE w.key = 'gather' GROUP BY r.trigger_id, r.recipient_id, r.status, t.cancellation_key
		HAVING count(a) > 1 OR count(a) = 0 AND t.cancellation_key IS NULL`)
	k.none("batches without exactly one item that sums them up", `
		SELECT recipient_id, trigger_id, expected, body FROM (
			SELECT b.recipient_id, b.carrier_id AS trigger_id, format('%s: %s ', count(*), string_agg(t.data->>'text', ' ' ORDER BY a.n)) AS expected
			FROM batches b JOIN batch_activities a USING (recipient_id, opener_id, step_ref) JOIN triggers t ON t.id = a.trigger_id
			GROUP BY 1, 2, b.opener_id) e
		FULL JOIN (SELECT recipient_id, trigger_id, content->'body'->>'content' AS body FROM feed_items WHERE step_ref = 'sum') i USING (recipient_id, trigger_id)
		WHERE expected IS DISTINCT FROM body`)
	var keys []string
	var at []time.Time
	for key, answered := range k.cancelled {
		keys, at = append(keys, key), append(at, answered)
	}
	k.none("items with what had been cancelled before", `
		SELECT c.key, i.recipient_id, i.created_at, c.at FROM unnest($1::text[], $2::timestamptz[]) c (key, at)
		JOIN feed_items i ON i.step_ref = 'sum' AND i.created_at > c.at AND i.content->'body'->>'content' LIKE '% ' || c.key || ' %'`, keys, at)
	var sums, activities, taken int
	if err := k.pool.QueryRow(k.t.Context(), `SELECT count(*), coalesce(sum(coalesce(total_activities, 1)), 0),
		(SELECT count(*) FROM runs r WHERE r.status = 'cancelled') FROM feed_items WHERE step_ref = 'sum'`).Scan(&sums, &activities, &taken); err != nil {
		k.t.Error(err)
	}
	k.t.Logf("%d batches of %d activities, %d runs cancelled", sums, activities, taken)
	if sums == 0 || len(k.cancelled) == 0 {
		k.t.Error("no batch closed, or nothing was cancelled: that was no load")
	}
}
