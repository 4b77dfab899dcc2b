package test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/belfryhq/belfry"
)

// device is a socket that stays where it is for as long as it can, and otherwise comes back to the next node with the
// position of the last event it handled. It wants each version once, in order.
type device struct {
	fleet *fleet
	user  string
	place int // of the node that it first goes to
	token string

	mu       sync.Mutex
	position belfry.Position
	badge    badge
	synced   chan struct{} // closed with the first FeedSynced
	events   int
	connects int
	wrong    error
}

func newDevice(f *fleet, user string, place int) *device {
	return &device{fleet: f, user: user, place: place, token: f.env.token(f.t, user), synced: make(chan struct{})}
}

func (d *device) run(ctx context.Context) {
	for place := d.place; ctx.Err() == nil; place++ {
		d.once(ctx, d.fleet.current(place).address)
		time.Sleep(10 * time.Millisecond) // between two connections of a device whose node was killed
	}
}

// once follows until the socket breaks.
func (d *device) once(ctx context.Context, address string) {
	c := caller{address, d.fleet.env.public, d.token}
	s, _, err := open(ctx, address, nil, c.payload())
	if err != nil {
		return // dead
	}
	defer s.conn.Close()
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })()
	select {
	case <-s.acked:
	case <-s.closed:
		return
	}
	variables := vars{}
	if d.connects > 0 {
		variables["since"] = d.position.String()
	}
	st, err := s.start("1", feedEvents, variables)
	for err == nil {
		var e event
		if e, err = st.event(time.Hour); err == nil { // it is the server's to say that something happened
			d.handle(e)
		}
	}
}

func (d *device) handle(e event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, err := belfry.ParsePosition(e.Position, "position")
	first := d.connects == 0
	switch {
	case d.wrong != nil:
		return
	case err != nil || e.Typename == "FeedReset":
		d.wrong = fmt.Errorf("got %+v (%v)", e, err)
	case e.Typename == "FeedSynced":
		if !first && at != d.position {
			d.wrong = fmt.Errorf("was told all until %v, but it is at %v", d.position, at)
		}
		if d.connects++; first {
			close(d.synced)
		}
	case first || at.Version != d.position.Version+1:
		d.wrong = fmt.Errorf("version %d came after version %d: %s", at.Version, d.position.Version, e.Typename)
	default:
		d.events++
	}
	d.position, d.badge = at, e.Badge
}

// at returns whether the device is at a position with a badge, or never will be.
func (d *device) at(position string, b badge) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wrong != nil || d.position.String() == position && d.badge == b
}
