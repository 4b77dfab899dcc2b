package engine

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

func emailStep(ref, body string) workflow.Step {
	return workflow.Step{Ref: ref, Email: &workflow.Email{Channel: "mail", Subject: "s", Body: body, Format: workflow.Text}}
}

// define stores a workflow with settings.
func (w *world) define(key string, settings workflow.Settings, steps ...workflow.Step) {
	w.t.Helper()
	if _, problems, err := w.Upsert(w.t.Context(), w.env, key, &workflow.Definition{Name: key, Settings: settings, Steps: steps}); err != nil || len(problems) > 0 {
		w.t.Fatalf("upsert %s: %v %v", key, err, problems)
	}
}

// reachable makes users u0, u1, … with an e-mail address, and the tenant acme with a colour.
func (w *world) reachable(n int) {
	w.t.Helper()
	w.users(n)
	w.exec(`UPDATE recipients SET properties = properties || jsonb_build_object('email', external_id || '@example.com')`)
	w.exec(`INSERT INTO recipients (environment_id, collection, external_id, properties, created_at, updated_at)
		VALUES ($1, '$tenants', 'acme', '{"name": "Acme", "settings": {"branding": {"primary_color": "#123456"}}}', $2, $2)`, w.env, epoch)
}

// contents reads what was sent by a step, by user.
func (w *world) contents(step string) map[string]belfry.Content {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `SELECT p.external_id, s.content FROM sent s JOIN recipients p ON p.id = s.recipient_id WHERE s.step = $1`, step)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]belfry.Content{}
	var user string
	var raw []byte
	if _, err := pgx.ForEachRow(rows, []any{&user, &raw}, func() error {
		var c belfry.Content
		err := json.Unmarshal(raw, &c)
		out[user] = c
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// opens checks that an address is a link for a user and a purpose.
func (w *world) opens(what, url, user string, purpose recipient.LinkPurpose, tenant string) {
	w.t.Helper()
	l, err := w.Recipients.OpenLink(w.t.Context(), url[strings.LastIndex(url, "/")+1:])
	if err != nil || l.Who.ExternalID != user || l.Purpose != purpose || (l.For != nil) != (tenant != "") || !strings.HasPrefix(url, "https://notify.example.com/") {
		w.t.Errorf("%s: %s opens %+v, %v", what, url, l, err)
	}
}

// Commercial e-mail says how to unsubscribe, to programs and to people; nothing else does. Each recipient gets links of
// their own, however many runs are rendered together.
func TestMessagesHaveLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reachable(3)
	const body = "{{ vars.manage_preferences_url }} {{ vars.commercial_unsubscribe_url }}"
	inApp, plain := step("plain-inbox", "", body), emailStep("plain-static", "no links")
	w.define("plain", workflow.Settings{}, emailStep("plain", body), inApp, plain)
	w.define("ads", workflow.Settings{Commercial: true}, emailStep("ads", body), emailStep("ads-static", "no links"), step("ads-inbox", "", body))
	w.trigger(Request{Workflow: "plain", Recipients: refer(0, 3)})
	w.trigger(Request{Workflow: "ads", Recipients: refer(0, 3), Tenant: "acme"})
	w.drain()
	for user, content := range w.contents("plain") {
		manage, unsubscribe, _ := strings.Cut(content.Body.Content, " ")
		w.opens("plain", manage, user, recipient.ToPreferences, "")
		expect(t, "unsubscribe", unsubscribe, "")
		expect(t, "headers", content.Headers, nil)
	}
	for _, step := range []string{"ads", "ads-static"} {
		found := w.contents(step)
		expect(t, "messages", len(found), 3)
		for user, content := range found {
			header := content.Headers["List-Unsubscribe"]
			w.opens(step, strings.Trim(header, "<>"), user, recipient.LeaveCommercial, "acme")
			expect(t, "headers", content.Headers, map[string]string{"List-Unsubscribe": "<" + strings.Trim(header, "<>") + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"})
			if step == "ads" {
				manage, unsubscribe, _ := strings.Cut(content.Body.Content, " ")
				w.opens("manage", manage, user, recipient.ToPreferences, "acme")
				expect(t, "the same link as in the header", "<"+unsubscribe+">", header)
			}
		}
	}
	for _, step := range []string{"plain-inbox", "ads-inbox", "plain-static"} {
		found := w.contents(step)
		expect(t, "messages", len(found), 3)
		for _, content := range found {
			expect(t, "headers of "+step, content.Headers, nil)
		}
	}
}

// Without an address there is no way to unsubscribe, and no advertising by mail. Other messages go out, and say what they lack.
func TestWithoutAPublicAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reachable(1)
	w.Recipients.PublicURL = ""
	w.define("plain", workflow.Settings{}, emailStep("plain", "<{{ vars.manage_preferences_url }}>"))
	w.define("ads", workflow.Settings{Commercial: true}, emailStep("mail", "x"), step("inbox", "", "y"))
	plain, ads := w.trigger(Request{Workflow: "plain", Recipients: refer(0, 1)}), w.trigger(Request{Workflow: "ads", Recipients: refer(0, 1)})
	w.drain()
	entry := w.runs(plain.Trigger.ID)["u0"].Log[0]
	expect(t, "plain", []string{string(entry.Outcome), entry.Reason, entry.Detail}, []string{string(OutcomeSent), "warning", noLinks})
	expect(t, "an empty link", w.contents("plain")["u0"].Body.Content, "<>")
	log := w.runs(ads.Trigger.ID)["u0"].Log
	expect(t, "ads", []string{string(log[0].Outcome), log[0].Reason, log[0].Detail}, []string{string(OutcomeSkipped), "no_public_url", noPublicURL})
	expect(t, "in the app", len(w.contents("inbox")), 1)
	tested, err := w.Test(t.Context(), w.env, &TestRequest{Workflow: "ads", Recipient: belfry.User("u0")})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "a test says so", tested.Log[0].Reason, "no_public_url")
}

func TestMessagesSeeTheBranding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reachable(1)
	if err := w.SetVariable(t.Context(), w.env, "site", "Example"); err != nil {
		t.Fatal(err)
	}
	w.workflow("w", step("a", "", "{{ vars.site }} {{ vars.branding.primary_color }} {{ vars.branding.dark_primary_color }}{% if vars.branding.logo_url %} logo{% endif %}"))
	branded, plain := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1), Tenant: "acme"}), w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain()
	expect(t, "of the tenant", w.bodies(branded.Trigger.ID)["u0"], []string{"Example #123456 #FFFFFF"})
	expect(t, "of nobody", w.bodies(plain.Trigger.ID)["u0"], []string{"Example #000000 #FFFFFF"})
	for _, name := range systemVariables {
		expectError(t, w.SetVariable(t.Context(), w.env, name, "x"), belfry.Invalid, "input.name", 0)
		if err := w.SetVariable(t.Context(), w.env, name, nil); err != nil { // from before it was reserved
			t.Error(err)
		}
	}
}

