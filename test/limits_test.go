package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

// limit is one of the API's: request makes one of a size, and all is well up to and including max.
type limit struct {
	name    string
	max     int
	field   string // in the error
	code    string // TOO_LARGE if empty
	request func(size int) (query string, variables vars)
}

// trigger makes the limit of something in a trigger's input.
func trigger(name string, max int, field string, set func(input vars, size int)) limit {
	return limit{name: name, max: max, field: field, request: func(size int) (string, vars) {
		input := vars{"workflow": "note", "recipients": users("ana")}
		set(input, size)
		return triggerWorkflow, vars{"input": input}
	}}
}

// document makes the limit of something in a document.
func document(name string, max int, write func(size int) string) limit {
	return limit{name: name, max: max, request: func(size int) (string, vars) { return write(size), nil }}
}

// aliases is a field so many times, under different names.
func aliases(field string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d:%s ", i, field)
	}
	return b.String()
}

// nested is a JSON object of so many levels.
func nested(levels int) vars {
	v := vars{"a": 1}
	for range levels - 1 {
		v = vars{"a": v}
	}
	return v
}

func TestLimits(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	n := serve(t, db)
	backend := newEnvironment(t, db, "production").backend(n)
	identify(t, backend, "ana")
	storeWorkflow(t, backend, simpleWorkflow("note"))
	page := func(size int) (string, vars) {
		return fmt.Sprintf(`{ feed(ref: {user: "ana"}) { items(first: %d) { position } } }`, size), nil
	}
	tokens := document("tokens of a document", graph.MaxTokens, func(size int) string {
		const query = `{ user(id: "ana") { id } feed(ref: {user: "ana"}) @skip(if: true) { items(filter: {workflows: [%s]}) { position } } }`
		return fmt.Sprintf(query, strings.Repeat(`"a" `, size-44)) // every "a" is a token
	})
	tokens.code = "INVALID"
	for _, l := range []limit{
		tokens,
		document("bytes of a document", graph.MaxDocumentSize, func(size int) string {
			const query = `{ user(id: "ana") { id } }`
			return query + strings.Repeat(" ", size-len(query))
		}),
		document("bytes of an alias", graph.MaxAliasSize, func(size int) string {
			return `{ user(id: "ana") { ...f } } fragment f on User { ` + strings.Repeat("a", size) + `: id }`
		}),
		document("fields of a document", graph.MaxFields, func(size int) string {
			return `{ feed(ref: {user: "ana"}) { ` + aliases("user", size-1) + `} }`
		}),
		document("fields in fragments", graph.MaxFields, func(size int) string {
			return `query { ...f } fragment f on Query { feed(ref: {user: "ana"}) { ... on Feed { ` + aliases("user", size-1) + `} } }`
		}),
		document("fields at the root", graph.MaxRootFields, func(size int) string { return "{" + aliases(`user(id: "ana") { id }`, size) + "}" }),
		document("root fields in a fragment", graph.MaxRootFields, func(size int) string {
			return "{ ...f } fragment f on Query {" + aliases(`user(id: "ana") { id }`, size) + "}"
		}),
		document("complexity, with the size of pages", graph.MaxComplexity, func(size int) string {
			// feed 1, items 1, and 100 times: the edge, its node and 97 fields; the rest by plain fields.
			return `{ feed(ref: {user: "ana"}) { items(first: 100) { edges { node { ` + aliases("id", 97) + `} } } ` + aliases("user", size-9902) + `} }`
		}),
		{name: "items of a page", max: feed.MaxPageSize, field: "first", request: page},
		{name: "ids to mark", max: feed.MaxMarkIDs, field: "input.ids", request: func(size int) (string, vars) {
			ids := make([]string, size)
			for i := range ids {
				ids[i] = fmt.Sprint("unknown-", i)
			}
			return markItems, vars{"input": vars{"feed": vars{"user": "ana"}, "as": "READ", "ids": ids}}
		}},
		trigger("recipients", engine.MaxRecipients, "input.recipients", func(input vars, size int) {
			input["recipients"] = users(strings.Split(strings.Repeat("ana,", size-1)+"ana", ",")...)
		}),
		trigger("idempotency key", engine.MaxIdempotencyKeyLength, "input.idempotencyKey", func(input vars, size int) {
			input["idempotencyKey"] = strings.Repeat("ä", size)
		}),
		trigger("cancellation key", engine.MaxCancellationKeyLength, "input.cancellationKey", func(input vars, size int) {
			input["cancellationKey"] = strings.Repeat("ä", size)
		}),
		{name: "triggers of a call", max: graph.MaxTriggers, field: "input.triggers", request: func(size int) (string, vars) {
			triggers := make([]vars, size)
			for i := range triggers {
				triggers[i] = vars{"workflow": "note", "recipients": users("ana")}
			}
			return `mutation ($t: [TriggerWorkflowInput!]!) { triggerWorkflows(input: {triggers: $t}) { results { error { code } } } }`, vars{"t": triggers}
		}},
		{name: "recipients of a cancellation", max: engine.MaxRecipients, field: "input.recipients", request: func(size int) (string, vars) {
			return `mutation ($r: [String!]) { cancelTriggers(input: {workflow: "note", cancellationKey: "k", recipients: $r}) { cancelled } }`,
				vars{"r": strings.Split(strings.Repeat("ana,", size-1)+"ana", ",")}
		}},
		{name: "runs of a page", max: engine.MaxRunPage, field: "first", request: func(size int) (string, vars) {
			return `query ($n: Int!) { runs(first: $n) { pageInfo { hasNextPage } } }`, vars{"n": size}
		}},
		{name: "schedules of a page", max: engine.MaxSchedulePage, field: "first", request: func(size int) (string, vars) {
			return `query ($n: Int!) { schedules(first: $n) { pageInfo { hasNextPage } } }`, vars{"n": size}
		}},
		{name: "value of a variable", max: engine.MaxVariableValue, field: "input.value", request: func(size int) (string, vars) {
			return `mutation ($v: JSONValue!) { setVariable(input: {name: "v", value: $v}) { variable { name } } }`, vars{"v": strings.Repeat("a", size-len(`""`))}
		}},
		{name: "nesting of variables", max: graph.MaxNesting, request: func(size int) (string, vars) {
			return `query ($c: JSON) { user(id: "ana") @skip(if: true) { id } convertCondition(input: {conditions: $c}) @skip(if: true) { exact } }`, vars{"c": nested(size - 1)}
		}},
		trigger("size of data", engine.MaxDataSize, "input.data", func(input vars, size int) {
			input["data"] = vars{"text": strings.Repeat("a", size-len(`{"text":""}`))}
		}),
		trigger("depth of data", belfry.MaxJSONDepth, "input.data"+strings.Repeat(".a", belfry.MaxJSONDepth), func(input vars, size int) { input["data"] = nested(size) }),
		{name: "id of a user", max: belfry.MaxExternalIDLength, field: "input.id", request: func(size int) (string, vars) {
			return identifyUser, vars{"input": vars{"id": strings.Repeat("ä", size)}}
		}},
		{name: "key of a workflow", max: belfry.MaxKeyLength, request: func(size int) (string, vars) {
			return `mutation ($input: UpsertWorkflowInput!) { upsertWorkflow(input: $input) { workflow { id } problems { message } } }`,
				vars{"input": simpleWorkflow(strings.Repeat("k", size))}
		}},
	} {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			l.check(t, backend)
		})
	}
}

