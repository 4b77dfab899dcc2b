package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/delivery"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
	"github.com/belfryhq/belfry/recipient"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// vars are the variables of an operation, or any JSON object.
type vars = map[string]any

// world is an API on a database of its own, with an engine that runs.
type world struct {
	*Resolver
	url  string
	pool *pgxpool.Pool
	auth *auth.Service
	log  *bytes.Buffer // of errors; read it when the request is over
}

// silent is a bus of feeds that nobody listens to.
type silent struct{ feed.Bus }

func (silent) Wanted(string) bool { return false }

// postOffice takes every message, and calls it by a name of its own.
type postOffice struct{}

func (postOffice) String() string { return "post office" }

func (postOffice) Send(context.Context, *delivery.Outgoing) (delivery.Receipt, error) {
	return delivery.Receipt{ID: "parcel"}, nil
}

// unobserved takes what happens to messages, and does nothing about it.
func unobserved(context.Context, *postgres.Tx, []belfry.StatusChange) error { return nil }

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t)
	people := recipient.New(pool, time.Now)
	feeds := &feed.Service{Pool: pool, Bus: silent{}, UserID: people.UserID, TenantIDs: people.TenantIDs, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Recipients: func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error) {
			return recipient.Load(ctx, tx, []belfry.EnvironmentID{env}, ids)
		},
		Observe: unobserved, ObserveEach: unobserved}
	deliveries := delivery.New(delivery.Config{Pool: pool, InApp: feeds.Append, Observe: feeds.Observe, Now: time.Now, Log: feeds.Log,
		Providers: map[belfry.ChannelType]delivery.Provider{belfry.Email: postOffice{}}, PollInterval: 50 * time.Millisecond})
	runs := engine.New(engine.Config{
		Pool: pool, Recipients: people, Enqueue: deliveries.Enqueue, Now: time.Now, Log: slog.New(slog.DiscardHandler), PollInterval: 50 * time.Millisecond,
		Statuses: func(context.Context, *postgres.Tx, belfry.EnvironmentID, []belfry.MessageID) (map[belfry.MessageID]belfry.MessageStatus, error) {
			return nil, nil
		},
	})
	feeds.ItemsOf = func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, trigger [16]byte, behind belfry.RecipientID, n int) (
		[]belfry.MessageID, belfry.RecipientID, bool, error) {
		return runs.MessagesOf(ctx, tx, env, trigger, behind, n)
	}
	people.Forget = []recipient.Forget{runs.Forget, deliveries.Forget, feeds.Forget}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = runs.Run(ctx) })
	wg.Go(func() { _ = deliveries.Run(ctx) })
	wg.Go(func() { _ = people.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })

	w := &world{pool: pool, auth: &auth.Service{Pool: pool, Now: time.Now}, log: &bytes.Buffer{},
		Resolver: &Resolver{Engine: runs, Feeds: feeds, Recipients: people, Deliveries: deliveries}}
	server := httptest.NewServer(NewServer(Config{Resolver: w.Resolver, Auth: w.auth, WebSocket: transport.Websocket{},
		Log: slog.New(slog.NewTextHandler(w.log, nil))}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// environment makes one, and returns its backend.
func (w *world) environment(t *testing.T, key string) *caller {
	t.Helper()
	e, err := w.auth.CreateEnvironment(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := w.auth.CreateAPIKey(t.Context(), e.ID, auth.Secret, "test")
	if err != nil {
		t.Fatal(err)
	}
	return &caller{t: t, url: w.url, key: secret, env: e.ID}
}

// caller is a customer's backend.
type caller struct {
	t   *testing.T
	url string
	key string
	env belfry.EnvironmentID
}

// answer is what came back.
type answer struct {
	Data   json.RawMessage
	Errors []struct {
		Message    string
		Extensions struct {
			Code, Field, Reference string
			Limit                  int
			Violations             []struct{ Path, Message string }
		}
	}
}

// code is that of the first error; empty if there is none.
func (a *answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	return a.Errors[0].Extensions.Code
}

// call does an operation.
func (c *caller) call(query string, variables vars) *answer {
	c.t.Helper()
	body, err := json.Marshal(vars{"query": query, "variables": variables})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.post(body)
}

func (c *caller) post(body []byte) *answer {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	out := &answer{}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

// ask does an operation that must succeed, and decodes its data.
func ask[T any](c *caller, query string, variables vars) (data T) {
	c.t.Helper()
	got := c.call(query, variables)
	if len(got.Errors) > 0 {
		c.t.Fatalf("%.200s: %+v", query, got.Errors)
	}
	if err := json.Unmarshal(got.Data, &data); err != nil {
		c.t.Fatalf("%.200s: %v in %s", query, err, got.Data)
	}
	return data
}

// refused does an operation that must fail, and says how.
func (c *caller) refused(query string, variables vars, code, field string) *answer {
	c.t.Helper()
	got := c.call(query, variables)
	if got.code() != code || got.Errors[0].Extensions.Field != field {
		c.t.Errorf("%.100s: got %s %+v, want %s at %q", query, got.Data, got.Errors, code, field)
	}
	return got
}

const upsertWorkflow = `mutation ($input: UpsertWorkflowInput!) { upsertWorkflow(input: $input) {
	workflow { id number active steps } problems { step path line column message } } }`

type upserted struct {
	UpsertWorkflow struct {
		Workflow *struct {
			ID     string
			Number int
			Active bool
			Steps  []vars
		}
		Problems []struct {
			Path, Message string
			Line          int
		}
	}
}

// store stores a workflow with steps, as JSON.
func (c *caller) store(key, steps string) *upserted {
	c.t.Helper()
	got := ask[upserted](c, upsertWorkflow, vars{"input": vars{"key": key, "name": key, "steps": parse(c.t, steps)}})
	if len(got.UpsertWorkflow.Problems) > 0 {
		c.t.Fatalf("%s: %+v", key, got.UpsertWorkflow.Problems)
	}
	return &got
}

// identify makes users known.
func (c *caller) identify(ids ...string) {
	c.t.Helper()
	for _, id := range ids {
		ask[any](c, `mutation ($id: String!) { identifyUser(input: {id: $id, name: $id}) { user { id } } }`, vars{"id": id})
	}
}

// users are recipients of a trigger.
func users(ids ...string) []vars {
	out := make([]vars, len(ids))
	for i, id := range ids {
		out[i] = vars{"user": id}
	}
	return out
}

const triggerWorkflow = `mutation ($input: TriggerWorkflowInput!) { triggerWorkflow(input: $input) {
	replayed trigger { id } rejected { index code message } } }`

// trigger triggers a workflow, and returns the trigger's id.
func (c *caller) trigger(input vars) string {
	c.t.Helper()
	return ask[struct {
		TriggerWorkflow struct{ Trigger struct{ ID string } }
	}](c, triggerWorkflow, vars{"input": input}).TriggerWorkflow.Trigger.ID
}

// settled waits until the runs of a trigger are done, or wait.
func (c *caller) settled(trigger string) {
	c.t.Helper()
	type progress struct {
		Trigger struct{ Progress struct{ Pending int } }
	}
	eventually(c.t, "the runs of a trigger have begun", func() bool {
		return ask[progress](c, `query ($id: ID!) { trigger(id: $id) { progress { pending } } }`, vars{"id": trigger}).Trigger.Progress.Pending == 0
	})
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// parse reads JSON that a test has written.
func parse(t *testing.T, text string) any {
	t.Helper()
	var v any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	return v
}
