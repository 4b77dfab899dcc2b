package engine

import (
	"bytes"
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

// claim is what one transaction works on. All of it is locked.
type claim struct {
	fanOuts []*fanOut
	runs    []*run // those that have waited come first
	batches []closing
	orphans []orphan
	stale   []orphan // signals of runs that wait for something else by now
	empty   int      // fan-outs that nobody was found for
	full    bool     // there may be more to do than this
}

// orphan is a signal whose run isn't there to be woken: it no longer waits, or somebody else holds it.
type orphan struct {
	env belfry.EnvironmentID
	id  int64
}

// closing is a batch whose window is over.
type closing struct {
	recipient belfry.RecipientID
	batchKey
	carrier uuid.UUID // Nil: nobody joined
	run     *run      // nil: it is gone, or somebody else holds it
}

// runKey names a run.
type runKey struct {
	recipient belfry.RecipientID
	trigger   uuid.UUID
}

// claimed is what the first round trip finds: fan-outs whole, of the others what there is to wake.
type claimed struct {
	fanOuts []*fanOut
	due     []runKey
	batches []closing
	signals map[runKey][]claimedSignal
	reached bool // a limit: there may be more
}

type claimedSignal struct {
	orphan
	signal
	unreadable error
}

// claim locks work: fan-outs, runs that are due, batches that are to close, and signals. limit bounds the runs that come
// of it.
func (e *Engine) claim(ctx context.Context, tx *postgres.Tx, w *worker) (*claim, error) {
	found, err := e.find(ctx, tx, w)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	c := &claim{batches: found.batches, full: found.reached}
	triggers := map[uuid.UUID]*trigger{}
	if err := c.wake(ctx, tx, found, triggers); err != nil {
		return nil, fmt.Errorf("claim waiting runs: %w", err)
	}
	if err := e.read(ctx, tx, found.fanOuts, max(w.limit()-len(c.runs), 1)); err != nil {
		return nil, err
	}
	w.learn(found.fanOuts, e.BatchSize)
	full := c.share(found.fanOuts, max(w.limit()-len(c.runs), 1), e.busy())
	c.full = c.full || full
	return c, nil
}

// find claims in one round trip.
func (e *Engine) find(ctx context.Context, tx *postgres.Tx, w *worker) (*claimed, error) {
	f, now := &w.floors, e.now()
	batch := &pgx.Batch{}
	waiting := max(w.limit()/2, 1) // what has waited leaves room for what is new
	apart := max(waiting/max(len(f.envs), 1), min(waiting, 50))
	batch.Queue(claimDueRuns, f.envs, notAfter(f.due, f.now), now, waiting, apart)
	batch.Queue(claimDueBatches, f.envs, notAfter(f.closing, f.now), now, waiting, apart)
	batch.Queue(claimSignals, f.envs, f.signals, waiting, apart)
	bulkRows := w.bulkRows
	if w.nimble && e.busy() {
		bulkRows = 0
	}
	batch.Queue(claimFanOuts, f.envs, f.lanes[laneHigh], f.lanes[laneNormal], f.lanes[laneBulk], w.rows, bulkRows, e.BatchSize)
	results := tx.SendBatch(ctx, batch)
	defer results.Close()
	out := &claimed{signals: map[runKey][]claimedSignal{}}
	if err := each(results, func(rows pgx.Rows) error {
		var k runKey
		out.due = append(out.due, k)
		last := &out.due[len(out.due)-1]
		return rows.Scan(&last.recipient, &last.trigger)
	}); err != nil {
		return nil, err
	}
	if err := each(results, func(rows pgx.Rows) error {
		var b closing
		var carrierID *uuid.UUID
		err := rows.Scan(&b.recipient, &b.Opener, &b.Step, &carrierID)
		if carrierID != nil {
			b.carrier = *carrierID
		}
		out.batches = append(out.batches, b)
		return err
	}); err != nil {
		return nil, err
	}
	signals := 0
	if err := each(results, func(rows pgx.Rows) error {
		var k runKey
		var s claimedSignal
		var payload []byte
		if err := rows.Scan(&s.env, &s.id, &k.recipient, &k.trigger, &payload); err != nil {
			return err
		}
		signals++
		s.unreadable = decode(payload, &s.signal)
		out.signals[k] = append(out.signals[k], s)
		return nil
	}); err != nil {
		return nil, err
	}
	size, small, bulk := 0, 0, 0
	if err := each(results, func(rows pgx.Rows) error {
		if size >= maxClaimedData { // the others are free again when the transaction ends
			out.reached = true
			return nil
		}
		f, bytes, err := e.scanFanOut(rows)
		size += bytes
		out.fanOuts = append(out.fanOuts, f)
		return err
	}); err != nil {
		return nil, err
	}
	for _, f := range out.fanOuts {
		if f.lane == laneBulk {
			bulk++
		} else {
			small++
		}
	}
	out.reached = out.reached || small >= w.rows || bulk >= w.bulkRows || len(out.due) >= apart || len(out.batches) >= apart || signals >= apart
	return out, results.Close()
}

// notAfter lowers floors that are in the future to when they were found: what falls due since then lies below them, such
// as a batch that is full and closes at once.
func notAfter(floors []time.Time, found time.Time) []time.Time {
	out := make([]time.Time, len(floors))
	for i, floor := range floors {
		if out[i] = floor; floor.After(found) {
			out[i] = found
		}
	}
	return out
}

// each scans the rows of the next result.
func each(results pgx.BatchResults, scan func(pgx.Rows) error) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// triggerColumns are those that a triggerRow scans, of triggers t and workflows w.
const triggerColumns = `t.id, t.environment_id, t.workflow_id, t.version_id, coalesce(t.actor_id, 0), coalesce(t.tenant_id, 0), t.data, t.overlays,
       coalesce(t.cancellation_key, ''), t.source, t.priority, t.sandbox, t.skip_delay, t.depth, t.accepted_at, coalesce(w.active, false),
       coalesce(w.version_id, 0), t.schedule_id`

// triggerRow scans a trigger beside other columns.
type triggerRow struct {
	t              trigger
	data, overlays []byte
}

func (r *triggerRow) fields() []any {
	t := &r.t
	return []any{&t.id, &t.env, &t.workflow, &t.versionID, &t.actor, &t.tenant, &r.data, &r.overlays, &t.cancellationKey, &t.source, &t.priority,
		&t.sandbox, &t.skipDelay, &t.depth, &t.acceptedAt, &t.active, &t.current, &t.schedule}
}

// trigger decodes what was scanned.
func (r *triggerRow) trigger() *trigger {
	t := &r.t
	if t.data, t.unreadable = decodeObject(r.data); t.unreadable == nil && r.overlays != nil {
		t.unreadable = decode(r.overlays, &t.overlays)
	}
	t.acceptedAt = t.acceptedAt.UTC()
	return t
}

// scanFanOut also returns how many bytes of data it read.
func (e *Engine) scanFanOut(rows pgx.Rows) (*fanOut, int, error) {
	f := &fanOut{}
	var row triggerRow
	var sources, cursor []byte
	if err := rows.Scan(append([]any{&f.lane, &f.recipients, &f.remaining, &sources, &cursor}, row.fields()...)...); err != nil {
		return nil, 0, err
	}
	if err := f.decodeSources(sources, cursor); err != nil {
		f.sources, f.reading = nil, reading{}
		e.Log.Error("nobody can read whom else a trigger is for; those that it names are told", "trigger", row.t.id, "error", err)
	}
	f.end = reading{Source: f.reading.Source, At: f.reading.At}
	f.trigger = row.trigger()
	f.trigger.rendered = make(map[part]workflow.Rendered)
	return f, len(row.data) + len(row.overlays), nil
}

func (f *fanOut) decodeSources(sources, cursor []byte) error {
	if sources != nil {
		if err := decode(sources, &f.sources); err != nil {
			return fmt.Errorf("sources: %w", err)
		}
	}
	if cursor != nil {
		if err := decode(cursor, &f.reading); err != nil {
			return fmt.Errorf("cursor: %w", err)
		}
	}
	return nil
}

// wake locks the runs that there is something for, but those that somebody else holds: what they wait for stays.
func (c *claim) wake(ctx context.Context, tx *postgres.Tx, found *claimed, triggers map[uuid.UUID]*trigger) error {
	due := map[runKey]bool{} // of all keys, whether its time has come
	var recipients []int64
	var ids [][16]byte
	add := func(k runKey, isDue bool) {
		if _, known := due[k]; k.trigger != uuid.Nil && !known {
			due[k] = isDue
			recipients, ids = append(recipients, int64(k.recipient)), append(ids, k.trigger)
		}
	}
	for _, k := range found.due {
		add(k, true)
	}
	for i := range c.batches {
		add(runKey{c.batches[i].recipient, c.batches[i].carrier}, false)
	}
	for k := range found.signals {
		add(k, false)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, lockRuns, recipients, ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	locked := map[runKey]*run{}
	for size := 0; rows.Next(); {
		if size >= maxClaimedData {
			c.full = true
			break
		}
		r := &run{}
		var row triggerRow
		var state []byte
		if err := rows.Scan(append([]any{&r.recipient, &r.waitingFor, &state}, row.fields()...)...); err != nil {
			return err
		}
		size += len(state) + len(row.data) + len(row.overlays)
		if err := decode(state, &r.loaded); err != nil {
			r.loaded = State{}
			r.cannotRead("state_unreadable", err)
		}
		if r.trigger = triggers[row.t.id]; r.trigger == nil {
			r.trigger = row.trigger()
			triggers[row.t.id] = r.trigger
		}
		r.cause = &wake{}
		k := runKey{r.recipient, r.trigger.id}
		for _, s := range found.signals[k] {
			r.cause.signals, r.signals = append(r.cause.signals, s.signal), append(r.signals, s.id)
			if r.waitingFor == waitEvent || r.waitingFor == waitFetch { // otherwise it is stale
				r.cannotRead("signal_unreadable", s.unreadable)
			}
		}
		locked[k] = r
		c.runs = append(c.runs, r)
	}
	if rows.Close(); rows.Err() != nil {
		return rows.Err()
	}
	if err := c.leaveSignalled(ctx, tx); err != nil {
		return fmt.Errorf("look for signals: %w", err)
	}
	// What falls due together keeps the order in which it was accepted: a batch shows its activities in that.
	slices.SortFunc(c.runs, func(a, b *run) int { return bytes.Compare(a.trigger.id[:], b.trigger.id[:]) })
	for k, signals := range found.signals {
		if locked[k] == nil {
			for _, s := range signals {
				c.orphans = append(c.orphans, s.orphan)
			}
		}
	}
	for i := range c.batches {
		b := &c.batches[i]
		if r := locked[runKey{b.recipient, b.carrier}]; r != nil && r.waitingFor == waitBatch {
			b.run, r.closing = r, true
		}
	}
	c.ignoreStale(due)
	return nil
}

// ignoreStale leaves alone the runs that nothing happened to that they wait for: a signal may come late, when the wait that
// it is about is over. It is dropped, and such a run is neither looked at nor ended.
func (c *claim) ignoreStale(due map[runKey]bool) {
	c.runs = slices.DeleteFunc(c.runs, func(r *run) bool {
		if r.concerned(due[runKey{r.recipient, r.trigger.id}]) {
			return false
		}
		for _, id := range r.signals {
			c.stale = append(c.stale, orphan{r.trigger.env, id})
		}
		return true
	})
}

// leave leaves runs that have waited for the next claim.
func (c *claim) leave(runs []*run) {
	if len(runs) > 0 {
		c.full = true
		c.runs = slices.DeleteFunc(c.runs, func(r *run) bool { return slices.Contains(runs, r) })
	}
}

// concerned reports whether what woke the run may be what it waits for. Of an event that is decided by its step: the
// run's scope is only there then.
func (r *run) concerned(due bool) bool {
	switch r.waitingFor {
	case waitDelay:
		return due
	case waitBatch:
		return r.closing
	case waitFetch:
		return r.cause.response() != nil || r.unreadable != nil
	}
	return true
}

// leaveSignalled leaves out runs that would time out while a signal for them is claimed by somebody else, or not yet by
// anybody: it may be the event that they wait for, which came in time.
func (c *claim) leaveSignalled(ctx context.Context, tx *postgres.Tx) error {
	var recipients []int64
	var triggers [][16]byte
	for _, r := range c.runs {
		if r.waitingFor == waitEvent && len(r.signals) == 0 {
			recipients, triggers = append(recipients, int64(r.recipient)), append(triggers, r.trigger.id)
		}
	}
	if len(recipients) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, selectSignalled, recipients, triggers)
	if err != nil {
		return err
	}
	var k runKey
	signalled := map[runKey]bool{}
	if _, err := pgx.ForEachRow(rows, []any{&k.recipient, &k.trigger}, func() error {
		signalled[k] = true
		return nil
	}); err != nil {
		return err
	}
	c.runs = slices.DeleteFunc(c.runs, func(r *run) bool {
		return r.waitingFor == waitEvent && len(r.signals) == 0 && signalled[runKey{r.recipient, r.trigger.id}]
	})
	return nil
}

// response is the one that a run was woken with; nil if there is none.
func (w *wake) response() *response {
	for _, s := range w.signals {
		if s.Response != nil {
			return s.Response
		}
	}
	return nil
}

// What one transaction takes on. Each does one run at least.
const (
	maxClaimedData = 16 << 20         // bytes of triggers' data and runs' states
	maxDecided     = 8 << 20          // bytes of messages and states
	maxDeciding    = 5 * time.Second  // the database drops a transaction that is idle for a minute
	maxConversing  = 20 * time.Second // with runs that ask the database something, as batches and throttles do
	maxRunTime     = 10 * time.Second // of a single run: a usual one takes a tenth of a millisecond
	runsTogether   = 32               // that share a clock: the last ones have what maxDeciding leaves at least
)

// claimDueRuns takes waiting runs whose time has come; environments take turns. The floors let it pass over what is long
// gone: see floors.
const claimDueRuns = `SELECT r.recipient_id, r.trigger_id
  FROM unnest($1::bigint[], $2::timestamptz[]) AS e (id, floor)
 CROSS JOIN LATERAL (
   SELECT x.*, row_number() OVER () AS turn
     FROM (SELECT recipient_id, trigger_id FROM runs
            WHERE environment_id = e.id AND due_at >= e.floor AND due_at <= $3
            ORDER BY due_at LIMIT $5 FOR UPDATE SKIP LOCKED) x) r
 ORDER BY r.turn
 LIMIT $4`

// claimDueBatches also shuts them: a run of the same transaction that joined one now would miss its summary.
const claimDueBatches = `UPDATE batches b SET open = false
  FROM (
    SELECT d.recipient_id, d.opener_id, d.step_ref
      FROM unnest($1::bigint[], $2::timestamptz[]) AS e (id, floor)
     CROSS JOIN LATERAL (
       SELECT x.*, row_number() OVER () AS turn
         FROM (SELECT recipient_id, opener_id, step_ref FROM batches
                WHERE environment_id = e.id AND close_at >= e.floor AND close_at <= $3
                ORDER BY close_at LIMIT $5 FOR UPDATE SKIP LOCKED) x) d
     ORDER BY d.turn
     LIMIT $4) due
 WHERE b.recipient_id = due.recipient_id AND b.opener_id = due.opener_id AND b.step_ref = due.step_ref
RETURNING b.recipient_id, b.opener_id, b.step_ref, b.carrier_id`

const claimSignals = `SELECT e.id, s.id, s.recipient_id, s.trigger_id, s.payload
  FROM unnest($1::bigint[], $2::bigint[]) AS e (id, floor)
 CROSS JOIN LATERAL (
   SELECT x.*, row_number() OVER () AS turn
     FROM (SELECT id, recipient_id, trigger_id, payload FROM signals
            WHERE environment_id = e.id AND id >= e.floor
            ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED) x) s
 ORDER BY s.turn
 LIMIT $3`

// lockRuns takes the runs that something was claimed for, if they wait and nobody else holds them.
const lockRuns = `SELECT r.recipient_id, r.waiting_for, r.state, ` + triggerColumns + `
  FROM unnest($1::bigint[], $2::uuid[]) AS k (recipient_id, trigger_id)
  JOIN runs r USING (recipient_id, trigger_id)
  JOIN triggers t ON t.id = r.trigger_id
  LEFT JOIN workflows w ON w.id = t.workflow_id
 WHERE r.status = 'waiting'
   FOR UPDATE OF r SKIP LOCKED`

// selectSignalled looks run by run: a flood of events may have left many more signals than this asks for.
const selectSignalled = `SELECT k.recipient_id, k.trigger_id
  FROM unnest($1::bigint[], $2::uuid[]) AS k (recipient_id, trigger_id)
 WHERE EXISTS (SELECT FROM signals s WHERE s.recipient_id = k.recipient_id AND s.trigger_id = k.trigger_id OFFSET 0)`
