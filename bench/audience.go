package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	connectAtOnce = 64 // devices, unless there is a storm
	quietTime     = 2 * time.Second
	meterInterval = 5 * time.Millisecond // how often to ask whether all has come
)

// audience is the devices of a server's users, one each, and what was published to them.
type audience struct {
	peer    *peer
	dialect dialect
	meter   *meter
	slow    int // users before this one have small buffers, and may stop reading
	devices []*device
	sent    []int64 // to each user

	alive   atomic.Int64 // connections
	refused atomic.Int64 // attempts to come back that failed
	reading sync.WaitGroup
	over    chan struct{}

	mu     sync.Mutex
	errs   []error // the first few
	failed int
	reason error // the last that somebody couldn't come back
}

func newAudience(p *peer, d dialect, users int) *audience {
	return &audience{peer: p, dialect: d, meter: newMeter(), sent: make([]int64, users), over: make(chan struct{})}
}

// fail books what must not happen.
func (a *audience) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed++; len(a.errs) < 3 {
		a.errs = append(a.errs, err)
	}
}

func (a *audience) note(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reason = err
}

// failure is what went wrong so far.
func (a *audience) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d connections broke; the first: %w", a.peer.name, a.failed, errors.Join(a.errs...))
}

// connect adds devices of users, from one up to another.
func (a *audience) connect(ctx context.Context, from, upTo int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(connectAtOnce)
	for user := from; user < upTo; user++ {
		d := &device{audience: a, user: user, slow: user < a.slow}
		a.devices = append(a.devices, d)
		group.Go(func() error { return d.connect(ctx) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s: connect %d devices: %w", a.peer.name, upTo-from, err)
	}
	return a.failure()
}

// publish has loads published, all at the same time, and books them.
func (a *audience) publish(ctx context.Context, loads ...pour) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, load := range loads {
		group.Go(func() error { return a.peer.order(ctx, "publish", load) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, load := range loads {
		for k := range load.Count {
			a.sent[load.First+k%load.Users]++
		}
	}
	return nil
}

// receive waits until so many notices have come since the meter was reset, or nothing has for a while.
func (a *audience) receive(ctx context.Context, want int) error {
	before, since := int64(-1), time.Now()
	for {
		n := a.meter.delivered.Load()
		if n >= int64(want) {
			return nil
		}
		if n != before {
			before, since = n, time.Now()
		}
		if time.Since(since) > quietTime {
			return nil // whoever counts will see
		}
		if err := pause(ctx, meterInterval); err != nil {
			return err
		}
	}
}

// faults are those of all devices but the slow ones.
func (a *audience) faults() (all faults) {
	for _, d := range a.devices {
		if !d.slow {
			all = all.plus(d.missed(a.sent[d.user]))
		}
	}
	return all
}

// verify wants all connections alive but some, and everything delivered once and in order.
func (a *audience) verify(but int) error {
	if err := a.verifyAlive(but); err != nil {
		return err
	}
	if f := a.faults(); f != (faults{}) {
		return fmt.Errorf("%s: %d notices were lost, %d came twice, %d in disorder", a.peer.name, f.lost, f.doubled, f.disordered)
	}
	return nil
}

func (a *audience) verifyAlive(but int) error {
	if err := a.failure(); err != nil {
		return err
	}
	if alive := int(a.alive.Load()); alive < len(a.devices)-but {
		return fmt.Errorf("%s: %d of %d connections are alive", a.peer.name, alive, len(a.devices))
	}
	return nil
}

// stall has devices stop reading.
func (a *audience) stall(devices []*device) {
	for _, d := range devices {
		d.mu.Lock()
		d.stalled = true
		d.mu.Unlock()
	}
}

// cut ends all connections at once, without a word.
func (a *audience) cut() {
	for _, d := range a.devices {
		d.mu.Lock()
		d.cut = true
		if d.ws != nil {
			d.ws.cut()
		}
		d.mu.Unlock()
	}
}

// close is the end of it.
func (a *audience) close() {
	close(a.over)
	a.cut()
	a.reading.Wait()
}

// drop ends all connections and forgets the devices: the next ones are other ones.
func (a *audience) drop() {
	a.cut()
	a.reading.Wait()
	a.devices = nil
}
