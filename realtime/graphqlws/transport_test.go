package graphqlws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"

	"github.com/belfryhq/belfry/realtime/graphqlws"
)

const event = `{"id":"1","type":"next","payload":{"data":{"name":"test"}}}`

func TestSubscription(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{})
	c := dialInit(t, s.url)
	if n := s.transport.Connections(); n != 1 {
		t.Errorf("Connections() = %d, want 1", n)
	}
	c.subscribe("1")
	for range 3 {
		s.SendNextSubscriptionMessage()
		c.expect(event)
	}
	c.send(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
	s.SendCompleteSubscriptionMessage()
	c.expect(`{"id":"1","type":"complete"}`)

	c.subscribe("1") // the id is free again
	s.SendNextSubscriptionMessage()
	c.expect(event)
	c.send(`{"id":"1","type":"complete"}`) // which isn't answered
	eventually(t, "it has ended", func() bool { return s.transport.Stats().Operations == 0 })
	c.subscribe("1")
	s.SendNextSubscriptionMessage()
	c.expect(event)
	_ = c.Close()
	eventually(t, "the connection has ended", func() bool { return s.transport.Connections() == 0 })
}

func TestInitDecides(t *testing.T) {
	t.Parallel()
	type key struct{}
	seen := make(chan any, 1)
	s := serve(t, graphqlws.Config{Init: func(_ context.Context, payload map[string]any) (context.Context, error) {
		return context.WithValue(context.Background(), key{}, payload["token"]), nil // a context of its own
	}})
	s.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
		seen <- ctx.Value(key{})
		return next(ctx)
	})
	c := dial(t, s.url)
	c.send(`{"type":"connection_init","payload":{"token":"ana"}}`)
	c.expect(`{"type":"connection_ack"}`)
	c.subscribe("1")
	if got := <-seen; got != "ana" {
		t.Errorf("the operation's context has %v, want what Init put there", got)
	}
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 100) // 200 bytes
	for _, tt := range []struct {
		name   string
		err    error
		code   int
		reason string
	}{
		{"forbidden", graphqlws.Forbidden("The token has expired"), 4403, "The token has expired"},
		{"wrapped", fmt.Errorf("auth: %w", graphqlws.Forbidden("No token")), 4403, "No token"},
		{"code", &graphqlws.CloseError{Code: graphqlws.CloseTryAgainLater, Reason: "Busy"}, 1013, "Busy"},
		{"any error keeps its text", errors.New("dial tcp 10.0.0.7: refused"), 4403, "Forbidden"},
		{"reason at the limit", graphqlws.Forbidden(long[:122] + "!"), 4403, long[:122] + "!"},
		{"reason too long", graphqlws.Forbidden(long), 4403, long[:122]}, // 123 would cut a character
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, graphqlws.Config{Init: func(context.Context, map[string]any) (context.Context, error) {
				return nil, tt.err
			}})
			c := dial(t, s.url)
			c.send(`{"type":"connection_init","payload":{}}`)
			if got := c.expectClose(tt.code); got != tt.reason {
				t.Errorf("reason %q, want %q", got, tt.reason)
			}
		})
	}
}

func TestInitWithoutContextIsHarmless(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{Init: func(context.Context, map[string]any) (context.Context, error) { return nil, nil }})
	c := dialInit(t, s.url)
	c.subscribe("1")
	s.SendNextSubscriptionMessage()
	c.expect(event)
}

func TestCredentialsExpire(t *testing.T) {
	t.Parallel()
	type key struct{}
	s := serve(t, graphqlws.Config{
		Init: func(ctx context.Context, _ map[string]any) (context.Context, error) {
			return context.WithValue(ctx, key{}, time.Now().Add(50*time.Millisecond)), nil
		},
		Expires: func(ctx context.Context) time.Time { return ctx.Value(key{}).(time.Time) },
	})
	c := dialInit(t, s.url)
	c.expectClose(4403)
	eventually(t, "the connection has ended", func() bool { return s.transport.Connections() == 0 })
}

