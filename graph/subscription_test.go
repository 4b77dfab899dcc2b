package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/recipient"
)

const (
	subscribe   = `mutation ($input: SubscribeToObjectInput!) { subscribeToObject(input: $input) { results { recipient { collection id } error { code field message } } } }`
	unsubscribe = `mutation ($input: UnsubscribeFromObjectInput!) { unsubscribeFromObject(input: $input) { results { recipient { collection id } error { code field } } } }`
	subscribers = `query ($id: String!, $first: Int!, $after: String) { subscribers(collection: "projects", id: $id, first: $first, after: $after) {
		edges { cursor node { object { collection id } subscriber { collection id } properties } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`
)

var apollo = vars{"collection": "projects", "id": "apollo"}

type subscriptionPage struct {
	Edges []struct {
		Cursor string
		Node   struct {
			Object, Subscriber struct{ Collection, ID string }
			Properties         vars
		}
	}
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
}

func TestSubscribersAreToldWhatTheObjectIsTold(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana", "ben")
	c.store("note", `[{"ref": "inbox", "inApp": {"body": "{{ recipient.subscription.role }} of {{ recipient.subscription.object.id }}"}}]`)
	got := c.call(subscribe, vars{"input": vars{"object": apollo, "properties": vars{"role": "owner"},
		"recipients": []vars{{"user": "ana"}, {"user": "nobody"}, {"identify": vars{"id": "eve"}}, {"object": vars{"collection": "teams", "id": "x"}}, {"user": "a/b"}}}})
	want := `{"subscribeToObject": {"results": [{"recipient": {"collection": "$users", "id": "ana"}, "error": null},
		{"recipient": {"collection": "$users", "id": "nobody"}, "error": {"code": "NOT_FOUND", "field": "input.recipients[1]", "message": "M"}},
		{"recipient": {"collection": "$users", "id": "eve"}, "error": null},
		{"recipient": {"collection": "teams", "id": "x"}, "error": {"code": "NOT_FOUND", "field": "input.recipients[3]", "message": "M"}},
		{"recipient": {"collection": "$users", "id": "a/b"}, "error": {"code": "INVALID", "field": "input.recipients[4].user", "message": "M"}}]}}`
	results := parse(t, string(got.Data))
	for _, r := range results.(vars)["subscribeToObject"].(vars)["results"].([]any) {
		if e, ok := r.(vars)["error"].(vars); ok && e["message"] != "" {
			e["message"] = "M"
		}
	}
	if diff := cmp.Diff(parse(t, want), results); diff != "" {
		t.Errorf("%+v (-want +got):\n%s", got.Errors, diff)
	}
	id := c.trigger(vars{"workflow": "note", "recipients": []vars{{"object": apollo}}, "actor": vars{"user": "eve"}})
	type progress struct {
		Trigger struct {
			RecipientCount int
			Progress       struct {
				Recipients, Done int
				Expanding        bool
			}
		}
	}
	eventually(t, "the subscribers are told", func() bool {
		p := ask[progress](c, `query ($id: ID!) { trigger(id: $id) { recipientCount progress { recipients done expanding } } }`, vars{"id": id}).Trigger
		return p.RecipientCount == 1 && p.Progress.Recipients == 2 && p.Progress.Done == 2 && !p.Progress.Expanding
	})
	feed := c.call(`{ feed(ref: {user: "ana"}) { items { edges { node { blocks { ... on MarkdownBlock { content } } } } } } }`, nil)
	if !strings.Contains(string(feed.Data), "owner of apollo") {
		t.Errorf("ana has %s", feed.Data)
	}
	if got := c.call(unsubscribe, vars{"input": vars{"object": apollo, "recipients": []vars{{"user": "ana"}, {"user": "ben"}}}}); !strings.Contains(string(got.Data), `"field":"input.recipients[1]"`) || strings.Count(string(got.Data), "NOT_FOUND") != 1 {
		t.Errorf("unsubscribed: %s %+v", got.Data, got.Errors)
	}
}

