package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
)

// joinQuestion asks for the batch with a key, and opens one if there is none.
type joinQuestion struct {
	step, key string
	closes    time.Time // if it opens now
	spec      *workflow.BatchSpec
	last      time.Time      // a sliding window closes then at the latest; zero: fixed
	data      map[string]any // of the activity; nil: that of the trigger
}

// joinAnswer says what the run is to its batch.
type joinAnswer struct {
	role   role
	key    activityKey
	closes time.Time
}

type role int

const (
	ahead   role = iota // it opened the batch, and goes on without waiting for it
	carrier             // it goes on when the batch closes
	joiner              // another run carries the batch: this one ends
)

// batch opens or joins a batch, or goes on with one that has closed.
func (c *course) batch(op *workflow.Op) flow {
	if w := c.woken(); w != nil {
		if w.batch == nil {
			return c.stayWaiting(&wait{kind: waitBatch})
		}
		return c.closed(op, w.batch)
	}
	if a, ok := c.answer.(*joinAnswer); ok {
		c.answer = nil
		return c.joined(op, a)
	}
	spec := op.Batch
	key, err := spec.Key.Of(c.ctx, c.scope)
	if err != nil {
		return c.invalid(op.Step, "invalid_key", err, spec.Span.Halt)
	}
	zone := c.zone()
	closes, err := spec.Span.End(c.scope, c.now, zone)
	if err != nil {
		return c.invalid(op.Step, "invalid_window", err, spec.Span.Halt)
	}
	q := &joinQuestion{step: op.Step, key: key, closes: closes.UTC(), spec: spec, data: c.state.Data}
	if spec.Extension != nil {
		q.last = spec.Extension.After(c.now, zone).UTC()
		if q.last.Before(q.closes) {
			q.closes = q.last // a limit smaller than the window shortens it
		}
	}
	return c.question(q)
}

// joined goes on as what the run is to its batch.
func (c *course) joined(op *workflow.Op, a *joinAnswer) flow {
	switch a.role {
	case ahead:
		c.note(LogEntry{Step: op.Step, Outcome: OutcomeOpened, Until: &a.closes})
		return forward
	case carrier:
		c.state.Batch = &a.key.batchKey
		c.state.Joined = &a.key
		due := a.closes
		return c.waiting(&wait{kind: waitBatch}, LogEntry{Step: op.Step, Until: &due})
	}
	c.state.Joined = &a.key
	c.note(LogEntry{Step: op.Step, Outcome: OutcomeJoined, Detail: a.key.Opener.String(), Until: &a.closes})
	c.status = Done
	return stopped
}

// closed goes on with everything that the batch gathered.
func (c *course) closed(op *workflow.Op, s *summary) flow {
	c.state.Joined = nil
	if s.total == 0 {
		c.note(LogEntry{Step: op.Step, Outcome: OutcomeCancelled, Reason: "batch_empty", Detail: "every activity was cancelled"})
		c.status = Cancelled
		return stopped
	}
	c.scope.summarise(s)
	data := map[string]any{}
	for _, a := range s.activities {
		data = workflow.MergeAt(data, nil, a.data)
	}
	return c.mergeData(op.Step, data, LogEntry{Step: op.Step, Outcome: OutcomeClosed, Detail: fmt.Sprintf("%d activities", s.total)})
}

// openKey finds an open batch.
type openKey struct {
	recipient         belfry.RecipientID
	workflow, version int64
	step, key         string
}

func (k openKey) compare(o openKey) int {
	return cmp.Or(cmp.Compare(k.recipient, o.recipient), cmp.Compare(k.workflow, o.workflow), cmp.Compare(k.step, o.step),
		cmp.Compare(k.version, o.version), cmp.Compare(k.key, o.key))
}

// openBatch is a batch as it is stored, while it is open.
type openBatch struct {
	openKey
	opener  uuid.UUID
	env     belfry.EnvironmentID
	carrier uuid.UUID // Nil: nobody yet
	closes  time.Time
	length  time.Duration // of a sliding window
	last    time.Time     // zero: fixed
	items   int
	full    bool
	fresh   bool // opened by us
}

func (q *joinQuestion) of(r *run) openKey {
	k := openKey{recipient: r.recipient, workflow: r.trigger.workflow, step: q.step, key: q.key}
	if q.spec.Pinned {
		k.version = r.version.ID
	}
	return k
}

