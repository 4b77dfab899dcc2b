package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// openLoop calls send at a fixed rate for a while, whatever becomes of earlier calls: a slow answer delays nothing, as
// with real callers who don't know of each other. due is when the schedule wanted the call, which latencies count from:
// what the loop itself was late counts too. It returns the number of calls, once all have returned.
func openLoop(ctx context.Context, rate int, duration time.Duration, send func(n int, due time.Time)) int {
	calls := int(duration.Seconds() * float64(rate))
	interval := time.Second / time.Duration(rate)
	began := time.Now()
	var running sync.WaitGroup
	defer running.Wait()
	for n := range calls {
		due := began.Add(time.Duration(n) * interval)
		if pause(ctx, time.Until(due)) != nil {
			return n
		}
		running.Go(func() { send(n, due) })
	}
	return calls
}

// ledger holds what was sent, and how long each took. Everything must come back exactly once.
type ledger struct {
	mu      sync.Mutex
	due     map[int]time.Time // sent, not yet back
	times   []time.Duration
	strange []string
	done    chan struct{} // closed when nothing is missing and nothing more will be sent
	closed  bool
}

func newLedger() *ledger { return &ledger{due: map[int]time.Time{}, done: make(chan struct{})} }

// sent opens an entry, before the sending.
func (l *ledger) sent(n int, due time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due[n] = due
}

// back closes an entry.
func (l *ledger) back(n int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	due, ok := l.due[n]
	if !ok {
		l.strange = append(l.strange, fmt.Sprintf("%d came back twice, or was never sent", n))
		return
	}
	delete(l.due, n)
	l.times = append(l.times, at.Sub(due))
	l.finish()
}

// failed records that an entry can't come back.
func (l *ledger) failed(n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.due, n)
	l.strange = append(l.strange, fmt.Sprintf("%d: %v", n, err))
	l.finish()
}

// close says that nothing more will be sent.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.finish()
}

func (l *ledger) finish() {
	if l.closed && len(l.due) == 0 {
		select {
		case <-l.done:
		default:
			close(l.done)
		}
	}
}

// settle waits until everything is back, for a while. It returns the times, or what went wrong.
func (l *ledger) settle(ctx context.Context, sent int, patience time.Duration) ([]time.Duration, error) {
	l.close()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-l.done:
	case <-late.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.strange) > 0:
		return nil, fmt.Errorf("%d of %d went wrong; the first: %s", len(l.strange), sent, l.strange[0])
	case len(l.due) > 0 || len(l.times) != sent:
		return nil, fmt.Errorf("%d were sent, %d came back within %s", sent, len(l.times), patience)
	}
	return slices.Clone(l.times), nil
}
