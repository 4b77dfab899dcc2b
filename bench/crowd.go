package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry"
)

// crowd is one trigger to an object with many subscribers, beside which the latency of single triggers is measured.
type crowd struct {
	subscribers int
	pace        pace // of the single triggers; for so long without the crowd, and with it until everybody is told
}

// crowded is what came of it.
type crowded struct {
	calm, busy         []time.Duration // single triggers to their frames, without and beside the crowd
	accepted, complete time.Duration   // of the one trigger: to its answer, and to the last run's commit
	before, after      int64           // kB of belfry serve's resident memory
	peak               int64           // its most during the crowd
}

const (
	crowdTimeout  = 30 * time.Minute
	crowdInterval = 100 * time.Millisecond // how often to look at the memory, and whether it is over
	crowdObject   = "release"
)

// crowds measures one crowd on a running server.
func (o options) crowds(ctx context.Context, s *server, p *program, progress io.Writer) (out *crowded, err error) {
	c := o.crowd
	fmt.Fprintf(progress, "Starting belfry serve; subscribing %d users to an object …\n", c.subscribers)
	t, err := newTarget(ctx, s, p, "crowd", c.pace.subscribers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	const atOnce = 10_000 // a statement has its time
	for first := 0; first < c.subscribers; first += atOnce {
		if _, err := t.pool.Exec(ctx, insertCrowd, t.env, belfry.Users, firstOfCrowd+first, min(atOnce, c.subscribers-first)); err != nil {
			return nil, err
		}
	}
	if _, err := t.pool.Exec(ctx, insertObject, t.env, crowdObject); err != nil {
		return nil, err
	}
	if _, err := t.pool.Exec(ctx, "VACUUM ANALYZE recipients"); err != nil { // or each user would be looked for among all
		return nil, err
	}
	for first := 0; first < c.subscribers; first += atOnce {
		if _, err := t.pool.Exec(ctx, insertCrowdSubscriptions, t.env, crowdObject, belfry.Users, firstOfCrowd+first, min(atOnce, c.subscribers-first)); err != nil {
			return nil, err
		}
	}
	if _, err := t.pool.Exec(ctx, "VACUUM ANALYZE subscriptions"); err != nil {
		return nil, err
	}
	warm := c.pace
	warm.duration /= 5
	if _, _, err := t.frames(ctx, warm, func() {}); err != nil {
		return nil, fmt.Errorf("warming up: %w", err)
	}
	fmt.Fprintf(progress, "%d single triggers/s beside one trigger for %d subscribers: ", c.pace.rate, c.subscribers)
	if out, err = t.crowd(ctx, c); err != nil {
		fmt.Fprintln(progress)
		return nil, err
	}
	fmt.Fprintf(progress, "complete after %.1f s, trigger to frame p99 %s, %s without; %d MB at most\n", out.complete.Seconds(),
		milliseconds(quantile(out.busy, 0.99)), milliseconds(quantile(out.calm, 0.99)), out.peak>>10)
	return out, nil
}

const insertObject = `INSERT INTO recipients (environment_id, collection, external_id, properties, created_at, updated_at)
VALUES ($1, 'projects', $2, '{"name": "Release"}', now(), now())`

const insertCrowdSubscriptions = `INSERT INTO subscriptions (object_id, recipient_id, environment_id, nested, properties, created_at, updated_at)
SELECT (SELECT id FROM recipients WHERE environment_id = $1 AND collection = 'projects' AND external_id = $2), r.id, $1, false, '{"role": "reader"}', now(), now()
  FROM generate_series($4::int, $4::int + $5::int - 1) AS n
  JOIN recipients r ON r.environment_id = $1 AND r.collection = $3 AND r.external_id = 'user-' || n`

// crowd measures single triggers alone, then beside the crowd until that has been told, and counts its messages.
func (t *target) crowd(ctx context.Context, c crowd) (*crowded, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, crowdTimeout, fmt.Errorf("not done within %s", crowdTimeout))
	defer cancel()
	out := &crowded{}
	var err error
	if _, out.calm, err = t.frames(ctx, c.pace, func() {}); err != nil {
		return nil, err
	}
	if out.before, err = t.memory(); err != nil {
		return nil, err
	}
	over := make(chan struct{})
	beside := c.pace
	beside.duration, beside.end = crowdTimeout, over
	group, calls := errgroup.WithContext(ctx)
	_, out.busy, err = t.frames(calls, beside, func() {
		group.Go(func() error {
			defer close(over)
			return t.tellCrowd(calls, out)
		})
	})
	if told := group.Wait(); told != nil {
		return nil, fmt.Errorf("the trigger for many: %w", told)
	}
	if err != nil {
		return nil, err
	}
	if out.after, err = t.memory(); err != nil {
		return nil, err
	}
	var runs, items int
	if err := t.pool.QueryRow(ctx, countCrowd, t.env, crowdObject).Scan(&runs, &items); err != nil {
		return nil, err
	}
	if runs != c.subscribers+1 || items != c.subscribers {
		return nil, fmt.Errorf("%d runs and %d items of %d subscribers", runs, items, c.subscribers)
	}
	return out, nil
}

