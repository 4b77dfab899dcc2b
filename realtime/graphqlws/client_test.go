package graphqlws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/testserver"
	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/realtime/graphqlws"
)

// Every goroutine of every connection must be gone at the end.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once, on a machine that has other things to do.
const patience = time.Minute

// server is a GraphQL server whose subscription { name } yields an event for every SendNextSubscriptionMessage.
type server struct {
	*testserver.TestServer
	url       string
	transport *graphqlws.Transport
}

func serve(t testing.TB, cfg graphqlws.Config) *server {
	t.Helper()
	s := &server{TestServer: testserver.New(), transport: graphqlws.New(cfg)}
	s.AddTransport(s.transport)
	s.url = listen(t, s, s.transport)
	return s
}

// listen serves the handler until the end of the test.
func listen(t testing.TB, handler http.Handler, transport *graphqlws.Transport) (url string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(func() {
		srv.Close()
		now, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if !transport.Drain(now) {
			t.Errorf("%d connections are left", transport.Connections())
		}
	})
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

// client speaks the protocol by hand, so that it can break it.
type client struct {
	*websocket.Conn
	t testing.TB
}

func dial(t testing.TB, url string) client {
	t.Helper()
	c, response, err := tryDial(url, nil, "graphql-transport-ws")
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, response)
	}
	t.Cleanup(func() { _ = c.Close() })
	return client{Conn: c, t: t}
}

func tryDial(url string, header http.Header, subprotocols ...string) (*websocket.Conn, *http.Response, error) {
	dialer := websocket.Dialer{Subprotocols: subprotocols, HandshakeTimeout: patience}
	return dialer.Dial(url, header)
}

// dialInit connects, and has the connection acknowledged.
func dialInit(t testing.TB, url string) client {
	t.Helper()
	c := dial(t, url)
	c.send(`{"type":"connection_init"}`)
	c.expect(`{"type":"connection_ack"}`)
	return c
}

func (c client) send(message string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		c.t.Fatalf("send %.100s: %v", message, err)
	}
}

func (c client) subscribe(id string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":"subscription { name }"}}`, id))
}

// expect reads one message and compares it as JSON.
func (c client) expect(want string) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, message, err := c.ReadMessage()
	if err != nil {
		c.t.Fatalf("want %s, got %v", want, err)
	}
	var got, wanted any
	if err := errors.Join(json.Unmarshal(message, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
		c.t.Fatalf("%s: %v", message, err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		c.t.Fatalf("message (-want +got):\n%s", diff)
	}
}

// expectClose reads the close frame, and returns its reason.
func (c client) expectClose(code int) string {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, message, err := c.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code {
		c.t.Fatalf("want a close with %d, got %s %v", code, message, err)
	}
	return closed.Text
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
