package graph

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/model"
)

// inbox is a feed as these tests read it.
type inbox struct {
	Feed struct {
		Badge  struct{ Total int }
		Pinned []struct{ ID string }
		Items  struct{ Edges []struct{ Node vars } }
	}
}

const readInbox = `query ($filter: FeedFilter) { feed(ref: {user: "ana"}) { badge { total } pinned { id }
	items(filter: $filter) { edges { node { id resourceKey priority severity expiresAt snoozedUntil pinnedAt } } } } }`

// What a step says of its item can be read, and is what items are marked, resolved and retracted by.
func TestItemsAboutAResource(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	c.store("due", `[{"ref": "a", "inApp": {"body": "x", "resourceKey": "invoice:{{ data.n }}", "severity": "WARNING", "priority": "HIGH", "replaces": true}},
		{"ref": "b", "inApp": {"body": "plain"}}]`)
	send := func(n int) {
		c.settled(c.trigger(vars{"workflow": "due", "recipients": users("ana"), "data": vars{"n": n}}))
	}
	send(1)
	send(2)
	send(1) // replaces the first
	got := ask[inbox](c, readInbox, nil)
	if got.Feed.Badge.Total != 5 || len(got.Feed.Items.Edges) != 5 {
		t.Fatalf("%+v, want what was replaced archived", got)
	}
	for _, e := range got.Feed.Items.Edges {
		delete(e.Node, "id")
		want := vars{"resourceKey": nil, "priority": "NORMAL", "severity": nil, "expiresAt": nil, "snoozedUntil": nil, "pinnedAt": nil}
		if e.Node["resourceKey"] != nil {
			want["resourceKey"], want["priority"], want["severity"] = e.Node["resourceKey"], "HIGH", "WARNING"
		}
		if diff := cmp.Diff(want, e.Node); diff != "" {
			t.Error(diff)
		}
	}
	for _, step := range []struct{ mutation, want string }{
		{`mutation { markItems(input: {feed: {user: "ana"}, as: READ, where: {resourceKey: "invoice:2"}}) { changed notFound } }`, `{"markItems":{"changed":1,"notFound":[]}}`},
		{`mutation { resolveResource(input: {resourceKey: "invoice:1"}) { operation { kind resourceKey feeds items } } }`,
			`{"resolveResource":{"operation":{"kind":"RESOLVE","resourceKey":"invoice:1","feeds":1,"items":1}}}`},
		{`mutation { retractItems(input: {where: {resourceKey: "invoice:1"}}) { removed notFound operation { kind items } } }`,
			`{"retractItems":{"removed":2,"notFound":[],"operation":{"kind":"RETRACT","items":2}}}`},
	} {
		if got := c.call(step.mutation, nil); string(got.Data) != step.want {
			t.Errorf("%s: %s %+v", step.mutation, got.Data, got.Errors)
		}
	}
	mine := c.trigger(vars{"workflow": "due", "recipients": users("ana"), "data": vars{"n": 9}})
	c.settled(mine)
	back := c.call(`mutation ($id: ID) { retractItems(input: {where: {triggerId: $id}}) { removed operation { resourceKey triggerId finishedAt } } }`, vars{"id": mine})
	if !strings.HasPrefix(string(back.Data), `{"retractItems":{"removed":2,"operation":{"resourceKey":null,"triggerId":"`+mine+`","finishedAt":"2`) {
		t.Errorf("%s %+v", back.Data, back.Errors)
	}
	c.refused(`mutation { retractItems(input: {where: {triggerId: "none"}}) { removed } }`, nil, "NOT_FOUND", "")
	for query, field := range map[string]string{
		`mutation { markItems(input: {feed: {user: "ana"}, as: READ, all: true, where: {resourceKey: "x"}}) { changed } }`: "input",
		`mutation { markItems(input: {feed: {user: "ana"}, as: PINNED, all: true}) { changed } }`:                          "input.as",
		`mutation { retractItems(input: {where: {}}) { removed } }`:                                                        "input.where",
		`mutation { retractItems(input: {where: {ids: []}}) { removed } }`:                                                 "input.where.ids",
		`mutation { resolveResource(input: {resourceKey: ""}) { operation { id } } }`:                                      "input.resourceKey",
	} {
		c.refused(query, nil, "INVALID", field)
	}
}

