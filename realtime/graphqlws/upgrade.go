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
	ahead    ahead
	buffer   *bufio.Reader // the library's, of this
}

// Read implements net.Conn.
func (s *readOnly) Read(p []byte) (int, error) {
	if n := s.ahead.take(p); n > 0 {
		return n, nil
	}
	return s.Conn.Read(p)
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
	if buffers.Reader.Buffered() > 0 {
		return socket, buffers, nil // the client hasn't waited for the handshake, and the library closes the socket
	}
	h.socket = &readOnly{Conn: socket}
	h.socket.buffer = bufio.NewReaderSize(h.socket, readBuffer)
	return h.socket, bufio.NewReadWriter(h.socket.buffer, buffers.Writer), nil
}

// upgrade shakes hands. It returns what reads frames, and the socket that it reads them from. A failure has been answered.
func (t *Transport) upgrade(w http.ResponseWriter, r *http.Request) (*websocket.Conn, *readOnly, error) {
	h := &hijacker{ResponseWriter: w}
	ws, err := t.upgrader.Upgrade(h, r, nil)
	if err != nil {
		return nil, nil, err
	}
	h.socket.upgraded = true
	return ws, h.socket, nil
}
