package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	measureTimeout = 2 * time.Minute        // for one measurement: beyond, something is stuck
	doneInterval   = 500 * time.Microsecond // how often to ask whether everything is done
)

// load is what both sides are given to do.
type load struct {
	task    *task
	name    string // how it is handed over
	units   int    // runs or jobs in all
	batch   int    // of them handed over in one call
	callers int    // calls at a time
	// cooldown is river's: few large fetches suit single inserts, quick ones those of many. Each load has what was best.
	cooldown time.Duration
}

// contender is one side of the comparison, on a database of its own. A unit is a run or a job.
type contender interface {
	name() string
	database() string
	// open starts the workers, close ends them and gives every connection back.
	open(ctx context.Context, l *load) error
	close()
	// accept stores the work of one call durably: the units of a batch, numbered call by call from 0.
	accept(ctx context.Context, l *load, call int) error
	// done returns how many units have been completed since open, and committed as such.
	done(ctx context.Context, want int) (int, error)
	// resting reports whether, of a load that has been accepted whole, every unit has been stored with its delay and none
	// has been taken up again.
	resting(l *load) bool
	// verify counts in the database what open to now has left there, and returns an error unless exactly the units of the
	// load were done, each once and well.
	verify(ctx context.Context, l *load) error
}

// sample is one measurement of one side.
type sample struct {
	units   int
	elapsed time.Duration // from the first call to the last commit, without rested
	rested  time.Duration // how long there was nothing to do but to wait for the delay
	wal     int64         // bytes
	cpu     time.Duration // of this process: the side and the calls to it
	server  time.Duration // processor time of PostgreSQL; 0: unknown
	tuples  tuples
}

func (s sample) rate() float64           { return float64(s.units) / s.elapsed.Seconds() }
func (s sample) per(total int64) float64 { return float64(total) / float64(s.units) }

// measure has a side do a load, and times it from the first call to the last commit.
func measure(ctx context.Context, s *server, c contender, l *load) (out sample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("not done within %s", measureTimeout))
	defer cancel()
	before, err := s.settle(ctx, c.database())
	if err != nil {
		return out, err
	}
	if err := c.open(ctx, l); err != nil {
		return out, err
	}
	out, err = timed(ctx, s, c, l)
	if err == nil {
		err = c.verify(ctx, l)
	}
	c.close()
	if err != nil {
		return out, fmt.Errorf("%s, %s, %s: %w", c.name(), l.task.name, l.name, err)
	}
	after, err := s.written(ctx, c.database())
	out.tuples = after.minus(before)
	return out, err
}

func timed(ctx context.Context, s *server, c contender, l *load) (out sample, err error) {
	walBefore, err := s.wal(ctx)
	if err != nil {
		return out, err
	}
	serverBefore, err := s.cpu(ctx)
	if err != nil {
		return out, err
	}
	cpuBefore, began := cpuTime(), time.Now()
	if err := submit(ctx, c, l); err != nil {
		return out, err
	}
	if out.rested, err = await(ctx, c, l); err != nil {
		return out, err
	}
	out.units, out.elapsed, out.cpu = l.units, time.Since(began)-out.rested, cpuTime()-cpuBefore
	serverAfter, err := s.cpu(ctx)
	if err != nil {
		return out, err
	}
	out.server = serverAfter - serverBefore
	walAfter, err := s.wal(ctx)
	out.wal = walAfter - walBefore
	return out, err
}

// submit makes all calls of a load, as many at a time as it says.
func submit(ctx context.Context, c contender, l *load) error {
	if l.units%l.batch != 0 {
		return fmt.Errorf("%d units can't be handed over in batches of %d", l.units, l.batch)
	}
	calls, next := int64(l.units/l.batch), atomic.Int64{}
	group, ctx := errgroup.WithContext(ctx)
	for range l.callers {
		group.Go(func() error {
			for {
				call := next.Add(1) - 1
				if call >= calls {
					return nil
				}
				if err := c.accept(ctx, l, int(call)); err != nil {
					return fmt.Errorf("call %d: %w", call, err)
				}
			}
		})
	}
	return group.Wait()
}

// await waits until a side has done a load that it has accepted, and returns for how long all of it was resting.
func await(ctx context.Context, c contender, l *load) (rested time.Duration, err error) {
	tick := time.NewTicker(doneInterval)
	defer tick.Stop()
	looked := time.Now()
	for {
		n, err := c.done(ctx, l.units)
		now := time.Now()
		if err == nil && n >= l.units {
			return rested, nil
		}
		if c.resting(l) {
			rested += now.Sub(looked)
		}
		looked = now
		if err == nil {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		return rested, fmt.Errorf("%d of %d done: %w", n, l.units, err)
	}
}
