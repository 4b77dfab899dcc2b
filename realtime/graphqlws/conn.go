package graphqlws

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
)

// closeTimeout is how long a peer may take to answer our close frame before the socket is closed without.
const closeTimeout = 2 * time.Second

// leaveTimeout is how long a connection that is to end waits for the answers of its queries and mutations: clients send
// again, on their next connection, what wasn't answered, and a mutation may have been committed.
const leaveTimeout = time.Second

// phase is how far a connection has got.
type phase uint8

const (
	opened       phase = iota
	initialising       // connection_init has come, Init is deciding
	acknowledged
	leaving // once queries and mutations have been answered; nothing new is begun
	closing // a close frame is queued or sent, or none is to be: nothing else is
)

// conn is one connection. While nothing happens it has one goroutine, which waits for something to read: the reader, one
// goroutine after the other. The last one also has the last word: it closes the socket when it ends, or leaves that to a
// flusher that is still writing the answer to a close frame.
//
// Whoever wants the connection to end calls leave (with a close frame, after what is running), shut (with one, at once)
// or cut (without); the first one decides, but who is leaving may still be hurried.
type conn struct {
	transport *Transport
	exec      graphql.GraphExecutor
	ws        *websocket.Conn // reads only: it knows nothing of what is written to socket
	socket    net.Conn

	// The following are the reader's own.
	incoming *readOnly       // what ws reads from socket
	raw      syscall.RawConn // of socket; nil: it can't be waited for without reading
	limiter  limiter
	answered bool // a close frame has been read, or is to be written for what was read

	place place       // in the wheel, and guarded by it
	heard atomic.Bool // something has come since the last visit

	mu         sync.Mutex
	phase      phase
	owner      string
	ctx        context.Context // of operations; as Init returned it
	cancel     context.CancelFunc
	operations []*operation // those that neither side has ended
	running    int          // goes on for a moment after an operation has ended
	finite     int          // of those that run: not known to be subscriptions
	farewell   *CloseError  // of one that is leaving
	queue      queue
	readerGone bool

	deadline time.Time // of the initialisation, then of the next ping. The wheel's own after the acknowledgement.
	expires  time.Time // zero: never
	missed   int       // visits since anything was heard; the wheel's own
}

// shut queues a close frame, after which nothing else is sent, and ends all operations without a word to the client:
// a complete would tell it that they are over, and it wouldn't subscribe again.
func (c *conn) shut(code int, reason string) {
	c.mu.Lock()
	c.shutLocked(code, reason)
	flush := c.startFlush()
	c.mu.Unlock()
	if flush {
		go c.flush()
	}
}

// shutLocked is shut for callers that hold mu, and flush afterwards.
func (c *conn) shutLocked(code int, reason string) {
	if c.phase == closing {
		return
	}
	c.phase = closing
	c.queue.append(func(b []byte) []byte { return appendClose(b, code, reason) })
	c.stop()
	_ = c.socket.SetReadDeadline(time.Now().Add(closeTimeout)) // fails if it is closed already
}

// leave shuts the connection once its queries and mutations have been answered, or have taken too long for it.
// Subscriptions end now, without a word; they are begun again on the next connection.
func (c *conn) leave(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase >= leaving {
		return
	}
	if c.phase == acknowledged {
		c.phase = leaving
		for _, o := range slices.Clone(c.operations) {
			if o.endless {
				c.forget(o)
			}
		}
	}
	c.farewell = &CloseError{Code: code, Reason: reason}
	if c.finite > 0 {
		time.AfterFunc(leaveTimeout, func() { c.shut(code, reason) })
		return
	}
	c.goIfDone()
}

// goIfDone shuts a connection that is leaving and has nothing to wait for. The caller holds mu.
func (c *conn) goIfDone() {
	if c.farewell == nil || c.finite > 0 || c.phase == closing {
		return
	}
	c.shutLocked(c.farewell.Code, c.farewell.Reason)
	if c.startFlush() {
		go c.flush()
	}
}

// forget ends an operation without a word. The caller holds mu.
func (c *conn) forget(o *operation) {
	c.strike(o)
	o.cancel()
	o.Wake() // to be done
}

// operation finds an operation by its id; nil if there is none. The caller holds mu.
func (c *conn) operation(id string) *operation {
	for _, o := range c.operations { // usually one or two
		if o.id == id {
			return o
		}
	}
	return nil
}

// strike has the client's view of the connection without an operation, if it is there. The caller holds mu.
func (c *conn) strike(o *operation) {
	if i := slices.Index(c.operations, o); i >= 0 {
		c.operations = slices.Delete(c.operations, i, i+1)
	}
}

// cut ends the connection at once, because the peer wouldn't get a close frame. Its client sees 1006, and comes back.
func (c *conn) cut(why error) {
	c.mu.Lock()
	if c.phase != closing && errors.Is(why, os.ErrDeadlineExceeded) {
		c.transport.slow.Add(1)
	}
	c.phase = closing
	c.stop()
	c.mu.Unlock()
	_ = c.socket.Close()
}

// stop ends the contexts of everything that goes on. The caller holds mu.
func (c *conn) stop() {
	c.cancel()
	for _, o := range c.operations {
		o.cancel()
	}
}

// end is what the reader does last.
func (c *conn) end() {
	answered := c.answered
	c.mu.Lock()
	c.phase = closing
	c.readerGone = true
	flush := answered && c.startFlush()
	wait := answered && c.queue.flushing
	c.stop()
	for _, o := range c.operations {
		o.Wake() // to be done
	}
	c.mu.Unlock()
	switch {
	case flush:
		c.flush() // closes the socket
	case !wait:
		_ = c.socket.Close()
	}
	c.transport.remove(c)
}

var errSilent = errors.New("nothing was heard from the peer")

// visit does what is due, and returns when to come again; never if zero. Only the wheel calls it.
func (c *conn) visit(now time.Time) time.Time {
	c.mu.Lock()
	phase, deadline, expires, due := c.phase, c.deadline, c.expires, c.due()
	c.mu.Unlock()
	switch {
	case phase == closing:
		return time.Time{}
	case !expires.IsZero() && !now.Before(expires):
		c.leave(CloseForbidden, "Credentials expired")
		return time.Time{}
	case now.Before(deadline):
		return due
	case phase < acknowledged:
		c.shut(CloseInitTimeout, "Connection initialisation timeout")
		return time.Time{}
	}
	if c.heard.Swap(false) {
		c.missed = 0
	} else if c.missed++; c.missed >= maxMissed {
		c.cut(errSilent)
		return time.Time{}
	}
	c.reply(websocket.PingMessage)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = now.Add(c.transport.config.PingInterval)
	return c.due()
}

// due is when to visit next. The caller holds mu.
func (c *conn) due() time.Time {
	if !c.expires.IsZero() && c.expires.Before(c.deadline) {
		return c.expires
	}
	return c.deadline
}

// maxMissed is how many pings in a row may go without an answer.
const maxMissed = 2

// firstPing spreads the pings of connections that were opened in the same moment.
func firstPing(now time.Time, interval time.Duration) time.Time {
	return now.Add(interval/2 + rand.N(interval/2+1))
}
