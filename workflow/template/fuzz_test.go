package template

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func FuzzCompileRender(f *testing.F) {
	for _, source := range hostile {
		if len(source) < 1000 {
			f.Add(source, true)
		}
	}
	for _, source := range []string{
		"Hi {{ recipient.name | upcase }}!", "{% for i in data.items %}{{ forloop.index }}{{ i.name }}{% endfor %}",
		"{% case data.count %}{% when 1, 2 %}a{% else %}b{% endcase %}", "{% capture a %}{{- data.tags | sort | join: ',' -}}{% endcapture %}{{ a }}",
		"{% assign n = data.count | plus: 2.5 | times: 3 %}{% unless n > 3 %}{{ n }}{% endunless %}", "{% raw %}{{ x }}{% endraw %}{% comment %}{% endcomment %}",
		`{{ data.at | date: "%Y-%m-%d" }}{{ data.text | truncate: 5, "!" | split: " " | json }}`, "{% tablerow i in (1..3) cols: 2 %}{{ i }}{% endtablerow %}",
		"{% liquid\n assign x = 1\n if x == blank\n echo x | plus: 1.5\n endif %}", "{%- cycle 'a': 'b', data.count -%}{% increment n %}{% # c %}",
		"{% render 'card', a: data.items[0] %}{% include data.text %}{% render 'card' for data.items as a %}", "{{ data.tags | has: 'a' }}{{ ['data'].items.first }}",
		"{% doc %}{% enddoc %}{% ifchanged %}{{ data.url | markdown }}{% endifchanged %}", "{% unless a %}{% elsif b contains 'c' or d != empty %}{% endunless %}",
	} {
		f.Add(source, false)
	}
	partials := Partials{"card": "{{ a.name | upcase }}{{ forloop.index }}", "one two three": "{% break %}", "self": "{% render 'self' %}"}
	s := scope(f, true)
	before, _ := json.Marshal(s)
	f.Fuzz(func(t *testing.T, source string, escape bool) {
		format := Text
		if escape {
			format = HTML
		}
		start := time.Now()
		var out string
		compiled, err := CompileWith(source, format, partials)
		if err == nil {
			out, err = compiled.Render(t.Context(), s)
		}
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Message == "" || strings.Contains(e.Message, "nil pointer") {
				t.Fatalf("not a helpful *Error: %#v", err)
			}
		}
		if !utf8.ValidString(out) || strings.ContainsRune(out, 0) || len(out) > MaxOutput {
			t.Fatalf("output is not storable: %.100q", out)
		}
		if took := time.Since(start); took > timeBound {
			t.Fatalf("took %v", took)
		}
		if after, _ := json.Marshal(s); string(after) != string(before) {
			t.Fatal("the scope changed")
		}
	})
}

func FuzzMarkdown(f *testing.F) {
	for _, source := range []string{
		"# a\n\n- b\n- [c](d)\n", "<script>x</script><a href='javascript:x'>", "|a|b|\n|-|-|\n|c|d|", "![x](y \"z\")", "```go\nx\n```", "> > 1. a", "<a href='javascript'>", "it's *a*\n\n- \"b\"",
	} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		start := time.Now()
		out, err := Markdown(source)
		if took := time.Since(start); took > timeBound || len(out) > MaxMarkup {
			t.Fatalf("took %v for %d bytes", took, len(out))
		}
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			t.Fatalf("not an *Error: %v", err)
		}
		if lower := strings.ToLower(out); strings.Contains(lower, "<script") || strings.Contains(lower, `href="javascript:`) {
			t.Fatalf("unsafe: %s", out)
		}
	})
}
