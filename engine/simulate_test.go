package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// steps reads steps of a definition from JSON.
func steps(t *testing.T, source string) []workflow.Step {
	t.Helper()
	var out []workflow.Step
	if err := json.Unmarshal([]byte(source), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// inbox is the JSON of an in-app step.
func inbox(ref, body string) string {
	b, _ := json.Marshal(step(ref, "", body))
	return string(b)
}

// told is a run as a list of what happened, with the time since the start: "2h0m0s wait: passed".
func told(r *TestRun, start time.Time) []string {
	out := []string{}
	for _, e := range r.Log {
		line := fmt.Sprintf("%s %s: %s", e.At.Sub(start), e.Step, e.Outcome)
		if e.Reason != "" {
			line += " " + e.Reason
		}
		if e.Detail != "" && e.Outcome != OutcomeJoined {
			line += " (" + e.Detail + ")"
		}
		if e.Until != nil {
			line += fmt.Sprintf(" until %s", e.Until.Sub(start))
		}
		out = append(out, line)
	}
	for _, m := range r.Messages {
		out = append(out, fmt.Sprintf("%s %s > %s", m.At.Sub(start), m.Step, m.Content.Body.Content))
	}
	return append(out, fmt.Sprintf("%s %s", r.Duration, r.Status))
}

func TestSimulateSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(3)
	w.workflow("other", step("a", "", "x"))
	w.workflow("off", step("a", "", "x"))
	if _, err := w.SetActive(t.Context(), w.env, "off", false); err != nil {
		t.Fatal(err)
	}
	if err := w.SetVariable(t.Context(), w.env, "limit", 10); err != nil {
		t.Fatal(err)
	}
	device := belfry.ChannelData{Channel: "push", Push: &belfry.PushData{Devices: []belfry.PushDevice{{Token: "t"}}}}
	if _, err := w.Recipients.SetChannelData(t.Context(), w.env, belfry.User("u0"), device, true); err != nil {
		t.Fatal(err)
	}
	seen := Event{Type: workflow.MessageEvent, Name: "seen", Step: "a"}
	for name, c := range map[string]struct {
		steps   string
		request TestRequest
		want    []string
		others  [][]string
	}{
		"send": {`[` + inbox("a", "Hi {{ recipient.name }} {{ data.x }} {{ vars.limit }}") + `]`, TestRequest{Data: map[string]any{"x": 1}},
			[]string{"0s a: sent", "0s a > Hi User 0 1 10", "0s done"}, nil},
		"a condition": {`[{"ref": "a", "condition": "data.x > 1", "inApp": {"channel": "inbox", "body": "x", "format": "TEXT"}}]`, TestRequest{Data: map[string]any{"x": 1}},
			[]string{"0s a: skipped condition", "0s done"}, nil},
		"missing address": {`[{"ref": "a", "email": {"channel": "mail", "subject": "s", "body": "x", "format": "TEXT"}}]`, TestRequest{},
			[]string{"0s a: skipped missing_recipient_data (the recipient has no email)", "0s done"}, nil},
		"delay": {`[{"ref": "wait", "delay": {"for": {"unit": "hours", "value": 2}}}, ` + inbox("a", "{{ timestamp }}") + `]`, TestRequest{},
			[]string{"0s wait: waiting until 2h0m0s", "2h0m0s wait: passed", "2h0m0s a: sent", "2h0m0s a > 2025-03-04T07:06:07Z", "2h0m0s done"}, nil},
		"skipped delay": {`[{"ref": "wait", "delay": {"for": {"unit": "hours", "value": 2}}}]`, TestRequest{SkipDelays: true},
			[]string{"0s wait: skipped skip_delay", "0s done"}, nil},
		"throttle": {`[{"ref": "t", "throttle": {"for": {"unit": "hours", "value": 1}, "limit": 1}}]`,
			TestRequest{Triggers: []TestTrigger{{After: time.Minute}, {After: 2 * time.Hour}}},
			[]string{"0s t: passed", "0s done"},
			[][]string{{"1m0s t: halted throttled (1 runs have passed) until 1h0m0s", "0s done"}, {"2h0m0s t: passed", "0s done"}}},
		"branch": {`[{"ref": "b", "branch": {"branches": [{"name": "big", "condition": "data.x > 1", "steps": [` + inbox("a", "big") + `]}],
			"default": {"steps": [` + inbox("c", "small") + `]}}}]`, TestRequest{Data: map[string]any{"x": 2}},
			[]string{"0s b: took (big)", "0s a: sent", "0s a > big", "0s done"}, nil},
		"cohort": {`[{"ref": "c", "randomCohort": {"cohorts": [{"name": "all", "percentage": 100}, {"percentage": 0}]}}]`, TestRequest{},
			[]string{"0s c: took (all)", "0s done"}, nil},
		"fetch": {`[{"ref": "f", "fetch": {"url": "https://example.com/{{ recipient.id }}?k=1"}}, ` + inbox("a", "{{ data.plan }}") + `]`,
			TestRequest{Responses: map[string]TestResponse{"f": {Body: `{"plan": "pro"}`}}},
			[]string{"0s f: waiting (GET https://example.com/u0)", "0s f: fetched (200)", "0s a: sent", "0s a > pro", "0s done"}, nil},
		"a fetch that fails": {`[{"ref": "f", "fetch": {"url": "https://example.com"}}]`, TestRequest{Responses: map[string]TestResponse{"f": {Status: 503}}},
			[]string{"0s f: waiting (GET https://example.com)", "0s f: failed fetch_failed (the server answered with status 503)", "0s failed"}, nil},
		"a fetch without a response": {`[{"ref": "f", "fetch": {"url": "https://example.com"}}]`, TestRequest{},
			[]string{"0s f: waiting (GET https://example.com)",
				`0s f: failed fetch_failed (no response was given for the step "f": a test run makes no requests, say in responses what this one gets)`, "0s failed"}, nil},
		"an event": {`[` + inbox("a", "x") + `, {"ref": "w", "waitForEvent": {"event": {"type": "MESSAGE", "name": "seen", "step": "a"}, "onTimeout": "CONTINUE"}},
			{"ref": "b", "condition": "refs.a.seen && refs.w.matched", "inApp": {"channel": "inbox", "body": "seen", "format": "TEXT"}}]`,
			TestRequest{Events: []TestEvent{{5 * time.Minute, seen}, {6 * time.Minute, seen}}},
			[]string{"0s a: sent", "0s w: waiting (MESSAGE seen) until 15m0s", "5m0s w: matched", "5m0s b: sent", "0s a > x", "5m0s b > seen", "5m0s done"}, nil},
		"no event": {`[` + inbox("a", "x") + `, {"ref": "w", "waitForEvent": {"event": {"type": "MESSAGE", "name": "seen", "step": "a"}, "onTimeout": "CONTINUE"}},
			{"ref": "b", "condition": "!refs.a.seen", "inApp": {"channel": "inbox", "body": "not seen", "format": "TEXT"}}]`,
			TestRequest{Events: []TestEvent{{16 * time.Minute, seen}}},
			[]string{"0s a: sent", "0s w: waiting (MESSAGE seen) until 15m0s", "15m0s w: timed_out", "15m0s b: sent", "0s a > x", "15m0s b > not seen", "15m0s done"}, nil},
		"a custom event with a condition": {`[{"ref": "w", "waitForEvent": {"event": {"type": "CUSTOM", "name": "paid"}, "condition": "event.data.total > 5"}}, ` + inbox("a", "{{ data.x }}") + `]`,
			TestRequest{Events: []TestEvent{{time.Minute, Event{Type: workflow.CustomEvent, Name: "paid", Data: map[string]any{"total": 5}}},
				{2 * time.Minute, Event{Type: workflow.CustomEvent, Name: "paid", Data: map[string]any{"total": 6}}}}, Data: map[string]any{"x": "y"}},
			[]string{"0s w: waiting (CUSTOM paid) until 15m0s", "2m0s w: matched", "2m0s a: sent", "2m0s a > y", "2m0s done"}, nil},
		"a recipient who changes": {`[{"ref": "w", "waitForEvent": {"event": {"type": "RECIPIENT", "name": "updated"}, "condition": "recipient.plan == 'pro' && event.plan != 'pro'"}}, ` + inbox("a", "{{ recipient.plan }}") + `]`,
			TestRequest{Events: []TestEvent{{time.Minute, Event{Type: workflow.RecipientEvent, Name: "updated", Data: map[string]any{"plan": "pro"}}}}},
			[]string{"0s w: waiting (RECIPIENT updated) until 15m0s", "1m0s w: matched", "1m0s a: sent", "1m0s a > pro", "1m0s done"}, nil},
		"the end of the run of another trigger": {`[{"ref": "b", "branch": {"branches": [{"condition": "data.x == 1", "steps": [
			{"ref": "w", "waitForEvent": {"event": {"type": "WORKFLOW", "name": "completed", "workflow": "test"}}}]}], "default": {}}}]`,
			TestRequest{Data: map[string]any{"x": 1}, Triggers: []TestTrigger{{After: time.Minute}}},
			[]string{"0s b: took (branch 1)", "0s w: waiting (WORKFLOW completed) until 15m0s", "1m0s w: matched", "1m0s done"},
			[][]string{{"1m0s b: skipped condition (branch 1: )", "1m0s b: took (default)", "0s done"}}},
		"another workflow": {`[{"ref": "s", "triggerWorkflow": {"workflow": "other"}}, {"ref": "o", "triggerWorkflow": {"workflow": "off"}},
			{"ref": "n", "triggerWorkflow": {"workflow": "none"}}, {"ref": "i", "triggerWorkflow": {"workflow": "other", "recipients": "a/b", "tenant": "a/b"}}]`, TestRequest{},
			[]string{"0s s: started (other)", `0s o: skipped workflow_unavailable (the workflow "off" is switched off)`, `0s n: skipped workflow_unavailable (no workflow has the key "none")`,
				"0s i: failed invalid_trigger (input.tenant: an id must not contain '/', '#' or control characters)", "0s failed"}, nil},
		"updates": {`[{"ref": "d", "updateData": {"data": {"y": "{{ data.x }}!"}}}, {"ref": "u", "updateUser": {"json": "{\"plan\": {\"name\": \"pro\"}}"}},
			{"ref": "o", "updateUser": {"id": "u1", "properties": {"plan": "free"}}}, {"ref": "n", "updateObject": {"collection": "c", "id": "new", "properties": {"a": "b"}}},
			{"ref": "bad", "condition": "data.x == 2", "updateUser": {"properties": {"timezone": "Nowhere"}}}, ` + inbox("a", "{{ data.y }} {{ recipient.plan.name }} {{ recipient.name }}") + `]`,
			TestRequest{Data: map[string]any{"x": 1}},
			[]string{"0s d: updated", "0s u: updated ($users u0)", "0s o: updated ($users u1)", "0s n: updated (c new)", "0s bad: skipped condition", "0s a: sent", "0s a > 1! pro User 0", "0s done"}, nil},
		"a send window": {`[{"ref": "a", "sendWindows": [{"day": "monday", "type": "send"}, {"day": "tuesday", "type": "do_not_send"}, {"day": "wednesday", "type": "send", "from": "09:00"},
			{"day": "thursday", "type": "send"}, {"day": "friday", "type": "send"}, {"day": "saturday", "type": "send"}, {"day": "sunday", "type": "send"}],
			"inApp": {"channel": "inbox", "body": "x", "format": "TEXT"}}]`, TestRequest{At: at("2025-03-04T09:00Z")},
			[]string{"0s a: queued send_window until 24h0m0s", "0s a > x", "0s done"}, nil},
		"a message that is delivered meanwhile": {`[{"ref": "a", "push": {"channel": "push", "body": "x"}}, {"ref": "b", "condition": "refs.a.delivery_status == 'queued'", "push": {"channel": "push", "body": "y"}},
			{"ref": "d", "delay": {"for": {"unit": "hours", "value": 1}}}, {"ref": "c", "condition": "refs.a.delivery_status == 'sent' && refs.b.delivery_status == 'bounced'", "push": {"channel": "push", "body": "z"}}]`,
			TestRequest{Events: []TestEvent{{time.Minute, Event{Type: workflow.MessageEvent, Name: "bounced", Step: "b"}}}},
			[]string{"0s a: sent", "0s b: sent", "0s d: waiting until 1h0m0s", "1h0m0s d: passed", "1h0m0s c: sent", "0s a > x", "0s b > y", "1h0m0s c > z", "1h0m0s done"}, nil},
		"a template that fails": {`[` + inbox("a", "{{ data.x | divided_by: 0 }}") + `]`, TestRequest{Data: map[string]any{"x": 1}}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := c.request
			r.Definition = &workflow.Definition{Name: "test", Steps: steps(t, c.steps)}
			r.Recipient = belfry.User("u0")
			got, err := w.Test(t.Context(), w.env, &r)
			if err != nil || got.Problems != nil {
				t.Fatal(err, got)
			}
			if c.want == nil {
				expect(t, "status", got.Status, Failed)
				return
			}
			start := epoch
			if !r.At.IsZero() {
				start = r.At
			}
			expect(t, "run", told(&got.TestRun, start), c.want)
			var others [][]string
			for i := range got.Others {
				others = append(others, told(&got.Others[i], start))
			}
			expect(t, "others", others, c.others)
		})
	}
}

func TestSimulateBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(4)
	const body = "{{ total_activities }} of {{ total_actors }}:{% for a in activities %} {{ a.actor.name }}/{{ a.n }}{% endfor %} {{ data.n }}"
	more := func(minutes ...int) (out []TestTrigger) {
		for i, m := range minutes {
			out = append(out, TestTrigger{After: time.Duration(m) * time.Minute, Data: map[string]any{"n": i + 1, "k": i % 2}, Actor: belfry.User(fmt.Sprintf("u%d", i%2+1))})
		}
		return out
	}
	for name, c := range map[string]struct {
		batch    string
		triggers []TestTrigger
		want     []string
		last     []string // of the others
	}{
		"alone": {`{"for": {"unit": "minutes", "value": 10}}`, nil,
			[]string{"0s b: waiting until 10m0s", "10m0s b: closed (1 activities)", "10m0s a: sent", "10m0s a > 1 of 1: User 3/0 0", "10m0s done"}, nil},
		"with others": {`{"for": {"unit": "minutes", "value": 10}, "renderLimit": 2}`, more(1, 2, 10),
			[]string{"0s b: waiting until 10m0s", "10m0s b: closed (4 activities)", "10m0s a: sent", "10m0s a > 4 of 3: User 3/0 User 1/1 1", "10m0s done"},
			[]string{"10m0s b: joined until 10m0s", "0s done"}},
		"the last ones": {`{"for": {"unit": "minutes", "value": 10}, "renderLimit": 2, "order": "LAST"}`, more(1, 2),
			[]string{"0s b: waiting until 10m0s", "10m0s b: closed (3 activities)", "10m0s a: sent", "10m0s a > 3 of 3: User 1/1 User 2/2 2", "10m0s done"},
			[]string{"2m0s b: joined until 10m0s", "0s done"}},
		"one that is too late": {`{"for": {"unit": "minutes", "value": 10}}`, more(11),
			[]string{"0s b: waiting until 10m0s", "10m0s b: closed (1 activities)", "10m0s a: sent", "10m0s a > 1 of 1: User 3/0 0", "10m0s done"},
			[]string{"11m0s b: waiting until 21m0s", "21m0s b: closed (1 activities)", "21m0s a: sent", "21m0s a > 1 of 1: User 1/1 1", "10m0s done"}},
		"with a key": {`{"for": {"unit": "minutes", "value": 10}, "key": "data.k"}`, more(1, 2, 3),
			[]string{"0s b: waiting until 10m0s", "10m0s b: closed (3 activities)", "10m0s a: sent", "10m0s a > 3 of 2: User 3/0 User 1/1 User 1/3 3", "10m0s done"},
			[]string{"3m0s b: joined until 10m0s", "0s done"}},
		"sliding": {`{"for": {"unit": "minutes", "value": 10}, "type": "SLIDING", "extensionLimit": {"unit": "minutes", "value": 15}}`, more(4, 8),
			[]string{"0s b: waiting until 10m0s", "15m0s b: closed (3 activities)", "15m0s a: sent", "15m0s a > 3 of 3: User 3/0 User 1/1 User 2/2 2", "15m0s done"},
			[]string{"8m0s b: joined until 15m0s", "0s done"}},
		"full": {`{"for": {"unit": "minutes", "value": 10}, "maxItems": 2}`, more(3, 4),
			[]string{"0s b: waiting until 10m0s", "3m0s b: closed (2 activities)", "3m0s a: sent", "3m0s a > 2 of 2: User 3/0 User 1/1 1", "3m0s done"},
			[]string{"4m0s b: waiting until 14m0s", "14m0s b: closed (1 activities)", "14m0s a: sent", "14m0s a > 1 of 1: User 2/2 2", "10m0s done"}},
		"full, and one more at once": {`{"for": {"unit": "minutes", "value": 10}, "maxItems": 2}`, more(3, 3),
			[]string{"0s b: waiting until 10m0s", "3m0s b: closed (2 activities)", "3m0s a: sent", "3m0s a > 2 of 2: User 3/0 User 1/1 1", "3m0s done"},
			[]string{"3m0s b: waiting until 13m0s", "13m0s b: closed (1 activities)", "13m0s a: sent", "13m0s a > 1 of 1: User 2/2 2", "10m0s done"}},
		"leading": {`{"for": {"unit": "minutes", "value": 10}, "leadingFlush": true}`, more(3, 4),
			[]string{"0s b: opened until 10m0s", "0s a: sent", "0s a > 1 of 1: User 3/0 0", "0s done"},
			[]string{"4m0s b: joined until 10m0s", "0s done"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			definition := &workflow.Definition{Name: "test", Steps: steps(t, `[{"ref": "b", "batch": `+c.batch+`}, `+inbox("a", body)+`]`)}
			got, err := w.Test(t.Context(), w.env, &TestRequest{Definition: definition, Recipient: belfry.User("u0"), Actor: belfry.User("u3"),
				Data: map[string]any{"n": 0, "k": 0}, Triggers: c.triggers})
			if err != nil || got.Problems != nil {
				t.Fatal(err, got)
			}
			expect(t, "run", told(&got.TestRun, epoch), c.want)
			if expect(t, "others", len(got.Others), len(c.triggers)); len(got.Others) > 0 {
				expect(t, "last", told(&got.Others[len(got.Others)-1], epoch), c.last)
			}
		})
	}
}

