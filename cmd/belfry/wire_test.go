package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/postgres/pgtest"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a test waits for what should happen soon.
const patience = 20 * time.Second

// newNode is a node that works, on a database of its own, and an environment with the user ana.
func newNode(t *testing.T) (*belfryNode, belfry.EnvironmentID) {
	t.Helper()
	n, err := build(t.Context(), node{Workers: 1, BatchSize: 100, DatabaseConns: 8}, options{databaseURL: pgtest.EmptyURL(t)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 3)
	ctx := context.WithoutCancel(t.Context())
	parts := []*service{start(ctx, failed, "hub", n.hub.Run), start(ctx, failed, "engine", n.engine.Run), start(ctx, failed, "delivery", n.delivery.Run)}
	t.Cleanup(func() {
		for _, part := range parts {
			part.stop()
		}
		n.shut()
	})
	env, err := n.auth.CreateEnvironment(t.Context(), "production")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.people.IdentifyUser(t.Context(), env.ID, recipient.Identity{RecipientRef: belfry.User("ana")}); err != nil {
		t.Fatal(err)
	}
	return n, env.ID
}

// heldBack is a workflow whose message waits for some other day than today, and which then waits until it is seen.
func heldBack(t *testing.T) *workflow.Definition {
	t.Helper()
	var days []string
	for i := range 7 {
		kind := "do_not_send"
		if i == 3 { // days from now
			kind = "send"
		}
		days = append(days, fmt.Sprintf(`{"day": %q, "type": %q}`, strings.ToLower(time.Now().UTC().AddDate(0, 0, i).Weekday().String()), kind))
	}
	var d workflow.Definition
	err := json.Unmarshal([]byte(`{"name": "Held back", "steps": [
		{"ref": "first", "inApp": {"channel": "in-app", "body": "first", "format": "TEXT"}, "sendWindows": [`+strings.Join(days, ", ")+`]},
		{"ref": "look", "waitForEvent": {"event": {"type": "MESSAGE", "name": "seen", "step": "first"}, "timeout": {"unit": "days", "value": 20}}},
		{"ref": "second", "inApp": {"channel": "in-app", "body": "second", "format": "TEXT"}}]}`), &d)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}

// A message that was held back has the id of a delivery first and of a feed item later. Whoever waits for what happens to
// it waits for both, through all packages.
func TestARunWaitsForAMessageThatWasHeldBack(t *testing.T) {
	t.Parallel()
	for name, mark := range map[string]func(*belfryNode, feed.Ref, *feed.Item) error{
		"by its id": func(n *belfryNode, ref feed.Ref, item *feed.Item) error {
			_, err := n.feeds.Mark(t.Context(), ref, belfry.Seen, []belfry.MessageID{item.ID})
			return err
		},
		"with everything": func(n *belfryNode, ref feed.Ref, _ *feed.Item) error {
			_, err := n.feeds.MarkAll(t.Context(), ref, belfry.Seen, nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			n, env := newNode(t)
			ref := feed.Ref{Environment: env, User: "ana", Channel: belfry.DefaultFeed}
			if _, problems, err := n.engine.Upsert(t.Context(), env, "held-back", heldBack(t)); err != nil || len(problems) > 0 {
				t.Fatal(problems, err)
			}
			if _, err := n.engine.Trigger(t.Context(), env, &engine.Request{Workflow: "held-back", Recipients: []engine.Party{{Ref: belfry.User("ana")}}}); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "the run waits", func() bool { return count(t, n, `SELECT count(*) FROM waits`) == 1 })
			// Three days pass.
			if _, err := n.pool.Exec(t.Context(), `UPDATE deliveries SET due_at = $1`, time.Now().Add(-time.Second)); err != nil {
				t.Fatal(err)
			}
			items := func() []*feed.Item {
				page, err := n.feeds.Page(t.Context(), ref, feed.Filter{}, 10, 0)
				if err != nil {
					t.Fatal(err)
				}
				return page.Items
			}
			waitUntil(t, "the message is in the feed", func() bool { return len(items()) == 1 })
			if err := mark(n, ref, items()[0]); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "the run goes on", func() bool { return len(items()) == 2 })
		})
	}
}

func count(t *testing.T, n *belfryNode, sql string) (rows int) {
	t.Helper()
	if err := n.pool.QueryRow(t.Context(), sql).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// waitUntil polls until ok, or fails the test.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}