// joinBatches answers the runs that want to join a batch, in their order. A batch that fills up is closed at once: who
// comes later opens the next.
func joinBatches(ctx context.Context, tx *postgres.Tx, runs []*run, now time.Time, wake func()) error {
	var asking []*run
	for _, r := range runs {
		if _, ok := r.ask.(*joinQuestion); ok {
			asking = append(asking, r)
		}
	}
	for len(asking) > 0 {
		open, err := lockBatches(ctx, tx, asking, now)
		if err != nil {
			return fmt.Errorf("lock batches: %w", err)
		}
		var later []*run
		var joined []*run
		for _, r := range asking {
			q := r.ask.(*joinQuestion)
			b := open[q.of(r)]
			if b == nil || b.full {
				later = append(later, r)
				continue
			}
			a := b.join(r, q, now)
			if a.role != ahead {
				joined = append(joined, r)
			}
			r.reply(a)
		}
		if err := writeBatches(ctx, tx, open, joined); err != nil {
			return fmt.Errorf("write batches: %w", err)
		}
		for _, b := range open {
			if !b.closes.After(now) { // its run can go on
				tx.AfterCommit(wake)
				break
			}
		}
		asking = later
	}
	return nil
}

// join makes a run part of the batch.
func (b *openBatch) join(r *run, q *joinQuestion, now time.Time) *joinAnswer {
	a := &joinAnswer{key: activityKey{batchKey: batchKey{b.opener, b.step}}}
	opening := b.fresh && b.opener == r.trigger.id
	if opening && q.spec.Leading {
		a.role, a.closes = ahead, b.closes
		return a
	}
	b.items++
	a.key.N = b.items
	if a.role = joiner; b.carrier == uuid.Nil {
		a.role, b.carrier = carrier, r.trigger.id
	}
	if !b.last.IsZero() && !opening {
		b.closes = now.Add(b.length)
		if b.closes.After(b.last) {
			b.closes = b.last
		}
		if b.closes.Before(now) {
			b.closes = now
		}
	}
	if q.spec.MaxItems > 0 && b.items >= q.spec.MaxItems {
		b.full, b.closes = true, now
	}
	a.closes = b.closes
	return a
}

