package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// Every documented variable, as a template sees it and as a condition does.
func TestScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	checks := []struct{ template, want, condition string }{
		{"{{ data.order }}", "1234567890123456789", "data.order == 1234567890123456789"}, // not rounded
		{"{{ data.list[1].x }}", "2.5", "data.list[1].x == 2.5"},
		{"{{ recipient.id }} {{ recipient.name }} {{ recipient.collection }}", "u0 User 0 $users", `recipient.id == "u0" and recipient.name == "User 0"`},
		{"{{ actor.id }} {{ actor.name }}", "u1 User 1", `actor.id == "u1" and actor.name == "User 1"`},
		{"{{ tenant.id }}", "acme", `tenant.id == "acme"`},
		{"{{ workflow.key }} {{ workflow.name }} {{ workflow.version }} {{ workflow.categories | join: '+' }}", "w The workflow 1 x+y",
			`workflow.key == "w" and workflow.version == 1 and "x" in workflow.categories`},
		{"{{ run.trigger_id | size }}", "36", "len(run.trigger_id) == 36"},
		{"{{ timestamp }} {{ 'now' | date: '%Y' }}", "2025-03-04T05:06:07Z 2025", `now() == date("2025-03-04T05:06:07Z")`},
		{"{{ data.missing.deep }}{{ vars.x }}{{ refs.a }}", "", "data.missing.deep == nil and vars.x == nil and refs.a == nil"},
	}
	d := &workflow.Definition{Name: "The workflow", Categories: []string{"x", "y"}}
	for i, c := range checks {
		d.Steps = append(d.Steps, step(fmt.Sprint("s", i), c.condition, "="+c.template))
	}
	if _, problems, err := w.Upsert(t.Context(), w.env, "w", d); err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", err, problems)
	}
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1), Actor: &refer(1, 1)[0], Tenant: "acme",
		Data: map[string]any{"order": json.Number("1234567890123456789"), "list": []any{nil, map[string]any{"x": 2.5}}}})
	w.drain()
	got := w.bodies(a.Trigger.ID)["u0"]
	if len(got) != len(checks) {
		t.Fatalf("bodies = %q; runs: %+v", got, w.runs(a.Trigger.ID))
	}
	for i, c := range checks {
		if got[i] != "="+c.want {
			t.Errorf("%s = %q, want %q", c.template, got[i], "="+c.want)
		}
	}
}

func TestScopeWithoutActorAndTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	somebody := step("c", "", "x")
	somebody.Conditions = json.RawMessage(`{"any": [{"variable": "actor.id", "operator": "exists"}, {"variable": "tenant.name", "operator": "not_empty"}]}`)
	w.workflow("w",
		step("a", "actor == nil and tenant == nil and actor.id == nil", "{% if actor %}by {{ actor.name }}{% else %}nobody{% endif %}{% if tenant %}, {{ tenant.id }}{% endif %}"),
		step("b", "actor != nil or tenant != nil", "x"), somebody)
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain()
	expect(t, "bodies", w.bodies(a.Trigger.ID), map[string][]string{"u0": {"nobody"}})
	log := w.runs(a.Trigger.ID)["u0"].Log
	for i := range log {
		log[i].Message, log[i].Conditions = "", nil
	}
	expect(t, "log", log, []LogEntry{{Step: "a", Outcome: OutcomeSent},
		{Step: "b", Outcome: OutcomeSkipped, Reason: "condition"}, {Step: "c", Outcome: OutcomeSkipped, Reason: "condition"}})
}

// What a template assigns stays in its own rendering: neither the next step nor the next recipient sees it. Two engines
// share compiled programs with nobody, so this runs several workers of one; the race detector looks on.
func TestRunsShareNothingThatTheyChange(t *testing.T) {
	t.Parallel()
	const people = 300
	w := newWorld(t, func(c *Config) { c.BatchSize, c.Workers = 20, 4 })
	w.users(people)
	w.workflow("w",
		step("a", "", `{% assign mine = recipient.id %}{% assign data = "gone" %}{% capture actor %}x{% endcapture %}{{ mine }}{{ data }}{{ actor }}`),
		step("b", "", `{{ mine }}{{ data.list | reverse | join: "" }}{{ data.list | join: "" }}{{ actor }}`))
	stop := w.start(w.Engine)
	var accepted []*Accepted
	for i := range 6 {
		accepted = append(accepted, w.trigger(Request{Workflow: "w", Recipients: refer(i*people/6, people/6), Data: map[string]any{"list": []any{"1", "2", "3"}}}))
	}
	w.eventuallyZero(openFanOuts)
	stop()
	for _, a := range accepted {
		for user, bodies := range w.bodies(a.Trigger.ID) {
			expect(t, user, strings.Join(bodies, " "), user+"gonex 321123")
		}
	}
	w.expectExactlyOnce(people, 2)
}

func TestMessagesSayWhereTheyComeFrom(t *testing.T) {
	t.Parallel()
	var got []belfry.Message
	w := newWorld(t, func(c *Config) { c.Enqueue = keep(&got) })
	w.users(2)
	d := &workflow.Definition{Name: "W", Categories: []string{"c"}, Steps: []workflow.Step{step("a", "", "Hi")}}
	d.Steps[0].InApp.Data = map[string]any{"n": 1, "s": "{{ recipient.id }}", "l": []any{true, "{{ data.x }}"}}
	v, _, err := w.Upsert(t.Context(), w.env, "w", d)
	if err != nil {
		t.Fatal(err)
	}
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1), Actor: &refer(1, 1)[0], Tenant: "acme", Data: map[string]any{"x": "X"}})
	id := func(external string) belfry.RecipientID {
		return one[belfry.RecipientID](w, `SELECT id FROM recipients WHERE external_id = $1`, external)
	}
	w.drain()
	expect(t, "messages", got, []belfry.Message{{
		Environment: w.env, Recipient: id("u0"), UserID: "u0", Channel: belfry.DefaultFeed, ChannelType: belfry.InApp,
		Trigger: a.Trigger.ID, Workflow: "w", Version: v.ID, StepRef: "a", Categories: []string{"c"}, Actor: id("u1"), Tenant: id("acme"),
		Content: belfry.Content{Body: belfry.Body{Format: belfry.TextBody, Content: "Hi", Rendered: "Hi"},
			Data: map[string]any{"n": json.Number("1"), "s": "u0", "l": []any{true, "X"}}},
		CreatedAt: epoch,
	}})
}
