package graphqlws_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/belfryhq/belfry/realtime/graphqlws"
)

// A complete would tell the client that the subscription is over: it wouldn't begin it again.
func TestAnEndingConnectionDoesNotCompleteOperations(t *testing.T) {
	t.Parallel()
	type end struct {
		transport *graphqlws.Transport
		leave     func()
	}
	for name, tt := range map[string]struct {
		how  func(end)
		code int
	}{
		"credentials expire":    {func(e end) { e.transport.Expire() }, 4403},
		"Init's context ends":   {func(e end) { e.leave() }, 1012},
		"the server is drained": {func(e end) { go e.transport.Drain(context.Background()) }, 1012},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				ctx, leave := context.WithCancel(context.Background())
				s := serve(t, graphqlws.Config{Init: func(context.Context, map[string]any) (context.Context, error) { return ctx, nil }})
				c := dialInit(t, s.url)
				c.subscribe("1")
				eventually(t, "it is subscribed", func() bool { return s.transport.Stats().Operations == 1 })
				s.SendNextSubscriptionMessage()
				c.expect(event)
				tt.how(end{s.transport, leave})
				c.expectClose(tt.code)
				leave()
			}
		})
	}
}

func TestDrainSpreadsTheComingBack(t *testing.T) {
	t.Parallel()
	const connections = 100
	s := serve(t, graphqlws.Config{})
	closed := make(chan time.Time, connections)
	for range connections {
		c := dialInit(t, s.url)
		go func() {
			_, _, err := c.ReadMessage()
			if !websocket.IsCloseError(err, 1012) {
				t.Errorf("closed with %v, want 1012", err)
			}
			closed <- time.Now()
		}()
	}
	begin := time.Now()
	if !s.transport.Drain(t.Context()) || s.transport.Connections() != 0 {
		t.Errorf("%d connections are left", s.transport.Connections())
	}
	var times []time.Time
	for range connections {
		times = append(times, <-closed)
	}
	slices.SortFunc(times, time.Time.Compare)
	if median := times[connections/2].Sub(begin); median < connections/2*2*time.Millisecond*8/10 {
		t.Errorf("half of the clients were asked within %v: all would come back at once", median)
	}
	if _, response, err := tryDial(s.url, nil, "graphql-transport-ws"); err == nil || response == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new connection: %v %v, want status 503", response, err)
	}
}

func TestDrainKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{})
	for range 20 {
		c := dialInit(t, s.url) // which never answers the close frame
		_ = c
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s.transport.Drain(ctx) {
		t.Error("clients that don't answer have gone")
	}
	eventually(t, "they are closed without an answer", func() bool { return s.transport.Connections() == 0 })
}

func TestConnectionsOfAnOwnerAreLimited(t *testing.T) {
	t.Parallel()
	const limit = 3
	type key struct{}
	s := serve(t, graphqlws.Config{
		MaxConnections: limit,
		Init: func(ctx context.Context, payload map[string]any) (context.Context, error) {
			return context.WithValue(ctx, key{}, payload["user"]), nil
		},
		Owner: func(ctx context.Context) string { return fmt.Sprint(ctx.Value(key{})) },
	})
	connect := func(user string) client {
		c := dial(t, s.url)
		c.send(`{"type":"connection_init","payload":{"user":"` + user + `"}}`)
		return c
	}
	var first client
	for i := range limit {
		c := connect("ann")
		c.expect(`{"type":"connection_ack"}`)
		if i == 0 {
			first = c
		}
	}
	connect("ann").expectClose(4291)
	connect("bob").expect(`{"type":"connection_ack"}`)
	connect("").expect(`{"type":"connection_ack"}`) // of nobody: not counted
	_ = first.Close()
	eventually(t, "the connection has ended", func() bool { return s.transport.Connections() == limit-1+2 })
	connect("ann").expect(`{"type":"connection_ack"}`)
	connect("ann").expectClose(4291)
}

func TestMessagesAreLimited(t *testing.T) {
	t.Parallel()
	const rate = 1 // ten at once, connection_init included
	for name, one := range map[string]func(client){
		"messages": func(c client) { c.send(`{"type":"pong"}`) },
		"pings":    func(c client) { _ = c.WriteControl(websocket.PingMessage, nil, time.Now().Add(patience)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, graphqlws.Config{MessageRate: rate})
			c := dialInit(t, s.url)
			for range 8 {
				one(c)
			}
			c.send(`{"type":"ping"}`)
			c.expect(`{"type":"pong"}`)
			one(c)
			one(c) // a second may have passed
			c.expectClose(4290)
		})
	}
}

func TestInitMessageIsLimited(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{})
	message := func(size int) string {
		const frame = `{"type":"connection_init","payload":{"x":""}}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("x", size-len(frame))+`"`, 1)
	}
	c := dial(t, s.url)
	c.send(message(graphqlws.MaxInitMessage))
	c.expect(`{"type":"connection_ack"}`)
	c = dial(t, s.url)
	c.send(message(graphqlws.MaxInitMessage + 1))
	c.expectClose(websocket.CloseMessageTooBig)
}

// The close frame must not be lost to a reset because something was left unread.
func TestACloseFrameReachesAClientThatIsTalking(t *testing.T) {
	t.Parallel()
	for range 20 {
		s := serve(t, graphqlws.Config{MessageRate: 1000})
		c := dialInit(t, s.url)
		for range 50 {
			c.send(`{"type":"ping"}`)
		}
		c.send(`nonsense`)
		for range 50 {
			_ = c.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping","payload":{"x":"`+strings.Repeat("x", 1000)+`"}}`))
		}
		for range 50 {
			c.expect(`{"type":"pong"}`)
		}
		c.expectClose(4400)
	}
}

func TestACloseOfTheClientIsAnswered(t *testing.T) {
	t.Parallel()
	for _, code := range []int{1000, 1001, 4499, websocket.CloseNoStatusReceived} {
		s := serve(t, graphqlws.Config{})
		c := dialInit(t, s.url)
		c.subscribe("1")
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "bye"), time.Now().Add(patience))
		c.expectClose(code)
		if _, err := c.NetConn().Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the close frame: %v, want the end", err)
		}
		eventually(t, "the operation has ended", func() bool { return s.transport.Stats() == graphqlws.Stats{} })
	}
}

// shrunk makes the socket's buffers small, so that a client that doesn't read is soon in the way.
func shrunk(t *testing.T, url string) client {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, NetDial: func(network, address string) (net.Conn, error) {
		c, err := net.Dial(network, address)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return c, err
	}}
	raw, _, err := dialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	c := client{raw, t}
	c.send(`{"type":"connection_init"}`)
	c.expect(`{"type":"connection_ack"}`)
	return c
}