// What a test run says is what the engine does.
func TestSimulateLikeTheEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.zone("u0", "America/New_York")
	w.workflow("other", step("a", "", "x"))
	w.workflow("w", steps(t, `[
		{"ref": "t", "throttle": {"for": {"unit": "hours", "value": 1}}},
		`+inbox("first", "{{ actor.name }} {{ data.x }} {{ tenant.id }}")+`,
		{"ref": "window", "delay": {"rule": {"frequency": "daily", "hours": 9}}},
		{"ref": "b", "batch": {"for": {"unit": "minutes", "value": 10}}},
		{"ref": "u", "updateUser": {"properties": {"plan": "pro"}}},
		{"ref": "s", "triggerWorkflow": {"workflow": "other"}},
		{"ref": "w", "waitForEvent": {"event": {"type": "CUSTOM", "name": "paid"}, "onTimeout": "CONTINUE"}},
		{"ref": "later", "condition": "!refs.first.seen && run.total_activities == 1", "inApp": {"channel": "inbox", "body": "{{ recipient.plan }} {{ activities[0].actor.name }}", "format": "TEXT"}},
		{"ref": "c", "randomCohort": {"cohorts": [{"percentage": 50}, {"percentage": 50}]}}
	]`)...)
	data, u1 := map[string]any{"x": json.Number("12345678901234567890")}, belfry.User("u1")
	tested, err := w.Test(t.Context(), w.env, &TestRequest{Workflow: "w", Recipient: belfry.User("u0"), Actor: u1, Tenant: "acme", Data: data})
	if err != nil {
		t.Fatal(err)
	}
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1), Actor: &Party{Ref: u1}, Tenant: "acme", Data: data})
	for one[int](w, `SELECT count(*) FROM runs r JOIN triggers t ON t.id = r.trigger_id WHERE t.source = 'api' AND status <> 'waiting'`) == 0 {
		w.drain()
		w.clock.add(time.Minute) // everything happens at a full minute behind the start, or a little late
	}
	real := w.runs(a.Trigger.ID)["u0"]
	expect(t, "status", tested.Status, real.Status)
	ignored := cmpopts.IgnoreFields(LogEntry{}, "At", "Message", "Until")
	for i := range real.Log {
		if real.Log[i].Outcome == OutcomeStarted {
			real.Log[i].Detail = "other"
		}
	}
	if diff := cmp.Diff(real.Log, tested.Log, ignored); diff != "" {
		t.Errorf("log (-engine +test):\n%s", diff)
	}
	var bodies []string
	for _, m := range tested.Messages {
		bodies = append(bodies, m.Content.Body.Content)
	}
	expect(t, "bodies", bodies, w.bodies(a.Trigger.ID)["u0"])
}

