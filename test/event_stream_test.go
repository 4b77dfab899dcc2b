package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// eventStream is an operation over server-sent events.
type eventStream struct {
	*testing.T
	lines *bufio.Scanner
}

// stream begins an operation, as the client of graphql-sse does.
func (c caller) stream(t *testing.T, query string, variables vars) *eventStream {
	t.Helper()
	response := c.streamResponse(t, query, variables)
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || kind != "text/event-stream; charset=utf-8" {
		t.Fatalf("status %d, %s", response.StatusCode, kind)
	}
	return &eventStream{t, bufio.NewScanner(response.Body)}
}

func (c caller) streamResponse(t *testing.T, query string, variables vars) *http.Response {
	t.Helper()
	body, err := json.Marshal(vars{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.address+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("X-Belfry-User-Token", c.token)
	response, err := (&http.Client{}).Do(request) // without a time limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// next returns the kind and the data of the next event; an empty kind is the end of the stream.
func (s *eventStream) next() (kind, data string) {
	s.Helper()
	for s.lines.Scan() {
		switch line := s.lines.Text(); {
		case strings.HasPrefix(line, "event: "):
			kind = strings.TrimPrefix(line, "event: ")
		case strings.HasPrefix(line, "data:"):
			data = strings.TrimSpace(strings.TrimPrefix(line, "data:"))
		case line == "" && kind != "":
			return kind, data
		}
	}
	return "", ""
}

// event returns the next event of a feed.
func (s *eventStream) event() event {
	s.Helper()
	kind, data := s.next()
	var a struct {
		Data struct{ FeedEvents event }
	}
	if err := json.Unmarshal([]byte(data), &a); kind != "next" || err != nil {
		s.Fatalf("%s %s: %v", kind, data, err)
	}
	return a.Data.FeedEvents
}

// A stream tells what a socket tells, and goes on where the client was. It is broken off when the user token ends and when
// the node stops: without the complete event, so that the client comes back.
func TestAFeedOverAStreamOfEvents(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	n := serve(t, db)
	env := newEnvironment(t, db, "production")
	backend := env.backend(n)
	ask[any](t, backend, identifyUser, vars{"input": vars{"id": "ana"}})
	storeWorkflow(t, backend, vars{"key": "w", "name": "W", "steps": []vars{{"ref": "inbox", "inApp": vars{"body": "Hello\n\nyou"}}}})
	ana := caller{n.address, env.public, env.token(t, "ana")}

	first := ana.stream(t, feedEvents, nil)
	synced := first.event()
	trigger := vars{"input": vars{"workflow": "w", "recipients": []vars{{"user": "ana"}}}}
	ask[any](t, backend, triggerWorkflow, trigger)
	came := first.event()
	if synced.Typename != "FeedSynced" || came.Typename != "FeedItemUpserted" || came.Badge.Unseen != 1 {
		t.Fatalf("%+v, then %+v", synced, came)
	}
	again := ana.stream(t, feedEvents, vars{"since": synced.Position})
	if replayed := again.event(); replayed.Position != came.Position {
		t.Errorf("replayed %+v, want %+v", replayed, came)
	}
	if e := again.event(); e.Typename != "FeedSynced" {
		t.Errorf("behind the past: %+v", e)
	}

	// One that is large gives its turn back to others that are.
	padding := "\n#" + strings.Repeat("x", 20<<10)
	for range 3 {
		ana.stream(t, feedEvents+padding, nil).event()
	}
	ask[any](t, backend, `{ __typename }`+padding, nil)

	soon := caller{n.address, env.public, env.sign(t, jwt.MapClaims{"sub": "ana", "exp": time.Now().Add(3 * time.Second).Unix()})}
	short := soon.stream(t, feedEvents, nil)
	short.event()
	if kind, data := short.next(); kind != "" {
		t.Errorf("when the token ended: %s %s", kind, data)
	}

	n.signal(syscall.SIGTERM)
	for _, s := range []*eventStream{first, again} {
		if kind, data := s.next(); kind != "" {
			t.Errorf("when the node stopped: %s %s", kind, data)
		}
	}
	if code := n.wait(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// Another user's feed, and what only backends may follow, is refused in the stream; what can't be a stream before it.
func TestStreamsAreForWhoMayHaveThem(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	n := serve(t, db)
	env := newEnvironment(t, db, "production")
	ask[any](t, env.backend(n), identifyUser, vars{"input": vars{"id": "ana"}})
	bob := caller{n.address, env.public, env.token(t, "bob")}
	for what, variables := range map[string]vars{"Ana's feed": {"feed": vars{"user": "ana"}}, "an empty one": {"since": "nonsense"}} {
		s := bob.stream(t, feedEvents, variables)
		kind, data := s.next()
		var a answer
		if json.Unmarshal([]byte(data), &a) != nil || kind != "next" || a.code() == "" || !a.empty() {
			t.Errorf("%s: %s %s", what, kind, data)
		}
		if kind, _ := s.next(); kind != "complete" {
			t.Errorf("%s: then %q", what, kind)
		}
	}
	for name, c := range map[string]caller{"an unknown key": {n.address, "pk_nobody", ""}, "a bad token": {n.address, env.public, "x.y.z"}} {
		if r := c.streamResponse(t, feedEvents, nil); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: status %d", name, r.StatusCode)
		}
	}
	streams := 0
	for ; streams <= 200; streams++ {
		r := bob.streamResponse(t, feedEvents, nil)
		if r.StatusCode == http.StatusTooManyRequests && r.Header.Get("Retry-After") != "" {
			break
		}
	}
	if streams != 100 {
		t.Errorf("%d streams at a time, want 100", streams)
	}
}

// The npm client of streams, and the audits of GraphQL over HTTP. npm ci makes what they need, and make test does.
func TestRealClientsOverHTTP(t *testing.T) {
	t.Parallel()
	if os.Getenv("BELFRY_TEST_WEB") == "" {
		t.Skip("set BELFRY_TEST_WEB=1, as make test does where there is Node")
	}
	db := pgtest.URL(t)
	n := serve(t, db, settings{"BELFRY_INTROSPECTION": "true"}) // the audits ask for the schema
	env := newEnvironment(t, db, "production")
	backend := env.backend(n)
	ask[any](t, backend, identifyUser, vars{"input": vars{"id": "ana"}})
	storeWorkflow(t, backend, vars{"key": "w", "name": "W", "steps": []vars{{"ref": "inbox", "inApp": vars{"body": "Hello"}}}})
	for _, file := range []string{"http_audit_test.mjs", "streams_test.mjs"} {
		cmd := exec.CommandContext(t.Context(), "node", "--test", file)
		cmd.Dir = "../web"
		cmd.Env = append(os.Environ(), "SERVER=http://"+n.address, "PUBLIC_KEY="+env.public, "SECRET_KEY="+env.secret,
			"USER_TOKEN="+env.token(t, "ana"), "USER=ana")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Error(fmt.Errorf("%s: %w\n%s", file, err, said))
		}
	}
}
