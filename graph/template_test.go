package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/workflow/template"
)

func TestPartialsAndVariables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, stranger := w.environment(t, "ours"), w.environment(t, "theirs")
	const setPartial = `mutation ($key: String!, $source: String!) { setPartial(input: {key: $key, source: $source}) { partial { key source } } }`
	const setVariable = `mutation ($name: String!, $value: JSONValue) { setVariable(input: {name: $name, value: $value}) { variable { name value } } }`
	const read = `{ partials { key source } variables { name value } }`
	for _, x := range []struct {
		query     string
		variables vars
		want      string
	}{
		{setPartial, vars{"key": "b", "source": "B"}, `{"setPartial":{"partial":{"key":"b","source":"B"}}}`},
		{setPartial, vars{"key": "a", "source": "A {{ x }}"}, `{"setPartial":{"partial":{"key":"a","source":"A {{ x }}"}}}`},
		{setVariable, vars{"name": "url", "value": "https://example.com"}, `{"setVariable":{"variable":{"name":"url","value":"https://example.com"}}}`},
		{setVariable, vars{"name": "limit", "value": 9007199254740993}, `{"setVariable":{"variable":{"name":"limit","value":9007199254740993}}}`},
		{setVariable, vars{"name": "list", "value": []any{true, vars{"a": 1}}}, `{"setVariable":{"variable":{"name":"list","value":[true,{"a":1}]}}}`},
		{read, nil, `{"partials":[{"key":"a","source":"A {{ x }}"},{"key":"b","source":"B"}],
			"variables":[{"name":"limit","value":9007199254740993},{"name":"list","value":[true,{"a":1}]},{"name":"url","value":"https://example.com"}]}`},
		{setPartial, vars{"key": "b", "source": ""}, `{"setPartial":{"partial":null}}`},
		{setVariable, vars{"name": "list", "value": nil}, `{"setVariable":{"variable":null}}`},
		{setVariable, vars{"name": "limit"}, `{"setVariable":{"variable":null}}`},
		{read, nil, `{"partials":[{"key":"a","source":"A {{ x }}"}],"variables":[{"name":"url","value":"https://example.com"}]}`},
	} {
		got := c.call(x.query, x.variables)
		if len(got.Errors) > 0 {
			t.Fatalf("%v: %+v", x.variables, got.Errors)
		}
		if diff := cmp.Diff(parse(t, x.want), parse(t, string(got.Data))); diff != "" {
			t.Errorf("%v (-want +got):\n%s", x.variables, diff)
		}
	}
	if got := stranger.call(read, nil); string(got.Data) != `{"partials":[],"variables":[]}` {
		t.Errorf("a stranger reads %s", got.Data)
	}
	c.refused(setPartial, vars{"key": "A", "source": "x"}, "INVALID", "input.key")
	c.refused(setPartial, vars{"key": "c", "source": "{{ x"}, "INVALID", "input.source")
	c.refused(setPartial, vars{"key": "c", "source": "x\x00"}, "INVALID", "input.source")
	c.refused(setVariable, vars{"name": "A", "value": 1}, "INVALID", "input.name")
	c.refused(setVariable, vars{"name": "branding", "value": 1}, "INVALID", "input.name")
	c.refused(setVariable, vars{"name": "a", "value": "x\x00"}, "INVALID", "input.value")
	c.refused(setVariable, vars{"name": "a", "value": strings.Repeat("x", 16<<10-1)}, "TOO_LARGE", "input.value")
	c.refused(setVariable, vars{"name": "a", "value": deep(33)}, "TOO_LARGE", "input.value"+strings.Repeat(".a", 32))
}

const preview = `query ($input: PreviewTemplateInput!) { previewTemplate(input: $input) { rendered html problems { partial line column message } } }`

type previewed struct {
	PreviewTemplate struct {
		Rendered, HTML *string
		Problems       []struct {
			Partial      *string
			Line, Column *int
			Message      string
		}
	}
}

func TestPreviewsSeeWhatMessagesSee(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana", "ben")
	ask[any](c, `mutation { setPartial(input: {key: "footer", source: "-- {{ name }}"}) { partial { key } } setVariable(input: {name: "site", value: "Example"}) { variable { name } } }`, nil)
	for _, x := range []struct {
		input          vars
		rendered, html string
	}{
		{vars{"template": "Hello *{{ recipient.name }}*", "recipient": "ana"}, "Hello *ana*", "<p>Hello <em>ana</em></p>\n"},
		{vars{"template": "{{ data.n }} < {{ data.html }}", "data": vars{"n": 1, "html": "<b>"}}, "1 < &lt;b&gt;", "<p>1 &lt; &lt;b&gt;</p>\n"},
		{vars{"template": "{{ data.html }}", "format": "TEXT", "data": vars{"html": "<b>"}}, "<b>", ""},
		{vars{"template": "{{ actor.name }} at {{ vars.site }}{% if tenant %}!{% endif %}", "format": "TEXT", "actor": "ben"}, "ben at Example", ""},
		{vars{"template": "{{ total_activities }} in {{ tenant.name }}", "format": "TEXT", "scope": vars{"total_activities": 3, "tenant": vars{"name": "Acme"}}}, "3 in Acme", ""},
		{vars{"template": "{% render 'footer', name: recipient.id %}", "format": "TEXT", "recipient": "ana"}, "-- ana", ""},
		{vars{"template": "plain", "format": "TEXT"}, "plain", ""},
		{vars{"template": "{{ vars.manage_preferences_url }} {{ vars.commercial_unsubscribe_url }} {{ vars.branding.primary_color }}", "format": "TEXT"},
			"https://notify.example.com/preferences/example https://notify.example.com/unsubscribe/example #000000", ""},
		{vars{"template": "{{ vars.branding.primary_color }} {{ vars.site }}", "format": "TEXT", "scope": vars{"tenant": vars{"settings": vars{"branding": vars{"primary_color": "#123456"}}}}}, "#123456 Example", ""},
	} {
		got := ask[previewed](c, preview, vars{"input": x.input}).PreviewTemplate
		if len(got.Problems) > 0 || got.Rendered == nil || *got.Rendered != x.rendered || (got.HTML == nil) != (x.html == "") || got.HTML != nil && *got.HTML != x.html {
			t.Errorf("%v: %+v", x.input, got)
		}
	}
	c.refused(preview, vars{"input": vars{"template": "x", "recipient": "nobody"}}, "NOT_FOUND", "input.recipient")
	c.refused(preview, vars{"input": vars{"template": "x", "actor": "a\x00b"}}, "INVALID", "input.actor")
}

