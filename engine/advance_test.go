package engine

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// compile compiles steps that have to be right.
func compile(t interface{ Fatalf(string, ...any) }, steps ...workflow.Step) *workflow.Program {
	p, problems := workflow.Compile(&workflow.Definition{Name: "test", Steps: steps}, nil)
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return p
}

// somebody has a feed.
var somebody = map[string]any{"collection": belfry.Users}

// sentBodies are what a decision sends.
func sentBodies(d decision) []string {
	var out []string
	for _, e := range d.effects {
		out = append(out, e.step+": "+e.content.Body.Content)
	}
	return out
}

func TestAdvance(t *testing.T) {
	t.Parallel()
	withURL := step("linked", "", "see")
	withURL.InApp.ActionURL = "{{ data.url }}"
	withURL.InApp.Buttons = []workflow.Button{{Label: "Go", Action: "/go"}, {Label: "Bad", Action: "{{ data.url }}"}}
	for name, c := range map[string]struct {
		steps  []workflow.Step
		status Status
		bodies []string
		log    []LogEntry
	}{
		"steps run in order": {
			steps:  []workflow.Step{step("a", "", "Hi {{ recipient.name }}"), step("b", "data.n == 3", "{{ data.n }}")},
			status: Done, bodies: []string{"a: Hi Ada", "b: 3"},
			log: []LogEntry{{Step: "a", Outcome: OutcomeSent}, {Step: "b", Outcome: OutcomeSent}},
		},
		"false conditions jump over their own step alone": {
			steps:  []workflow.Step{step("a", "data.n > 5", "A"), step("b", "data.n > 6", "B"), step("c", "data.n > 2", "C"), step("d", "false", "D")},
			status: Done, bodies: []string{"c: C"},
			log: []LogEntry{{Step: "a", Outcome: OutcomeSkipped, Reason: "condition"}, {Step: "b", Outcome: OutcomeSkipped, Reason: "condition"},
				{Step: "c", Outcome: OutcomeSent}, {Step: "d", Outcome: OutcomeSkipped, Reason: "condition"}},
		},
		"an error in a condition is false, and recorded": {
			steps:  []workflow.Step{step("a", "data.text > 5", "A"), step("b", "", "B")},
			status: Done, bodies: []string{"b: B"},
			log: []LogEntry{{Step: "a", Outcome: OutcomeSkipped, Reason: "condition_error"}, {Step: "b", Outcome: OutcomeSent}},
		},
		"an error in a template fails the run; what it decided before stands": {
			steps:  []workflow.Step{step("a", "", "A"), step("b", "", "{{ data.n | divided_by: 0 }}"), step("c", "", "C")},
			status: Failed, bodies: []string{"a: A"},
			log: []LogEntry{{Step: "a", Outcome: OutcomeSent}, {Step: "b", Outcome: OutcomeFailed, Reason: "template_error"}},
		},
		"unsafe links are left out, with a warning": {
			steps:  []workflow.Step{withURL},
			status: Done, bodies: []string{"linked: see"},
			log: []LogEntry{{Step: "linked", Outcome: OutcomeSent, Reason: "warning"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scope := Scope{
				"data":      map[string]any{"n": 3.0, "text": "x", "url": "javascript:alert(1)"},
				"recipient": map[string]any{"name": "Ada", "collection": belfry.Users},
			}
			d := advance(t.Context(), compile(t, c.steps...), scope, epoch)
			expect(t, "status", d.status, c.status)
			expect(t, "bodies", sentBodies(d), c.bodies)
			for i := range d.log { // the words are for people
				if long := d.log[i].Reason == "condition_error" || d.log[i].Outcome == OutcomeFailed || d.log[i].Reason == "warning"; long != (d.log[i].Detail != "") {
					t.Errorf("log entry %+v: has a detail if and only if there is something to explain", d.log[i])
				}
				d.log[i].Detail, d.log[i].Conditions = "", nil
			}
			expect(t, "log", d.log, c.log)
		})
	}
}

func TestAdvanceKeepsSafeLinks(t *testing.T) {
	t.Parallel()
	s := step("a", "", "x")
	s.InApp.ActionURL = "{{ data.good }}"
	s.InApp.Buttons = []workflow.Button{{Label: "Bad", Action: "{{ data.bad }}"}, {Label: "Good", Action: "{{ data.good }}"}}
	d := advance(t.Context(), compile(t, s), Scope{"data": map[string]any{"bad": "javascript:x", "good": "https://example.com/a"}, "recipient": somebody}, epoch)
	content := d.effects[0].content
	if content.ActionURL != "https://example.com/a" || len(content.Buttons) != 1 || content.Buttons[0].Label != "Good" {
		t.Errorf("content = %+v", content)
	}
	if want := `buttons[0].action: left out, "javascript:x" is not a safe URL`; d.log[0].Detail != want {
		t.Errorf("detail = %q, want %q", d.log[0].Detail, want)
	}
	if d.size < len("x")*2+len("https://example.com/a")*2 {
		t.Errorf("size = %d: it doesn't count everything", d.size)
	}
}

func TestAdvanceSurvivesAPanic(t *testing.T) {
	t.Parallel()
	p := compile(t, step("a", "", "A"))
	p.Ops = append(p.Ops, workflow.Op{Kind: workflow.OpSend, Step: "broken"}) // no template: nil dereference
	d := advance(t.Context(), p, Scope{"recipient": somebody}, epoch)
	if d.status != Failed || len(d.effects) != 1 || d.log[1].Step != "broken" || d.log[1].Reason != "panic" {
		t.Errorf("decision = %+v", d)
	}
}

func TestAdvanceKnowsEveryOperation(t *testing.T) {
	t.Parallel()
	d := advance(t.Context(), &workflow.Program{Ops: []workflow.Op{{Kind: 99, Step: "future"}}}, Scope{}, epoch)
	expect(t, "log", d.log, []LogEntry{{Step: "future", Outcome: OutcomeFailed, Reason: "unknown_operation", Detail: "operation 99"}})
}

func TestAdvanceStopsInTime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	d := advance(ctx, compile(t, step("a", "", "A")), Scope{}, epoch)
	expect(t, "log", d.log, []LogEntry{{Step: "a", Outcome: OutcomeFailed, Reason: "timeout", Detail: context.DeadlineExceeded.Error()}})
}

