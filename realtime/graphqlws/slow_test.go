package graphqlws_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry/realtime/graphqlws"
)

// flood is a schema whose subscription yields large events as fast as they are taken.
type flood struct {
	graphql.ExecutableSchemaMock
	made  atomic.Int64 // events
	ended chan struct{}
}

const floodEvent = 64 << 10 // bytes

func newFlood() *flood {
	f := &flood{ended: make(chan struct{}, 1000)}
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: `type Query { name: String! } type Subscription { name: String! }`})
	data := []byte(`{"name":"` + strings.Repeat("x", floodEvent) + `"}`)
	f.SchemaFunc = func() *ast.Schema { return schema }
	f.ComplexityFunc = func(context.Context, string, string, int, map[string]any) (int, bool) { return 0, false }
	f.ExecFunc = func(ctx context.Context) graphql.ResponseHandler {
		context.AfterFunc(ctx, func() { f.ended <- struct{}{} })
		return func(context.Context) *graphql.Response {
			f.made.Add(1)
			return &graphql.Response{Data: data}
		}
	}
	return f
}

func (f *flood) serve(t *testing.T, cfg graphqlws.Config) (*graphqlws.Transport, string) {
	t.Helper()
	ws := graphqlws.New(cfg)
	srv := handler.New(f)
	srv.AddTransport(ws)
	return ws, listen(t, srv, ws)
}

func (f *flood) awaitEnd(t *testing.T, ws *graphqlws.Transport) {
	t.Helper()
	select {
	case <-f.ended:
	case <-time.After(patience):
		t.Fatal("the operation is still running")
	}
	eventually(t, "the connection has ended", func() bool { return ws.Connections() == 0 })
}

func TestAClientThatStopsReadingIsDisconnected(t *testing.T) {
	t.Parallel()
	f := newFlood()
	ws, url := f.serve(t, graphqlws.Config{WriteTimeout: 200 * time.Millisecond})
	c := shrunk(t, url)
	c.subscribe("1")
	// ... and never reads again.
	f.awaitEnd(t, ws)
	if slow := ws.Stats().Slow; slow != 1 {
		t.Errorf("Stats().Slow = %d, want 1", slow)
	}
}

// What a client has not read yet is bounded, however many operations it has: they wait.
func TestOperationsWaitForASlowClient(t *testing.T) {
	t.Parallel()
	f := newFlood()
	ws, url := f.serve(t, graphqlws.Config{WriteTimeout: patience})
	c := dialInit(t, url)
	const operations = 10
	for i := range operations {
		c.subscribe(string(rune('a' + i)))
	}
	// All stand still in the end: full are the queue and the socket's buffers, and each holds one event.
	var before int64
	eventually(t, "the operations wait", func() bool {
		last := before
		before = f.made.Load()
		time.Sleep(50 * time.Millisecond)
		return last == before && before > operations
	})
	const socketBuffers = 8 << 20 // of Linux, at most, both sides
	if made := before * floodEvent; made > graphqlws.MaxQueue+operations*floodEvent+socketBuffers {
		t.Errorf("%d bytes are waiting for a client that doesn't read", made)
	}
	// They go on when it reads, and the client's pings are answered in between.
	c.send(`{"type":"ping"}`)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for more, pong := before, false; f.made.Load() < more+10*operations || !pong; {
		_, message, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		pong = pong || strings.Contains(string(message), `"pong"`)
	}
	_ = c.Close()
	f.awaitEnd(t, ws)
}

// Answers that nobody reads fill the queue too, and nobody can be made to wait for those.
func TestAClientThatAsksWithoutReadingIsDisconnected(t *testing.T) {
	t.Parallel()
	f := newFlood()
	ws, url := f.serve(t, graphqlws.Config{WriteTimeout: patience, MessageRate: 10_000})
	c := shrunk(t, url)
	ping := `{"type":"ping","payload":{"x":"` + strings.Repeat("x", 60<<10) + `"}}`
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	for {
		if err := c.WriteMessage(websocket.TextMessage, []byte(ping)); err != nil {
			break // it was cut off, because it doesn't read its close frame either
		}
	}
	eventually(t, "the connection has ended", func() bool { return ws.Connections() == 0 })
}
