package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// lane keeps small and urgent work from waiting behind large work.
type lane int16

const (
	laneHigh lane = iota
	laneNormal
	laneBulk // triggers for many, and those of low priority
	lanes    = 3
)

// bulkSize is how many recipients make a trigger bulk, unless its priority is high.
const bulkSize = 50

// What a batch takes from the bulk lane while there is other work: enough to get on, too little to hold that up.
const (
	bulkBesideOthers = 100
	bulkAtLeast      = 20
)

// Priority says which work goes first. Spelled as in GraphQL.
type Priority string

const (
	High   Priority = "HIGH"
	Normal Priority = "NORMAL"
	Low    Priority = "LOW"
)

// lane is where a trigger's fan-out goes.
func (p Priority) lane(recipients int) lane {
	switch {
	case p == High:
		return laneHigh
	case p == Low || recipients > bulkSize:
		return laneBulk
	}
	return laneNormal
}

// share turns fan-outs into runs, up to a limit: the lanes in their order, with something left for bulk work; within a lane
// each environment gets the same, as long as it has work. It reports whether there is more.
func (c *claim) share(found []*fanOut, limit int, busy bool) (more bool) {
	byLane := [lanes][]*fanOut{}
	for _, f := range found {
		byLane[f.lane] = append(byLane[f.lane], f)
	}
	reserved := 0
	if len(byLane[laneBulk]) > 0 {
		reserved = min(bulkAtLeast, limit)
	}
	left := limit
	for l, group := range byLane {
		allowance := left
		if lane(l) != laneBulk {
			allowance -= reserved
		} else if busy {
			allowance = min(allowance, bulkBesideOthers)
		}
		left -= c.shareLane(group, allowance)
	}
	for _, f := range c.fanOuts {
		more = more || f.left()
	}
	return more || len(c.fanOuts) < len(found)
}

// shareLane gives every environment its turn, a few recipients at a time.
func (c *claim) shareLane(group []*fanOut, allowance int) (used int) {
	type queue struct {
		env  belfry.EnvironmentID
		rows []*fanOut
		next int // recipient of the first row
	}
	var queues []*queue
	byEnv := map[belfry.EnvironmentID]*queue{}
	for _, f := range group {
		q := byEnv[f.trigger.env]
		if q == nil {
			q = &queue{env: f.trigger.env}
			byEnv[f.trigger.env] = q
			queues = append(queues, q)
		}
		q.rows = append(q.rows, f)
	}
	took := make(map[*fanOut]int, len(group))
	for used < allowance && len(queues) > 0 {
		turn := max(1, (allowance-used)/len(queues))
		for i := 0; i < len(queues); {
			q := queues[i]
			for n := min(turn, allowance-used); n > 0 && len(q.rows) > 0; {
				f := q.rows[0]
				k := min(n, f.ready()-q.next)
				took[f] += k
				q.next, n, used = q.next+k, n-k, used+k
				if q.next == f.ready() {
					q.rows, q.next = q.rows[1:], 0
				}
			}
			if len(q.rows) == 0 {
				queues = slices.Delete(queues, i, i+1)
			} else {
				i++
			}
		}
	}
	for _, f := range group {
		if f.planned = took[f]; f.planned > 0 || f.ready() == 0 {
			c.fanOuts = append(c.fanOuts, f)
			runs := make([]run, f.planned)
			for i := range runs {
				f.begin(&runs[i], i)
				c.runs = append(c.runs, &runs[i])
			}
		}
		if f.ready() == 0 && (f.end.Source != f.reading.Source || f.end.At != f.reading.At || f.end.Source >= len(f.sources)) {
			c.empty++
		}
	}
	return used
}

// floors say where to begin looking for work, so that a claim doesn't walk over index entries of work that is done but
// can't be cleaned up yet, because a transaction somewhere still might see it. They are a hint that is a moment old: what
// appears below is found with the next refresh.
type floors struct {
	envs    []belfry.EnvironmentID
	due     []time.Time
	closing []time.Time
	signals []int64
	lanes   [lanes][]uuid.UUID
	now     time.Time     // by the engine's clock
	began   time.Time     // by that of the machine
	cost    time.Duration // to find them
}