// lockBatches opens the batches that are missing and locks all that are asked for. One that is closed between the two
// is missing in the result: ask again.
func lockBatches(ctx context.Context, tx *postgres.Tx, asking []*run, now time.Time) (map[openKey]*openBatch, error) {
	wanted := map[openKey]*openBatch{}
	var keys []openKey
	for _, r := range asking {
		q := r.ask.(*joinQuestion)
		k := q.of(r)
		if wanted[k] == nil {
			wanted[k] = &openBatch{openKey: k, opener: r.trigger.id, env: r.trigger.env, closes: q.closes, length: q.closes.Sub(now), last: q.last}
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, openKey.compare) // everybody locks in this order
	var c batchColumns
	for _, k := range keys {
		c.add(wanted[k])
	}
	batch := &pgx.Batch{}
	batch.Queue(insertBatches, c.recipients, c.openers, c.steps, c.envs, c.workflows, c.versions, c.keys, c.closes, c.lengths, c.lasts, now)
	batch.Queue(selectOpenBatches, c.recipients, c.workflows, c.steps, c.versions, c.keys)
	results := tx.SendBatch(ctx, batch)
	defer results.Close()
	fresh := map[openKey]bool{}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var k openKey
		if err := rows.Scan(&k.recipient, &k.workflow, &k.step, &k.version, &k.key); err != nil {
			return nil, err
		}
		fresh[k] = true
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if rows, err = results.Query(); err != nil {
		return nil, err
	}
	open := make(map[openKey]*openBatch, len(keys))
	for rows.Next() {
		b := &openBatch{}
		var carrierID *uuid.UUID
		var last *time.Time
		var length int64
		if err := rows.Scan(&b.recipient, &b.opener, &b.step, &b.env, &b.workflow, &b.version, &b.key, &carrierID, &b.closes, &length, &last, &b.items); err != nil {
			return nil, err
		}
		b.closes, b.length, b.fresh = b.closes.UTC(), time.Duration(length)*time.Microsecond, fresh[b.openKey]
		if carrierID != nil {
			b.carrier = *carrierID
		}
		if last != nil {
			b.last = last.UTC()
		}
		open[b.openKey] = b
	}
	return open, rows.Err()
}

// writeBatches stores what joining changed.
func writeBatches(ctx context.Context, tx *postgres.Tx, open map[openKey]*openBatch, joined []*run) error {
	var c batchColumns
	for _, b := range open {
		c.add(b)
	}
	batch := &pgx.Batch{}
	batch.Queue(updateBatches, c.recipients, c.openers, c.steps, c.carriers, c.closes, c.items, c.full)
	var recipients, actors []int64
	var openers, triggers [][16]byte
	var steps []string
	var ns []int32
	var ats []time.Time
	var data []*string
	for _, r := range joined {
		key := r.answer.(*joinAnswer).key
		recipients, openers, steps = append(recipients, int64(r.recipient)), append(openers, key.Opener), append(steps, key.Step)
		ns, triggers, actors = append(ns, int32(key.N)), append(triggers, r.trigger.id), append(actors, int64(r.trigger.actor))
		ats = append(ats, r.trigger.acceptedAt)
		own, err := r.ownData()
		if err != nil {
			return err
		}
		data = append(data, own)
	}
	if len(joined) > 0 {
		batch.Queue(insertActivities, recipients, openers, steps, ns, triggers, actors, ats, data)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// batchColumns are arguments that hold one element a batch.
type batchColumns struct {
	recipients, envs, workflows, versions, lengths []int64
	openers                                        [][16]byte
	carriers                                       []*uuid.UUID
	steps, keys                                    []string
	closes                                         []time.Time
	lasts                                          []*time.Time
	items                                          []int32
	full                                           []bool
}

func (c *batchColumns) add(b *openBatch) {
	c.recipients, c.envs = append(c.recipients, int64(b.recipient)), append(c.envs, int64(b.env))
	c.workflows, c.versions = append(c.workflows, b.workflow), append(c.versions, b.version)
	c.openers, c.steps, c.keys = append(c.openers, b.opener), append(c.steps, b.step), append(c.keys, b.key)
	c.closes, c.lengths = append(c.closes, b.closes), append(c.lengths, b.length.Microseconds())
	c.items, c.full = append(c.items, int32(b.items)), append(c.full, b.full)
	var last *time.Time
	if !b.last.IsZero() {
		last = &b.last
	}
	var carrierID *uuid.UUID
	if b.carrier != uuid.Nil {
		carrierID = &b.carrier
	}
	c.lasts, c.carriers = append(c.lasts, last), append(c.carriers, carrierID)
}

const insertBatches = `INSERT INTO batches (recipient_id, opener_id, step_ref, environment_id, workflow_id, version_id, key, open,
       opened_at, close_at, length, last_close_at)
SELECT recipient_id, opener_id, step_ref, environment_id, workflow_id, version_id, key, true, $11, close_at, length, last_close_at
  FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::timestamptz[], $9::bigint[], $10::timestamptz[])
    AS q (recipient_id, opener_id, step_ref, environment_id, workflow_id, version_id, key, close_at, length, last_close_at)
    ON CONFLICT (recipient_id, workflow_id, step_ref, version_id, key) WHERE open DO NOTHING
RETURNING recipient_id, workflow_id, step_ref, version_id, key`

// selectOpenBatches looks each up by itself, in the order of the keys, which is the order of locks. Joined to the table it
// would be planned by how many batches were open when the table was analysed last: none, as likely as not.
const selectOpenBatches = `SELECT b.recipient_id, b.opener_id, b.step_ref, b.environment_id, b.workflow_id, b.version_id, b.key, b.carrier_id,
       b.close_at, b.length, b.last_close_at, b.items
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[]) AS q (recipient_id, workflow_id, step_ref, version_id, key)
 CROSS JOIN LATERAL (
   SELECT * FROM batches
    WHERE recipient_id = q.recipient_id AND workflow_id = q.workflow_id AND step_ref = q.step_ref AND version_id = q.version_id
      AND key = q.key AND open
      FOR UPDATE) b`

const updateBatches = `UPDATE batches b SET carrier_id = q.carrier_id, close_at = q.close_at, items = q.items, open = NOT q.full
  FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::uuid[], $5::timestamptz[], $6::int[], $7::boolean[])
    AS q (recipient_id, opener_id, step_ref, carrier_id, close_at, items, "full")
 WHERE b.recipient_id = q.recipient_id AND b.opener_id = q.opener_id AND b.step_ref = q.step_ref`

const insertActivities = `INSERT INTO batch_activities (recipient_id, opener_id, step_ref, n, trigger_id, actor_id, at, data)
SELECT recipient_id, opener_id, step_ref, n, trigger_id, nullif(actor_id, 0), at, data
  FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::int[], $5::uuid[], $6::bigint[], $7::timestamptz[], $8::jsonb[])
    AS q (recipient_id, opener_id, step_ref, n, trigger_id, actor_id, at, data)`
