package graphqlws

import (
	"context"
	"math/rand/v2"
	"time"
)

// drainPace is how far apart connections are closed, on average: clients that all came back in the same moment would
// be a burden for the node that takes them.
const drainPace = 2 * time.Millisecond

// Drain refuses new connections from now on, asks the clients of those that are there to connect again elsewhere (1012),
// spread over 2 ms for each, and returns when all have gone. Queries and mutations that are running get a second to be
// answered; subscriptions end, and nothing new is begun. Once ctx ends, or at four fifths of the time until its
// deadline, the rest is asked at once; after ctx nobody is waited for. It reports whether all have gone.
func (t *Transport) Drain(ctx context.Context) bool {
	t.mu.Lock()
	t.draining = true
	conns := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		conns = append(conns, c)
	}
	t.mu.Unlock()
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })

	pace := drainPace
	if deadline, ok := ctx.Deadline(); ok && len(conns) > 0 {
		pace = min(pace, time.Until(deadline)*4/5/time.Duration(len(conns)))
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for begin, i := time.Now(), 0; i < len(conns); {
		// Connections are closed by the clock: a timer is late more often than not.
		due := len(conns)
		if pace > 0 && ctx.Err() == nil {
			due = min(due, 1+int(time.Since(begin)/pace))
		}
		for ; i < due; i++ {
			conns[i].leave(CloseServiceRestart, "Service restart")
		}
		timer.Reset(max(0, pace) + rand.N(max(1, pace)))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return t.awaitNobody(ctx)
}

// awaitNobody waits until there are no connections.
func (t *Transport) awaitNobody(ctx context.Context) bool {
	t.mu.Lock()
	if len(t.conns) == 0 {
		t.mu.Unlock()
		return true
	}
	if t.nobody == nil {
		t.nobody = make(chan struct{})
	}
	nobody := t.nobody
	t.mu.Unlock()
	select {
	case <-nobody:
		return true
	case <-ctx.Done():
		return false
	}
}

// add registers a connection. One that came while the server was drained is asked to leave.
func (t *Transport) add(c *conn) {
	t.mu.Lock()
	t.conns[c] = struct{}{}
	draining := t.draining
	t.mu.Unlock()
	t.wheel.schedule(c, c.deadline)
	if draining {
		c.shut(CloseServiceRestart, "Service restart")
	}
}

// claim counts the connection as its owner's, and reports whether that one may have it.
func (t *Transport) claim(c *conn, owner string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, here := t.conns[c]; !here || owner == "" {
		return true
	}
	if t.owners[owner] >= t.config.MaxConnections {
		return false
	}
	t.owners[owner]++
	c.owner = owner
	return true
}

// remove forgets a connection.
func (t *Transport) remove(c *conn) {
	t.wheel.remove(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
	if c.owner != "" {
		if t.owners[c.owner]--; t.owners[c.owner] == 0 {
			delete(t.owners, c.owner)
		}
	}
	if len(t.conns) == 0 && t.nobody != nil {
		close(t.nobody)
		t.nobody = nil
	}
}
