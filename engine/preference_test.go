package engine

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
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
	counted := &reads{}
	w.Engine = w.traced(counted, func(c *Config) { c.BatchSize = 4 * people })
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

// Conditions of preferences may ask for audiences as those of workflows do, in runs, test runs and explanations alike.
func TestPreferencesAskForAudiences(t *testing.T) {
	t.Parallel()
	const sends, skips = "sent", "skipped"
	for name, c := range map[string]struct {
		write string // statements that store preferences
		want  [3]string
	}{
		"of the environment": {`INSERT INTO preference_defaults (environment_id, tenant_id, preferences, updated_at) SELECT id, 0, '{"workflows": {"w": {"condition": "is_not_audience_member(recipient.id, \"opted-out\")"}}}', created_at FROM environments`,
			[3]string{skips, sends, sends}},
		"of the tenant": {`INSERT INTO preference_defaults (environment_id, tenant_id, preferences, updated_at) SELECT environment_id, id, '{"channelTypes": {"in_app": {"conditions": [{"variable": "recipient.id", "operator": "is_audience_member", "argument": "opted-out"}]}}}', created_at
			FROM recipients WHERE collection = '$tenants'`, [3]string{skips, skips, sends}}, // that of u0 is without a tenant
		"of the recipient": {`INSERT INTO preference_sets SELECT id, 'acme', environment_id, '{"categories": {"c": {"channels": {"in-app": {"condition": "is_audience_member(recipient.id, \"pros\")"}}}}}', created_at
			FROM recipients WHERE external_id IN ('u0', 'u1')`, [3]string{skips, sends, sends}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.users(3)
			w.exec(`UPDATE recipients SET properties = '{"plan": "pro"}' WHERE external_id = 'u1'`)
			w.exec(`INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at) SELECT id, '$tenants', 'acme', created_at, created_at FROM environments`)
			for _, a := range []recipient.Audience{{Key: "opted-out", Name: "o"}, {Key: "pros", Name: "p", Condition: `recipient.plan == "pro"`}} {
				if _, err := w.Recipients.UpsertAudience(t.Context(), w.env, a); err != nil {
					t.Fatal(err)
				}
			}
			for member, tenant := range map[string]string{"u0": "", "u2": "acme"} {
				if _, err := w.Recipients.AddMembers(t.Context(), w.env, "opted-out", []recipient.Party{{Ref: belfry.User(member)}}, tenant); err != nil {
					t.Fatal(err)
				}
			}
			w.exec(c.write)
			definition := &workflow.Definition{Name: "w", Categories: []string{"c"}, Steps: []workflow.Step{step("a", "", "x")}}
			if _, problems, err := w.Upsert(t.Context(), w.env, "w", definition); err != nil || len(problems) > 0 {
				t.Fatal(problems, err)
			}
			tenant := "acme"
			if name == "of the environment" {
				tenant = ""
			}
			var got [3][3]string
			accepted := w.trigger(Request{Workflow: "w", Recipients: refer(0, 3), Tenant: tenant})
			w.drain()
			runs := w.runs(accepted.Trigger.ID)
			for i := range 3 {
				user := fmt.Sprint("u", i)
				tried, err := w.Test(t.Context(), w.env, &TestRequest{Workflow: "w", Recipient: belfry.User(user), Tenant: tenant, At: epoch})
				if err != nil {
					t.Fatal(err)
				}
				d, err := w.ExplainPreference(t.Context(), w.env, &PreferenceRequest{Workflow: "w", Recipient: belfry.User(user), Tenant: tenant, Channel: belfry.DefaultFeed, ChannelType: belfry.InApp})
				if err != nil {
					t.Fatal(err)
				}
				explained := skips
				if d.Allowed {
					explained = sends
				}
				got[0][i], got[1][i], got[2][i] = string(runs[user].Log[0].Outcome), string(tried.Log[0].Outcome), explained
			}
			expect(t, "in runs", got[0], c.want)
			expect(t, "in test runs", got[1], c.want)
			expect(t, "explained", got[2], c.want)
		})
	}
}

// Who has the same sets shares a decision with others of the batch, unless it asks what they are like.
func TestDecisionsAreSharedWhereTheyAreTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(4)
	w.exec(`UPDATE recipients SET properties = jsonb_build_object('n', id % 2) WHERE collection = '$users'`)
	w.exec(`INSERT INTO preference_sets SELECT id, s, environment_id, '{"workflows": {"asks": {"condition": "recipient.n == 1"}, "off": false, "on": true}}', created_at
		FROM recipients, unnest('{default,acme}'::text[]) s WHERE collection = '$users'`)
	for workflow, want := range map[string]int{"asks": 2, "off": 0, "on": 4, "else": 4} {
		w.workflow(workflow, step("a", "", "x"))
		for _, tenant := range []string{"", "acme"} {
			a := w.trigger(Request{Workflow: workflow, Recipients: refer(0, 4), Tenant: tenant})
			w.drain()
			expect(t, workflow+" for "+tenant, one[int](w, `SELECT count(*) FROM sent WHERE trigger_id = $1`, a.Trigger.ID), want)
			for user, run := range w.runs(a.Trigger.ID) {
				if reasons := run.Log[0].Preferences; workflow != "else" && (len(reasons) != 1 || reasons[0].Node != "workflows."+workflow) {
					t.Errorf("%s, %s: %+v", workflow, user, reasons)
				}
			}
		}
	}
}

// What somebody said before a trigger was accepted counts for it, however well known it is what they said before.
func TestAChangeOfPreferencesCountsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(3)
	w.workflow("w", step("a", "", "x"))
	sent := func(when, tenant string, want int) {
		t.Helper()
		a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 3), Tenant: tenant})
		w.drain()
		expect(t, when, one[int](w, `SELECT count(*) FROM sent WHERE trigger_id = $1`, a.Trigger.ID), want)
	}
	sent("nobody said anything", "acme", 3)
	w.exec(`INSERT INTO preference_sets SELECT id, s, environment_id, '{"workflows": {"w": true}}', created_at
		FROM recipients, unnest('{default,acme}'::text[]) s WHERE collection = '$users'`)
	sent("all want it", "acme", 3)
	w.exec(`UPDATE preference_sets SET preferences = '{"workflows": {"w": false}}' WHERE set = 'acme' AND recipient_id = (SELECT id FROM recipients WHERE external_id = 'u1')`)
	sent("one no longer does for the tenant", "acme", 2)
	sent("but else", "", 3)
	w.exec(`UPDATE preference_sets SET preferences = '{"workflows": {"w": false}}'`)
	sent("nobody does", "acme", 0)
	sent("nowhere", "", 0)
	w.exec(`DELETE FROM preference_sets WHERE recipient_id = (SELECT id FROM recipients WHERE external_id = 'u2')`)
	sent("who says nothing any more", "acme", 1)
}
