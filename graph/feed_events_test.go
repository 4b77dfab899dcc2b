package graph

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// Whoever is first makes it for all: neither that they leave just then nor that they panic is the others' loss.
func TestSharedEventsDontDependOnTheFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "ours")
	ask[any](c, `mutation { identifyUser(input: {id: "ben", name: "Ben"}) { user { id } } }`, nil)
	ben, err := w.Recipients.UserID(t.Context(), c.env, "ben")
	if err != nil {
		t.Fatal(err)
	}
	ref := feed.Ref{Environment: c.env, User: "ana", Channel: "in-app"}
	viewer := belfry.Viewer{Environment: c.env, User: "ana"}
	r := *w.Resolver
	r.selections = encoder.NewCompiler()
	subscribed := subscribing(t, viewer, `subscription { feedEvents { ... on FeedItemUpserted { item { actors { name } tenant } } } }`)
	for name, first := range map[string]func(*feed.Event){
		"leaves": func(e *feed.Event) {
			ctx, leave := context.WithCancel(subscribed)
			leave()
			r.teller(ctx, ref)(e)
		},
		"panics": func(e *feed.Event) {
			defer func() { _ = recover() }()
			selection := r.selections.Compile(graphql.GetOperationContext(subscribed), graphql.GetFieldContext(subscribed).Field.Selections)
			e.Memo.Do(encoding{selection, viewer}, func() any { panic("test") })
		},
	} {
		event := &feed.Event{Kind: feed.Upserted, Item: &feed.Item{ID: belfry.MessageID{Recipient: 1, Channel: "in-app", Seq: 1}, Actor: ben}}
		if _, err := feed.NewNotice("topic", event); err != nil {
			t.Fatal(err)
		}
		first(event)
		if told, ok := r.teller(subscribed, ref)(event).(encoded); !ok || !strings.Contains(string(told.json), `"Ben"`) {
			t.Errorf("if the first %s, the others are told %s, encoded: %v", name, told.json, ok)
		}
	}
}

// A read that nobody can cancel ends by itself, however many there are for an event.
func TestSharedReadsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader := &references{of: auth.WithViewer(t.Context(), belfry.Viewer{User: "ana"})}
		defer reader.close()
		began := time.Now()
		ctx := reader.context()
		if auth.ViewerFrom(ctx).User != "ana" {
			t.Error("the viewer is lost")
		}
		<-reader.context().Done()
		if took := time.Since(began); took != sharedRead {
			t.Errorf("ended after %v, want %v", took, sharedRead)
		}
		if reader.context().Err() == nil {
			t.Error("the next read begins anew")
		}
	})
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