// A test shows what links look like, and makes none that works.
func TestATestMakesNoLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reachable(1)
	w.define("ads", workflow.Settings{Commercial: true}, emailStep("mail", "{{ vars.manage_preferences_url }} {{ vars.commercial_unsubscribe_url }} {{ vars.branding.primary_color }}"))
	got, err := w.Test(t.Context(), w.env, &TestRequest{Workflow: "ads", Recipient: belfry.User("u0"), Tenant: "acme"})
	if err != nil || len(got.Messages) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	expect(t, "body", got.Messages[0].Content.Body.Content, "https://notify.example.com/preferences/example https://notify.example.com/unsubscribe/example #123456")
	expect(t, "header", got.Messages[0].Content.Headers["List-Unsubscribe"], "<https://notify.example.com/unsubscribe/example>")
}

// secretReads counts the statements that read link secrets.
type secretReads struct{ n atomic.Int32 }

func (r *secretReads) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "link_secrets") {
		r.n.Add(1)
	}
	return ctx
}

func (r *secretReads) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Secrets are read once for a batch, and not at all where nobody needs them.
func TestSecretsAreReadOnceForABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const people = 20
	w.reachable(people)
	w.define("plain", workflow.Settings{}, emailStep("plain", "{{ vars.site }}"))
	w.define("ads", workflow.Settings{Commercial: true}, emailStep("ads", "x"))
	counted := &secretReads{}
	w.Engine = w.traced(counted, func(c *Config) { c.BatchSize = 4 * people })
	for key, want := range map[string]int32{"plain": 0, "ads": 1} {
		counted.n.Store(0)
		w.trigger(Request{Workflow: key, Recipients: refer(0, people)})
		worker := &worker{engine: w.Engine, rows: 100, bulkRows: 100}
		if n, err := worker.work(t.Context()); err != nil || n != people {
			t.Fatalf("%d runs in the batch, %v", n, err)
		}
		expect(t, "queries of "+key, counted.n.Load(), want)
	}
}
