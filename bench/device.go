package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// device is one user's connection with one subscription. It has a goroutine, which reads.
type device struct {
	audience *audience
	user     int
	slow     bool // small buffers; its times don't count

	position []byte // of the last event, for GraphQL
	epoch    string // likewise, for centrifuge
	offset   uint64

	mu      sync.Mutex
	ws      *webSocket
	cut     bool          // by ourselves
	stalled bool          // it doesn't read on
	ended   chan struct{} // closed when nobody reads ws any more
	last    int64
	missing map[int64]struct{} // skipped, and not come since
	faults  faults
}

// faults are what clients must not see.
type faults struct{ lost, doubled, disordered int64 }

func (f faults) plus(o faults) faults {
	return faults{f.lost + o.lost, f.doubled + o.doubled, f.disordered + o.disordered}
}

// connect returns when the subscription is live. What came before that has been counted.
func (d *device) connect(ctx context.Context) error {
	a := d.audience
	ws, err := dialWebSocket(ctx, a.peer.address, a.dialect.subprotocol(), d.user, d.slow)
	if err != nil {
		return err
	}
	if err := d.subscribe(ws); err != nil {
		ws.cut()
		return err
	}
	ended := make(chan struct{})
	d.mu.Lock()
	d.ws, d.cut, d.ended = ws, false, ended
	d.mu.Unlock()
	a.alive.Add(1)
	a.reading.Go(func() {
		defer close(ended)
		d.listen(ws)
	})
	return nil
}

func (d *device) subscribe(ws *webSocket) error {
	if err := ws.conn.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	hello, err := d.audience.dialect.hello(d)
	if err != nil {
		return err
	}
	if err := ws.write(opText, hello); err != nil {
		return err
	}
	for {
		live, err := d.hear(ws)
		if err != nil {
			return err
		}
		if live {
			return ws.conn.SetReadDeadline(time.Time{})
		}
	}
}

// listen counts along until the connection ends.
func (d *device) listen(ws *webSocket) {
	a := d.audience
	defer a.alive.Add(-1)
	for {
		_, err := d.hear(ws)
		d.mu.Lock()
		cut, stalled := d.cut, d.stalled
		d.mu.Unlock()
		if stalled && err == nil {
			<-a.over
			return
		}
		if err != nil {
			if !cut && !stalled {
				a.fail(fmt.Errorf("the connection of %s broke: %w", peerUser(d.user), err))
			}
			return
		}
	}
}

// hear reads one message.
func (d *device) hear(ws *webSocket) (live bool, err error) {
	message, err := ws.read()
	if err != nil {
		return false, err
	}
	at := time.Now()
	some := false
	for rest := message; ; some = true {
		n, due, after, ok := nextStamp(rest)
		if !ok {
			break
		}
		d.count(n, at.Sub(due))
		rest = after
	}
	reply, live, err := d.audience.dialect.heard(d, message, some)
	if err == nil && reply != nil {
		err = ws.write(opText, reply)
	}
	return live, err
}

// count books a notice, that came so long after it was due.
func (d *device) count(n int64, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n <= d.last {
		if _, late := d.missing[n]; !late {
			d.faults.doubled++
			return
		}
		delete(d.missing, n)
		d.faults.disordered++
	} else {
		for skipped := d.last + 1; skipped < n; skipped++ {
			if d.missing == nil {
				d.missing = map[int64]struct{}{}
			}
			d.missing[skipped] = struct{}{}
		}
		d.last = n
	}
	if !d.slow {
		d.audience.meter.record(d.user, took)
	}
}

// missed is what went wrong for the device, of so many notices that there have been.
func (d *device) missed(sent int64) faults {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.faults
	f.lost = int64(len(d.missing)) + sent - d.last
	return f
}

// comeBack connects again after a while, and again if that fails.
func (d *device) comeBack(ctx context.Context, within time.Duration) error {
	<-d.ended // it has been cut
	if err := pause(ctx, rand.N(within)); err != nil {
		return err
	}
	for {
		err := d.connect(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		d.audience.refused.Add(1)
		d.audience.note(err)
		if err := pause(ctx, within/8+rand.N(within/4)); err != nil {
			return err
		}
	}
}

// meter holds the times of all devices.
type meter struct {
	delivered atomic.Int64
	shards    [16]struct {
		mu    sync.Mutex
		times *hdrhistogram.Histogram
	}
}

func newMeter() *meter {
	m := &meter{}
	m.reset()
	return m
}

// newTimes holds microseconds up to a minute, exact to three digits.
func newTimes() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, time.Minute.Microseconds(), 3)
}

func (m *meter) reset() {
	m.delivered.Store(0)
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.times = newTimes()
		s.mu.Unlock()
	}
}

func (m *meter) record(n int, took time.Duration) {
	s := &m.shards[n%len(m.shards)]
	s.mu.Lock()
	_ = s.times.RecordValue(min(max(took.Microseconds(), 1), time.Minute.Microseconds())) // it is in range
	s.mu.Unlock()
	m.delivered.Add(1)
}

// times are those of all devices together.
func (m *meter) times() *hdrhistogram.Histogram {
	all := newTimes()
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		all.Merge(s.times)
		s.mu.Unlock()
	}
	return all
}