// A tenant is told like any object: by its own address and preferences, and so are its subscribers.
func TestTenantsAreToldLikeObjects(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	c.store("note", `[{"ref": "inbox", "inApp": {"body": "of {{ recipient.subscription.object.name }}"}}, {"ref": "mail", "email": {"channel": "mail", "subject": "x", "body": "to {{ recipient.name }}"}},
		{"ref": "other", "email": {"channel": "other", "subject": "x", "body": "x"}}]`)
	acme := vars{"collection": "$tenants", "id": "acme"}
	ask[any](c, `mutation { upsertTenant(input: {id: "acme", name: "Acme", properties: {email: "acme@example.com"}}) { tenant { id } }
		setChannelData(input: {recipient: {tenant: "acme"}, channel: "chat", slack: {accessToken: "xoxb-1"}}) { channelData { channel } } }`, nil)
	ask[any](c, subscribe, vars{"input": vars{"object": acme, "recipients": []vars{{"user": "ana"}}}})
	ask[any](c, `mutation ($who: ObjectRefInput!) { setPreferences(input: {object: $who, preferences: {channels: {other: false}}}) { preferences { id } } }`, vars{"who": acme})
	id := c.trigger(vars{"workflow": "note", "recipients": []vars{{"object": acme}}})
	type runs struct {
		Trigger struct {
			Progress struct{ Recipients, Done int }
			Runs     struct {
				Edges []struct {
					Node struct {
						Recipient struct {
							Typename   string `json:"__typename"`
							ExternalID string
						}
						Steps []struct{ Ref, Outcome, Reason string }
					}
				}
			}
		}
	}
	var got runs
	eventually(t, "both are told", func() bool {
		got = ask[runs](c, `query ($id: ID!) { trigger(id: $id) { progress { recipients done }
			runs { edges { node { recipient { __typename externalId } steps { ref outcome reason } } } } } }`, vars{"id": id})
		return got.Trigger.Progress.Recipients == 2 && got.Trigger.Progress.Done == 2 && len(got.Trigger.Runs.Edges) == 2 // one may be read before the other
	})
	steps := map[string]string{}
	for _, e := range got.Trigger.Runs.Edges {
		for _, s := range e.Node.Steps {
			if s.Ref != "" {
				steps[e.Node.Recipient.Typename+" "+e.Node.Recipient.ExternalID+", "+s.Ref] = strings.TrimSpace(s.Outcome + " " + s.Reason)
			}
		}
	}
	want := map[string]string{"Tenant acme, inbox": "SKIPPED missing_recipient_data", "Tenant acme, mail": "SENT", "Tenant acme, other": "SKIPPED preference",
		"User ana, inbox": "SENT", "User ana, mail": "SKIPPED missing_recipient_data", "User ana, other": "SKIPPED missing_recipient_data"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("what became of the steps (-want +got):\n%s", diff)
	}
	feed := c.call(`{ feed(ref: {user: "ana"}) { items { edges { node { blocks { ... on MarkdownBlock { content } } } } } } }`, nil)
	if !strings.Contains(string(feed.Data), "of Acme") {
		t.Errorf("ana has %s", feed.Data)
	}
	if got := c.call(triggerWorkflow, vars{"input": vars{"workflow": "note", "recipients": []vars{{"object": vars{"collection": "$tenants", "id": "nobody"}}}}}); !strings.Contains(string(got.Data), "NOT_FOUND") {
		t.Errorf("a tenant that isn't known: %s %+v", got.Data, got.Errors)
	}
}

func TestSubscriptionsAreListedBothWays(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	var everybody []vars
	for i := range 5 {
		everybody = append(everybody, vars{"identify": vars{"id": fmt.Sprint("u", i)}})
	}
	for _, id := range []string{"apollo", "gemini"} {
		ask[any](c, subscribe, vars{"input": vars{"object": vars{"collection": "projects", "id": id}, "recipients": everybody}})
	}
	var after *string
	var ids []string
	for pages := 1; ; pages++ {
		page := ask[struct{ Subscribers subscriptionPage }](c, subscribers, vars{"id": "apollo", "first": 2, "after": after}).Subscribers
		for _, e := range page.Edges {
			ids = append(ids, e.Node.Subscriber.ID)
		}
		if page.PageInfo.HasPreviousPage != (pages > 1) || page.PageInfo.HasNextPage != (pages < 3) {
			t.Errorf("page %d: %+v", pages, page.PageInfo)
		}
		if after = page.PageInfo.EndCursor; !page.PageInfo.HasNextPage {
			break
		}
	}
	if diff := cmp.Diff([]string{"u0", "u1", "u2", "u3", "u4"}, ids); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	got := c.call(`{ subscriptions(collection: "$users", id: "u3") { edges { node { object { id } } } } none: subscriptions(collection: "$users", id: "nobody") { edges { cursor } } }`, nil)
	if string(got.Data) != `{"subscriptions":{"edges":[{"node":{"object":{"id":"apollo"}}},{"node":{"object":{"id":"gemini"}}}]},"none":{"edges":[]}}` {
		t.Errorf("%s %+v", got.Data, got.Errors)
	}
	c.refused(subscribers, vars{"id": "apollo", "first": recipient.MaxSubscriptionPage + 1}, "TOO_LARGE", "first")
	c.refused(subscribers, vars{"id": "apollo", "first": 0}, "TOO_LARGE", "first")
	c.refused(subscribers, vars{"id": "apollo", "first": 1, "after": "x"}, "INVALID", "after")
	c.refused(subscribers, vars{"id": "a/b", "first": 1}, "INVALID", "id")
}

func TestSubscriptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	ana := []vars{{"identify": vars{"id": "ana"}}}
	for field, input := range map[string]vars{
		"input.object.collection":               {"object": vars{"collection": "$users", "id": "ana"}, "recipients": ana},
		"input.object.id":                       {"object": vars{"collection": "projects", "id": "#"}, "recipients": ana},
		"input.recipients":                      {"object": apollo, "recipients": []vars{}},
		"input.recipients[0]":                   {"object": apollo, "recipients": []vars{{"user": "ana", "object": apollo}}},
		"input.recipients[0].object.collection": {"object": apollo, "recipients": []vars{{"object": vars{"collection": "$users", "id": "ana"}}}},
		"input.properties.object":               {"object": apollo, "recipients": ana, "properties": vars{"object": 1}},
		"input.properties.x":                    {"object": apollo, "recipients": ana, "properties": vars{"x": "\x00"}},
	} {
		c.refused(subscribe, vars{"input": input}, "INVALID", field)
	}
	many := make([]vars, recipient.MaxSubscribers+1)
	for i := range many {
		many[i] = vars{"user": fmt.Sprint("u", i)}
	}
	c.refused(subscribe, vars{"input": vars{"object": apollo, "recipients": many}}, "TOO_LARGE", "input.recipients")
	c.refused(unsubscribe, vars{"input": vars{"object": apollo, "recipients": many}}, "TOO_LARGE", "input.recipients")
	c.refused(unsubscribe, vars{"input": vars{"object": apollo, "recipients": []vars{{}}}}, "INVALID", "input.recipients[0]")
}
