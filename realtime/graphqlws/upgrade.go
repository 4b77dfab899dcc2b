package graphqlws

import (
	"bufio"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// readOnly is a socket as the WebSocket library gets it: after the handshake it can't write. The library answers frames
// against the rules by itself, and its answer would land wherever the flusher is, in the middle of a frame.
type readOnly struct {
	net.Conn
	upgraded bool // set before there is more than one goroutine
}

func (s *readOnly) Write(p []byte) (int, error) {
	if s.upgraded {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

func (s *readOnly) SetWriteDeadline(deadline time.Time) error {
	if s.upgraded {
		return nil
	}
	return s.Conn.SetWriteDeadline(deadline)
}

// hijacker gives its socket away as readOnly.
type hijacker struct {
	http.ResponseWriter
	socket *readOnly
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	socket, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.socket = &readOnly{Conn: socket}
	return h.socket, buffers, nil
}

// upgrade shakes hands. It returns what reads frames, and the socket to write them to. A failure has been answered.
func (t *Transport) upgrade(w http.ResponseWriter, r *http.Request) (*websocket.Conn, net.Conn, error) {
	h := &hijacker{ResponseWriter: w}
	ws, err := t.upgrader.Upgrade(h, r, nil)
	if err != nil {
		return nil, nil, err
	}
	h.socket.upgraded = true
	return ws, h.socket.Conn, nil
}