const (
	floorsFor       = 2 * time.Second        // how old floors may be
	floorsIdle      = 250 * time.Millisecond // when there seems to be nothing to do
	floorsCostShare = 20                     // longer if they are dear to find: at most a twentieth of the time goes into that
	floorsMargin    = 5 * time.Second        // for clocks of other nodes, and for transactions that are under way
)

// refresh finds the floors anew if they are older than a bound, or if the clock went back. It reports whether it did.
func (f *floors) refresh(ctx context.Context, e *Engine, bound time.Duration) (bool, error) {
	now := e.now()
	if f.envs != nil && time.Since(f.began) < max(bound, f.cost*floorsCostShare) && !now.Before(f.now) {
		return false, nil
	}
	fresh := floors{now: now, began: time.Now()} // how old they are is no matter of the engine's clock
	margin := now.Add(-floorsMargin)
	rows, err := e.Pool.Query(ctx, selectFloors, margin, firstID(margin))
	if err != nil {
		return false, fmt.Errorf("find the floors: %w", err)
	}
	var env belfry.EnvironmentID
	var due, closing time.Time
	var signals int64
	var lane [lanes]uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&env, &due, &closing, &signals, &lane[0], &lane[1], &lane[2]}, func() error {
		fresh.envs, fresh.due, fresh.closing = append(fresh.envs, env), append(fresh.due, due), append(fresh.closing, closing)
		fresh.signals = append(fresh.signals, signals)
		for i := range lane {
			fresh.lanes[i] = append(fresh.lanes[i], lane[i])
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("find the floors: %w", err)
	}
	fresh.cost = time.Since(fresh.began)
	*f = fresh
	return true, nil
}

// selectFloors finds the oldest work of each environment, but nothing younger than the margin: transactions that are under
// way may commit what is older than what is there now. What is older than the margin even so is found with the next refresh.
const selectFloors = `SELECT e.id,
       least((SELECT due_at FROM runs WHERE environment_id = e.id AND due_at IS NOT NULL ORDER BY due_at LIMIT 1), $1),
       least((SELECT close_at FROM batches WHERE environment_id = e.id AND close_at IS NOT NULL ORDER BY close_at LIMIT 1), $1),
       least((SELECT id FROM signals WHERE environment_id = e.id ORDER BY id LIMIT 1), (SELECT last_value - 10000 FROM signals_id_seq)),
       least((SELECT trigger_id FROM fan_outs WHERE environment_id = e.id AND lane = 0 ORDER BY trigger_id LIMIT 1), $2),
       least((SELECT trigger_id FROM fan_outs WHERE environment_id = e.id AND lane = 1 ORDER BY trigger_id LIMIT 1), $2),
       least((SELECT trigger_id FROM fan_outs WHERE environment_id = e.id AND lane = 2 ORDER BY trigger_id LIMIT 1), $2)
  FROM environments e`

// claimFanOuts takes fan-outs, oldest first, of each environment and lane the same number at most, and leaves alone what
// another worker holds. OFFSET 0 makes it look up each trigger: while most triggers are waiting the planner would like to
// merge both tables, and a plan that is kept from then reads all triggers of history later.
const claimFanOuts = `SELECT f.lane, t.recipient_ids[f.position + 1 : f.position + $7], cardinality(t.recipient_ids) - f.position, t.sources, f.cursor, ` + triggerColumns + `
  FROM (SELECT id, 0 AS lane, floor, $5::int AS most FROM unnest($1::bigint[], $2::uuid[]) AS h (id, floor)
        UNION ALL SELECT id, 1, floor, $5 FROM unnest($1::bigint[], $3::uuid[]) AS n (id, floor)
        UNION ALL SELECT id, 2, floor, $6 FROM unnest($1::bigint[], $4::uuid[]) AS b (id, floor)) e
 CROSS JOIN LATERAL (
   SELECT lane, trigger_id, position, cursor FROM fan_outs
    WHERE environment_id = e.id AND lane = e.lane AND trigger_id >= e.floor
    ORDER BY trigger_id LIMIT e.most FOR UPDATE SKIP LOCKED) f
 CROSS JOIN LATERAL (SELECT * FROM triggers WHERE id = f.trigger_id OFFSET 0) t
  LEFT JOIN workflows w ON w.id = t.workflow_id
 ORDER BY f.lane, f.trigger_id`