func TestItemsArePinnedSnoozedAndUpdated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "ours")
	c.identify("ana")
	c.store("note", tell)
	c.settled(c.trigger(vars{"workflow": "note", "recipients": users("ana"), "data": vars{"text": "x"}}))
	id := ask[inbox](c, readInbox, nil).Feed.Items.Edges[0].Node["id"].(string)
	pin := c.call(`mutation ($ids: [ID!]) { markItems(input: {feed: {user: "ana"}, as: PINNED, ids: $ids}) { changed badge { total } } }`, vars{"ids": []string{id, "none"}})
	if string(pin.Data) != `{"markItems":{"changed":1,"badge":{"total":1}}}` {
		t.Errorf("%s %+v", pin.Data, pin.Errors)
	}
	if got := ask[inbox](c, readInbox, vars{"filter": vars{"pinned": "ONLY"}}); len(got.Feed.Pinned) != 1 || got.Feed.Items.Edges[0].Node["pinnedAt"] == nil {
		t.Errorf("%+v", got)
	}
	const update = `mutation ($in: UpdateItemInput!) { updateItem(input: $in) { item { id actionUrl data blocks {
		... on TextBlock { content } ... on MarkdownBlock { rendered } ... on ButtonSetBlock { buttons { label action } } } } } }`
	got := c.call(update, vars{"in": vars{"feed": vars{"user": "ana"}, "id": id, "body": "**{{ x }}** <script>1</script>", "actionUrl": "/x", "buttons": []vars{{"label": "Go", "action": "/go"}}, "data": vars{"n": 1}}})
	want := `{"updateItem":{"item":{"id":"` + id + `","actionUrl":"/x","data":{"n":1},"blocks":[{"rendered":"\u003cp\u003e\u003cstrong\u003e{{ x }}\u003c/strong\u003e \u003c/p\u003e\n"},{"buttons":[{"label":"Go","action":"/go"}]}]}}}`
	if string(got.Data) != want {
		t.Errorf("%s %+v", got.Data, got.Errors)
	}
	for field, in := range map[string]vars{
		"input.actionUrl":         {"id": id, "actionUrl": "javascript:1"},
		"input.buttons[0].action": {"id": id, "buttons": []vars{{"label": "x", "action": ""}}},
		"input":                   {"id": id, "resourceKey": "x"},
		"input.body":              {"id": id, "body": "a\x00"},
	} {
		in["feed"] = vars{"user": "ana"}
		c.refused(update, vars{"in": in}, "INVALID", field)
	}
	const snooze = `mutation ($ids: [ID!]!, $until: Time) { snoozeItems(input: {feed: {user: "ana"}, ids: $ids, until: $until}) { changed notFound badge { total } } }`
	until := w.Feeds.Now().AddDate(0, 0, 1).Format("2006-01-02T15:04:05Z")
	if got := c.call(snooze, vars{"ids": []string{id, "none"}, "until": until}); string(got.Data) != `{"snoozeItems":{"changed":1,"notFound":["none"],"badge":{"total":0}}}` {
		t.Errorf("%s %+v", got.Data, got.Errors)
	}
	if got := ask[inbox](c, readInbox, vars{"filter": vars{"snoozed": "ONLY"}}); len(got.Feed.Items.Edges) != 1 || len(got.Feed.Pinned) != 0 {
		t.Errorf("%+v", got)
	}
	if got := c.call(snooze, vars{"ids": []string{id}}); string(got.Data) != `{"snoozeItems":{"changed":1,"notFound":[],"badge":{"total":1}}}` {
		t.Errorf("%s %+v", got.Data, got.Errors)
	}
}

func TestFeedRetentionIsSetAndRead(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	const set = `mutation ($age: Duration, $n: Int) { setFeedRetention(input: {maxAge: $age, maxItems: $n}) { retention { channel maxAge maxItems } } }`
	for _, step := range []struct {
		age  any
		n    any
		want string
	}{
		{"P90D", 1000, `{"channel":"in-app","maxAge":"P90D","maxItems":1000}`}, {"PT36H", nil, `{"channel":"in-app","maxAge":"PT129600S","maxItems":null}`},
		{nil, nil, `{"channel":"in-app","maxAge":null,"maxItems":null}`},
	} {
		if got := c.call(set, vars{"age": step.age, "n": step.n}); string(got.Data) != `{"setFeedRetention":{"retention":`+step.want+`}}` {
			t.Errorf("%s %+v", got.Data, got.Errors)
		}
		if got := c.call(`{ feedRetention { channel maxAge maxItems } }`, nil); string(got.Data) != `{"feedRetention":`+step.want+`}` {
			t.Errorf("%s %+v", got.Data, got.Errors)
		}
	}
	c.refused(set, vars{"age": "P2M"}, "INVALID", "input.maxAge")
	c.refused(set, vars{"n": 0}, "INVALID", "input.maxItems")
}

// Every event has its form in the API.
func TestRemovalsAreTold(t *testing.T) {
	t.Parallel()
	ref := feed.Ref{Channel: "in-app"}
	some := model.NewFeedEvent(ref, feed.Event{Kind: feed.Removed, Removal: feed.Snoozed, Recipient: 7, Seqs: []int64{3}})
	if e, ok := some.(model.FeedItemsRemoved); !ok || len(e.Ids) != 1 || e.UpTo != nil || e.Reason != model.FeedRemovalReasonSnoozed {
		t.Errorf("%+v", some)
	}
	all := model.NewFeedEvent(ref, feed.Event{Kind: feed.Removed, Removal: feed.Retention, UpTo: 9})
	if e, ok := all.(model.FeedItemsRemoved); !ok || e.Ids == nil || e.UpTo == nil || e.Reason != model.FeedRemovalReasonRetention {
		t.Errorf("%+v", all)
	}
}
