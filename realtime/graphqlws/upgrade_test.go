package graphqlws_test

import (
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
