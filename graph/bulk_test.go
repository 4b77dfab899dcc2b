package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// bulk starts an operation, and returns its id.
func (c *caller) bulk(mutation string) string {
	c.t.Helper()
	return ask[struct {
		Bulk struct{ Operation struct{ ID string } }
	}](c, `mutation { bulk: `+mutation+` { operation { id } } }`, nil).Bulk.Operation.ID
}

// finished is an operation once it has ended.
func (c *caller) finished(id string) any {
	c.t.Helper()
	eventually(c.t, "the operation is done", func() bool {
		return ask[struct{ BulkOperation struct{ FinishedAt *string } }](c, `query ($id: ID!) { bulkOperation(id: $id) { finishedAt } }`, vars{"id": id}).BulkOperation.FinishedAt != nil
	})
	return ask[any](c, `query ($id: ID!) { node(id: $id) { ... on BulkOperation { kind total done failures { index error { code field } } } } }`, vars{"id": id})
}

func TestBulkOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	id := c.bulk(`bulkIdentifyUsers(input: {users: [{id: "ana", name: "Ana"}, {id: "a/b"}, {id: "bob", email: "nobody"}, {id: "eve"},
		{id: "kim", preferences: [{set: "default", preferences: {workflows: {a: false}}}, {set: "default", preferences: {workflows: {b: false}}}]}]})`)
	expectJSON(t, parse(t, `{"node": {"kind": "IDENTIFY_USERS", "total": 5, "done": 5, "failures": [
		{"index": 1, "error": {"code": "INVALID", "field": "input.users[1].id"}}, {"index": 2, "error": {"code": "INVALID", "field": "input.users[2].email"}},
		{"index": 4, "error": {"code": "INVALID", "field": "input.users[4].preferences[1].set"}}]}}`), c.finished(id))
	expectJSON(t, parse(t, `{"users": {"edges": [{"node": {"name": "Ana"}}, {"node": {"name": null}}]}}`), ask[any](c, `{ users { edges { node { name } } } }`, nil))
	id = c.bulk(`bulkDeleteUsers(input: {ids: ["ana", "nobody", "eve"]})`)
	expectJSON(t, parse(t, `{"node": {"kind": "DELETE_USERS", "total": 3, "done": 3, "failures": []}}`), c.finished(id))
	expectJSON(t, parse(t, `{"users": {"edges": []}}`), ask[any](c, `{ users { edges { node { name } } } }`, nil))
	c.refused(`mutation { bulkDeleteUsers(input: {ids: []}) { operation { id } } }`, nil, "INVALID", "input.ids")
}

