package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/workflow"
)

const tell = `[{"ref": "inbox", "inApp": {"body": "{{ data.text }}"}}]`

const triggerFields = `id source priority cancellationKey recipientCount data settings { sandbox skipDelay } workflow { key number active }
	progress { recipients pending waiting done failed cancelled }`

func TestTriggersSayHowTheyWereMade(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana", "ben")
	c.store("note", tell)
	id := c.trigger(vars{"workflow": "note", "data": vars{"text": "all"}, "cancellationKey": "k", "priority": "HIGH", "settings": vars{"skipDelay": true},
		"recipients": []vars{{"user": "ana"}, {"user": "ben", "data": vars{"text": "only Ben"}}, {"identify": vars{"id": "eve"}, "data": vars{"more": 1}}}})
	c.settled(id)
	want := parse(t, `{"id": "`+id+`", "source": "API", "priority": "HIGH", "cancellationKey": "k", "recipientCount": 3, "data": {"text": "all"},
		"settings": {"sandbox": false, "skipDelay": true}, "workflow": {"key": "note", "number": 1, "active": true},
		"progress": {"recipients": 3, "pending": 0, "waiting": 0, "done": 3, "failed": 0, "cancelled": 0}}`)
	for _, query := range []string{`query ($id: ID!) { trigger(id: $id) { ` + triggerFields + ` } }`, `query ($id: ID!) { trigger: node(id: $id) { ... on Trigger { ` + triggerFields + ` } } }`} {
		got := c.call(query, vars{"id": id})
		if diff := cmp.Diff(vars{"trigger": want}, parse(t, string(got.Data))); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", got.Errors, diff)
		}
	}
	type items struct {
		Feed struct {
			Items struct {
				Edges []struct {
					Node struct {
						TotalActivities int
						Blocks          []struct{ Content string }
					}
				}
			}
		}
	}
	for user, text := range map[string]string{"ana": "all", "ben": "only Ben", "eve": "all"} {
		got := ask[items](c, `query ($user: String!) { feed(ref: {user: $user}) { items { edges { node { totalActivities blocks { ... on MarkdownBlock { content } } } } } } }`, vars{"user": user})
		if e := got.Feed.Items.Edges; len(e) != 1 || e[0].Node.Blocks[0].Content != text || e[0].Node.TotalActivities != 1 {
			t.Errorf("%s has %+v, want %q", user, e, text)
		}
	}
	defaults := c.trigger(vars{"workflow": "note", "recipients": users("ana")})
	got := c.call(`query ($id: ID!) { trigger(id: $id) { priority cancellationKey settings { sandbox skipDelay } } }`, vars{"id": defaults})
	if string(got.Data) != `{"trigger":{"priority":"NORMAL","cancellationKey":null,"settings":{"sandbox":false,"skipDelay":false}}}` {
		t.Errorf("by default: %s", got.Data)
	}
}

func TestRecipientsAreNamedInOneWay(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.store("note", tell)
	for field, who := range map[string]vars{
		"":                   {"user": "a", "identify": vars{"id": "a"}},
		".object.collection": {"object": vars{"collection": "$users", "id": "a"}},
		".":                  {},
		"..":                 {"user": "a", "object": vars{"collection": "c", "id": "a"}},
	} {
		c.refused(triggerWorkflow, vars{"input": vars{"workflow": "note", "recipients": []vars{who}}}, "INVALID", "input.recipients[0]"+strings.TrimRight(field, "."))
	}
	got := c.call(triggerWorkflow, vars{"input": vars{"workflow": "note", "recipients": []vars{{"object": vars{"collection": "projects", "id": "unknown"}}}}})
	if !strings.Contains(string(got.Data), `"NOT_FOUND"`) {
		t.Errorf("an object that isn't known: %s %+v", got.Data, got.Errors)
	}
}

const triggerWorkflows = `mutation ($triggers: [TriggerWorkflowInput!]!) { triggerWorkflows(input: {triggers: $triggers}) {
	results { trigger { id recipientCount } replayed rejected { index code message } error { code message field limit reference violations { path message } } } } }`

type bulk struct {
	TriggerWorkflows struct{ Results []bulkResult }
}

type bulkResult struct {
	Trigger *struct {
		ID             string
		RecipientCount int
	}
	Replayed bool
	Rejected []struct {
		Index         int
		Code, Message string
	}
	Error *struct {
		Code, Message, Field string
		Limit                int
		Reference            string
		Violations           []struct{ Path, Message string }
	}
}

