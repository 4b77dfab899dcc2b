package graph

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/encoder"
	"github.com/belfryhq/belfry/graph/generated"
)

// Who is told of the same event shares its encoding, but not with those who may see more.
func TestSharedEventsShowEachViewerWhatTheyMaySee(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "ours")
	ask[any](c, `mutation { identifyUser(input: {id: "ben", name: "Ben", email: "ben@example.com"}) { user { id } } }`, nil)
	ben, err := w.Recipients.UserID(t.Context(), c.env, "ben")
	if err != nil {
		t.Fatal(err)
	}
	event := &feed.Event{Kind: feed.Upserted, Item: &feed.Item{ID: belfry.MessageID{Recipient: 1, Channel: "in-app", Seq: 1}, Actor: ben}}
	if _, err := feed.NewNotice("topic", event); err != nil { // which has it shared
		t.Fatal(err)
	}
	ref := feed.Ref{Environment: c.env, User: "ana", Channel: "in-app"}
	r := *w.Resolver
	r.selections = encoder.NewCompiler()
	tell := func(viewer belfry.Viewer) json.RawMessage {
		told, ok := r.teller(subscribing(t, viewer, `subscription { feedEvents { ... on FeedItemUpserted { item { actors { name email } } } } }`), ref)(event).(encoded)
		if !ok {
			t.Fatal("not encoded")
		}
		return told.json
	}
	backend, ana := belfry.Viewer{Environment: c.env}, belfry.Viewer{Environment: c.env, User: "ana"}
	for range 2 {
		if got := string(tell(backend)); !strings.Contains(got, `"ben@example.com"`) {
			t.Errorf("the backend is told %s", got)
		}
		if got := string(tell(ana)); !strings.Contains(got, `"Ben"`) || !strings.Contains(got, `"email":null`) {
			t.Errorf("another user is told %s", got)
		}
	}
	if one, other := tell(ana), tell(ana); &one[0] != &other[0] {
		t.Error("two devices of a user don't share an encoding")
	}
}

// subscribing is the context of a viewer's subscription.
func subscribing(t *testing.T, viewer belfry.Viewer, query string) context.Context {
	t.Helper()
	exec := executor.New(generated.NewExecutableSchema(generated.Config{}))
	ctx := auth.WithViewer(graphql.StartOperationTrace(t.Context()), viewer)
	op, errs := exec.CreateOperationContext(ctx, &graphql.RawParams{Query: query})
	if errs != nil {
		t.Fatal(errs)
	}
	field := graphql.CollectFields(op, op.Operation.SelectionSet, []string{"Subscription"})[0]
	return graphql.WithFieldContext(graphql.WithOperationContext(ctx, op), &graphql.FieldContext{Field: field})
}