func TestProtocolViolations(t *testing.T) {
	t.Parallel()
	const initMessage = `{"type":"connection_init"}`
	for _, tt := range []struct {
		name     string
		messages []string
		code     int
	}{
		{"nothing in time", nil, 4408},
		{"no JSON", []string{`hello`}, 4400},
		{"no JSON later", []string{initMessage, `{"type":`}, 4400},
		{"no object", []string{`[]`}, 4400},
		{"unknown type", []string{initMessage, `{"type":"start"}`}, 4400},
		{"subscribe before init", []string{`{"id":"1","type":"subscribe"}`}, 4401},
		{"binary", []string{initMessage, "\x00"}, 4400},
		{"init with a payload of another kind", []string{`{"type":"connection_init","payload":[]}`}, 4400},
		{"subscribe without a payload", []string{initMessage, `{"id":"1","type":"subscribe"}`}, 4400},
		{"subscribe without a query", []string{initMessage, `{"id":"1","type":"subscribe","payload":{}}`}, 4400},
		{"variables of another kind", []string{initMessage, `{"id":"1","type":"subscribe","payload":{"query":"{ name }","variables":[]}}`}, 4400},
		{"a key twice", []string{initMessage, `{"type":"ping","type":"pong"}`}, 4400},
		{"an id beyond the limit", []string{initMessage, `{"id":"` + strings.Repeat("i", graphqlws.MaxIDLength+1) + `","type":"subscribe","payload":{"query":"{ name }"}}`}, 4400},
		{"subscribe without an id", []string{initMessage, `{"type":"subscribe","payload":{"query":"subscription { name }"}}`}, 4400},
		{"init twice", []string{initMessage, initMessage}, 4429},
		{"an id twice", []string{
			initMessage,
			`{"id":"1","type":"subscribe","payload":{"query":"subscription { name }"}}`,
			`{"id":"1","type":"subscribe","payload":{"query":"subscription { name }"}}`,
		}, 4409},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			timeout := patience
			if tt.messages == nil {
				timeout = 50 * time.Millisecond
			}
			s := serve(t, graphqlws.Config{InitTimeout: timeout})
			c := dial(t, s.url)
			for i, message := range tt.messages {
				c.send(message)
				if i == 0 && message == initMessage {
					c.expect(`{"type":"connection_ack"}`)
				}
			}
			c.expectClose(tt.code)
			eventually(t, "the connection has ended", func() bool { return s.transport.Connections() == 0 })
		})
	}
}

func TestAnErrorEndsTheOperation(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{})
	c := dialInit(t, s.url)
	c.send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { nonsense }"}}`)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, message, err := c.ReadMessage(); err != nil || !strings.Contains(string(message), `"type":"error"`) {
		t.Fatalf("want an error, got %s %v", message, err)
	}
	c.subscribe("1") // no complete in between: the id is free
	s.SendNextSubscriptionMessage()
	c.expect(event)
}

