package encoder_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/encoder"
	"github.com/belfryhq/belfry/graph/generated"
	"github.com/belfryhq/belfry/graph/model"
)

// server answers feedEvents with one event: once as it is, for gqlgen to execute, and once encoded as far as that goes.
type server struct {
	generated.ResolverRoot
	events   events
	items    items
	executor *executor.Executor
	compiler *encoder.Compiler // nil: gqlgen executes
	encoded  bool              // the event was
	badge    []byte            // as the encoder has it
}

type events struct {
	generated.SubscriptionResolver
	server *server
	event  model.FeedEvent
	badge  model.BadgeEvent
}

type items struct {
	generated.FeedItemResolver
	actors []model.User
	tenant *string
	err    error // of both
}

type users struct{ generated.UserResolver }

func newServer() *server {
	s := &server{}
	s.events.server = s
	s.executor = executor.New(generated.NewExecutableSchema(generated.Config{Resolvers: s}))
	s.executor.SetRecoverFunc(func(context.Context, any) error { return errors.New("a panic") })
	return s
}

func (s *server) Subscription() generated.SubscriptionResolver { return &s.events }
func (s *server) FeedItem() generated.FeedItemResolver         { return &s.items }
func (s *server) User() generated.UserResolver                 { return users{} }

func (s *events) FeedEvents(ctx context.Context, _ model.FeedRef, _ *string, _ *model.FeedEventFilter) (<-chan model.FeedEvent, error) {
	event := s.event
	if c := s.server.compiler; c != nil {
		selection := c.Compile(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field.Selections)
		var json []byte
		if json, s.server.encoded = selection.Append(nil, event, &reader{ctx, &s.server.items}); s.server.encoded {
			event = encoded{event, json}
		}
	}
	out := make(chan model.FeedEvent, 1)
	out <- event
	return out, nil
}

func (s *events) Badge(ctx context.Context, _ model.FeedRef) (<-chan *model.BadgeEvent, error) {
	selection := encoder.CompileBadge(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field.Selections)
	s.server.badge, s.server.encoded = selection.Append(nil, &s.badge)
	out := make(chan *model.BadgeEvent, 1)
	out <- &s.badge
	return out, nil
}

func (i *items) Actors(context.Context, *model.FeedItem) ([]model.User, error) {
	return i.actors, i.err
}

func (i *items) Tenant(context.Context, *model.FeedItem) (*string, error) { return i.tenant, i.err }

func (users) ChannelData(context.Context, *model.User) ([]belfry.ChannelData, error) {
	return []belfry.ChannelData{}, nil
}

type reader struct {
	ctx   context.Context
	items *items
}

func (r *reader) Actors(item *model.FeedItem) ([]model.User, error) {
	return r.items.Actors(r.ctx, item)
}
func (r *reader) Tenant(item *model.FeedItem) (*string, error) { return r.items.Tenant(r.ctx, item) }

type encoded struct {
	model.FeedEvent
	json []byte
}

func (e encoded) MarshalGQL(w io.Writer) { _, _ = w.Write(e.json) }

// answer is what a client would be told of an event; errors are nil if the operation isn't valid.
func (s *server) answer(params graphql.RawParams) (data string, failures []string, invalid gqlerror.List) {
	ctx := graphql.StartOperationTrace(context.Background())
	op, errs := s.executor.CreateOperationContext(ctx, &params)
	if errs != nil {
		return "", nil, errs
	}
	responses, ctx := s.executor.DispatchOperation(graphql.WithOperationContext(ctx, op), op)
	response := responses(ctx)
	for _, err := range response.Errors {
		b, _ := json.Marshal(err)
		failures = append(failures, string(b))
	}
	slices.Sort(failures) // fields with resolvers are executed at the same time
	return string(response.Data), failures, nil
}

// agrees checks that an event is told alike by gqlgen and by the encoder, and reports whether it was encoded.
func (s *server) agrees(t rapid.TB, params graphql.RawParams) (isEncoded bool) {
	t.Helper()
	s.compiler = nil
	want, wantFailures, invalid := s.answer(params)
	if invalid != nil {
		t.Fatalf("%v in %s", invalid, params.Query)
	}
	s.compiler = encoder.NewCompiler()
	got, gotFailures, _ := s.answer(params)
	if got != want {
		t.Errorf("%s\n%v\nwant %s\ngot  %s", params.Query, params.Variables, want, got)
	}
	if diff := cmp.Diff(wantFailures, gotFailures); diff != "" {
		t.Errorf("%s: errors (-want +got)\n%s", params.Query, diff)
	}
	if s.encoded && len(wantFailures) > 0 {
		t.Errorf("%s: encoded what has errors: %v", params.Query, strings.Join(wantFailures, " "))
	}
	return s.encoded
}