// everything is how many rows there are of all tables, and what recipients look like.
func everything(w *world) map[string]string {
	out := map[string]string{}
	for _, table := range strings.Fields(one[string](w, `SELECT string_agg(table_name, ' ') FROM information_schema.tables WHERE table_schema = 'public'`)) {
		out[table] = one[string](w, `SELECT count(*) || ' ' || coalesce(md5(string_agg(x::text, '|' ORDER BY x::text)), '') FROM `+table+` x`)
	}
	out["sequence"] = one[string](w, `SELECT string_agg(sequencename || coalesce(last_value, 0), ' ' ORDER BY sequencename) FROM pg_sequences`)
	return out
}

func TestSimulateLeavesNoTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", steps(t, `[{"ref": "t", "throttle": {"for": {"unit": "hours", "value": 1}}}, {"ref": "d", "delay": {"for": {"unit": "hours", "value": 1}}},
		{"ref": "b", "batch": {"for": {"unit": "minutes", "value": 10}}}, {"ref": "f", "fetch": {"url": "https://example.invalid"}},
		{"ref": "u", "updateUser": {"properties": {"plan": "pro"}}}, {"ref": "n", "updateObject": {"collection": "c", "id": "n", "properties": {"a": "b"}}},
		{"ref": "s", "triggerWorkflow": {"workflow": "w"}}, {"ref": "w", "waitForEvent": {"event": {"type": "CUSTOM", "name": "paid"}, "onTimeout": "CONTINUE"}},
		{"ref": "h", "webhook": {"channel": "hook", "url": "https://example.invalid"}}, `+inbox("a", "x")+`]`)...)
	definition := one[json.RawMessage](w, `SELECT definition FROM workflow_versions`)
	before := everything(w)
	var draft workflow.Definition
	if err := json.Unmarshal(definition, &draft); err != nil {
		t.Fatal(err)
	}
	draft.Frequency = workflow.OncePerRecipient
	for range 2 {
		got, err := w.Test(t.Context(), w.env, &TestRequest{
			Definition: &draft, Workflow: "w", Recipient: belfry.User("u0"), RecipientProperties: map[string]any{"name": "Somebody"},
			Actor: belfry.User("new"), ActorProperties: map[string]any{"name": "New"}, Tenant: "unheard",
			Responses: map[string]TestResponse{"f": {Body: `{"a": 1}`}}, Triggers: []TestTrigger{{After: 2 * time.Hour}},
		})
		if err != nil || got.Status != Done || len(got.Messages) != 2 || len(got.Fetches) != 1 || got.Fetches[0].Request.URL != "https://example.invalid" {
			t.Fatalf("%v: %+v", err, got)
		}
		expect(t, "duration", got.Duration, time.Hour+10*time.Minute+15*time.Minute)
	}
	if diff := cmp.Diff(before, everything(w)); diff != "" {
		t.Errorf("the database has changed (-before +after):\n%s", diff)
	}
}

func TestSimulateWho(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	const body = "{{ recipient.id }} {{ recipient.name }} {{ recipient.plan.a }}{{ recipient.plan.b }} {{ actor.id }} {{ actor.name }} {{ tenant.id }} {{ tenant.name }} {{ workflow.key }}"
	w.exec(`UPDATE recipients SET properties = properties || '{"plan": {"a": 1}}'`)
	plan := map[string]any{"plan": map[string]any{"b": 2}}
	for name, c := range map[string]struct {
		request TestRequest
		want    string
	}{
		"known":                 {TestRequest{Recipient: belfry.User("u0"), Actor: belfry.User("u1")}, "u0 User 0 1 u1 User 1   test"},
		"known, with a change":  {TestRequest{Recipient: belfry.User("u0"), RecipientProperties: plan, Workflow: "order"}, "u0 User 0 12     order"},
		"made up":               {TestRequest{RecipientProperties: map[string]any{"name": "Ana"}}, "test Ana      test"},
		"made up, with an id":   {TestRequest{Recipient: belfry.User("ana"), RecipientProperties: plan, Actor: belfry.User("bo"), ActorProperties: map[string]any{}}, "ana  2 bo    test"},
		"a tenant nobody knows": {TestRequest{Recipient: belfry.User("u0"), Tenant: "acme", TenantProperties: map[string]any{"name": "Acme"}}, "u0 User 0 1   acme Acme test"},
	} {
		r := c.request
		r.Definition = &workflow.Definition{Name: "test", Steps: []workflow.Step{step("a", "", body)}}
		got, err := w.Test(t.Context(), w.env, &r)
		if err != nil || len(got.Messages) != 1 {
			t.Errorf("%s: %v %+v", name, err, got)
			continue
		}
		expect(t, name, got.Messages[0].Content.Body.Content, c.want)
	}
}

func TestSimulateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	wait := steps(t, `[{"ref": "w", "waitForEvent": {"event": {"type": "CUSTOM", "name": "x"}, "condition": "false"}}]`)
	merge := steps(t, `[{"ref": "u", "updateData": {"data": {"y": 1}}}]`)
	large := map[string]any{"x": strings.Repeat("x", MaxDataSize-100)}
	resumptions := func(events int) TestRequest { // of ten runs each, by the events and the end of the wait
		return TestRequest{Definition: &workflow.Definition{Name: "t", Steps: wait}, Recipient: belfry.User("u0"), Triggers: make([]TestTrigger, 9),
			Events: repeat(TestEvent{time.Second, Event{Type: workflow.CustomEvent, Name: "x"}}, events)}
	}
	u0 := belfry.User("u0")
	for name, c := range map[string]struct {
		request TestRequest
		code    belfry.Code
		field   string
		limit   int
	}{
		"nothing to test":        {TestRequest{Recipient: u0}, belfry.Invalid, "input.workflow", 0},
		"an unknown workflow":    {TestRequest{Workflow: "v", Recipient: u0}, belfry.NotFound, "", 0},
		"nobody":                 {TestRequest{Workflow: "w"}, belfry.Invalid, "input.recipient", 0},
		"an unknown recipient":   {TestRequest{Workflow: "w", Recipient: belfry.User("who")}, belfry.NotFound, "input.recipient", 0},
		"an unknown actor":       {TestRequest{Workflow: "w", Recipient: u0, Actor: belfry.User("who")}, belfry.NotFound, "input.actor", 0},
		"a bad property":         {TestRequest{Workflow: "w", RecipientProperties: map[string]any{"name": 1}}, belfry.Invalid, "input.recipient.name", 0},
		"bad data":               {TestRequest{Workflow: "w", Recipient: u0, Data: map[string]any{"x": "\x00"}}, belfry.Invalid, "input.data.x", 0},
		"bad data of a trigger":  {TestRequest{Workflow: "w", Recipient: u0, Triggers: []TestTrigger{{Data: map[string]any{"x": "\x00"}}}}, belfry.Invalid, "input.triggers[0].data.x", 0},
		"a time that is no time": {TestRequest{Workflow: "w", Recipient: u0, At: time.Date(9001, 1, 1, 0, 0, 0, 0, time.UTC)}, belfry.Invalid, "input.at", 0},
		"before the start":       {TestRequest{Workflow: "w", Recipient: u0, Triggers: []TestTrigger{{After: -1}}}, belfry.Invalid, "input.triggers[0].after", 0},
		"too far":                {TestRequest{Workflow: "w", Recipient: u0, Triggers: []TestTrigger{{After: MaxTestSpan + 1}}}, belfry.Invalid, "input.triggers[0].after", 0},
		"no kind of event":       {TestRequest{Workflow: "w", Recipient: u0, Events: []TestEvent{{}}}, belfry.Invalid, "input.events[0].type", 0},
		"a bad change":           {TestRequest{Workflow: "w", Recipient: u0, Events: []TestEvent{{0, Event{Type: workflow.RecipientEvent, Name: "updated", Data: map[string]any{"timezone": "x"}}}}}, belfry.Invalid, "input.events[0].data.timezone", 0},
		"too many triggers":      {TestRequest{Workflow: "w", Recipient: u0, Triggers: make([]TestTrigger, MaxTestTriggers+1)}, belfry.TooLarge, "input.triggers", MaxTestTriggers},
		"too many events":        {TestRequest{Workflow: "w", Recipient: u0, Events: make([]TestEvent, MaxTestEvents+1)}, belfry.TooLarge, "input.events", MaxTestEvents},
		"too many resumptions":   {resumptions(MaxTestEvents), belfry.TooLarge, "input.triggers", MaxTestResumptions},
		"too much data": {TestRequest{Definition: &workflow.Definition{Name: "t", Steps: merge}, Recipient: u0, Data: large, Triggers: repeat(TestTrigger{Data: large}, 32)},
			belfry.TooLarge, "input.data", maxTestSize},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := w.Test(t.Context(), w.env, &c.request)
			if got != nil {
				t.Errorf("there is a result: %+v", got)
			}
			expectError(t, err, c.code, c.field, c.limit)
		})
	}
	most := TestRequest{Workflow: "w", Recipient: u0, Triggers: make([]TestTrigger, MaxTestTriggers), Events: repeat(TestEvent{MaxTestSpan, Event{Type: workflow.CustomEvent, Name: "x"}}, MaxTestEvents)}
	if _, err := w.Test(t.Context(), w.env, &most); err != nil {
		t.Error("as much as is allowed:", err)
	}
	most = resumptions(MaxTestResumptions/10 - 1)
	if _, err := w.Test(t.Context(), w.env, &most); err != nil {
		t.Error("as many resumptions as are allowed:", err)
	}
	got, err := w.Test(t.Context(), w.env, &TestRequest{Definition: &workflow.Definition{Name: "t"}, Recipient: u0})
	if err != nil || len(got.Problems) != 1 || got.Problems[0].Path != "steps" || got.Status != "" {
		t.Errorf("problems: %v %+v", err, got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := w.Test(ctx, w.env, &TestRequest{Workflow: "w", Recipient: u0}); err == nil || got != nil {
		t.Errorf("cancelled: %+v, %v", got, err)
	}
}

func repeat[T any](v T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// The longest that a workflow can take has timestamps all the way.
func TestSimulateLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := make([]workflow.Step, workflow.MaxSteps)
	for i := range all {
		all[i] = workflow.Step{Ref: "s" + uuid.NewString(), Delay: &workflow.Delay{Window: workflow.Window{For: &calendar.Duration{Unit: calendar.Days, Value: 365}}}}
	}
	got, err := w.Test(t.Context(), w.env, &TestRequest{Definition: &workflow.Definition{Name: "t", Steps: all}, RecipientProperties: map[string]any{}, At: at("9000-01-01T00:00Z")})
	if err != nil || got.Status != Done || got.Duration != 100*365*24*time.Hour {
		t.Errorf("%v %+v", err, got)
	}
}