func (l limit) check(t *testing.T, c caller) {
	t.Helper()
	query, variables := l.request(l.max)
	if got := c.call(t, query, variables); len(got.Errors) > 0 {
		t.Errorf("%d are too many: %.500s", l.max, got.raw)
	}
	query, variables = l.request(l.max + 1)
	got := c.call(t, query, variables)
	want := l.code
	if want == "" {
		want = "TOO_LARGE"
	}
	if got.code() != want || !got.empty() {
		t.Fatalf("%d are answered with %.500s, want %s", l.max+1, got.raw, want)
	}
	e := got.Errors[0]
	if l.code == "" && e.Extensions.Limit != l.max || !strings.HasPrefix(e.Extensions.Field, l.field) {
		t.Errorf("the error is %+v, want the limit %d and the field %q", e, l.max, l.field)
	}
}

func TestBodyIsLimited(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	n := serve(t, db)
	backend := newEnvironment(t, db, "production").backend(n)
	body := func(size int) []byte {
		b := []byte(`{"query": "{ user(id: \"ana\") { id } }"}`)
		return append(b, strings.Repeat(" ", size-len(b))...)
	}
	got, err := backend.post(t.Context(), body(graph.MaxBodySize), nil)
	if err != nil || len(got.Errors) > 0 {
		t.Errorf("a body of the largest size: %v %s", err, got.raw)
	}
	for name, chunked := range map[string]bool{"with its length": false, "in chunks": true} {
		got, err = backend.post(t.Context(), body(graph.MaxBodySize+1), func(r *http.Request) {
			if chunked {
				r.ContentLength = -1
			}
		})
		if err != nil || got.status != http.StatusRequestEntityTooLarge || got.code() != "TOO_LARGE" || got.Errors[0].Extensions.Limit != graph.MaxBodySize {
			t.Errorf("a larger one %s: %v %d %s", name, err, got.status, got.raw)
		}
	}
}

// Fragments that spread each other twice double with each line what a naive walk has to do.
func TestFragmentsThatExplode(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	n := serve(t, db)
	var query strings.Builder
	query.WriteString("{ ...f0 }")
	for i := range 60 {
		fmt.Fprintf(&query, " fragment f%d on Query { ...f%d ...f%d }", i, i+1, i+1)
	}
	query.WriteString(" fragment f60 on Query { me { id } }")
	began := time.Now()
	got := caller{n.address, "", ""}.call(t, query.String(), nil)
	if got.code() != "TOO_LARGE" || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %s", time.Since(began), got.raw)
	}
}

