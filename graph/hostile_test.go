package graph

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	gql "github.com/vektah/gqlparser/v2/ast"
)

// writer writes values of input types. The text at a place, counted from 0, is a strange one; the others are "a".
type writer struct {
	schema *gql.Schema
	text   string
	place  int
	texts  int // written so far
}

func (w *writer) string() string {
	w.texts++
	if w.texts-1 == w.place {
		return w.text
	}
	return `"a"`
}

// value writes one of a type. Inputs below a depth have what is required only.
func (w *writer) value(t *gql.Type, depth int) string {
	if t.Elem != nil {
		return "[" + w.value(t.Elem, depth) + "]"
	}
	switch d := w.schema.Types[t.NamedType]; {
	case d.Kind == gql.Enum:
		return d.EnumValues[0].Name
	case strings.HasSuffix(d.Name, "RecipientInput") || d.Name == "TestPartyInput": // one of several
		return "{user: " + w.string() + "}"
	case d.Kind == gql.InputObject:
		var fields []string
		for _, f := range d.Fields {
			if f.Type.NonNull || depth > 0 {
				fields = append(fields, f.Name+": "+w.value(f.Type, depth-1))
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case d.Name == "Int" || d.Name == "Float":
		return "1"
	case d.Name == "Boolean":
		return "true"
	case d.Name == "Time":
		return `"2050-01-01T00:00:00Z"`
	case d.Name == "Duration":
		return `"PT1H"`
	case d.Name == "JSON":
		return `{a: ` + w.string() + `}`
	}
	return w.string()
}

// Text that PostgreSQL can't store, or that is unusual in another way, is the caller's mistake, wherever it is: no field
// answers INTERNAL.
func TestStrangeTextIsTheCallersMistake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "ours")
	c.identify("a")
	c.store("a", tell)
	schema := readSchema(t)
	for _, root := range []*gql.Definition{schema.Query, schema.Mutation} {
		for _, f := range root.Fields {
			if strings.HasPrefix(f.Name, "__") || len(f.Arguments) == 0 {
				continue
			}
			for name, text := range map[string]string{"NUL": `"a\u0000"`, "empty": `""`, "long": `"` + strings.Repeat("x", 3000) + `"`, "a surrogate": `"\uD800"`} {
				for depth := range 3 {
					for place, more := 0, true; more; place++ {
						v := &writer{schema: schema, text: text, place: place}
						var arguments []string
						for _, a := range f.Arguments {
							arguments = append(arguments, a.Name+": "+v.value(a.Type, depth))
						}
						more = place+1 < v.texts
						query := fmt.Sprintf("%s { %s(%s) { __typename } }", strings.ToLower(root.Name), f.Name, strings.Join(arguments, ", "))
						if got := c.call(query, nil); got.code() == "INTERNAL" || strings.Contains(fmt.Sprint(got.Errors), "SQLSTATE") {
							t.Errorf("%s, %s: %+v\n%.500s\n%.600s", f.Name, name, got.Errors, query, w.log.String())
							w.log.Reset()
						}
					}
				}
			}
		}
	}
}

