package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/engine"
)

// acceptances are the times of one round, and what triggers for many write.
type acceptances struct {
	commit, one, many []time.Duration // one row committed; a trigger for one; for as many as there may be
	leaving           []time.Duration // for as many, while people leave: nobody's id can be remembered
	wal               int64           // bytes, of all triggers for many together
	tuples            tuples
	transactions      int64 // that wrote something
}

// acceptances measures how long triggers take to be accepted, while nobody turns them into runs.
func (o options) acceptances(ctx context.Context, s *server, progress io.Writer) (out []acceptances, err error) {
	side, err := newBelfrySide(ctx, s, "accept", engine.MaxRecipients)
	if err != nil {
		return nil, err
	}
	for round := range o.rounds {
		fmt.Fprintf(progress, "round %d/%d, %d triggers/s for %s, accepted only: ", round+1, o.rounds, o.accept.rate, o.accept.duration)
		a, err := side.acceptances(ctx, s, o.accept)
		if err != nil {
			fmt.Fprintln(progress)
			return nil, err
		}
		fmt.Fprintf(progress, "for %d recipients p50 %s, p99 %s\n", engine.MaxRecipients, milliseconds(quantile(a.many, 0.5)), milliseconds(quantile(a.many, 0.99)))
		out = append(out, a)
	}
	return out, nil
}

func (b *belfrySide) acceptances(ctx context.Context, s *server, p pace) (out acceptances, err error) {
	if err := b.idle(ctx, func() (err error) {
		if _, err := b.pool.Exec(ctx, "DROP TABLE IF EXISTS floor; "+createFloor); err != nil {
			return err
		}
		if out.commit, err = paced(ctx, p, func(ctx context.Context, n int) error { return commitRow(ctx, b.pool, n) }); err != nil {
			return err
		}
		if out.one, err = paced(ctx, p, func(ctx context.Context, n int) error { return b.trigger(ctx, &plain, n, n, 1) }); err != nil {
			return err
		}
		return b.leaving(ctx, 2*p.rate, func() error {
			out.leaving, err = paced(ctx, p, func(ctx context.Context, n int) error { return b.trigger(ctx, &plain, n, 0, engine.MaxRecipients) })
			return err
		})
	}); err != nil {
		return out, err
	}
	before, err := s.settle(ctx, b.url)
	if err != nil {
		return out, err
	}
	if err := b.idle(ctx, func() error { return b.acceptMany(ctx, s, p, &out) }); err != nil {
		return out, err
	}
	after, err := s.written(ctx, b.url)
	out.tuples = after.minus(before)
	out.tuples.inserted -= 2 // those of idle
	return out, err
}

// idle opens a node that works on nothing while something is done.
func (b *belfrySide) idle(ctx context.Context, do func() error) (err error) {
	if b.node, err = openNode(ctx, b.url, nil); err != nil {
		return err
	}
	defer b.node.close()
	if err := b.trigger(ctx, &plain, 0, 0, 1); err != nil { // the node finds the workflow's version
		return err
	}
	return do()
}

// leaving has somebody come and leave so many times a second while something is done.
func (b *belfrySide) leaving(ctx context.Context, rate int, do func() error) error {
	group, ctx := errgroup.WithContext(ctx)
	over := make(chan struct{})
	group.Go(func() error {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			if _, err := b.pool.Exec(ctx, comeAndLeave); err != nil {
				return err
			}
			select {
			case <-over:
				return nil
			case <-tick.C:
			}
		}
	})
	group.Go(func() error {
		defer close(over)
		return do()
	})
	return group.Wait()
}

const comeAndLeave = `INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at)
  SELECT id, '$users', 'somebody', 'epoch', 'epoch' FROM environments;
DELETE FROM recipients WHERE external_id = 'somebody'`

// acceptMany times triggers for as many recipients as there may be, and counts what they left in the database.
func (b *belfrySide) acceptMany(ctx context.Context, s *server, p pace, out *acceptances) error {
	var before, after struct{ xid, triggers, recipients, fanOuts int64 }
	const count = `SELECT pg_current_xact_id()::text::bigint, (SELECT count(*) FROM triggers), (SELECT coalesce(sum(recipients), 0) FROM triggers),
  (SELECT count(*) FROM fan_outs)`
	if err := b.pool.QueryRow(ctx, count).Scan(&before.xid, &before.triggers, &before.recipients, &before.fanOuts); err != nil {
		return err
	}
	wal, err := s.wal(ctx)
	if err != nil {
		return err
	}
	if out.many, err = paced(ctx, p, func(ctx context.Context, n int) error { return b.trigger(ctx, &plain, n, 0, engine.MaxRecipients) }); err != nil {
		return err
	}
	if out.wal, err = s.wal(ctx); err != nil {
		return err
	}
	out.wal -= wal
	if err := b.pool.QueryRow(ctx, count).Scan(&after.xid, &after.triggers, &after.recipients, &after.fanOuts); err != nil {
		return err
	}
	out.transactions = after.xid - before.xid - 1
	n := int64(len(out.many))
	if after.triggers-before.triggers != n || after.recipients-before.recipients != n*engine.MaxRecipients || after.fanOuts-before.fanOuts != n {
		return fmt.Errorf("the database does not hold %d more triggers for %d: %+v before, %+v after", n, engine.MaxRecipients, before, after)
	}
	return nil
}

// accepts is the table of acceptances.
func (r *report) accepts() table {
	t := table{title: "Acceptance: Trigger, until it returns",
		note: fmt.Sprintf("Milliseconds from the scheduled instant, without HTTP and while no runs are made; %d rounds of %s at %d/s, all rounds together (p99 also of the best and the worst round). What one call writes: medians.",
			r.rounds, r.options.accept.duration, r.options.accept.rate),
		rows: [][]string{{"what", "count", "p50", "p90", "p99", "max", "WAL bytes", "rows inserted", "updated", "deleted", "writing transactions"}}}
	for _, k := range []struct {
		name string
		of   func(*acceptances) []time.Duration
	}{
		{"floor: one row committed", func(a *acceptances) []time.Duration { return a.commit }},
		{"for 1 recipient", func(a *acceptances) []time.Duration { return a.one }},
		{fmt.Sprintf("for %d recipients", engine.MaxRecipients), func(a *acceptances) []time.Duration { return a.many }},
		{fmt.Sprintf("for %d, while people leave", engine.MaxRecipients), func(a *acceptances) []time.Duration { return a.leaving }},
	} {
		var rounds [][]time.Duration
		for i := range r.acceptance {
			rounds = append(rounds, k.of(&r.acceptance[i]))
		}
		t.rows = append(t.rows, append([]string{k.name}, quantilesOf(rounds)...))
	}
	for _, i := range []int{1, 2, 4} {
		t.rows[i] = append(t.rows[i], "", "", "", "", "")
	}
	each := func(format string, total func(*acceptances) int64) string {
		var out []float64
		for i := range r.acceptance {
			out = append(out, float64(total(&r.acceptance[i]))/float64(len(r.acceptance[i].many)))
		}
		return fmt.Sprintf(format, median(out))
	}
	t.rows[3] = append(t.rows[3], each("%.0f", func(a *acceptances) int64 { return a.wal }),
		each("%.3g", func(a *acceptances) int64 { return a.tuples.inserted }), each("%.3g", func(a *acceptances) int64 { return a.tuples.updated }),
		each("%.3g", func(a *acceptances) int64 { return a.tuples.deleted }), each("%.3g", func(a *acceptances) int64 { return a.transactions }))
	return t
}
