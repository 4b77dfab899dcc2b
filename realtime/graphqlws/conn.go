package graphqlws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"
)

const closeTimeout = time.Second // for a close frame to get into the socket's buffer

// conn is one connection as the stock transport sees it. It enforces on the way in what that one lets pass, and
// translates close codes on the way out. Reads come from one goroutine, writes under the stock transport's lock,
// closes from anywhere.
type conn struct {
	ws            *websocket.Conn // nil until upgraded
	writeTimeout  time.Duration
	maxOperations int32
	operations    atomic.Int32 // see LimitOperations

	mu       sync.Mutex
	ctx      context.Context     // as Init returned it
	initSeen bool                // connection_init has been received
	acked    bool                // and acknowledged
	active   map[string]struct{} // ids of operations that the server has not ended yet
	closing  bool                // a close frame has been sent, or none is to be
}

var (
	_ transport.WebsocketConn          = (*conn)(nil)
	_ transport.WebsocketReadLimiter   = (*conn)(nil)
	_ transport.WebsocketReadDeadliner = (*conn)(nil)
)

func newConn(cfg Config) *conn {
	return &conn{
		writeTimeout:  cfg.WriteTimeout,
		maxOperations: int32(cfg.MaxOperations),
		active:        make(map[string]struct{}),
	}
}

// initialised records what Init has returned.
func (c *conn) initialised(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx = ctx
}

// envelope is what of a protocol message concerns us.
type envelope struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// NextReader returns the next message that keeps to the protocol. The first that doesn't ends the connection.
func (c *conn) NextReader() (int, io.Reader, error) {
	messageType, data, err := c.ws.ReadMessage()
	if err != nil {
		// Either the peer has closed, and has its answer, or it has vanished. The stock transport would say 1000
		// now, upon which a client that is still there would connect again without any delay.
		c.noCloseFrame()
		if errors.Is(err, net.ErrClosed) ||
			websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
			err = transport.ErrWebsocketClosed
		}
		return 0, nil, err
	}
	if violation := c.check(messageType, data); violation != nil {
		_ = c.WriteClose(violation.Code, violation.Reason)
		return 0, nil, transport.ErrWebsocketClosed
	}
	return messageType, bytes.NewReader(data), nil
}

// check returns what is wrong with a client's message, nil if nothing is.
func (c *conn) check(messageType int, data []byte) *CloseError {
	var m envelope
	if messageType != websocket.TextMessage || json.Unmarshal(data, &m) != nil {
		return &CloseError{CloseInvalidMessage, "Invalid message: want a text frame with a JSON object"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Type {
	case "connection_init":
		if c.initSeen {
			return &CloseError{CloseTooManyInits, "Too many initialisation requests"}
		}
		c.initSeen = true
		return nil
	case "subscribe", "complete", "ping", "pong":
	default:
		return &CloseError{CloseInvalidMessage, fmt.Sprintf("Invalid message: unknown type %.40q", m.Type)}
	}
	if !c.acked {
		return &CloseError{CloseUnauthorized, "Unauthorized: send connection_init first"}
	}
	if m.Type == "subscribe" {
		if m.ID == "" {
			return &CloseError{CloseInvalidMessage, "Invalid message: subscribe needs an id"}
		}
		if _, duplicate := c.active[m.ID]; duplicate {
			return &CloseError{CloseDuplicateOperation, "Subscriber for " + m.ID + " already exists"}
		}
		c.active[m.ID] = struct{}{}
	}
	return nil
}

// WriteJSON writes one message within the write timeout. A connection that can't is closed, which ends the read
// loop and with it the operations: the stock transport only notes the error.
func (c *conn) WriteJSON(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if !c.noteWrite(data) {
		return nil
	}
	_ = c.ws.SetWriteDeadline(time.Now().Add(c.writeTimeout))
	if err := c.ws.WriteMessage(websocket.TextMessage, data); err != nil {
		_ = c.ws.Close()
		return err
	}
	return nil
}

// The type comes last in what the stock transport marshals, so the end of a message tells it apart.
var (
	endOfComplete = []byte(`"type":"complete"}`)
	endOfError    = []byte(`"type":"error"}`)
)

// noteWrite keeps the state of the connection, and reports whether the message is to be sent: not so a complete
// after an error, which has ended the operation already.
func (c *conn) noteWrite(data []byte) bool {
	complete := bytes.HasSuffix(data, endOfComplete)
	var m envelope
	if complete || bytes.HasSuffix(data, endOfError) {
		_ = json.Unmarshal(data, &m) // just marshalled
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked = true // nothing is written before connection_ack
	if m.ID == "" {
		return true
	}
	_, active := c.active[m.ID]
	delete(c.active, m.ID)
	return active || !complete
}

// WriteClose sends the first close frame, if there is still a point; later ones are dropped.
func (c *conn) WriteClose(code int, reason string) error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return nil
	}
	c.closing = true
	code, reason = c.translate(code, reason)
	c.mu.Unlock()
	frame := websocket.FormatCloseMessage(code, cutReason(reason))
	return c.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(closeTimeout))
}

func (c *conn) noCloseFrame() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
}

// translate turns the stock transport's close codes into those of the protocol. The caller holds mu.
func (c *conn) translate(code int, reason string) (int, string) {
	switch {
	case code == transport.WebsocketCloseProtocolError && !c.initSeen:
		// Violations are ours to find, so there is one way to get here.
		return CloseInitTimeout, "Connection initialisation timeout"
	case code != transport.WebsocketCloseNormalClosure || c.ctx == nil:
		return code, reason
	case errors.Is(c.ctx.Err(), context.DeadlineExceeded):
		return CloseForbidden, "Credentials expired"
	case c.ctx.Err() != nil:
		return CloseServiceRestart, "Service restart" // 1000 would bring all clients back at once
	default:
		return code, reason
	}
}

func (c *conn) SetReadLimit(limit int64)          { c.ws.SetReadLimit(limit) }
func (c *conn) SetReadDeadline(t time.Time) error { return c.ws.SetReadDeadline(t) }
func (c *conn) Subprotocol() string               { return c.ws.Subprotocol() }
func (c *conn) Close() error                      { return c.ws.Close() }

// closeSocket closes the connection if it has become one.
func (c *conn) closeSocket() {
	if c.ws != nil {
		_ = c.ws.Close()
	}
}