func TestAdvanceIsDeterministic(t *testing.T) {
	t.Parallel()
	conditions := []string{"", "data.n > 2", "data.missing > 1", `recipient.name == "Ada"`, "date(data.at) < now()"}
	bodies := []string{"{{ data.n }}", "{% for x in data.list %}{{ x }},{% endfor %}", "{{ data.n | divided_by: 0 }}", "{{ timestamp }}", "{{ data | json }}"}
	rapid.Check(t, func(t *rapid.T) {
		var steps []workflow.Step
		for i := range rapid.IntRange(1, 6).Draw(t, "steps") {
			s := step(string(rune('a'+i)), rapid.SampledFrom(conditions).Draw(t, "condition"), rapid.SampledFrom(bodies).Draw(t, "body"))
			s.InApp.Data = map[string]any{"x": "{{ data.n }}", "y": "{{ recipient.name }}", "z": "{{ data.n | modulo: 0 }}{{ data.n | divided_by: 0 }}"}
			if rapid.Bool().Draw(t, "safe data") {
				delete(s.InApp.Data, "z")
			}
			steps = append(steps, s)
		}
		scope := Scope{
			"data":      map[string]any{"n": rapid.Float64Range(-9, 9).Draw(t, "n"), "list": []any{1.0, "b", nil}, "at": "2020-01-01"},
			"recipient": map[string]any{"name": rapid.SampledFrom([]string{"Ada", "Bob"}).Draw(t, "name"), "collection": belfry.Users},
			"timestamp": epoch.Format(time.RFC3339Nano),
		}
		first := advance(context.Background(), compile(t, steps...), scope, epoch)
		for range 3 {
			again := advance(context.Background(), compile(t, steps...), scope, epoch)
			if diff := cmp.Diff(first, again, cmp.AllowUnexported(decision{}, effect{}), cmpopts.IgnoreTypes(&workflow.MessageTemplate{})); diff != "" {
				t.Fatalf("decided differently:\n%s", diff)
			}
		}
	})
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"short", "short"},
		{"nul\x00 and \xff", "nul and "},
		{strings.Repeat("x", maxDetail), strings.Repeat("x", maxDetail)},
		{strings.Repeat("x", maxDetail+1), strings.Repeat("x", maxDetail)},
		{strings.Repeat("x", maxDetail-1) + "é", strings.Repeat("x", maxDetail-1)}, // not half a character
	} {
		if got := clip(c.in); got != c.want || !utf8.ValidString(got) {
			t.Errorf("clip(%.20q…) = %.20q…, want %.20q…", c.in, got, c.want)
		}
	}
}
