package graphqlws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/belfryhq/belfry/internal/pull"
	"github.com/belfryhq/belfry/realtime/graphqlws"
)

// counter is a schema whose subscription tells each number that has been reached, to every subscriber, without a
// goroutine.
type counter struct {
	schema  *ast.Schema
	padding string
	write   func(int) bool // which numbers are JSON before they are executed; none if nil

	executions atomic.Int64
	failing    bool // all but the first

	mu      sync.Mutex
	reached int
	ends    int // of all subscriptions that there were
	wakes   map[int]func()
	opened  int
}

func newCounter() *counter {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: `type Query { n: Int! } type Subscription { n: Int! }`})
	return &counter{schema: schema, wakes: make(map[int]func())}
}

// gqlgen's mock of a schema would keep every context that it has seen.
var _ graphql.ExecutableSchema = (*counter)(nil)

func (n *counter) Schema() *ast.Schema { return n.schema }

func (n *counter) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}

func (n *counter) Exec(ctx context.Context) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Query {
		return graphql.OneShot(&graphql.Response{Data: []byte(`{"n":0}`)})
	}
	if n.executions.Add(1) > 1 && n.failing {
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{{Message: "not again"}}})
	}
	numbers, _ := pull.Channel(ctx, func(wake func()) (pull.Source[int], error) { return n.open(wake), nil })
	return func(ctx context.Context) *graphql.Response {
		select {
		case i, ok := <-numbers:
			if !ok {
				return nil
			}
			return &graphql.Response{Data: fmt.Appendf(nil, `{"n":%d%s}`, i, n.padding)}
		case <-ctx.Done():
			return nil
		}
	}
}

// follower is one subscription.
type follower struct {
	of        *counter
	key       int
	told, end int
}

func (n *counter) open(wake func()) *follower {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opened++
	n.wakes[n.opened] = wake
	return &follower{n, n.opened, n.reached, n.ends}
}

func (f *follower) Next() (int, bool, error) {
	n := f.of
	n.mu.Lock()
	defer n.mu.Unlock()
	if f.told == n.reached {
		if n.ends != f.end {
			return 0, false, io.EOF
		}
		return 0, false, nil
	}
	f.told++
	return f.told, true, nil
}

func (f *follower) JSON(i int) []byte {
	if f.of.write != nil && f.of.write(i) {
		return fmt.Append(nil, i)
	}
	return nil
}

func (f *follower) Close() {
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	delete(f.of.wakes, f.key)
}

// count counts on, ends all subscriptions if asked to, wakes everybody, and returns what has been reached.
func (n *counter) count(by int, end bool) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reached += by
	if end {
		n.ends++
	}
	for _, wake := range n.wakes {
		wake() // under a lock that fill needs: it must not block
	}
	return n.reached
}

func (n *counter) listeners() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.wakes)
}

func (n *counter) serve(t testing.TB, cfg graphqlws.Config) (*graphqlws.Transport, string) {
	t.Helper()
	ws := graphqlws.New(cfg)
	srv := handler.New(n)
	srv.AddTransport(ws)
	return ws, listen(t, srv, ws)
}

const countAlong = `{"id":"1","type":"subscribe","payload":{"query":"subscription { n }"}}`

// number reads the next number of a subscription.
func (c client) number() int {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, data, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	var m struct {
		Payload struct{ Data struct{ N int } }
	}
	if err := json.Unmarshal(data, &m); err != nil {
		c.t.Fatal(err)
	}
	return m.Payload.Data.N
}

func TestPulledSubscription(t *testing.T) {
	t.Parallel()
	n := newCounter()
	ws, url := n.serve(t, graphqlws.Config{})
	c := dialInit(t, url)
	c.send(countAlong)
	eventually(t, "it listens", func() bool { return n.listeners() == 1 })
	n.count(2, false)
	c.expect(`{"id":"1","type":"next","payload":{"data":{"n":1}}}`)
	c.expect(`{"id":"1","type":"next","payload":{"data":{"n":2}}}`)
	n.count(1, true)
	c.expect(`{"id":"1","type":"next","payload":{"data":{"n":3}}}`)
	c.expect(`{"id":"1","type":"complete"}`)
	eventually(t, "the source is let go of", func() bool { return n.listeners() == 0 && ws.Stats().Operations == 0 })
}

// A subscription whose events are JSON has no execution, and gets one again for an event that isn't.
func TestEventsThatAreJSONNeedNoExecution(t *testing.T) {
	t.Parallel()
	n := newCounter()
	n.write = func(i int) bool { return i%3 != 0 }
	ws, url := n.serve(t, graphqlws.Config{})
	c := dialInit(t, url)
	c.send(`{"id":"1","type":"subscribe","payload":{"query":"subscription S($b: Boolean! = true) { ... @include(if: $b) { number: n } }","variables":{"b":true},"operationName":"S"}}`)
	eventually(t, "it listens", func() bool { return n.listeners() == 1 })
	for i := 1; i <= 7; i++ {
		n.count(1, false)
		key := "number"
		if i%3 == 0 {
			key = "n" // this schema executes everything as n
		}
		c.expect(fmt.Sprintf(`{"id":"1","type":"next","payload":{"data":{"%s":%d}}}`, key, i))
	}
	n.count(0, true)
	c.expect(`{"id":"1","type":"complete"}`)
	eventually(t, "the source is let go of", func() bool { return n.listeners() == 0 && ws.Stats().Operations == 0 })
	if got := n.executions.Load(); got != 2 { // at the beginning, and for 3
		t.Errorf("%d executions, want 2", got)
	}
	if n.opened != 1 {
		t.Errorf("%d sources were opened, want 1", n.opened)
	}
}

