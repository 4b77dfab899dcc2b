package graphqlws

import (
	"sync"
	"time"
)

// wheelSlots times the wheel's tick is the furthest that a visit can be ahead; one further ahead is looked at early,
// and put off.
const wheelSlots = 512

// wheel visits connections when something is due, without a timer or a goroutine for each: they stand in slots of one
// tick, and one timer walks over the slots. It stands still while there are no connections.
type wheel struct {
	tick  time.Duration
	begin time.Time // of slot 0, the first time around

	mu    sync.Mutex
	slots [wheelSlots][]*conn
	at    int64 // ticks since begin that have been walked
	count int   // connections that are scheduled, or being visited
	timer *time.Timer
}

// place is where a connection stands.
type place struct {
	state placeState
	slot  int64
	index int // in the slot
}

type placeState uint8

const (
	unscheduled placeState = iota
	waiting                // in a slot
	visited                // at this moment: in none
)

func newWheel(tick time.Duration, now time.Time) *wheel {
	return &wheel{tick: tick, begin: now}
}

// schedule has the connection visited once a time has come, instead of when it was to be.
func (w *wheel) schedule(c *conn, due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch c.place.state {
	case waiting:
		w.take(c)
	case unscheduled:
		if w.count++; w.count == 1 {
			w.at = w.ticks(time.Now())
			w.timer = time.AfterFunc(w.tick, w.turn)
		}
	}
	w.put(c, due)
}

// remove forgets the connection.
func (w *wheel) remove(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.place.state == unscheduled {
		return
	}
	if c.place.state == waiting {
		w.take(c)
	}
	c.place.state = unscheduled
	if w.count--; w.count == 0 {
		w.timer.Stop()
	}
}

// turn is the timer's.
func (w *wheel) turn() {
	w.advance(time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count > 0 {
		w.timer.Reset(w.tick)
	}
}

// advance visits whatever has become due.
func (w *wheel) advance(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	target := w.ticks(now)
	w.at = max(w.at, target-wheelSlots) // once around is enough
	for w.at < target {
		w.at++
		due := w.slots[w.at%wheelSlots]
		w.slots[w.at%wheelSlots] = nil
		for _, c := range due {
			c.place.state = visited
		}
		for _, c := range due {
			if c.place.state != visited { // removed or scheduled meanwhile
				continue
			}
			w.mu.Unlock()
			next := c.visit(now)
			w.mu.Lock()
			if c.place.state == visited && !next.IsZero() {
				w.put(c, next)
			}
		}
	}
}

// put and take expect the lock to be held.

func (w *wheel) put(c *conn, due time.Time) {
	// Rounded up, so that nobody is visited early.
	slot := w.ticks(due.Add(w.tick - 1))
	slot = min(max(slot, w.at+1), w.at+wheelSlots) % wheelSlots
	c.place = place{state: waiting, slot: slot, index: len(w.slots[slot])}
	w.slots[slot] = append(w.slots[slot], c)
}

func (w *wheel) take(c *conn) {
	slot := w.slots[c.place.slot]
	last := len(slot) - 1
	slot[c.place.index] = slot[last]
	slot[c.place.index].place.index = c.place.index
	slot[last] = nil
	w.slots[c.place.slot] = slot[:last]
}

func (w *wheel) ticks(t time.Time) int64 { return int64(t.Sub(w.begin) / w.tick) }
