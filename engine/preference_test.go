package engine

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// reads counts the statements that read preferences.
type reads struct{ n atomic.Int32 }

func (r *reads) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "preference_") {
		r.n.Add(1)
	}
	return ctx
}

func (r *reads) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// However many runs a batch has, in however many environments and tenants, their preferences are one query.
func TestPreferencesAreReadOnceForABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const people = 50
	w.users(people)
	w.exec(`INSERT INTO preference_sets SELECT id, s, environment_id, jsonb_build_object('workflows', jsonb_build_object('w', id % 2 = 0)), created_at
		FROM recipients, unnest('{default,acme,b,c,d}'::text[]) s`)
	w.workflow("w", step("a", "", "x"))
	config := w.pool.Config()
	counted := &reads{}
	config.ConnConfig.Tracer = counted
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w.Engine = w.node(func(c *Config) { c.Pool, c.BatchSize = pool, 4*people })
	w.trigger(Request{Workflow: "w", Recipients: refer(0, people)})
	w.trigger(Request{Workflow: "w", Recipients: refer(0, people), Tenant: "acme"})
	worker := &worker{engine: w.Engine, rows: 100, bulkRows: 100}
	n, err := worker.work(t.Context())
	if err != nil || n != 2*people {
		t.Fatalf("%d runs in the batch, %v", n, err)
	}
	expect(t, "queries", counted.n.Load(), 1)
	expect(t, "messages", one[int](w, `SELECT count(*) FROM sent`), people)
	expect(t, "to who wants them", one[int](w, `SELECT count(*) FROM sent WHERE recipient_id % 2 = 1`), 0)
}

// The log says who had a say, and nothing if nobody had.
func TestTheLogExplainsPreferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(3)
	w.workflow("w", step("a", "", "x"))
	for user, content := range map[string]map[string]any{
		"u0": {"channelTypes": map[string]any{"in_app": true}},
		"u1": {"workflows": map[string]any{"w": map[string]any{"condition": "data.n > 1"}}},
	} {
		set, err := recipient.ParsePreferences(content, belfry.RecipientLevel, "set")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recipients.SetPreferences(t.Context(), w.env, belfry.User(user), belfry.DefaultPreferences, set, belfry.ReplacePreferences, false, "set"); err != nil {
			t.Fatal(err)
		}
	}
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 3), Data: map[string]any{"n": 1}})
	w.drain()
	runs := w.runs(a.Trigger.ID)
	expect(t, "allowed", runs["u0"].Log[0].Preferences, []recipient.PreferenceReason{
		{Rule: belfry.ChannelRule, Level: belfry.RecipientLevel, Node: "channelTypes.in_app", Allows: true}})
	denied := runs["u1"].Log[0].Preferences
	if len(denied) != 1 || denied[0].Allows || len(denied[0].Conditions) != 1 || denied[0].Conditions[0].Source != "data.n > 1" {
		t.Errorf("denied: %+v", denied)
	}
	expect(t, "nobody said anything", runs["u2"].Log[0].Preferences, nil)
}

// A test run asks the same preferences.
func TestTestRunsAskPreferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	w.exec(`INSERT INTO preference_sets SELECT id, 'acme', environment_id, '{"workflows": {"w": {"condition": "vars.on == true"}}}', created_at FROM recipients`)
	for tenant, want := range map[string][]string{
		"":     {"0s a: sent", "0s a > x", "0s done"},
		"acme": {"0s a: skipped preference (workflows.w of the recipient, for the tenant)", "0s done"},
	} {
		result, err := w.Test(t.Context(), w.env, &TestRequest{Workflow: "w", Recipient: belfry.User("u0"), Tenant: tenant, At: epoch})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "tenant "+tenant, told(&result.TestRun, epoch), want)
	}
	if err := w.SetVariable(t.Context(), w.env, "on", true); err != nil {
		t.Fatal(err)
	}
	result, err := w.Test(t.Context(), w.env, &TestRequest{Workflow: "w", Recipient: belfry.User("u0"), Tenant: "acme", At: epoch})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "with the variable", told(&result.TestRun, epoch), []string{"0s a: sent", "0s a > x", "0s done"})
}