// What can't be executed again ends the subscription: nothing may be told behind what wasn't.
func TestAnExecutionThatFailsLaterIsTheEnd(t *testing.T) {
	t.Parallel()
	n := newCounter()
	n.failing, n.write = true, func(i int) bool { return i != 2 }
	ws, url := n.serve(t, graphqlws.Config{})
	c := dialInit(t, url)
	c.send(countAlong)
	eventually(t, "it listens", func() bool { return n.listeners() == 1 })
	n.count(3, false)
	c.expect(`{"id":"1","type":"next","payload":{"data":{"n":1}}}`)
	c.expect(`{"id":"1","type":"next","payload":{"errors":[{"message":"not again"}],"data":null}}`)
	c.expect(`{"id":"1","type":"complete"}`)
	eventually(t, "the source is let go of", func() bool { return n.listeners() == 0 && ws.Stats().Operations == 0 })
}

// A panic of the source ends the subscription with what the server makes of it, execution or not.
func TestAPanicOfASourceWithoutExecution(t *testing.T) {
	t.Parallel()
	n := newCounter()
	n.write = func(i int) bool {
		if i == 2 {
			panic("a bug")
		}
		return true
	}
	ws, url := n.serve(t, graphqlws.Config{})
	c := dialInit(t, url)
	c.send(countAlong)
	eventually(t, "it listens", func() bool { return n.listeners() == 1 })
	n.count(1, false)
	c.expect(`{"id":"1","type":"next","payload":{"data":{"n":1}}}`)
	n.count(1, false)
	c.expect(`{"id":"1","type":"error","payload":[{"message":"internal system error"}]}`)
	eventually(t, "the source is let go of", func() bool { return n.listeners() == 0 && ws.Stats().Operations == 0 })
}

func TestPulledSubscriptionIsCompletedByTheClient(t *testing.T) {
	t.Parallel()
	n := newCounter()
	ws, url := n.serve(t, graphqlws.Config{})
	c := dialInit(t, url)
	for range 50 {
		c.send(countAlong)
		eventually(t, "it listens", func() bool { return n.listeners() == 1 })
		c.send(`{"id":"1","type":"complete"}`)
		eventually(t, "the source is let go of", func() bool { return n.listeners() == 0 && ws.Stats().Operations == 0 })
		n.count(1, false) // heard by nobody
	}
	c.send(countAlong)
	eventually(t, "it listens", func() bool { return n.listeners() == 1 })
	_ = c.Close()
	eventually(t, "the source is let go of", func() bool { return n.listeners() == 0 && ws.Stats().Operations == 0 })
}

// No wake is lost, whenever it comes.
func TestEveryWakeCounts(t *testing.T) {
	t.Parallel()
	const clients, numbers = 5, 2000
	n := newCounter()
	_, url := n.serve(t, graphqlws.Config{})
	var reading sync.WaitGroup
	for range clients {
		c := dialInit(t, url)
		c.send(countAlong)
		reading.Go(func() {
			for want := 1; want <= numbers; want++ {
				if got := c.number(); got != want {
					t.Errorf("got %d, want %d", got, want)
					return
				}
			}
		})
	}
	eventually(t, "all listen", func() bool { return n.listeners() == clients })
	for i := range numbers {
		n.count(1, false)
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // so that they come to rest now and then
		}
	}
	reading.Wait()
}

// A wake may come while the last event is on its way: after the source was asked, before the operation has come to rest.
func TestAWakeWhileWritingCounts(t *testing.T) {
	t.Parallel()
	n := newCounter()
	_, url := n.serve(t, graphqlws.Config{})
	c := dialInit(t, url)
	c.send(countAlong)
	eventually(t, "it listens", func() bool { return n.listeners() == 1 })
	for want := 1; want <= 3000; want++ {
		n.count(1, false)
		if got := c.number(); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
}

// A source goes on while a client doesn't read; the client gets everything once it does.
func TestASlowClientHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const numbers = 6000 // more than fits into the socket's buffers
	n := newCounter()
	n.padding = strings.Repeat(" ", 1<<10)
	_, url := n.serve(t, graphqlws.Config{WriteTimeout: 2 * patience})
	slow, quick := dialInit(t, url), dialInit(t, url)
	slow.send(countAlong)
	quick.send(countAlong)
	eventually(t, "both listen", func() bool { return n.listeners() == 2 })
	n.count(numbers, false)
	for _, c := range []client{quick, slow} {
		for want := 1; want <= numbers; want++ {
			if got := c.number(); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
		}
	}
}
