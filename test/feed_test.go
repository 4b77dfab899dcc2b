package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The operations of a customer's backend and frontends, and their answers.

const identifyUser = `mutation ($input: IdentifyUserInput!) { identifyUser(input: $input) { user { id externalId name } } }`

const upsertWorkflow = `mutation ($input: UpsertWorkflowInput!) {
	upsertWorkflow(input: $input) { workflow { id number } problems { step path line message } } }`

const triggerWorkflow = `mutation ($input: TriggerWorkflowInput!) {
	triggerWorkflow(input: $input) { trigger { id recipientCount } replayed rejected { index code } } }`

const markItems = `mutation ($input: MarkItemsInput!) {
	markItems(input: $input) { badge { total unseen unread } position changed notFound } }`

const readFeed = `query ($ref: FeedRef! = {}, $first: Int! = 25, $after: String, $filter: FeedFilter) {
	feed(ref: $ref) { items(first: $first, after: $after, filter: $filter) {
		badge { total unseen unread } position pageInfo { hasNextPage endCursor }
		edges { node { ...item } } } } }
` + itemFields

const feedEvents = `subscription ($feed: FeedRef! = {}, $since: String) {
	feedEvents(feed: $feed, since: $since) { __typename position badge { total unseen unread }
		... on FeedItemUpserted { item { ...item } }
		... on FeedItemsPatched { ids as }
		... on FeedMarkedAll { as upTo }
		... on FeedReset { reason } } }
` + itemFields

const itemFields = `fragment item on FeedItem { id position workflow actionUrl seenAt readAt archivedAt actors { externalId createdAt }
	blocks { ... on TextBlock { rendered } ... on MarkdownBlock { rendered } ... on ButtonSetBlock { buttons { label action } } } }`

type badge struct{ Total, Unseen, Unread int }

type item struct {
	ID, Position, Workflow, ActionURL string
	SeenAt, ReadAt, ArchivedAt        *time.Time
	Actors                            []struct {
		ExternalID string
		CreatedAt  time.Time
	}
	Blocks []struct {
		Rendered string
		Buttons  []struct{ Label, Action string }
	}
}

type event struct {
	Typename string `json:"__typename"`
	Position string
	Badge    badge
	Item     item
	IDs      []string
	As       string
	UpTo     string
	Reason   string
}

type page struct {
	Items struct {
		Badge    badge
		Position string
		PageInfo struct {
			HasNextPage bool
			EndCursor   string
		}
		Edges []struct{ Node item }
	}
}

type marked struct {
	Badge    badge
	Position string
	Changed  int
	NotFound []string
}

type accepted struct {
	Trigger struct {
		ID             string
		RecipientCount int
	}
	Replayed bool
	Rejected []struct {
		Index int
		Code  string
	}
}

// simpleWorkflow notifies everybody of data.text.
func simpleWorkflow(key string) vars {
	return vars{"key": key, "name": key, "steps": []vars{{"ref": "inbox", "inApp": vars{"body": "{{ data.text }}", "format": "TEXT"}}}}
}

// storeWorkflow stores a workflow that has no problems.
func storeWorkflow(t testing.TB, c caller, definition vars) {
	t.Helper()
	stored := ask[struct {
		Workflow *struct{ Number int }
		Problems []struct{ Path, Message string }
	}](t, c, upsertWorkflow, vars{"input": definition})
	if stored.Workflow == nil || len(stored.Problems) > 0 {
		t.Fatalf("the workflow has problems: %+v", stored.Problems)
	}
}

// identify makes users known.
func identify(t testing.TB, c caller, ids ...string) {
	t.Helper()
	for _, id := range ids {
		ask[any](t, c, identifyUser, vars{"input": vars{"id": id}})
	}
}

// notify triggers a workflow for a user.
func notify(t testing.TB, c caller, workflow, user, text string) {
	t.Helper()
	a := ask[accepted](t, c, triggerWorkflow, vars{"input": vars{
		"workflow": workflow, "recipients": users(user), "data": vars{"text": text}}})
	if a.Trigger.RecipientCount != 1 {
		t.Fatalf("accepted for %d recipients, want 1: %+v", a.Trigger.RecipientCount, a.Rejected)
	}
}

// users names recipients that are known.
func users(ids ...string) []vars {
	out := make([]vars, len(ids))
	for i, id := range ids {
		out[i] = vars{"user": id}
	}
	return out
}

// follow subscribes to the feed of the token's user.
func (s *socket) follow(t testing.TB, since string) *stream {
	t.Helper()
	v := vars{}
	if since != "" {
		v["since"] = since
	}
	return s.subscribe(t, feedEvents, v)
}

// event reads the next event, within some time.
func (st *stream) event(within time.Duration) (event, error) {
	f, err := st.next(within)
	if err != nil {
		return event{}, err
	}
	var payload struct {
		Data   struct{ FeedEvents event }
		Errors []failure
	}
	if err := json.Unmarshal(f.Payload, &payload); err != nil || f.Type != "next" || len(payload.Errors) > 0 {
		return event{}, fmt.Errorf("want an event, got %s %s (%v)", f.Type, f.Payload, err)
	}
	return payload.Data.FeedEvents, nil
}

// expect reads the next event, which is of a type.
func (st *stream) expect(t testing.TB, typename string) event {
	t.Helper()
	e, err := st.event(patience)
	if err != nil {
		t.Fatalf("want %s: %v", typename, err)
	}
	if e.Typename != typename {
		t.Fatalf("want %s, got %+v", typename, e)
	}
	return e
}

// text is what the item shows.
func (i item) text() string {
	if len(i.Blocks) == 0 {
		return ""
	}
	return strings.TrimSpace(i.Blocks[0].Rendered)
}

// readAll reads a whole feed, page by page, with the badge and position of the last page.
func readAll(t testing.TB, c caller, filter vars) (items []item, last page) {
	t.Helper()
	v := vars{"first": 100, "filter": filter}
	for {
		last = ask[page](t, c, readFeed, v)
		for _, e := range last.Items.Edges {
			items = append(items, e.Node)
		}
		if !last.Items.PageInfo.HasNextPage {
			return items, last
		}
		v["after"] = last.Items.PageInfo.EndCursor
	}
}