// line says in short what became of the i-th trigger. Messages show only if they name another input.
func (r *bulkResult) line(t *testing.T, i int) string {
	t.Helper()
	if (r.Trigger == nil) == (r.Error == nil) {
		t.Fatalf("result %d is %+v", i, r)
	}
	if r.Replayed {
		return "replayed"
	}
	if r.Error == nil {
		line := fmt.Sprint("accepted for ", r.Trigger.RecipientCount)
		for _, x := range r.Rejected {
			line += fmt.Sprint(", not ", x.Index, " ", x.Code)
			if strings.Contains(x.Message, "input") && !strings.HasPrefix(x.Message, fmt.Sprintf("input.triggers[%d].", i)) {
				line += " " + x.Message
			}
		}
		return line
	}
	line := r.Error.Code + " " + r.Error.Field
	if r.Error.Limit != 0 {
		line += fmt.Sprint(" ", r.Error.Limit)
	}
	for _, v := range r.Error.Violations {
		line += " " + v.Path
	}
	if !strings.HasPrefix(r.Error.Message, r.Error.Field) {
		line += ": " + r.Error.Message
	}
	return line
}

// deep is JSON of so many levels.
func deep(levels int) vars {
	v := vars{"a": 1}
	for range levels - 1 {
		v = vars{"a": v}
	}
	return v
}

func TestEachOfManyTriggersStandsForItself(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	c.store("note", tell)
	c.store("off", tell)
	ask[any](c, `mutation { setWorkflowActive(input: {key: "off", active: false}) { workflow { active } } }`, nil)
	ask[any](c, upsertWorkflow, vars{"input": vars{"key": "strict", "name": "S", "steps": parse(t, tell),
		"dataSchema": parse(t, `{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "list": {"items": {"type": "string"}}}}`)}})
	with := func(more vars) vars {
		in := vars{"workflow": "note", "recipients": users("ana")}
		for k, v := range more {
			in[k] = v
		}
		return in
	}
	triggers := []vars{
		with(nil),
		with(vars{"workflow": "unknown"}),
		with(vars{"recipients": users("ana", "nobody", "a/b")}),
		with(vars{"recipients": []vars{}}),
		with(vars{"workflow": "off"}),
		with(vars{"workflow": "strict", "data": vars{"n": "1", "list": []any{"a", 2}}}),
		with(vars{"data": vars{"text": "a\x00"}}),
		with(vars{"data": deep(40)}),
		with(vars{"recipients": []vars{{"identify": vars{"id": "x", "properties": deep(40)}}}}),
		with(vars{"recipients": []vars{{"user": "ana", "identify": vars{"id": "x"}}}}),
		with(vars{"recipients": []vars{{"user": "ana", "data": vars{"a": "\x00"}}}}),
		with(vars{"tenant": "a/b"}),
		with(vars{"workflow": "a\x00"}),
		with(vars{"idempotencyKey": "same"}),
		with(vars{"idempotencyKey": "same"}),
		with(vars{"idempotencyKey": "same", "data": vars{"other": 1}}),
		with(vars{"recipients": users(strings.Split(strings.Repeat("ana,", engine.MaxRecipients)+"ana", ",")...)}),
	}
	var got []string
	for i, r := range ask[bulk](c, triggerWorkflows, vars{"triggers": triggers}).TriggerWorkflows.Results {
		got = append(got, r.line(t, i))
	}
	want := []string{
		"accepted for 1",
		"NOT_FOUND input.triggers[1].workflow",
		"accepted for 1, not 1 NOT_FOUND, not 2 INVALID",
		"INVALID input.triggers[3].recipients",
		"WORKFLOW_INACTIVE input.triggers[4].workflow",
		"INVALID input.triggers[5].data /list/1 /n",
		"INVALID input.triggers[6].data.text",
		"TOO_LARGE input.triggers[7].data" + strings.Repeat(".a", 32) + " 32",
		"accepted for 0, not 0 TOO_LARGE",
		"INVALID input.triggers[9].recipients[0]",
		"INVALID input.triggers[10].recipients[0].data.a",
		"INVALID input.triggers[11].tenant",
		"INVALID input.triggers[12].workflow",
		"accepted for 1",
		"replayed",
		"CONFLICT input.triggers[15].idempotencyKey",
		"TOO_LARGE input.triggers[16].recipients 1000",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTriggersOfACallAreLimited(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	c.store("note", tell)
	c.refused(triggerWorkflows, vars{"triggers": []vars{}}, "INVALID", "input.triggers")
	many := make([]vars, MaxTriggers+1)
	for i := range many {
		many[i] = vars{"workflow": "note", "recipients": users("ana")}
	}
	if n := len(ask[bulk](c, triggerWorkflows, vars{"triggers": many[1:]}).TriggerWorkflows.Results); n != MaxTriggers {
		t.Errorf("%d triggers have %d results", MaxTriggers, n)
	}
	if e := c.refused(triggerWorkflows, vars{"triggers": many}, "TOO_LARGE", "input.triggers").Errors[0]; e.Extensions.Limit != MaxTriggers {
		t.Errorf("the limit is %d", e.Extensions.Limit)
	}
}

// What fails on our side is the result of that one alone too.
func TestOurOwnErrorsStayWithTheirItem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "ours")
	c.identify("ana")
	c.store("note", tell)
	c.store("broken", tell)
	if _, err := w.Engine.Pool.Exec(t.Context(), `ALTER TABLE triggers ADD CHECK (cancellation_key <> 'forbidden')`); err != nil {
		t.Fatal(err)
	}
	got := ask[bulk](c, triggerWorkflows, vars{"triggers": []vars{
		{"workflow": "note", "recipients": users("ana"), "cancellationKey": "forbidden"}, {"workflow": "note", "recipients": users("ana")}}}).TriggerWorkflows.Results
	e := got[0].Error
	if e == nil || e.Code != "INTERNAL" || e.Reference == "" || strings.Contains(e.Message, "triggers") || got[1].Trigger == nil {
		t.Fatalf("%+v", got)
	}
	if log := w.log.String(); !strings.Contains(log, e.Reference) || !strings.Contains(log, "violates check constraint") {
		t.Errorf("the log has %s", log)
	}
}

