package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry"
)

// flood is a fan-out beside which the latency of single triggers is measured.
type flood struct {
	triggers   int // accepted as fast as the server takes them
	recipients int // of each: nobody twice in a flood
	rounds     int
	pace       pace // of the single triggers; for so long without the flood, and with it until it is over
}

// flooded is one round.
type flooded struct {
	calm, busy         []time.Duration // from trigger to frame, without and beside the flood
	accepted, complete time.Duration   // from the first of its triggers to the last's answer, and to the last run's commit
}

const (
	floodCallers  = 4
	floodTimeout  = 3 * time.Minute
	floodInterval = 20 * time.Millisecond // how often to ask whether it is over
	firstOfCrowd  = 900_000               // number of the first user that only floods reach
)

// floods measures rounds on one running server.
func (o options) floods(ctx context.Context, s *server, p *program, progress io.Writer) (out []flooded, err error) {
	f := o.flood
	crowd := f.triggers * f.recipients
	fmt.Fprintf(progress, "Starting belfry serve; making %d users known …\n", crowd)
	t, err := newTarget(ctx, s, p, "fanout", f.pace.subscribers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	if _, err := t.pool.Exec(ctx, insertCrowd, t.env, belfry.Users, firstOfCrowd, crowd); err != nil {
		return nil, err
	}
	if _, err := t.pool.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return nil, err
	}
	warm := f.pace
	warm.duration /= 5
	if _, _, err := t.frames(ctx, warm, func() {}); err != nil {
		return nil, fmt.Errorf("warming up: %w", err)
	}
	for round := range f.rounds {
		fmt.Fprintf(progress, "round %d/%d, %d single triggers/s beside %d triggers for %d each: ", round+1, f.rounds, f.pace.rate, f.triggers, f.recipients)
		one, err := t.flood(ctx, f)
		if err != nil {
			fmt.Fprintln(progress)
			return nil, err
		}
		fmt.Fprintf(progress, "complete after %.1f s, trigger to frame p99 %s, %s without\n", one.complete.Seconds(),
			milliseconds(quantile(one.busy, 0.99)), milliseconds(quantile(one.calm, 0.99)))
		out = append(out, one)
	}
	return out, nil
}

const insertCrowd = `INSERT INTO recipients (environment_id, collection, external_id, properties, created_at, updated_at)
SELECT $1, $2, 'user-' || n, jsonb_build_object('name', 'User ' || n, 'email', 'user-' || n || '@example.com', 'timezone', 'Europe/Berlin', 'plan', 'pro'),
       now(), now()
  FROM generate_series($3::int, $3::int + $4::int - 1) AS n`

// flood measures single triggers alone, then beside a flood for as long as that takes, and counts everything again.
func (t *target) flood(ctx context.Context, f flood) (out flooded, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, floodTimeout, fmt.Errorf("not done within %s", floodTimeout))
	defer cancel()
	began := time.Now()
	before, err := countAll(ctx, t.pool, &plain, began)
	if err != nil {
		return out, err
	}
	if _, out.calm, err = t.frames(ctx, f.pace, func() {}); err != nil {
		return out, err
	}
	over := make(chan struct{})
	beside := f.pace
	beside.duration, beside.end = floodTimeout, over
	group, ctx := errgroup.WithContext(ctx)
	_, out.busy, err = t.frames(ctx, beside, func() {
		group.Go(func() (err error) {
			defer close(over)
			out.accepted, out.complete, err = t.pour(ctx, f)
			return err
		})
	})
	if poured := group.Wait(); poured != nil {
		return out, fmt.Errorf("the fan-out: %w", poured)
	}
	if err != nil {
		return out, err
	}
	after, err := countAll(context.WithoutCancel(ctx), t.pool, &plain, began)
	if err != nil {
		return out, err
	}
	n := len(out.calm) + len(out.busy) + f.triggers*f.recipients
	return out, after.check(before, n, n)
}

// pour makes the triggers of a flood, and waits for the last of its runs.
func (t *target) pour(ctx context.Context, f flood) (accepted, complete time.Duration, err error) {
	began := time.Now()
	group, calls := errgroup.WithContext(ctx)
	group.SetLimit(floodCallers)
	for call := range f.triggers {
		group.Go(func() error {
			recipients := make([]any, f.recipients)
			for i := range recipients {
				recipients[i] = map[string]any{"user": userID(firstOfCrowd + call*f.recipients + i)}
			}
			return t.trigger(calls, call, recipients...)
		})
	}
	if err := group.Wait(); err != nil {
		return 0, 0, err
	}
	accepted = time.Since(began)
	for {
		var left bool
		if err := t.pool.QueryRow(ctx, floodLeft, t.env).Scan(&left); err != nil {
			return 0, 0, err
		}
		if !left {
			return accepted, time.Since(began), nil
		}
		if err := pause(ctx, floodInterval); err != nil {
			return 0, 0, err
		}
	}
}

// floodLeft looks at the lane of triggers for many only: single ones come all the time.
const floodLeft = `SELECT EXISTS (SELECT FROM fan_outs WHERE environment_id = $1 AND lane = 2)`

// besides is the table of single triggers without and beside a flood.
func (r *report) besides() table {
	f := r.options.flood
	t := table{title: "Fan-out: single triggers beside a large one, from the trigger to the frame at the client",
		note: fmt.Sprintf("Milliseconds from the scheduled instant; %d rounds at %d/s, %d subscribers: %s alone, then beside %d triggers for %d recipients each until those are done. All rounds together (p99 also of the best and the worst round).",
			f.rounds, f.pace.rate, f.pace.subscribers, f.pace.duration, f.triggers, f.recipients),
		rows: [][]string{{"single triggers", "count", "p50", "p90", "p99", "max"}}}
	var calm, busy [][]time.Duration
	for _, round := range r.fanOut {
		calm, busy = append(calm, round.calm), append(busy, round.busy)
	}
	t.rows = append(t.rows, append([]string{"alone"}, quantilesOf(calm)...), append([]string{"beside the fan-out"}, quantilesOf(busy)...))
	return t
}

// fanOuts is the table of the floods themselves.
func (r *report) fanOuts() table {
	f := r.options.flood
	t := table{title: "Fan-out: how long it takes", note: "Seconds from its first trigger; median (lowest to highest).",
		rows: [][]string{{"triggers", "recipients of each", "accepted", "complete", "runs/s"}}}
	var accepted, complete, rate []float64
	for _, round := range r.fanOut {
		accepted, complete = append(accepted, round.accepted.Seconds()), append(complete, round.complete.Seconds())
		rate = append(rate, float64(f.triggers*f.recipients)/round.complete.Seconds())
	}
	t.rows = append(t.rows, []string{fmt.Sprint(f.triggers), fmt.Sprint(f.recipients), spread("%.2f", accepted), spread("%.2f", complete), spread("%.0f", rate)})
	return t
}
