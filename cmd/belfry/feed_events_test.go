package main

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

const everyEvent = `subscription { feedEvents(feed: {user: "ana"}) { __typename position badge { total unread }
	... on FeedItemUpserted { item { id data createdAt actors { id name } tenant blocks { ... on TextBlock { rendered } } } }
	... on FeedItemsPatched { ids as at } ... on FeedMarkedAll { as upTo at } } }`

// With a field of a resolver of its own, so that items are executed by gqlgen.
const everyEventExecuted = `subscription { feedEvents(feed: {user: "ana"}) { __typename position badge { total unread }
	... on FeedItemUpserted { item { id data createdAt actors { id name channelData { channel } } } } } }`

// device is a connection with one subscription.
type device struct {
	t *testing.T
	*websocket.Conn
}

func connect(t *testing.T, api *httptest.Server, key, query string) device {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	c, _, err := dialer.Dial("ws"+strings.TrimPrefix(api.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	d := device{t, c}
	d.send(map[string]any{"type": "connection_init", "payload": map[string]string{"authorization": "Bearer " + key}})
	d.next()
	d.send(map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": query}})
	if m := d.next(); !strings.Contains(m, "FeedSynced") {
		t.Fatalf("want FeedSynced, got %s", m)
	}
	return d
}

func (d device) send(message any) {
	d.t.Helper()
	if err := d.WriteJSON(message); err != nil {
		d.t.Fatal(err)
	}
}

func (d device) next() string {
	d.t.Helper()
	_ = d.SetReadDeadline(time.Now().Add(patience))
	_, m, err := d.ReadMessage()
	if err != nil {
		d.t.Fatal(err)
	}
	return string(m)
}

// Devices are told the same bytes, however many share an event, and whether it is encoded or executed.
func TestDevicesAreToldWhatGqlgenWouldSay(t *testing.T) {
	t.Parallel()
	n, env := newNode(t)
	_, key, err := n.auth.CreateAPIKey(t.Context(), env, "secret", "test")
	if err != nil {
		t.Fatal(err)
	}
	config := graph.Config{Resolver: &graph.Resolver{Engine: n.engine, Feeds: n.feeds, Recipients: n.people, Deliveries: n.delivery}, Auth: n.auth, WebSocket: n.sockets, Log: n.log, Interpret: true}
	interpreting, encoding := httptest.NewServer(graph.NewServer(config)), httptest.NewServer(n.api)
	t.Cleanup(interpreting.Close)
	t.Cleanup(encoding.Close)
	reference := connect(t, interpreting, key, everyEvent)
	devices := []device{connect(t, encoding, key, everyEvent), connect(t, encoding, key, everyEvent)}
	referenceExecuted, executed := connect(t, interpreting, key, everyEventExecuted), connect(t, encoding, key, everyEventExecuted)

	ana, err := n.people.UserID(t.Context(), env, "ana")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.people.IdentifyUser(t.Context(), env, recipient.Identity{RecipientRef: belfry.User("ben"), Properties: map[string]any{"name": "Ben <b>"}}); err != nil {
		t.Fatal(err)
	}
	ben, err := n.people.UserID(t.Context(), env, "ben")
	if err != nil {
		t.Fatal(err)
	}
	ref := feed.Ref{Environment: env, User: "ana", Channel: belfry.DefaultFeed}
	happens := []func() error{
		func() error {
			return postgres.InTx(t.Context(), n.pool, func(tx *postgres.Tx) error {
				return n.feeds.Append(t.Context(), tx, []belfry.Message{{Environment: env, Recipient: ana, UserID: "ana", Channel: ref.Channel, ChannelType: belfry.InApp,
					Trigger: [16]byte{1}, Workflow: "welcome", StepRef: "inbox", Categories: []string{}, Actor: ben,
					Content: belfry.Content{Body: belfry.Body{Format: belfry.TextBody, Rendered: "<b>\n\"hi\"</b>"}, Data: map[string]any{"n": json.Number("1.50"), "<": "\u2028"}}}})
			})
		},
		func() error {
			page, err := n.feeds.Page(t.Context(), ref, feed.Filter{}, 10, 0)
			if err != nil {
				return err
			}
			_, err = n.feeds.Mark(t.Context(), ref, belfry.Read, []belfry.MessageID{page.Items[0].ID})
			return err
		},
		func() error {
			_, err := n.feeds.MarkAll(t.Context(), ref, belfry.Archived, nil)
			return err
		},
	}
	for i, kind := range []string{"FeedItemUpserted", "FeedItemsPatched", "FeedMarkedAll"} {
		if err := happens[i](); err != nil {
			t.Fatal(err)
		}
		want := reference.next()
		if !strings.Contains(want, kind) || strings.Contains(want, `"errors"`) {
			t.Errorf("want %s, got %s", kind, want)
		}
		for _, d := range devices {
			if diff := cmp.Diff(want, d.next()); diff != "" {
				t.Errorf("a device (-executed +told)\n%s", diff)
			}
		}
		if diff := cmp.Diff(referenceExecuted.next(), executed.next()); diff != "" {
			t.Errorf("what isn't encoded (-executed +told)\n%s", diff)
		}
	}
}
