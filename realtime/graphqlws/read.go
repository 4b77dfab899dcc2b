package graphqlws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// MaxInitMessage is how many bytes a message may have before the connection is acknowledged.
	MaxInitMessage = 16 << 10

	// MaxIDLength is how many bytes the id of an operation may have.
	MaxIDLength = 256
)

// listen begins to handle what the client sends.
func (c *conn) listen() {
	c.ws.SetPongHandler(func(string) error { return c.control() })
	c.ws.SetPingHandler(func(payload string) error {
		c.reply(websocket.PongMessage, []byte(payload))
		return c.control()
	})
	c.ws.SetCloseHandler(func(code int, _ string) error {
		c.answered = true
		c.shut(code, "")
		return nil
	})
	if socket, ok := c.socket.(syscall.Conn); ok {
		c.raw, _ = socket.SyscallConn() // nil if it is closed: reading will say so
	}
	go c.await()
}

// read handles what the client sends, until the connection ends or nothing more has come. It leaves all work to others.
func (c *conn) read() {
	for c.readMessage() {
		if c.raw != nil && c.incoming.buffer.Buffered() == 0 {
			go c.await()
			return
		}
	}
	c.end()
}

// readMessage handles one message, and reports whether there may be more.
func (c *conn) readMessage() bool {
	opcode, r, err := c.ws.NextReader()
	if err != nil {
		c.fail(err)
		return false
	}
	c.limitMessage(time.Now().Add(c.transport.config.MessageTimeout))
	if !c.allow() {
		return true
	}
	limit := c.messageLimit()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		c.fail(err)
		return false
	case int64(len(data)) > limit:
		c.shut(websocket.CloseMessageTooBig, fmt.Sprintf("A message may have %d bytes", limit))
	case opcode != websocket.TextMessage:
		c.shut(CloseInvalidMessage, "Invalid message: "+errNoObject.Error())
	default:
		c.handle(data)
	}
	c.limitMessage(time.Time{})
	return true
}

// limitMessage sets when the message that is being read must be there; never if zero. Frames without content, without an
// end, count as nothing else.
func (c *conn) limitMessage(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != closing { // which has a deadline of its own
		_ = c.socket.SetReadDeadline(deadline) // fails if it is closed already
	}
}

// fail says goodbye because reading has failed, if there is somebody to say it to.
func (c *conn) fail(err error) {
	c.mu.Lock()
	over := c.phase == closing
	c.mu.Unlock()
	if over {
		return
	}
	if network, ok := errors.AsType[net.Error](err); ok {
		if network.Timeout() {
			c.answered = true
			c.shut(CloseTryAgainLater, fmt.Sprintf("Slow: a message may take %v", c.transport.config.MessageTimeout))
		}
		return
	}
	if _, gone := errors.AsType[*websocket.CloseError](err); gone || errors.Is(err, io.EOF) {
		return
	}
	c.answered = true
	c.shut(websocket.CloseProtocolError, strings.TrimPrefix(err.Error(), "websocket: ")) // a frame against the rules
}

// control counts a control frame.
func (c *conn) control() error {
	c.allow()
	return nil
}

// allow notes that something has come, and reports whether it is to be handled.
func (c *conn) allow() bool {
	c.heard.Store(true)
	if !c.limiter.allow(time.Now(), c.transport.config.MessageRate) {
		c.shut(CloseTooManyMessages, fmt.Sprintf("Too many messages: at most %d a second", c.transport.config.MessageRate))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase != closing
}

func (c *conn) messageLimit() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase < acknowledged {
		return min(MaxInitMessage, c.transport.config.ReadLimit)
	}
	return c.transport.config.ReadLimit
}

func (c *conn) handle(data []byte) {
	m, err := parse(data)
	if err != nil {
		c.shut(CloseInvalidMessage, "Invalid message: "+err.Error())
		return
	}
	switch m.kind {
	case "connection_init":
		c.mu.Lock()
		again := c.phase != opened
		if !again {
			c.phase = initialising
		}
		c.mu.Unlock()
		if again {
			c.shut(CloseTooManyInits, "Too many initialisation requests")
			return
		}
		go c.initialise(m.payload)
	case "subscribe":
		c.subscribe(m)
	case "complete":
		c.complete(m.id)
	case "ping":
		if m.payload == nil {
			c.replyText([]byte(`{"type":"pong"}`))
			return
		}
		c.replyText([]byte(`{"type":"pong","payload":`), m.payload, []byte(`}`))
	case "pong":
	default:
		c.shut(CloseInvalidMessage, fmt.Sprintf("Invalid message: unknown type %.40q", m.kind))
	}
}

// initialise has Init decide about the connection. It has a goroutine of its own: Init may read a database.
func (c *conn) initialise(payload []byte) {
	growStack(0)
	config := &c.transport.config
	defer func() {
		if p := recover(); p != nil {
			c.shut(CloseTryAgainLater, "Try again later")
			config.Panicked(p)
		}
	}()
	var decoded map[string]any
	if payload != nil && json.Unmarshal(payload, &decoded) != nil {
		c.shut(CloseInvalidMessage, "Invalid message: the payload of connection_init must be an object")
		return
	}
	ctx, err := config.Init(c.ctx, decoded)
	if err != nil {
		refusal := &CloseError{Code: CloseForbidden, Reason: "Forbidden"}
		errors.As(err, &refusal)
		c.shut(refusal.Code, refusal.Reason)
		return
	}
	if ctx == nil {
		ctx = c.ctx
	}
	if owner := config.Owner(ctx); !c.transport.claim(c, owner) {
		c.shut(CloseTooManyConnections, fmt.Sprintf("Too many connections: at most %d of one user", config.MaxConnections))
		return
	}
	c.acknowledge(ctx)
}

// acknowledge lets the client in.
func (c *conn) acknowledge(ctx context.Context) {
	values, cancel := context.WithoutCancel(ctx), c.cancel // operations don't end with ctx at once: see leave
	switch ctx.Done() {
	case nil: // nothing of the request is needed any more
		cancel()
		values, cancel = ctx, func() {}
	case c.ctx.Done(): // it ends with the connection, and not before
	default:
		unwatch, endSocket := context.AfterFunc(ctx, func() { c.leave(CloseServiceRestart, "Service restart") }), c.cancel
		cancel = func() { unwatch(); endSocket() }
	}
	now, expires := time.Now(), c.transport.config.Expires(ctx)
	c.mu.Lock()
	if c.phase == closing {
		c.mu.Unlock()
		cancel()
		return
	}
	c.ctx, c.cancel = values, cancel
	c.phase = acknowledged
	c.deadline, c.expires = firstPing(now, c.transport.config.PingInterval), expires
	c.queue.append(func(b []byte) []byte {
		return appendFrame(b, websocket.TextMessage, []byte(`{"type":"connection_ack"}`))
	})
	flush := c.startFlush()
	c.transport.wheel.schedule(c, c.due()) // under mu: end, which takes it out of the wheel, comes before or after as a whole
	c.mu.Unlock()
	if flush {
		c.flush()
	}
}