// What isn't a request is refused in the API's own form, and never repeated: it may hold a secret, or a script.
func TestMalformedRequests(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	n := serve(t, db)
	backend := newEnvironment(t, db, "production").backend(n)
	const secret = "swordfish"
	for _, body := range []string{
		"", " ", "null", "5", "[]", `"swordfish"`, "swordfish", `{"query": "swordfish`, `{swordfish}`, `[{"query": "{ swordfish }"}]`,
		`{"query": {"swordfish": 1}}`, `{"query": 5, "swordfish": 1}`, `{"query": "{ me { id } }", "variables": ["swordfish"]}`,
		`{"query": "{ me { id } }", "variables": "swordfish"}`, `{"query": "{ me { id } }", "operationName": ["swordfish"]}`,
		`{"query": "{ me { id } }", "extensions": "swordfish"}`, `{"query": "{ me { id } }"} swordfish`,
		`{"query": "{ me { id } }", "variables": ` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}",
	} {
		got, err := backend.post(t.Context(), []byte(body), nil)
		if err != nil || got.status != http.StatusBadRequest || got.code() != "INVALID" || strings.Contains(got.raw, secret) {
			t.Errorf("%.60s is answered with %d %.300s (%v), want status 400, INVALID and no echo", body, got.status, got.raw, err)
		}
	}
	for what, prepare := range map[string]func(*http.Request){
		"no content type":    func(r *http.Request) { r.Header.Del("Content-Type") },
		"a form":             func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") },
		"a multipart form":   func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") },
		"plain text":         func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"another method":     func(r *http.Request) { r.Method = http.MethodPut },
		"bad GET variables":  func(r *http.Request) { r.Method, r.URL.RawQuery = http.MethodGet, "query={me{id}}&variables=[1]" },
		"bad GET extensions": func(r *http.Request) { r.Method, r.URL.RawQuery = http.MethodGet, "query={me{id}}&extensions=x" },
	} {
		got, err := backend.post(t.Context(), []byte(`{"query": "mutation { identifyUser(input: {id: \"ana\"}) { user { id } } }"}`), prepare)
		if err != nil || got.status/100 != 4 || got.code() != "INVALID" {
			t.Errorf("%s is answered with %d %s (%v), want status 4xx and INVALID", what, got.status, got.raw, err)
		}
	}
	for _, query := range []string{"", "{", "{ swordfish }", "mutation { swordfish }", "query A { me { id } } query B { me { id } }"} {
		got := backend.call(t, query, nil)
		if got.code() != "INVALID" || !got.empty() {
			t.Errorf("the query %q is answered with %s, want INVALID", query, got.raw)
		}
	}
}

// getQuery calls with GET.
func (c caller) getQuery(t *testing.T, query string, prepare func(*http.Request)) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.address+"/graphql?query="+url.QueryEscape(query), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.do(request, prepare)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestGETReadsOnly(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	n := serve(t, db)
	backend := newEnvironment(t, db, "production").backend(n)
	identify(t, backend, "ana")
	if got := backend.getQuery(t, `{ user(id: "ana") { externalId } }`, nil); string(got.Data) != `{"user":{"externalId":"ana"}}` {
		t.Errorf("a query with GET got %s", got.raw)
	}
	got := backend.getQuery(t, `mutation { identifyUser(input: {id: "ben"}) { user { id } } }`, nil)
	if got.status/100 != 4 || !got.empty() {
		t.Errorf("a mutation with GET got %d %s", got.status, got.raw)
	}
	if got := backend.call(t, `{ user(id: "ben") { id } }`, nil); string(got.Data) != `{"user":null}` {
		t.Errorf("after a refused mutation there is %s", got.raw)
	}
	for how, got := range map[string]answer{
		"GET":  backend.getQuery(t, `subscription { feedEvents(feed: {user: "ana"}) { position } }`, nil),
		"POST": backend.call(t, `subscription { feedEvents(feed: {user: "ana"}) { position } }`, nil),
	} {
		if len(got.Errors) != 1 || !got.empty() {
			t.Errorf("a subscription with %s got %s", how, got.raw)
		}
	}
}

func TestIntrospectionIsForThoseWhoAskForIt(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	const schema = `{ __schema { queryType { name } } __type(name: "User") { name } }`
	off, on := serve(t, db), serve(t, db, settings{"BELFRY_INTROSPECTION": "true"})
	got := caller{off.address, "", ""}.call(t, schema, nil)
	if len(got.Errors) == 0 || !got.empty() {
		t.Errorf("by default it got %s", got.raw)
	}
	// Misspelt names would otherwise tell the schema bit by bit.
	if got := (caller{off.address, "", ""}).call(t, `{ feeed { badge { total } } }`, nil); strings.Contains(got.raw, "Did you mean") {
		t.Errorf("a misspelt field got a suggestion: %s", got.raw)
	}
	got = caller{on.address, "", ""}.call(t, schema, nil)
	var data struct {
		Type struct{ Name string } `json:"__type"`
	}
	if err := json.Unmarshal(got.Data, &data); err != nil || data.Type.Name != "User" {
		t.Errorf("where it is on it got %s", got.raw)
	}
}