func TestBulkOperationsOnObjectsPreferencesAndSubscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "production")
	c.identify("ana")
	is := func(id, want string) {
		t.Helper()
		expectJSON(t, parse(t, `{"node": `+want+`}`), c.finished(id))
	}
	is(c.bulk(`bulkUpsertObjects(input: {objects: [{collection: "teams", id: "red", name: "Red"}, {collection: "$tenants", id: "acme"}, {collection: "", id: "x"}]})`),
		`{"kind": "UPSERT_OBJECTS", "total": 3, "done": 3, "failures": [{"index": 1, "error": {"code": "INVALID", "field": "input.objects[1].collection"}},
			{"index": 2, "error": {"code": "INVALID", "field": "input.objects[2].collection"}}]}`)
	is(c.bulk(`bulkSetPreferences(input: {sets: [{user: "ana", preferences: {categories: {news: false}}}, {object: {collection: "teams", id: "red"}, set: "acme", preferences: {}},
			{object: {collection: "", id: "ana"}, preferences: {}}, {user: "bob", preferences: {}}]})`),
		`{"kind": "SET_PREFERENCES", "total": 4, "done": 4, "failures": [{"index": 2, "error": {"code": "INVALID", "field": "input.sets[2].object.collection"}},
			{"index": 3, "error": {"code": "NOT_FOUND", "field": "input.sets[3]"}}]}`)
	expectJSON(t, parse(t, `{"user": {"preferences": {"categories": {"news": false}}}}`), ask[any](c, `{ user(id: "ana") { preferences { categories } } }`, nil))
	is(c.bulk(`bulkSubscribe(input: {subscriptions: [{object: {collection: "teams", id: "red"}, recipient: {user: "ana"}, properties: {role: "admin"}},
			{object: {collection: "teams", id: "red"}, recipient: {identify: {id: "bob", name: "Bob"}}}, {object: {collection: "", id: "red"}, recipient: {user: "ana"}},
			{object: {collection: "teams", id: "red"}, recipient: {object: {collection: "", id: "ana"}}}]})`),
		`{"kind": "SUBSCRIBE", "total": 4, "done": 4, "failures": [{"index": 2, "error": {"code": "INVALID", "field": "input.subscriptions[2].object.collection"}},
			{"index": 3, "error": {"code": "INVALID", "field": "input.subscriptions[3].recipient.object.collection"}}]}`)
	const subscribers = `{ subscribers(collection: "teams", id: "red") { edges { node { subscriber { id } properties } } } }`
	expectJSON(t, parse(t, `{"subscribers": {"edges": [{"node": {"subscriber": {"id": "ana"}, "properties": {"role": "admin"}}},
		{"node": {"subscriber": {"id": "bob"}, "properties": {}}}]}}`), ask[any](c, subscribers, nil))
	is(c.bulk(`bulkUnsubscribe(input: {subscriptions: [{object: {collection: "teams", id: "red"}, recipient: {user: "ana"}}, {object: {collection: "teams", id: "red"}, recipient: {user: "eve"}}]})`),
		`{"kind": "UNSUBSCRIBE", "total": 2, "done": 2, "failures": [{"index": 1, "error": {"code": "NOT_FOUND", "field": "input.subscriptions[1].recipient"}}]}`)
	is(c.bulk(`bulkDeleteObjects(input: {objects: [{collection: "teams", id: "red"}, {collection: "teams", id: "blue"}, {collection: "$users", id: "ana"}]})`),
		`{"kind": "DELETE_OBJECTS", "total": 3, "done": 3, "failures": [{"index": 2, "error": {"code": "INVALID", "field": "input.objects[2].collection"}}]}`)
	expectJSON(t, parse(t, `{"user": {"externalId": "ana"}, "object": null}`), ask[any](c, `{ user(id: "ana") { externalId } object(collection: "teams", id: "red") { id } }`, nil))

	c.refused(`mutation { bulkSetPreferences(input: {sets: [{user: "ana", object: {collection: "teams", id: "red"}, preferences: {}}]}) { operation { id } } }`, nil, "INVALID", "input.sets[0]")
	c.refused(`mutation { bulkSubscribe(input: {subscriptions: [{object: {collection: "teams", id: "red"}, recipient: {}}]}) { operation { id } } }`, nil, "INVALID", "input.subscriptions[0].recipient")
	c.refused(`mutation { bulkUnsubscribe(input: {subscriptions: []}) { operation { id } } }`, nil, "INVALID", "input.subscriptions")
	many := slices.Repeat([]vars{{"collection": "teams", "id": "red"}}, recipient.MaxBulk+1)
	c.refused(`mutation ($many: [ObjectRefInput!]!) { bulkDeleteObjects(input: {objects: $many}) { operation { id } } }`, vars{"many": many}, "TOO_LARGE", "input.objects")
}

func TestBulkOperationEventsTellAnOperationToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, stranger := w.environment(t, "ours"), w.environment(t, "theirs")
	var ids []string
	for i := range 120 {
		ids = append(ids, fmt.Sprintf("{id: %q}", fmt.Sprint("u", i)))
	}
	id := c.bulk(`bulkIdentifyUsers(input: {users: [` + strings.Join(ids, " ") + `]})`)
	as := func(v belfry.Viewer) (<-chan *model.BulkOperation, error) {
		return w.Subscription().BulkOperationEvents(auth.WithViewer(t.Context(), v), id)
	}
	events, err := as(belfry.Viewer{Environment: c.env})
	if err != nil {
		t.Fatal(err)
	}
	told := []int{-1}
	for e := range events {
		if e.ID() != id || e.Done <= told[len(told)-1] || (e.FinishedAt != nil) != (e.Done == 120) {
			t.Errorf("after %v it is %+v", told, e.Bulk)
		}
		told = append(told, e.Done)
	}
	if diff := cmp.Diff(120, told[len(told)-1]); diff != "" {
		t.Errorf("the last state (-want +got):\n%s", diff)
	}
	_, err = as(belfry.Viewer{Environment: stranger.env})
	expectCode(t, "a stranger", belfry.NotFound, err)
	_, err = as(belfry.Viewer{Environment: c.env, User: "ana"})
	expectCode(t, "a user", belfry.Forbidden, err)
	_, err = as(belfry.Viewer{})
	expectCode(t, "nobody", belfry.Unauthenticated, err)
}
