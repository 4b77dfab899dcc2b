package graphqlws_test

import (
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/gorilla/websocket"

	"github.com/belfryhq/belfry/realtime/graphqlws"
)

// pausing is a listener whose sockets pause in the middle of a large frame, until something is done about a frame
// against the rules: another write, or a deadline for the peer's answer.
type pausing struct {
	net.Listener
	paused, noticed chan struct{}
	pause, notice   sync.Once
}

type pausingConn struct {
	net.Conn
	of *pausing
}

func (l *pausing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return pausingConn{c, l}, err
}

func (c pausingConn) goOn() {
	select {
	case <-c.of.paused:
		c.of.notice.Do(func() { close(c.of.noticed) })
	default:
	}
}

func (c pausingConn) Write(p []byte) (int, error) {
	c.goOn()
	n, err := c.Conn.Write(p)
	if len(p) >= 64<<10 {
		c.of.pause.Do(func() { close(c.of.paused); <-c.of.noticed })
	}
	return n, err
}

func (c pausingConn) SetReadDeadline(t time.Time) error {
	c.goOn()
	return c.Conn.SetReadDeadline(t)
}

// What is said about a frame against the rules comes after the frame that is on its way, not within it.
func TestAProtocolErrorIsSaidBetweenFrames(t *testing.T) {
	t.Parallel()
	n := newCounter()
	n.padding = strings.Repeat(" ", 200<<10)
	ws := graphqlws.New(graphqlws.Config{})
	gql := handler.New(n)
	gql.AddTransport(ws)
	srv := httptest.NewUnstartedServer(gql)
	l := &pausing{Listener: srv.Listener, paused: make(chan struct{}), noticed: make(chan struct{})}
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	c := dialInit(t, "ws"+strings.TrimPrefix(srv.URL, "http"))
	c.send(countAlong)
	eventually(t, "it listens", func() bool { return n.listeners() == 1 })
	n.count(1, false)
	<-l.paused
	if _, err := c.NetConn().Write(clientFrame(final|3, nil)); err != nil {
		t.Fatal(err)
	}
	if got := c.number(); got != 1 {
		t.Errorf("got %d, want 1", got)
	}
	if reason := c.expectClose(websocket.CloseProtocolError); !strings.Contains(reason, "opcode") {
		t.Errorf("closed because %q", reason)
	}
	eventually(t, "the connection has ended", func() bool { return ws.Connections() == 0 })
}

// Whoever doesn't wait for the handshake gets no connection, and nobody's log a line: anybody could fill it.
func TestAClientThatDoesNotWaitForTheHandshake(t *testing.T) {
	t.Parallel()
	ws := graphqlws.New(graphqlws.Config{})
	gql := handler.New(newCounter())
	gql.AddTransport(ws)
	srv := httptest.NewUnstartedServer(gql)
	logged := &lines{}
	srv.Config.ErrorLog = log.New(logged, "", 0)
	srv.Start()
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request := "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
	if _, err := conn.Write(append([]byte(request), clientFrame(final|1, []byte(`{"type":"connection_init"}`))...)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if got, _ := io.ReadAll(conn); len(got) != 0 { // ended, or reset for what wasn't read
		t.Errorf("it was answered: %s", got)
	}
	srv.Close() // its handlers have returned
	if got := logged.String(); got != "" || ws.Connections() != 0 {
		t.Errorf("%d connections, and logged: %s", ws.Connections(), got)
	}
}

// lines is what several goroutines have written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
