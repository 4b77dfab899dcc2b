package graphqlws_test

import (
	"context"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry/realtime/graphqlws"
)

// leaver is a server whose connections are to end, at a word, while a mutation is running.
type leaver struct {
	*server
	client
	started, finish chan struct{}
	cut             chan error // why a mutation's context has ended before it was told to finish
	end             func()     // of what Init has returned
}

func newLeaver(t *testing.T) *leaver {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	l := &leaver{started: make(chan struct{}), finish: make(chan struct{}), cut: make(chan error, 1), end: end}
	l.server = serve(t, graphqlws.Config{Init: func(context.Context, map[string]any) (context.Context, error) { return ctx, nil }})
	l.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
		if graphql.GetOperationContext(ctx).Operation.Operation == ast.Mutation {
			l.started <- struct{}{}
			select {
			case <-l.finish:
			case <-ctx.Done():
				l.cut <- ctx.Err()
			}
			return graphql.OneShot(&graphql.Response{Data: []byte(`{"name":"test"}`)}) // the server has no mutations
		}
		return next(ctx)
	})
	l.client = dialInit(t, l.url)
	l.subscribe("1")
	l.SendNextSubscriptionMessage()
	l.expect(event)
	l.send(`{"id":"2","type":"subscribe","payload":{"query":"mutation { name }"}}`)
	<-l.started
	return l
}

var leavings = map[string]struct {
	begin func(*leaver)
	code  int
}{
	"credentials expire":    {func(l *leaver) { l.transport.Expire() }, 4403},
	"Init's context ends":   {func(l *leaver) { l.end() }, 1012},
	"the server is drained": {func(l *leaver) { go l.transport.Drain(context.Background()) }, 1012},
}

// The standard client sends again what wasn't answered, and a mutation would be executed twice.
func TestMutationsAreAnsweredBeforeAConnectionEnds(t *testing.T) {
	t.Parallel()
	for name, leaving := range leavings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLeaver(t)
			leaving.begin(l)
			eventually(t, "the subscription has ended", func() bool { return l.transport.Stats().Operations == 1 })
			l.subscribe("3") // ignored: it is begun again elsewhere
			l.send(`{"type":"ping"}`)
			l.expect(`{"type":"pong"}`)
			if n := l.transport.Stats().Operations; n != 1 {
				t.Errorf("%d operations run, want the mutation alone", n)
			}
			close(l.finish)
			l.expect(`{"id":"2","type":"next","payload":{"data":{"name":"test"}}}`)
			l.expect(`{"id":"2","type":"complete"}`)
			l.expectClose(leaving.code)
		})
	}
}

func TestAMutationThatTakesLongIsCutOff(t *testing.T) {
	t.Parallel()
	for name, leaving := range leavings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLeaver(t)
			begin := time.Now()
			leaving.begin(l)
			l.expectClose(leaving.code)
			if took := time.Since(begin); took < time.Second {
				t.Errorf("cut off after %v, want a second", took)
			}
			if err := <-l.cut; err != context.Canceled {
				t.Errorf("the mutation's context has ended with %v", err)
			}
		})
	}
}
