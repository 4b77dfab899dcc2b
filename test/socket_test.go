package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// socket is a WebSocket that speaks graphql-transport-ws.
type socket struct {
	conn *websocket.Conn

	writing sync.Mutex
	mu      sync.Mutex
	streams map[string]chan frame
	acked   chan struct{}
	closed  chan struct{} // then err says why
	err     error
}

// frame is a message of the protocol.
type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// streamBuffer is more than any test leaves unread.
const streamBuffer = 20_000

// open connects and sends connection_init; await acked or closed.
func open(ctx context.Context, address string, header http.Header, payload any) (*socket, *http.Response, error) {
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: patience}
	conn, response, err := dialer.DialContext(ctx, "ws://"+address+"/graphql", header)
	if err != nil {
		return nil, response, err
	}
	s := &socket{conn: conn, streams: make(map[string]chan frame), acked: make(chan struct{}), closed: make(chan struct{})}
	init, err := json.Marshal(payload)
	if err != nil {
		return nil, nil, err
	}
	go s.read()
	return s, response, s.send(frame{Type: "connection_init", Payload: init})
}

func (s *socket) send(f frame) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.conn.WriteJSON(f)
}

// read hands frames to their streams until the socket ends.
func (s *socket) read() {
	defer close(s.closed)
	defer s.conn.Close()
	for {
		var f frame
		if err := s.conn.ReadJSON(&f); err != nil {
			s.err = err
			return
		}
		switch f.Type {
		case "connection_ack":
			close(s.acked)
		case "ping":
			_ = s.send(frame{Type: "pong"}) // the next read tells
		case "pong":
		default:
			s.mu.Lock()
			s.streams[f.ID] <- f
			s.mu.Unlock()
		}
	}
}

// start begins an operation.
func (s *socket) start(id, query string, variables vars) (*stream, error) {
	payload, err := json.Marshal(vars{"query": query, "variables": variables})
	if err != nil {
		return nil, err
	}
	st := &stream{socket: s, frames: make(chan frame, streamBuffer)}
	s.mu.Lock()
	s.streams[id] = st.frames
	s.mu.Unlock()
	return st, s.send(frame{ID: id, Type: "subscribe", Payload: payload})
}

// closeCode waits for the end of the socket, and returns the code and reason of the close frame.
func (s *socket) closeCode(t testing.TB) (int, string) {
	t.Helper()
	select {
	case <-s.closed:
	case <-time.After(patience):
		t.Fatal("the socket stays open")
	}
	closed, ok := errors.AsType[*websocket.CloseError](s.err)
	if !ok {
		t.Fatalf("the socket ended without a close frame: %v", s.err)
	}
	return closed.Code, closed.Text
}

// stream is an operation on a socket.
type stream struct {
	socket *socket
	frames chan frame
}

// next returns the next frame, within some time.
func (st *stream) next(within time.Duration) (frame, error) {
	select {
	case f := <-st.frames:
		return f, nil
	case <-st.socket.closed:
		return frame{}, fmt.Errorf("the socket ended: %w", st.socket.err)
	case <-time.After(within):
		return frame{}, fmt.Errorf("nothing came within %v", within)
	}
}

// payload is what a device sends with connection_init.
func (c caller) payload() vars {
	p := vars{"authorization": "Bearer " + c.key}
	if c.token != "" {
		p["userToken"] = c.token
	}
	return p
}

// connect opens a socket that the server acknowledged.
func (c caller) connect(t testing.TB) *socket {
	t.Helper()
	s, response, err := open(t.Context(), c.address, nil, c.payload())
	if err != nil {
		t.Fatalf("connect: %v (%v)", err, response)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	select {
	case <-s.acked:
	case <-s.closed:
		t.Fatalf("the connection was refused: %v", s.err)
	case <-time.After(patience):
		t.Fatal("no connection_ack")
	}
	return s
}

// subscribe begins an operation, on a socket that has no other.
func (s *socket) subscribe(t testing.TB, query string, variables vars) *stream {
	t.Helper()
	st, err := s.start("1", query, variables)
	if err != nil {
		t.Fatal(err)
	}
	return st
}