func TestSubprotocol(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{})
	for _, offered := range [][]string{nil, {"graphql-ws"}} {
		ws, _, err := tryDial(s.url, nil, offered...)
		if err != nil {
			t.Fatal(err)
		}
		client{ws, t}.expectClose(4406)
		_ = ws.Close()
	}
	ws, _, err := tryDial(s.url, nil, "graphql-ws", "graphql-transport-ws")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	if ws.Subprotocol() != "graphql-transport-ws" {
		t.Errorf("negotiated %q", ws.Subprotocol())
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	const app = "https://app.example.com"
	for _, tt := range []struct {
		name    string
		allowed []string
		origin  string // "same" stands for the server's own
		want    int
	}{
		{"same origin", nil, "same", http.StatusSwitchingProtocols},
		{"another", nil, app, http.StatusForbidden},
		{"no browser", nil, "", http.StatusSwitchingProtocols},
		{"nonsense", nil, "null", http.StatusForbidden},
		{"listed", []string{"https://other.example", app}, app, http.StatusSwitchingProtocols},
		{"listed with a slash", []string{"https://App.example.com/"}, app, http.StatusSwitchingProtocols},
		{"not listed", []string{app}, "https://evil.example", http.StatusForbidden},
		{"other scheme", []string{app}, "http://app.example.com", http.StatusForbidden},
		{"only a suffix", []string{app}, "https://app.example.com.evil.example", http.StatusForbidden},
		{"listed, no browser", []string{app}, "", http.StatusSwitchingProtocols},
		{"any", []string{"*"}, app, http.StatusSwitchingProtocols},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, graphqlws.Config{AllowedOrigins: tt.allowed})
			header := http.Header{}
			if tt.origin == "same" {
				header.Set("Origin", "http"+strings.TrimPrefix(s.url, "ws"))
			} else if tt.origin != "" {
				header.Set("Origin", tt.origin)
			}
			ws, response, err := tryDial(s.url, header, "graphql-transport-ws")
			if ws != nil {
				defer func() { _ = ws.Close() }()
			}
			if response == nil || response.StatusCode != tt.want {
				t.Errorf("got %v %v, want status %d", response, err, tt.want)
			}
		})
	}
}

func TestReadLimit(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{})
	message := func(size int) string {
		const frame = `{"type":"ping","payload":{"x":""}}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("x", size-len(frame))+`"`, 1)
	}
	c := dialInit(t, s.url)
	c.send(message(graphqlws.DefaultReadLimit))
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := c.ReadMessage(); err != nil {
		t.Fatalf("a message at the limit: %v", err)
	}
	c.send(message(graphqlws.DefaultReadLimit + 1))
	c.expectClose(websocket.CloseMessageTooBig)
}

func TestASilentPeerIsCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{PingInterval: 50 * time.Millisecond})
	c := dialInit(t, s.url)
	pings := 0
	c.SetPingHandler(func(string) error { // answers the first three alone
		if pings++; pings <= 3 {
			return c.WriteControl(websocket.PongMessage, nil, time.Now().Add(patience))
		}
		return nil
	})
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, message, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
		t.Errorf("got %s %v, want to be cut off: a close frame would wait for a peer that is gone", message, err)
	}
	if pings < 4 {
		t.Errorf("cut off after %d pings, of which three were answered", pings)
	}
	eventually(t, "the connection has ended", func() bool { return s.transport.Connections() == 0 })
}

func TestOperationsAreLimited(t *testing.T) {
	t.Parallel()
	const limit = 3
	started := make(chan struct{}, limit+1)
	s := serve(t, graphqlws.Config{MaxOperations: limit})
	s.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
		started <- struct{}{}
		return next(ctx)
	})
	c := dialInit(t, s.url)
	for i := range limit {
		c.subscribe(fmt.Sprint("operation-", i))
		<-started
	}
	for range 2 {
		c.subscribe("1")
		c.expect(`{"id":"1","type":"error","payload":[{
			"message":"This connection has 3 operations running, which is the limit: complete one, or open another connection.",
			"extensions":{"code":"TOO_MANY_OPERATIONS"}}]}`)
	}
	c.send(`{"id":"operation-0","type":"complete"}`)
	c.subscribe("1")
	<-started
	if len(started) != 0 {
		t.Error("a refused operation was started")
	}
}

func TestAPanicOfInitIsNotTheClientsFault(t *testing.T) {
	t.Parallel()
	panics := make(chan any, 1)
	s := serve(t, graphqlws.Config{
		Init:     func(context.Context, map[string]any) (context.Context, error) { panic("a bug") },
		Panicked: func(p any) { panics <- p },
	})
	c := dial(t, s.url)
	c.send(`{"type":"connection_init"}`)
	c.expectClose(1013)
	if p := <-panics; p != "a bug" {
		t.Errorf("Panicked was told %v", p)
	}
	eventually(t, "the connection has ended", func() bool { return s.transport.Connections() == 0 })
}