// Each list that can be long counts with its length before anything is done.
func TestLongListsCount(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	many := func(n int, field string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "a%d: %s ", i, field)
		}
		return b.String()
	}
	triggers := strings.Repeat(`{workflow: "w", recipients: [{user: "u"}]} `, 100)
	schedules := strings.Repeat(`{workflow: "w", recipient: {user: "u"}} `, 100)
	ids := strings.Repeat(`"x" `, 100)
	for name, query := range map[string]string{
		"runs":              "{ runs(first: 100) { edges { node { " + many(100, "id") + "} } } }",
		"runs of triggers":  `{ trigger(id: "x") { runs(first: 100) { edges { node { ` + many(100, "id") + "} } } } }",
		"steps of runs":     "{ runs(first: 100) { edges { node { steps { " + many(10, "ref") + "} } } } }",
		"devices of users":  "{ users(first: 100) { edges { node { channelData { push { devices { token } } } } } } }",
		"Slack of objects":  `{ objects(collection: "p", first: 100) { edges { node { channelData { slack { connections { channelId } } } } } } }`,
		"Teams of tenants":  "{ tenants(first: 100) { edges { node { channelData { msTeams { connections { teamId } } } } } } }",
		"Discord of users":  "{ users(first: 100) { edges { node { channelData { discord { connections { channelId } } } } } } }",
		"schedules":         "{ schedules(first: 100) { edges { node { " + many(100, "id") + "} } } }",
		"partials":          "{ partials { " + many(51, "key") + "} }",
		"variables":         "{ variables { " + many(51, "name") + "} }",
		"triggers":          "mutation { triggerWorkflows(input: {triggers: [" + triggers + "]}) { results { " + many(100, "replayed") + "} } }",
		"new schedules":     "mutation { createSchedules(input: {schedules: [" + schedules + "]}) { results { schedule { " + many(100, "id") + "} } } }",
		"filtered marks":    "mutation { " + many(20, `markItems(input: {feed: {user: "u"}, as: READ, all: true, filter: {status: UNREAD}}) { changed }`) + "}",
		"marks of long ago": "mutation { " + many(20, `markItems(input: {feed: {user: "u"}, as: READ, all: true, upTo: "x"}) { changed }`) + "}",
		"old schedules":     "mutation { updateSchedules(input: {ids: [" + ids + "]}) { results { schedule { " + many(100, "id") + "} } } }",
	} {
		if got := c.call(query, nil); got.code() != "TOO_LARGE" || got.Errors[0].Extensions.Limit != MaxComplexity {
			t.Errorf("%s: %.200s %+v", name, got.Data, got.Errors)
		}
	}
	for name, query := range map[string]string{
		"a usual page of runs": "{ runs(first: 100) { edges { cursor node { id status steps { ref outcome reason at } recipient { externalId } } } pageInfo { endCursor } } }",
		"where users are":      "{ users(first: 30) { edges { node { channelData { channel push { devices { token locale } } } } } } }",
		"many marks":           "mutation { " + many(20, `markItems(input: {feed: {user: "u"}, as: READ, all: true}) { changed badge { unread } }`) + "}",
		"all partials":         "{ partials { key source } variables { name value } }",
		"many triggers":        "mutation { triggerWorkflows(input: {triggers: [" + triggers + "]}) { results { trigger { id } replayed rejected { index code message } error { code message field limit } } } }",
	} {
		if got := c.call(query, nil); len(got.Errors) > 0 {
			t.Errorf("%s: %+v", name, got.Errors)
		}
	}
}

// What is deferred would be waited for by nobody's leave: @defer is refused before anything is executed.
func TestDeferIsRefused(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	socket, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(c.url, "http"), http.Header{"Authorization": {"Bearer " + c.key}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	_ = socket.SetReadDeadline(time.Now().Add(patience))
	if err := socket.WriteJSON(vars{"type": "connection_init"}); err != nil {
		t.Fatal(err)
	}
	if _, ack, err := socket.ReadMessage(); err != nil || !strings.Contains(string(ack), "connection_ack") {
		t.Fatalf("%s %v", ack, err)
	}
	for name, query := range map[string]string{
		"an inline fragment":         `{ feed(ref: {user: "ana"}) { ... @defer { badge { unread } } } }`,
		"a spread":                   `{ feed(ref: {user: "ana"}) { ...f @defer } } fragment f on Feed { badge { unread } }`,
		"within a fragment":          `{ feed(ref: {user: "ana"}) { ...f } } fragment f on Feed { ... @defer { badge { unread } } }`,
		"at the root":                `{ ... @defer { feed(ref: {user: "ana"}) { badge { unread } } } }`,
		"two with one label":         `{ feed(ref: {user: "ana"}) { ... @defer(label: "x") { badge { unread } } ... @defer(label: "x") { badge { unseen } } } }`,
		"even if it is switched off": `{ feed(ref: {user: "ana"}) { ... @defer(if: false) { badge { unread } } } }`,
		"a subscription":             `subscription { feedEvents(feed: {user: "ana"}) { badge { ... @defer { unread } } } }`,
		"two in a subscription":      `subscription { feedEvents(feed: {user: "ana"}) { badge { ... @defer(label: "x") { unread } ... @defer(label: "x") { unseen } } } }`,
	} {
		if got := c.call(query, nil); got.code() != "INVALID" || !strings.Contains(got.Errors[0].Message, "@defer is not supported") {
			t.Errorf("%s: got %s %+v", name, got.Data, got.Errors)
		}
		if err := socket.WriteJSON(vars{"id": name, "type": "subscribe", "payload": vars{"query": query}}); err != nil {
			t.Fatal(err)
		}
		_, said, err := socket.ReadMessage()
		if strings.Contains(string(said), `"complete"`) { // of the one before
			_, said, err = socket.ReadMessage()
		}
		if err != nil || !strings.Contains(string(said), "@defer is not supported") || !strings.Contains(string(said), `"INVALID"`) {
			t.Fatalf("%s, over a socket: got %s %v", name, said, err)
		}
	}
}
