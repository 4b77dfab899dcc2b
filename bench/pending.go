package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/belfryhq/belfry"
)

// backlog is how the latency of runs is measured beside others that wait.
type backlog struct {
	runs int // that wait; a multiple of 1000
	pace pace
}

// claimed are the times of one round: from a trigger to the commit of its run.
type claimed struct{ without, with []time.Duration }

const (
	copiedRuns = 1000 // waiting runs that are really triggered, the others are copies of
	copyAtOnce = 100  // triggers that one statement copies the runs of
)

// pendingRuns measures two databases in turn: one without waiting runs, and one with many.
func (o options) pendingRuns(ctx context.Context, s *server, progress io.Writer) (out []claimed, err error) {
	without, err := newBelfrySide(ctx, s, "pending_none", copiedRuns)
	if err != nil {
		return nil, err
	}
	with, err := newBelfrySide(ctx, s, "pending_many", copiedRuns)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "Having %d runs wait …\n", o.backlog.runs)
	if err := with.fill(ctx, o.backlog.runs); err != nil {
		return nil, fmt.Errorf("waiting runs: %w", err)
	}
	if _, err := s.settle(ctx, with.url); err != nil { // or the other side would be first to pay for it
		return nil, err
	}
	for round := range o.rounds {
		fmt.Fprintf(progress, "round %d/%d, %d triggers/s for %s beside waiting runs: ", round+1, o.rounds, o.backlog.pace.rate, o.backlog.pace.duration)
		var c claimed
		turns := []func() error{
			func() (err error) { c.without, err = without.claims(ctx, s, o.backlog.pace, 0); return err },
			func() (err error) { c.with, err = with.claims(ctx, s, o.backlog.pace, o.backlog.runs); return err },
		}
		for i := range turns { // neither is always first
			if err := turns[(i+round)%2](); err != nil {
				fmt.Fprintln(progress)
				return nil, err
			}
		}
		fmt.Fprintf(progress, "p50 %s without, %s with\n", milliseconds(quantile(c.without, 0.5)), milliseconds(quantile(c.with, 0.5)))
		out = append(out, c)
	}
	return out, nil
}

// fill has so many runs wait for 30 days and longer: the first come of a trigger, the others are copies with triggers of
// their own.
func (b *belfrySide) fill(ctx context.Context, runs int) (err error) {
	if b.node, err = openNode(ctx, b.url, nil); err != nil {
		return err
	}
	defer b.node.close()
	b.run(ctx)
	if err := b.trigger(ctx, &reminder, 0, 0, copiedRuns); err != nil {
		return err
	}
	for b.engine.Stats().Waits < copiedRuns {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	for copies := runs/copiedRuns - 1; copies > 0; copies -= copyAtOnce {
		if _, err := b.pool.Exec(ctx, copyWaiting, reminder.key, min(copies, copyAtOnce)); err != nil {
			return err
		}
	}
	return nil
}

// copyWaiting spreads the copies over the days after the 30.
const copyWaiting = `WITH original AS (
  SELECT t.* FROM triggers t JOIN workflows w ON w.id = t.workflow_id WHERE w.key = $1 ORDER BY t.id LIMIT 1),
copies AS (
  INSERT INTO triggers SELECT (jsonb_populate_record(NULL::triggers, to_jsonb(o) || jsonb_build_object('id', gen_random_uuid()))).*
    FROM original o, generate_series(1, $2::int) RETURNING id)
INSERT INTO runs (recipient_id, trigger_id, environment_id, version_id, status, log, started_at, due_at, waiting_for, state)
SELECT r.recipient_id, c.id, r.environment_id, r.version_id, r.status, r.log, r.started_at, r.due_at + random() * interval '30 days', r.waiting_for, r.state
  FROM copies c, runs r WHERE r.trigger_id = (SELECT id FROM original)`

// claims triggers the workflow for one user after the other and times each until the commit of its run.
func (b *belfrySide) claims(ctx context.Context, s *server, p pace, waiting int) (times []time.Duration, err error) {
	if _, err := s.settle(ctx, b.url); err != nil {
		return nil, err
	}
	book := newLedger()
	if b.node, err = openNode(ctx, b.url, func(messages []belfry.Message) {
		at := time.Now()
		for i := range messages {
			if n, err := strconv.Atoi(fmt.Sprint(messages[i].Content.Data["n"])); err == nil {
				book.back(n, at)
			}
		}
	}); err != nil {
		return nil, err
	}
	defer b.node.close()
	b.run(ctx)
	began := time.Now()
	before, err := countAll(ctx, b.pool, &plain, began)
	if err != nil {
		return nil, err
	}
	sent, err := paced(ctx, p, func(ctx context.Context, n int) error { return b.trigger(ctx, &plain, n, n, 1) },
		func(n int, due time.Time) { book.sent(n, due) })
	if err != nil {
		return nil, err
	}
	if times, err = book.settle(ctx, len(sent), framePatience); err != nil {
		return nil, err
	}
	after, err := countAll(ctx, b.pool, &plain, began)
	if err == nil {
		err = after.check(before, len(sent), len(sent))
	}
	if err == nil && after.Runs-after.Done != int64(waiting) {
		err = fmt.Errorf("%d runs are waiting, not %d", after.Runs-after.Done, waiting)
	}
	return times, err
}

// claims is the table of runs beside others that wait.
func (r *report) claims() table {
	t := table{title: "Waiting runs: from the trigger to the commit of its run",
		note: fmt.Sprintf("Milliseconds from the scheduled instant; %d rounds of %s at %d/s for each, all rounds together; median of the rounds' ratios (lowest to highest).",
			r.rounds, r.backlog.pace.duration, r.backlog.pace.rate),
		rows: [][]string{{"runs that wait", "count", "p50", "p90", "p99", "max", "p50 to without", "p99 to without"}}}
	var without, with []time.Duration
	var p50, p99 []float64
	for _, c := range r.pending {
		without, with = append(without, c.without...), append(with, c.with...)
		p50 = append(p50, quantile(c.with, 0.5).Seconds()/quantile(c.without, 0.5).Seconds())
		p99 = append(p99, quantile(c.with, 0.99).Seconds()/quantile(c.without, 0.99).Seconds())
	}
	t.rows = append(t.rows, append(append([]string{"0"}, quantiles(without)...), "1", "1"))
	t.rows = append(t.rows, append(append([]string{fmt.Sprint(r.backlog.runs)}, quantiles(with)...), spread("%.2f", p50), spread("%.2f", p99)))
	return t
}