// countCrowd counts what came of the trigger that the object has a run of. The object itself has no feed.
const countCrowd = `WITH o AS (
  SELECT r.trigger_id FROM runs r JOIN recipients p ON p.id = r.recipient_id WHERE p.environment_id = $1 AND p.collection = 'projects' AND p.external_id = $2)
SELECT (SELECT count(*) FROM runs JOIN o USING (trigger_id)), (SELECT count(*) FROM feed_items JOIN o USING (trigger_id))`

// tellCrowd makes the trigger and waits for the last of its runs.
func (t *target) tellCrowd(ctx context.Context, out *crowded) error {
	began := time.Now()
	if err := t.trigger(ctx, 0, map[string]any{"object": map[string]any{"collection": "projects", "id": crowdObject}}); err != nil {
		return err
	}
	out.accepted = time.Since(began)
	for {
		kb, err := t.memory()
		if err != nil {
			return err
		}
		out.peak = max(out.peak, kb)
		var left bool
		if err := t.pool.QueryRow(ctx, floodLeft, t.env).Scan(&left); err != nil {
			return err
		}
		if !left {
			out.complete = time.Since(began)
			return nil
		}
		if err := pause(ctx, crowdInterval); err != nil {
			return err
		}
	}
}

// memory is the resident memory of belfry serve in kB; 0 where the system doesn't tell.
func (t *target) memory() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.served.command.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte("VmRSS:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0, nil
	}
	return strconv.ParseInt(string(fields[0]), 10, 64)
}

// crowds is the tables of the crowd.
func (r *report) crowds() []table {
	c, x := r.options.crowd, r.crowded
	beside := table{title: "Subscribers: single triggers beside one trigger to an object that many are subscribed to",
		note: fmt.Sprintf("Milliseconds from the scheduled instant to the frame at the client; %d/s, %d devices: %s alone, then until all %d subscribers have been told.",
			c.pace.rate, c.pace.subscribers, c.pace.duration, c.subscribers),
		rows: [][]string{{"single triggers", "count", "p50", "p90", "p99", "max"},
			append([]string{"alone"}, quantiles(x.calm)...), append([]string{"beside the subscribers"}, quantiles(x.busy)...)}}
	whole := table{title: "Subscribers: how long it takes, and the memory of belfry serve",
		note: "Seconds from the trigger; resident memory before, at most meanwhile (looked at ten times a second), and after.",
		rows: [][]string{{"subscribers", "accepted", "complete", "runs/s", "MB before", "at most", "after"},
			{fmt.Sprint(c.subscribers), fmt.Sprintf("%.3f", x.accepted.Seconds()), fmt.Sprintf("%.1f", x.complete.Seconds()),
				fmt.Sprintf("%.0f", float64(c.subscribers)/x.complete.Seconds()), fmt.Sprint(x.before >> 10), fmt.Sprint(x.peak >> 10), fmt.Sprint(x.after >> 10)}}}
	return []table{beside, whole}
}
