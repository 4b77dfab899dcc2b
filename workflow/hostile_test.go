package workflow_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// hostile is what the sub-packages test in full, end to end.
var hostile = map[string]string{
	"endless loop":       steps(inApp("a", "", `, "data": {"x": "{% for i in (1..99999999999) %}{% for j in (1..99999999999) %}x{% endfor %}{% endfor %}"}`)),
	"exponential filter": steps(inApp("a", "", `, "data": {"x": "{% assign s = 'xxxxxxxx' %}{% for i in (1..99) %}{% assign s = s | append: s | append: s %}{% endfor %}{{ s }}"}`)),
	"include":            steps(inApp("a", "", `, "actionUrl": "{% include '/etc/passwd' %}"`)),
	"deep template":      steps(inApp("a", "", `, "actionUrl": "`+strings.Repeat("{% if true %}", 5000)+`"`)),
	"unclosed tags":      steps(inApp("a", "", `, "data": {"x": "`+strings.Repeat("{{ ", 20000)+`"}`)),
	"deep expression":    steps(inApp("a", `, "condition": "`+strings.Repeat("(", 2000)+`true`+strings.Repeat(")", 2000)+`"`, "")),
	"endless expression": steps(inApp("a", `, "condition": "len(filter(1..1000000000, true)) > 0"`, "")),
	"slow pattern":       steps(inApp("a", `, "condition": "data.x matches \"(a{1,1000}){1,1000}\""`, "")),
	"escape":             steps(inApp("a", `, "condition": "_eval.scope != nil"`, "")),
	"deep group":         steps(inApp("a", `, "conditions": `+strings.Repeat(`{"any": [`, 3000)+strings.Repeat(`]}`, 3000), "")),
	"wide group":         steps(inApp("a", `, "conditions": {"all": [`+strings.Repeat(`{"variable": "data.x", "operator": "exists"},`, 1000)+`{}]}`, "")),
	// Whoever joins paths for each entry copies gigabytes.
	"long keys over many":  steps(inApp("a", "", `, "data": {"`+strings.Repeat("k", 30<<10)+`": [`+strings.Repeat(`"{{",`, 5000)+`1]}`)),
	"many small templates": steps(inApp("a", "", `, "data": {"l": [`+strings.Repeat(`"{{x}}",`, 7000)+`1]}`)),
}

func TestHostileDefinitionsCostLittle(t *testing.T) {
	t.Parallel()
	for name, source := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			program, problems := workflow.Compile(parse(t, source), nil)
			if program != nil { // whatever is too much at run time must fail there, soon
				for _, op := range program.Ops {
					if op.Message == nil {
						continue
					}
					if r, err := op.Message.Render(t.Context(), nil); err == nil {
						t.Errorf("rendered %.100v", r)
					}
				}
			}
			if took := time.Since(start); took > 10*time.Second { // an order of magnitude more than with the race detector
				t.Errorf("took %s", took)
			}
			for _, p := range problems {
				if len(p.Message) > 1000 || len(p.Path) > 1100 {
					t.Errorf("problem of %d and %d bytes", len(p.Path), len(p.Message))
				}
			}
		})
	}
}

// FuzzCompile checks what Compile promises of any definition: a program or problems, that can be stored.
func FuzzCompile(f *testing.F) {
	for _, source := range hostile {
		if len(source) < 1000 { // large ones keep the fuzzer busy making them smaller
			f.Add([]byte(source))
		}
	}
	f.Add([]byte(steps(inApp("a", `, "condition": "data.x == 1", "name": "n"`, `, "actionUrl": "/{{ x }}", "buttons": [{"label": "l", "action": "/"}], "data": {"k": ["{{ recipient.id }}", 1e3]}`))))
	f.Add([]byte(steps(inApp("a", `, "conditions": {"any": [{"variable": "data.x", "operator": "equal_to", "argument": "\u0000"}]}`, ""))))
	f.Add([]byte(`{"name": "W", "categories": ["c"], "steps": null}`))
	f.Fuzz(func(t *testing.T, source []byte) {
		var d workflow.Definition
		if json.Unmarshal(source, &d) != nil {
			return
		}
		program, problems := workflow.Compile(&d, nil)
		if (program != nil) != (len(problems) == 0) {
			t.Fatalf("program %v, problems %v", program, problems)
		}
		if program == nil {
			return
		}
		for i, op := range program.Ops {
			if op.Kind == workflow.OpTest && (op.To <= i || op.To > len(program.Ops)) {
				t.Fatalf("operation %d jumps to %d of %d", i, op.To, len(program.Ops))
			}
		}
		stored, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(stored, &v); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(stored, []byte("\\u0000")) && belfry.ValidateJSON(v, "") != nil {
			t.Fatal("PostgreSQL would refuse this: NUL")
		}
		var again workflow.Definition
		if err := json.Unmarshal(stored, &again); err != nil {
			t.Fatal(err)
		}
		if _, problems := workflow.Compile(&again, nil); len(problems) > 0 {
			t.Fatalf("doesn't compile any more after it was stored: %v", problems)
		}
		for _, op := range program.Ops {
			if op.Message != nil {
				_, _ = op.Message.Render(t.Context(), map[string]any{"data": map[string]any{"x": "y", "n": 1.0}})
			}
		}
	})
}
