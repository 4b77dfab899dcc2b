package graphqlws

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// idle is a connection that is only there to be visited: it is closing, or its deadline is ahead.
func idle(deadline time.Time) *conn { return &conn{deadline: deadline, phase: opened} }

func TestWheelVisitsWhatIsDue(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)
	w := newWheel(10*time.Millisecond, begin)
	const far = 1000 // ticks: further than the wheel is round
	conns := map[int]*conn{}
	for _, ticks := range []int{1, 2, 2, 3, 100, wheelSlots, wheelSlots + 1, far} {
		c := idle(begin.Add(time.Duration(ticks) * w.tick))
		c.phase = closing // a visit is its last
		conns[ticks] = c
		w.count++
		w.put(c, c.deadline)
	}
	visited := func(ticks int) bool { return conns[ticks].place.state == visited }
	for now := range far + 1 {
		w.advance(begin.Add(time.Duration(now) * w.tick))
		for ticks := range conns {
			if ticks <= wheelSlots && visited(ticks) != (now >= ticks) {
				t.Fatalf("at tick %d: visited(%d) = %t", now, ticks, visited(ticks))
			}
		}
	}
}

func TestWheelSkipsWhatIsPutOff(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)
	w := newWheel(10*time.Millisecond, begin)
	c := idle(begin.Add(time.Hour))
	w.count++
	w.put(c, begin)
	for now := range 3 * wheelSlots { // visits find that it isn't due
		w.advance(begin.Add(time.Duration(now) * w.tick))
	}
	if c.place.state != waiting {
		t.Errorf("state %d, want to be waiting still", c.place.state)
	}
	w.advance(begin.Add(time.Minute)) // a process that stood still walks the wheel once at most
	if c.place.state != waiting {
		t.Errorf("after a pause: state %d, want to be waiting", c.place.state)
	}
}

func TestWheelStandsStillWithoutConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(10*time.Millisecond, time.Now())
		for range 3 {
			a, b := idle(time.Now().Add(time.Hour)), idle(time.Now().Add(time.Hour))
			w.schedule(a, time.Now())
			w.schedule(b, time.Now())
			w.schedule(b, time.Now().Add(time.Second)) // again: it moves
			time.Sleep(time.Minute)
			w.remove(a)
			w.remove(a)
			w.remove(b)
			if w.count != 0 || w.timer.Stop() {
				t.Fatalf("%d connections, and the timer runs", w.count)
			}
			time.Sleep(time.Hour)
		}
	})
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	const rate = 25
	now := time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)
	var l limiter
	for i := range rate * 10 {
		if !l.allow(now, rate) {
			t.Fatalf("message %d of a burst is refused", i+1)
		}
	}
	if l.allow(now, rate) {
		t.Error("one more is allowed")
	}
	now = now.Add(time.Second)
	for i := range rate {
		if !l.allow(now, rate) {
			t.Fatalf("message %d a second later is refused", i+1)
		}
	}
	if l.allow(now, rate) {
		t.Error("one more is allowed a second later")
	}
}

func TestFrameLengths(t *testing.T) {
	t.Parallel()
	for n, header := range map[int]string{
		0: "81 00", 125: "81 7d", 126: "81 7e 00 7e", 127: "81 7e 00 7f", 65535: "81 7e ff ff", 65536: "81 7f 00 00 00 00 00 01 00 00",
	} {
		frame := appendFrame([]byte("before"), 1, make([]byte, n/2), make([]byte, n-n/2))
		if got := fmt.Sprintf("before% x", frame[6:len(frame)-n]); got != "before"+header || len(header) > 3*maxFrameHeader {
			t.Errorf("%d bytes: %s, want %s", n, got, header)
		}
	}
}

// A client may leave in the moment in which it is let in. Whoever finds the connection acknowledged must find it in the
// wheel as well, or the one who takes it out comes before the one who puts it in, and it stays there for good.
func TestAcknowledgedMeansScheduled(t *testing.T) {
	t.Parallel()
	ws := New(Config{})
	c := &conn{transport: ws, phase: initialising, queue: queue{flushing: true}} // nobody writes
	c.ctx, c.cancel = context.WithCancel(t.Context())
	defer c.cancel()
	ws.wheel.mu.Lock()
	done := make(chan struct{})
	go func() { defer close(done); c.acknowledge(c.ctx) }()
	for held := 0; held < 20; time.Sleep(time.Millisecond) {
		if !c.mu.TryLock() {
			held++ // by acknowledge, which waits for the wheel
			continue
		}
		if c.phase == acknowledged {
			t.Error("it is acknowledged, and not in the wheel yet")
			held = 20
		}
		c.mu.Unlock()
	}
	ws.wheel.mu.Unlock()
	<-done
	if c.place.state != waiting {
		t.Errorf("state %d, want to be waiting", c.place.state)
	}
	ws.wheel.remove(c)
}
