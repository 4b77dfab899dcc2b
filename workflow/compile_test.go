package workflow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// parse decodes a definition, as it comes from outside.
func parse(t testing.TB, source string) *workflow.Definition {
	t.Helper()
	var d workflow.Definition
	if err := json.Unmarshal([]byte(source), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

// steps is a definition with these steps.
func steps(list ...string) string {
	return `{"name": "W", "steps": [` + strings.Join(list, ", ") + `]}`
}

// inApp is a step with further fields of its own and of its inApp.
func inApp(ref, more, moreInApp string) string {
	return fmt.Sprintf(`{"ref": %q%s, "inApp": {"channel": "in-app", "format": "TEXT", "body": "x"%s}}`, ref, more, moreInApp)
}

// where is a problem without its words.
type where struct {
	Step, Path   string
	Line, Column int
}

func TestCompileSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source string
		want   []where
	}{
		"no name":                {`{"steps": [` + inApp("a", "", "") + `]}`, []where{{"", "name", 0, 0}}},
		"blank name":             {`{"name": " ", "steps": [` + inApp("a", "", "") + `]}`, []where{{"", "name", 0, 0}}},
		"no steps":               {`{"name": "W"}`, []where{{"", "steps", 0, 0}}},
		"bad category":           {`{"name": "W", "categories": ["a", ""], "steps": [` + inApp("a", "", "") + `]}`, []where{{"", "categories[1]", 0, 0}}},
		"separator in a name":    {`{"name": "W", "categories": ["a\u001fb"], "steps": [` + inApp("a", "", "") + `]}`, []where{{"", "categories[0]", 0, 0}}},
		"no kind":                {steps(`{"ref": "a"}`), []where{{"a", "steps[0]", 0, 0}}},
		"no ref":                 {steps(inApp("", "", "")), []where{{"", "steps[0].ref", 0, 0}}},
		"bad ref":                {steps(inApp("A b", "", "")), []where{{"", "steps[0].ref", 0, 0}}},
		"same ref":               {steps(inApp("a", "", ""), inApp("b", "", ""), inApp("a", "", "")), []where{{"a", "steps[2].ref", 0, 0}}},
		"step name":              {steps(inApp("a", `, "name": "\u0007"`, "")), []where{{"a", "steps[0].name", 0, 0}}},
		"expression":             {steps(inApp("a", `, "condition": "data.x ==\n == 1"`, "")), []where{{"a", "steps[0].condition", 2, 2}}},
		"expression's type":      {steps(inApp("a", `, "condition": "data.x and 5"`, "")), []where{{"a", "steps[0].condition", 1, 12}}},
		"NUL in expression":      {steps(inApp("a", `, "condition": "data.x == \"\u0000\""`, "")), []where{{"a", "steps[0].condition", 0, 0}}},
		"structured condition":   {steps(inApp("a", `, "conditions": {"any": [{"all": [{"variable": "data.x", "operator": "nope"}]}]}`, "")), []where{{"a", "steps[0].conditions.any[0].all[0].operator", 0, 0}}},
		"not a group":            {steps(inApp("a", `, "conditions": [1]`, "")), []where{{"a", "steps[0].conditions", 0, 0}}},
		"empty group":            {steps(inApp("a", `, "conditions": {}`, "")), []where{{"a", "steps[0].conditions", 0, 0}}},
		"huge number in a group": {steps(inApp("a", `, "conditions": {"all": [{"variable": "data.x", "operator": "equal_to", "argument": 1e400}]}`, "")), []where{{"a", "steps[0].conditions.all[0].argument", 0, 0}}},
		"NUL in a group":         {steps(inApp("a", `, "conditions": {"all": [{"variable": "data.x", "operator": "equal_to", "argument": "\u0000"}]}`, "")), []where{{"a", "steps[0].conditions.all[0].argument", 0, 0}}},
		"deep argument": {steps(inApp("a", `, "conditions": {"all": [{"variable": "data.x", "operator": "equal_to", "argument": `+strings.Repeat("[", 500)+strings.Repeat("]", 500)+`}]}`, "")),
			[]where{{"a", "steps[0].conditions.all[0].argument" + strings.Repeat("[0]", belfry.MaxJSONDepth-3), 0, 0}}},
		"both forms":           {steps(inApp("a", `, "condition": "true", "conditions": {"all": []}`, "")), []where{{"a", "steps[0]", 0, 0}}},
		"no channel":           {steps(`{"ref": "a", "inApp": {"format": "TEXT", "body": "x"}}`), []where{{"a", "steps[0].inApp.channel", 0, 0}}},
		"format":               {steps(`{"ref": "a", "inApp": {"channel": "in-app", "format": "HTML", "body": "x"}}`), []where{{"a", "steps[0].inApp.format", 0, 0}}},
		"empty body":           {steps(`{"ref": "a", "inApp": {"channel": "in-app", "format": "TEXT", "body": " \n"}}`), []where{{"a", "steps[0].inApp.body", 0, 0}}},
		"template":             {steps(`{"ref": "a", "inApp": {"channel": "in-app", "format": "MARKDOWN", "body": "Hi\n\n  {{ recipient.name | shout }}"}}`), []where{{"a", "steps[0].inApp.body", 3, 23}}},
		"NUL in a body":        {steps(`{"ref": "a", "inApp": {"channel": "in-app", "format": "TEXT", "body": "a\u0000"}}`), []where{{"a", "steps[0].inApp.body", 0, 0}}},
		"unsafe URL":           {steps(inApp("a", "", `, "actionUrl": "javascript:alert(1)"`)), []where{{"a", "steps[0].inApp.actionUrl", 0, 0}}},
		"relative URL":         {steps(inApp("a", "", `, "actionUrl": "//evil.example"`)), []where{{"a", "steps[0].inApp.actionUrl", 0, 0}}},
		"empty button":         {steps(inApp("a", "", `, "buttons": [{"label": "", "action": ""}]`)), []where{{"a", "steps[0].inApp.buttons[0].label", 0, 0}, {"a", "steps[0].inApp.buttons[0].action", 0, 0}}},
		"template in a button": {steps(inApp("a", "", `, "buttons": [{"label": "ok", "action": "/"}, {"label": "{{ x", "action": "/{{ y |"}]`)), []where{{"a", "steps[0].inApp.buttons[1].label", 1, 1}, {"a", "steps[0].inApp.buttons[1].action", 1, 2}}},
		"template in data":     {steps(inApp("a", "", `, "data": {"x": {"y": [1, "{{ a", "ok {% nope %}"]}}`)), []where{{"a", "steps[0].inApp.data.x.y[1]", 1, 1}, {"a", "steps[0].inApp.data.x.y[2]", 1, 4}}},
		"NUL in data":          {steps(inApp("a", "", `, "data": {"x": ["\u0000"]}`)), []where{{"a", "steps[0].inApp.data.x[0]", 0, 0}}},
		"deep data":            {steps(inApp("a", "", `, "data": {"x": `+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}`)), []where{{"a", "steps[0].inApp.data.x" + strings.Repeat("[0]", belfry.MaxJSONDepth-1), 0, 0}}},
		"several at once": {`{"name": "", "categories": [""], "steps": [` + inApp("a", `, "condition": "nope("`, `, "actionUrl": "data:x"`) + `, ` + inApp("a", "", `, "data": {"k": "{{"}`) + `, {"ref": "c"}]}`,
			[]where{{"", "name", 0, 0}, {"", "categories[0]", 0, 0}, {"a", "steps[0].condition", 1, 5}, {"a", "steps[0].inApp.actionUrl", 0, 0},
				{"a", "steps[1].ref", 0, 0}, {"a", "steps[1].inApp.data.k", 1, 1}, {"c", "steps[2]", 0, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, problems := workflow.Compile(parse(t, c.source), nil)
			if program != nil {
				t.Error("there is a program")
			}
			var got []where
			for _, p := range problems {
				got = append(got, where{p.Step, p.Path, p.Line, p.Column})
				if len(p.Message) < 10 || len(p.Message) > 1000 || strings.Contains(p.Message, "\n") {
					t.Errorf("%s: message %q", p.Path, p.Message)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%+v", diff, problems)
			}
		})
	}
}

func TestCompileJumpsOverSteps(t *testing.T) {
	t.Parallel()
	program, problems := workflow.Compile(parse(t, steps(
		inApp("a", "", ""),
		inApp("b", `, "condition": "data.x > 1"`, ""),
		inApp("c", `, "conditions": {"all": [{"variable": "data.x", "operator": "exists"}]}`, ""),
		inApp("d", `, "conditions": null`, ""))), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	type op struct {
		Kind workflow.OpKind
		Step string
		Else int
	}
	var got []op
	for _, o := range program.Ops {
		got = append(got, op{o.Kind, o.Step, o.To})
		if (o.Kind == workflow.OpTest) != (o.Condition != nil) || (o.Kind == workflow.OpSend) != (o.Message != nil) {
			t.Errorf("operation %+v", o)
		}
	}
	want := []op{{workflow.OpSend, "a", 0}, {workflow.OpTest, "b", 3}, {workflow.OpSend, "b", 0}, {workflow.OpTest, "c", 5}, {workflow.OpSend, "c", 0}, {workflow.OpSend, "d", 0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

func TestCompileAtItsLimits(t *testing.T) {
	t.Parallel()
	many := func(n int, each func(i int) string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = each(i)
		}
		return strings.Join(list, ", ")
	}
	named := func(name string) string {
		return fmt.Sprintf(`{"name": %q, "steps": [%s]}`, name, inApp("a", "", ""))
	}
	for name, c := range map[string]struct {
		limit  int
		source func(n int) string
		path   string
	}{
		"steps": {workflow.MaxSteps, func(n int) string {
			return steps(many(n, func(i int) string { return inApp(fmt.Sprint("s", i), "", "") }))
		}, "steps"},
		"name": {workflow.MaxNameLength, func(n int) string { return named(strings.Repeat("ü", n)) }, "name"},
		"categories": {workflow.MaxCategories, func(n int) string {
			return fmt.Sprintf(`{"name": "W", "categories": [%s], "steps": [%s]}`, many(n, func(i int) string { return fmt.Sprintf(`"c%d"`, i) }), inApp("a", "", ""))
		}, "categories"},
		"tags": {workflow.MaxTags, func(n int) string {
			return fmt.Sprintf(`{"name": "W", "tags": [%s], "steps": [%s]}`, many(n, func(i int) string { return fmt.Sprintf(`"t%d"`, i) }), inApp("a", "", ""))
		}, "tags"},
		"items of a batch": {workflow.MaxBatchItems, func(n int) string {
			return steps(fmt.Sprintf(`{"ref": "a", "batch": {"for": {"unit": "hours", "value": 1}, "maxItems": %d}}`, n))
		}, "steps[0].batch.maxItems"},
		"activities that a template sees": {workflow.MaxRenderLimit, func(n int) string {
			return steps(fmt.Sprintf(`{"ref": "a", "batch": {"for": {"unit": "hours", "value": 1}, "renderLimit": %d}}`, n))
		}, "steps[0].batch.renderLimit"},
		"runs that pass a throttle": {workflow.MaxThrottleLimit, func(n int) string {
			return steps(fmt.Sprintf(`{"ref": "a", "throttle": {"for": {"unit": "hours", "value": 1}, "limit": %d}}`, n))
		}, "steps[0].throttle.limit"},
		"category": {workflow.MaxNameLength, func(n int) string {
			return fmt.Sprintf(`{"name": "W", "categories": [%q], "steps": [%s]}`, strings.Repeat("c", n), inApp("a", "", ""))
		}, "categories[0]"},
		"buttons": {workflow.MaxButtons, func(n int) string {
			return steps(inApp("a", "", `, "buttons": [`+many(n, func(int) string { return `{"label": "x", "action": "/"}` })+`]`))
		}, "steps[0].inApp.buttons"},
		"templates in data": {workflow.MaxDataTemplates, func(n int) string { // of all steps together
			list := many(n-1, func(int) string { return `"{{ data.x }}"` })
			return steps(inApp("a", "", `, "data": {"x": "{{ data.y }}"}`), inApp("b", "", `, "data": {"list": [`+list+`], "static": "x"}`))
		}, fmt.Sprintf("steps[1].inApp.data.list[%d]", workflow.MaxDataTemplates-1)},
		"data": {workflow.MaxDataSize, func(n int) string {
			return steps(inApp("a", "", `, "data": {"x": "`+strings.Repeat("<", n-len(`{"x":""}`))+`"}`))
		}, "steps[0].inApp.data"},
		"definition": {workflow.MaxDefinitionSize, func(n int) string {
			d := &workflow.Definition{Name: "W"}
			for i := range 9 {
				d.Steps = append(d.Steps, workflow.Step{Ref: fmt.Sprint("s", i), InApp: &workflow.InApp{Channel: "c", Format: workflow.Text, Body: "x"}})
			}
			base, _ := json.Marshal(d)
			for i := range d.Steps { // "<" is one byte, however it is encoded
				d.Steps[i].InApp.Body = strings.Repeat("<", 1+(n-len(base))/9)
			}
			d.Steps[8].InApp.Body += strings.Repeat("<", (n-len(base))%9)
			b, _ := json.Marshal(d)
			return string(b)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, problems := workflow.Compile(parse(t, c.source(c.limit)), nil); len(problems) > 0 {
				t.Errorf("at the limit: %v", problems)
			}
			_, problems := workflow.Compile(parse(t, c.source(c.limit+1)), nil)
			if len(problems) != 1 || problems[0].Path != c.path || !strings.Contains(problems[0].Message, fmt.Sprint(c.limit)) {
				t.Errorf("beyond the limit: %+v, want one at %q that says %d", problems, c.path, c.limit)
			}
		})
	}
}

func TestCompileReportsABoundedNumberOfProblems(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{workflow.MaxProblems: workflow.MaxProblems, workflow.MaxProblems + 1: workflow.MaxProblems} {
		d := parse(t, steps(inApp("a", "", "")))
		d.Steps[0].InApp.Data = map[string]any{"list": make([]any, n)}
		for i := range n {
			d.Steps[0].InApp.Data["list"].([]any)[i] = "{{"
		}
		if _, problems := workflow.Compile(d, nil); len(problems) != want {
			t.Errorf("%d mistakes: %d problems, want %d", n, len(problems), want)
		}
	}
}

func TestProblemsHaveShortPaths(t *testing.T) {
	t.Parallel()
	d := parse(t, steps(inApp("a", "", "")))
	d.Steps[0].InApp.Data = map[string]any{strings.Repeat("ü", 20_000): "{{"}
	_, problems := workflow.Compile(d, nil)
	if len(problems) != 1 || len(problems[0].Path) > 1100 {
		t.Errorf("problems = %.2000v", problems)
	}
}

func TestCompileRefusesWhatCannotBeReadAgain(t *testing.T) {
	t.Parallel()
	for path, data := range map[string]any{
		"steps[0].inApp.data.x": json.Number("1e400"),
		"":                      func() {},
	} {
		d := parse(t, steps(inApp("a", "", "")))
		d.Steps[0].InApp.Data = map[string]any{"x": data}
		if _, problems := workflow.Compile(d, nil); len(problems) != 1 || problems[0].Path != path {
			t.Errorf("%v: %v, want one at %q", data, problems, path)
		}
	}
	d := parse(t, steps(inApp("a", "", "")))
	d.Steps[0].Conditions = json.RawMessage("{\"all\": [{\"variable\": \"data.x\", \"operator\": \"equal_to\", \"argument\": \"\xff\"}]}")
	if _, problems := workflow.Compile(d, nil); len(problems) != 1 || problems[0].Path != "steps[0].conditions" {
		t.Errorf("invalid UTF-8: %v", problems)
	}
}

func TestDefinitionsSurviveJSON(t *testing.T) {
	t.Parallel()
	d := &workflow.Definition{Name: "W", Categories: []string{"a", "b"}, Steps: []workflow.Step{
		{Ref: "a", Name: "First", Condition: `data.x == "<"`, InApp: &workflow.InApp{Channel: belfry.DefaultFeed, Format: workflow.Markdown, Body: "*{{ data.x }}*",
			ActionURL: "/x", Buttons: []workflow.Button{{Label: "L", Action: "/y"}}, Data: map[string]any{"k": []any{1.5, nil, true, "s", map[string]any{}}}}},
		{Ref: "b", Conditions: json.RawMessage(`{"all":[{"variable":"data.x","operator":"exists"}]}`), InApp: &workflow.InApp{Channel: "c", Format: workflow.Text, Body: "x"}},
	}}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, parse(t, string(b))); diff != "" {
		t.Errorf("after a round trip (-want +got):\n%s", diff)
	}
	if _, problems := workflow.Compile(d, nil); len(problems) > 0 {
		t.Error(problems)
	}
}