// A bad template is the author's mistake, whatever is wrong with it.
func TestBadTemplatesAreProblems(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	ask[any](c, `mutation { setPartial(input: {key: "loop", source: "{% for i in (1..1000000) %}\n{{ i | plus: 1 }}{% endfor %}"}) { partial { key } } }`, nil)
	for name, source := range map[string]string{
		"not closed":        "{{ x",
		"unknown tag":       "a\n{% what %}",
		"unknown filter":    "{{ x | what }}",
		"missing partial":   "{% render 'what' %}",
		"divides by zero":   "{{ 1 | divided_by: 0 }}",
		"works too much":    "{% for i in (1..100000) %}{% for j in (1..100000) %}{{ j }}{% endfor %}{% endfor %}",
		"in a partial":      "{% render 'loop' %}",
		"too long":          strings.Repeat("x", template.MaxSource+1),
		"prints too much":   `{% assign a = "0123456789" %}{% for i in (1..100) %}{% assign a = a | append: a %}{% endfor %}{{ a }}`,
		"NUL":               "a\x00",
		"deep":              strings.Repeat("{% if true %}", 200),
		"too much Markdown": strings.Repeat("> ", 1000) + "x",
		"too many brackets": strings.Repeat("[", 30000),
	} {
		got := c.call(preview, vars{"input": vars{"template": source}})
		if len(got.Errors) > 0 || !strings.Contains(string(got.Data), `"rendered":null,"html":null,"problems":[{`) || strings.Contains(string(got.Data), `"message":""`) {
			t.Errorf("%s: %.300s %+v", name, got.Data, got.Errors)
		}
	}
	got := ask[previewed](c, preview, vars{"input": vars{"template": "a\n{% what %}"}}).PreviewTemplate.Problems[0]
	if *got.Line != 2 || *got.Column != 1 || got.Partial != nil {
		t.Errorf("an unknown tag in the second line: %+v", got)
	}
	got = ask[previewed](c, preview, vars{"input": vars{"template": "{% render 'loop' %}"}}).PreviewTemplate.Problems[0]
	if got.Partial == nil || *got.Partial != "loop" {
		t.Errorf("a mistake in a partial: %+v", got)
	}
}

func TestConditionsAreConverted(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	const convert = `query ($input: ConvertConditionInput!) { convertCondition(input: $input) { expression conditions exact problems { path line column message } } }`
	group := `{"all": [{"variable": "data.n", "operator": "greater_than", "argument": 9007199254740993}]}`
	type converted struct {
		ConvertCondition struct {
			Expression *string
			Conditions vars
			Exact      bool
			Problems   []struct {
				Path string
				Line int
			}
		}
	}
	got := ask[converted](c, convert, vars{"input": vars{"conditions": parse(t, group)}}).ConvertCondition
	if !got.Exact || got.Expression == nil || len(got.Problems) > 0 {
		t.Fatalf("%+v", got)
	}
	answer := c.call(convert, vars{"input": vars{"expression": *got.Expression}})
	want := fmt.Sprintf(`{"convertCondition": {"expression": %s, "conditions": %s, "exact": true, "problems": []}}`, quote(*got.Expression), group)
	if diff := cmp.Diff(parse(t, want), parse(t, string(answer.Data))); diff != "" {
		t.Errorf("and back (-want +got):\n%s", diff)
	}
	got = ask[converted](c, convert, vars{"input": vars{"expression": "len(data.list) > data.n * 2"}}).ConvertCondition
	if got.Exact || got.Expression == nil || got.Conditions != nil || len(got.Problems) > 0 {
		t.Errorf("without a structured form: %+v", got)
	}
	got = ask[converted](c, convert, vars{"input": vars{"conditions": parse(t, `{"all": [{"variable": "data.a", "operator": "equal_to", "argument": {"b": 1}}]}`)}}).ConvertCondition
	if got.Exact || got.Expression != nil || got.Conditions == nil || len(got.Problems) > 0 {
		t.Errorf("without an expression: %+v", got)
	}
	for _, x := range []struct {
		input vars
		path  string
	}{
		{vars{"expression": "data.n >"}, "expression"},
		{vars{"conditions": vars{"some": 1}}, "conditions"},
		{vars{"conditions": parse(t, `{"all": [{"variable": "data.n", "operator": "what"}]}`)}, "conditions.all[0].operator"},
	} {
		got := ask[converted](c, convert, vars{"input": x.input}).ConvertCondition
		if got.Exact || got.Expression != nil || got.Conditions != nil || len(got.Problems) != 1 || got.Problems[0].Path != x.path {
			t.Errorf("%v: %+v", x.input, got)
		}
	}
	c.refused(convert, vars{"input": vars{}}, "INVALID", "input")
	c.refused(convert, vars{"input": vars{"expression": "true", "conditions": parse(t, group)}}, "INVALID", "input")
}