func TestSchemaViolationsAreListed(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	ask[any](c, upsertWorkflow, vars{"input": vars{"key": "strict", "name": "S", "steps": parse(t, tell),
		"dataSchema": parse(t, `{"required": ["n"], "properties": {"list": {"items": {"type": "string"}}}}`)}})
	got := c.refused(triggerWorkflow, vars{"input": vars{"workflow": "strict", "recipients": users("ana"), "data": vars{"list": []int{1}}}}, "INVALID", "input.data")
	if v := got.Errors[0].Extensions.Violations; len(v) != 2 || v[0].Path != "" || v[1].Path != "/list/0" || v[1].Message == "" {
		t.Errorf("violations = %+v", v)
	}
}

func TestCancelTriggers(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana", "ben")
	c.store("later", `[{"ref": "wait", "delay": {"for": "P1D"}}]`)
	id := c.trigger(vars{"workflow": "later", "recipients": users("ana", "ben"), "cancellationKey": "k"})
	c.settled(id)
	const cancel = `mutation ($input: CancelTriggersInput!) { cancelTriggers(input: $input) { cancelled alreadyFinished } }`
	for _, step := range []struct{ recipients, want any }{
		{[]string{}, `{"cancelTriggers":{"cancelled":0,"alreadyFinished":0}}`},
		{[]string{"nobody", "ana"}, `{"cancelTriggers":{"cancelled":1,"alreadyFinished":0}}`},
		{nil, `{"cancelTriggers":{"cancelled":1,"alreadyFinished":1}}`},
	} {
		got := c.call(cancel, vars{"input": vars{"workflow": "later", "cancellationKey": "k", "recipients": step.recipients}})
		if string(got.Data) != step.want {
			t.Errorf("%v: %s %+v, want %s", step.recipients, got.Data, got.Errors, step.want)
		}
	}
	ids := make([]string, engine.MaxRecipients+1)
	for i := range ids {
		ids[i] = fmt.Sprint("u", i)
	}
	ask[any](c, cancel, vars{"input": vars{"workflow": "later", "cancellationKey": "k", "recipients": ids[1:]}})
	c.refused(cancel, vars{"input": vars{"workflow": "later", "cancellationKey": "k", "recipients": ids}}, "TOO_LARGE", "input.recipients")
	c.refused(cancel, vars{"input": vars{"workflow": "later", "cancellationKey": "k", "recipients": []string{"a", "b\x00"}}}, "INVALID", "input.recipients[1]")
	c.refused(cancel, vars{"input": vars{"workflow": "unknown", "cancellationKey": "k"}}, "NOT_FOUND", "input.workflow")
	c.refused(cancel, vars{"input": vars{"workflow": "later", "cancellationKey": ""}}, "INVALID", "input.cancellationKey")
}

func TestSendEventWakesRuns(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	c.store("hear", `[{"ref": "w", "waitForEvent": {"event": {"type": "CUSTOM", "name": "paid"}, "condition": "event.data.n == 1"}}]`)
	id := c.trigger(vars{"workflow": "hear", "recipients": users("ana")})
	c.settled(id)
	const send = `mutation ($input: SendEventInput!) { sendEvent(input: $input) { event } }`
	got := ask[struct{ SendEvent struct{ Event string } }](c, send, vars{"input": vars{"user": "ana", "event": " paid ", "data": vars{"n": 1}}})
	if got.SendEvent.Event != "paid" {
		t.Errorf("the event is %q", got.SendEvent.Event)
	}
	eventually(t, "the run has heard it", func() bool {
		return strings.Contains(string(c.call(`query ($id: ID!) { trigger(id: $id) { progress { done } } }`, vars{"id": id}).Data), `"done":1`)
	})
	c.refused(send, vars{"input": vars{"user": "nobody", "event": "paid"}}, "NOT_FOUND", "input.user")
	c.refused(send, vars{"input": vars{"user": "ana", "event": " "}}, "INVALID", "input.event")
	ask[any](c, send, vars{"input": vars{"user": "ana", "event": strings.Repeat("ä", workflow.MaxEventName)}})
	c.refused(send, vars{"input": vars{"user": "ana", "event": strings.Repeat("ä", workflow.MaxEventName+1)}}, "TOO_LARGE", "input.event")
}
