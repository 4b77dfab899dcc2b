package graph

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testWorkflow = `mutation ($input: TestWorkflowInput!) { testWorkflow(input: $input) {
	run { status durationSeconds steps { ref outcome reason at } messages { step channel type content at sendAt } fetches { step method url headers body at } }
	others { status } problems { path message } } }`

func TestAWorkflowIsTriedWithoutEffect(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	steps := parse(t, `[{"ref": "gather", "batch": {"for": "PT1H"}},
		{"ref": "ask", "fetch": {"url": "https://example.com", "method": "POST", "headers": [{"name": "X-A", "value": "b"}], "body": "{}"}},
		{"ref": "hear", "waitForEvent": {"event": {"type": "CUSTOM", "name": "paid"}, "timeout": "P1D"}},
		{"ref": "mail", "email": {"subject": "{{ data.plan }} {{ total_activities }}", "body": "{{ recipient.name }}, by {{ actor.id }} in {{ tenant.city }}", "format": "TEXT"}}]`)
	input := vars{
		"definition": vars{"key": "new", "name": "New", "steps": steps}, "recipient": vars{"user": "ana", "properties": vars{"email": "ana@example.com"}},
		"actor": vars{"user": "ben", "properties": vars{}}, "tenant": "acme", "tenantProperties": vars{"city": "Bern"}, "at": "2026-01-01T00:00:00Z",
		"events":    []vars{{"after": "PT3H", "type": "CUSTOM", "name": "paid", "data": vars{"n": 1}}},
		"responses": []vars{{"step": "ask", "body": vars{"plan": "pro"}}}, "triggers": []vars{{"after": "PT30M"}},
	}
	got := c.call(testWorkflow, vars{"input": input})
	want := `{"testWorkflow": {"run": {"status": "DONE", "durationSeconds": 10800,
		"steps": [{"ref": "gather", "outcome": "WAITING", "reason": null, "at": "2026-01-01T00:00:00.000000Z"},
			{"ref": "gather", "outcome": "CLOSED", "reason": null, "at": "2026-01-01T01:00:00.000000Z"},
			{"ref": "ask", "outcome": "WAITING", "reason": null, "at": "2026-01-01T01:00:00.000000Z"},
			{"ref": "ask", "outcome": "FETCHED", "reason": null, "at": "2026-01-01T01:00:00.000000Z"},
			{"ref": "hear", "outcome": "WAITING", "reason": null, "at": "2026-01-01T01:00:00.000000Z"},
			{"ref": "hear", "outcome": "MATCHED", "reason": null, "at": "2026-01-01T03:00:00.000000Z"},
			{"ref": "mail", "outcome": "SENT", "reason": null, "at": "2026-01-01T03:00:00.000000Z"}],
		"messages": [{"step": "mail", "channel": "email", "type": "EMAIL", "at": "2026-01-01T03:00:00.000000Z", "sendAt": null, "content": {"subject": "pro 2", "to": "ana@example.com",
			"body": {"format": "text", "content": "ana, by ben in Bern", "rendered": "ana, by ben in Bern"}}}],
		"fetches": [{"step": "ask", "method": "POST", "url": "https://example.com", "headers": {"X-A": "b"}, "body": "{}", "at": "2026-01-01T01:00:00.000000Z"}]},
		"others": [{"status": "DONE"}], "problems": []}}`
	if len(got.Errors) > 0 {
		t.Fatalf("%+v", got.Errors)
	}
	if diff := cmp.Diff(parse(t, want), parse(t, string(got.Data))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := c.call(`{ workflow(key: "new") { key } runs { edges { cursor } } user(id: "ben") { id } }`, nil); string(got.Data) != `{"workflow":null,"runs":{"edges":[]},"user":null}` {
		t.Errorf("there is %s", got.Data)
	}
}

func TestWhatCannotBeTried(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	c.store("note", tell)
	got := c.call(testWorkflow, vars{"input": vars{"definition": vars{"key": "k", "name": "n", "steps": []vars{{"ref": "a"}}}, "recipient": vars{"user": "ana"}}})
	if len(got.Errors) > 0 || parse(t, string(got.Data)).(vars)["testWorkflow"].(vars)["run"] != nil {
		t.Errorf("a workflow with a problem: %s %+v", got.Data, got.Errors)
	}
	for _, x := range []struct {
		with        vars
		code, field string
	}{
		{vars{"workflow": nil}, "INVALID", "input"},
		{vars{"definition": vars{"key": "k", "name": "n", "steps": []vars{}}}, "INVALID", "input"},
		{vars{"workflow": nil, "definition": vars{"key": "K", "name": "n", "steps": []vars{}}}, "INVALID", "input.definition.key"},
		{vars{"workflow": "unknown"}, "NOT_FOUND", ""},
		{vars{"recipient": vars{"user": "nobody"}}, "NOT_FOUND", "input.recipient"},
		{vars{"recipient": vars{}}, "INVALID", "input.recipient"},
		{vars{"recipient": vars{"user": "a/b"}}, "INVALID", "input.recipient.user"},
		{vars{"actor": vars{"properties": vars{}}}, "INVALID", "input.actor"},
		{vars{"triggers": []vars{{"actor": vars{"user": "nobody"}}}}, "NOT_FOUND", "input.triggers[0].actor"},
		{vars{"tenant": "a/b"}, "INVALID", "input.tenant"},
		{vars{"responses": []vars{{"step": "a", "status": 99}}}, "INVALID", "input.responses[0].status"},
		{vars{"responses": []vars{{"step": "a"}, {"step": "a"}}}, "INVALID", "input.responses[1].step"},
		{vars{"events": []vars{{"type": "CUSTOM", "name": "x", "after": "P20Y"}}}, "INVALID", "input.events[0].after"},
		{vars{"events": []vars{{"type": "CUSTOM", "name": ""}}}, "INVALID", "input.events[0].name"},
	} {
		input := vars{"workflow": "note", "recipient": vars{"user": "ana"}}
		for k, v := range x.with {
			input[k] = v
		}
		c.refused(testWorkflow, vars{"input": input}, x.code, x.field)
	}
}
