package template

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const scopeJSON = `{
	"recipient": {"name": "Ann <b>", "plan": "pro"},
	"data": {
		"count": 3, "ratio": 1.5, "big": 9007199254740993, "nothing": null, "yes": true, "blank": "",
		"items": [{"name": "x", "price": 5}, {"name": "y", "price": 7}], "tags": ["b", "a", "a"],
		"at": "2026-03-10T11:00:00+02:00", "day": "2026-03-10", "none_left": [], "url": "javascript:alert(1)", "text": "one two three"
	},
	"timestamp": "2026-03-10T12:00:00Z"
}`

func scope(t testing.TB, useNumber bool) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(scopeJSON))
	if useNumber {
		decoder.UseNumber()
	}
	var s map[string]any
	if err := decoder.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func rendered(t testing.TB, source string, f Format, s map[string]any) (string, error) {
	t.Helper()
	compiled, err := Compile(source, f)
	if err != nil {
		return "", err
	}
	return compiled.Render(t.Context(), s)
}

func TestText(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"plain":                                                                              "plain",
		"Hi {{ recipient.name }}!":                                                           "Hi Ann <b>!",
		"{{ data.count }} {{ data.ratio }}":                                                  "3 1.5",
		"{{ data.missing }}{{ no.such.thing }}":                                              "",
		"{{ data.nothing }}":                                                                 "",
		`{{ data.missing | default: "none" }}`:                                               "none",
		`{{ data.items[1].name }}{{ data.items[-1].price }}`:                                 "y7",
		"{{ data.items.size }} {{ data.items.first.name }}":                                  "2 x",
		"{% if data.count > 2 and data.yes %}many{% else %}few{% endif %}":                   "many",
		"{% if data.blank == \"\" %}blank{% elsif data.yes %}yes{% endif %}":                 "blank",
		"{% unless data.no %}shown{% endunless %}":                                           "shown",
		"{% case recipient.plan %}{% when 'free', 'pro' %}known{% else %}other{% endcase %}": "known",
		"{% for i in data.items %}{{ forloop.index }}{{ i.name }}{% unless forloop.last %}, {% endunless %}{% endfor %}":         "1x, 2y",
		"{% for i in (1..data.count) %}{{ i }}{% endfor %}":                                                                      "123",
		"{% for i in data.items limit: data.count offset: 1 %}{{ i.name }}{% endfor %}":                                          "y",
		"{% for i in data.none_left %}x{% else %}nobody{% endfor %}":                                                             "nobody",
		"{% for i in (1..9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}":                                          "12",
		"{% for i in (1..3) %}{% capture x %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endcapture %}{{ x }}{% endfor %}": "13",
		"{% assign n = data.count | plus: 2 %}{% for i in (1..n) %}{{ i }}{% endfor %}":                                          "12345",
		"{% capture a %}<{{ recipient.plan }}>{% endcapture %}{{ a | upcase }}":                                                  "<PRO>",
		"{% tablerow i in data.tags cols: 2 %}{{ i }}{% endtablerow %}":                                                          "<tr class=\"row1\">\n<td class=\"col1\">b</td><td class=\"col2\">a</td></tr>\n<tr class=\"row2\"><td class=\"col1\">a</td></tr>\n",
		"{% raw %}{{ kept }} {% x{% endraw %}":                                                                                   "{{ kept }} {% x",
		"a{% comment %} {{ gone | nope }} {% endif %}{% endcomment %}b":                                                          "ab",
		"a  {{- recipient.plan -}}  b":                                                                                           "aprob",
		"{% if\n data.yes\n%}multi-line tag{% endif %}":                                                                          "multi-line tag",
		`{{ data.tags | sort | uniq | join: "+" }}`:                                                                              "a+b",
		`{{ data.items | map: "name" | join: "," }}`:                                                                             "x,y",
		`{{ data.items | where: "name", "y" | map: "price" | first }}`:                                                           "7",
		`{{ data.items | map: "price" | sum }}`:                                                                                  "12",
		`{{ (1..3) | join: "," }}{{ (3..1) | join: "," }}`:                                                                       "1,2,3",
		`{{ "a,b" | split: "," | reverse | join: " " }}`:                                                                         "b a",
		`{{ data.text | replace: "two", "2" | truncate: 8 }}`:                                                                    "one 2...",
		`{{ data.text | truncatewords: 2 }} {{ data.text | slice: 0, 3 }}`:                                                       "one two... one",
		`{{ 7 | divided_by: 2 }} {{ 7 | divided_by: 2.0 }} {{ 7 | modulo: 4 }} {{ 2.5 | ceil }}`:                                 "3 3.5 3 3",
		`{{ data.items[0] | json }}`:                                                                                             `{"name":"x","price":5}`,
		`{{ data.tags | json }}`:                                                                                                 `["b","a","a"]`,
		`{{ "a b&c" | url_encode }}`:                                                                                             "a+b%26c",
		`{{ data.count | pluralize: "item", "items" }}`:                                                                          "items",
		`{{ recipient.name | safe }}`:                                                                                            "Ann <b>",
		`{{ false | default: true, allow_false: true }}`:                                                                         "false",
		// Dates: UTC unless the date says otherwise.
		`{{ data.at | date: "%Y-%m-%d %H:%M %z" }}`:           "2026-03-10 11:00 +0200",
		`{{ data.day | date: "%d %B, %H:%M %z" }}`:            "10 March, 00:00 +0000",
		`{{ "now" | date: "%Y-%m-%dT%H:%M" }}`:                "2026-03-10T12:00",
		`{{ 0 | date: "%Y" }}`:                                "1970",
		`{{ data.text | date: "%Y" }}|{{ nil | date: "%Y" }}`: "one two three|",
	} {
		for _, useNumber := range []bool{true, false} {
			got, err := rendered(t, source, Text, scope(t, useNumber))
			if err != nil || got != want {
				t.Errorf("%s (json.Number %v)\n got %q, %v\nwant %q", source, useNumber, got, err, want)
			}
		}
	}
}

func TestLargeIntegersAreExact(t *testing.T) {
	t.Parallel()
	if got, err := rendered(t, "{{ data.big }}", Text, scope(t, true)); err != nil || got != "9007199254740993" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestHTMLEscapesValues(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"<b>{{ recipient.name }}</b>":                                                "<b>Ann &lt;b&gt;</b>",
		"{{ recipient.name | safe }}":                                                "Ann <b>",
		"{{ recipient.name | safe | upcase }}":                                       "ANN &lt;B&gt;", // safe must come last
		"{{ data.tags }}{{ '<' }}":                                                   "baa&lt;",
		"{% capture x %}<i>{{ recipient.name }}</i>{% endcapture %}{{ x | safe }}":   "<i>Ann &lt;b&gt;</i>",
		"{% capture x %}<i>{{ recipient.name }}</i>{% endcapture %}{{ x }}":          "<i>Ann &lt;b&gt;</i>",
		"{% capture x %}<{% endcapture %}{{ x | append: '<' }}{{ '<' | append: x }}": "&lt;&lt;&lt;&lt;",
		"{% capture x %}pro{% endcapture %}{% if x == recipient.plan and recipient.plan == x and x contains 'r' and x < 'q' %}{{ x.size }}{% endif %}": "3",
		"{% capture x %}name{% endcapture %}{{ recipient[x] }}{{ recipient[x] | size }}{% case x %}{% when 'name' %}!{% endcase %}":                    "Ann &lt;b&gt;7!",
		"{{ recipient.name | escape | newline_to_br }}":                                                   "Ann &lt;b&gt;",
		"{% assign e = recipient.name | escape %}{% if e contains ';' %}{{ e }}{{ e | size }}{% endif %}": "Ann &lt;b&gt;13",
		"{% for t in data.tags %}<i>{{ t }}</i>{% endfor %}":                                              "<i>b</i><i>a</i><i>a</i>",
	} {
		if got, err := rendered(t, source, HTML, scope(t, true)); err != nil || got != want {
			t.Errorf("%s\n got %q, %v\nwant %q", source, got, err, want)
		}
	}
}

func TestStatic(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]bool{"": true, "plain {text} %}": true, "{{ a }}": false, "{% if a %}{% endif %}": false} {
		compiled, err := Compile(source, HTML)
		if err != nil {
			t.Fatal(err)
		}
		if compiled.IsStatic() != want {
			t.Errorf("%q: static is %v", source, compiled.IsStatic())
		}
		if got, err := compiled.Render(t.Context(), nil); want && (err != nil || got != source) {
			t.Errorf("%q renders %q, %v", source, got, err)
		}
	}
}

func TestCompileErrorsAreLocated(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]Error{
		"a\n b {{ name":                          {Line: 2, Column: 4, Message: "{{ is not closed"},
		"a {{ name |\n upcasee }}":               {Line: 2, Column: 2, Message: "unknown filter"},
		"a {{ 'name }}":                          {Line: 1, Column: 6, Message: "not closed"},
		"a {%%}":                                 {Line: 1, Column: 3, Message: "no tag in it"},
		"a {% if x":                              {Line: 1, Column: 3, Message: "{% is not closed"},
		"é {% # comment\nx %}":                   {Line: 1, Column: 3, Message: "every line of an inline comment"},
		"{% liquid\n if a\n echo b |\n endif %}": {Line: 3, Column: 10, Message: "the name of a filter is missing"},
		"{% liquid\n if a %}{% endif %}":         {Line: 2, Column: 2, Message: "add {% endif %}"},
		"{{ a }} {% if x %}":                     {Line: 1, Column: 9, Message: "add {% endif %}"},
		"{% comment %} x":                        {Line: 1, Column: 1, Message: "add {% endcomment %}"},
		"{% endif %}":                            {Line: 1, Column: 1, Message: "no block is open"},
		"{% for i in a %}{% endif %}":            {Line: 1, Column: 17, Message: "the open block is {% for %}"},
		"{% if a %}{% when 1 %}{% endif %}":      {Line: 1, Column: 11, Message: "does not belong here"},
		"{% else %}":                             {Line: 1, Column: 1, Message: "does not belong here"},
		"x\n{% include 'a' %}":                   {Line: 2, Column: 12, Message: `no partial "a"`},
		"{% render a %}":                         {Line: 1, Column: 11, Message: "in quotes"},
		"{% cycle %}":                            {Line: 1, Column: 9, Message: "a value is missing"},
		"{% spend 0 0 %}":                        {Line: 1, Column: 1, Message: "unknown tag"},
		"{{ a | nope }}":                         {Line: 1, Column: 8, Message: `unknown filter "nope"`},
		"{% assign b = a | nope: 1 %}":           {Line: 1, Column: 19, Message: `unknown filter "nope"`},
		"{{ a | type }}":                         {Line: 1, Column: 8, Message: "unknown filter"},
		"{{ a b }}":                              {Line: 1, Column: 6, Message: "syntax error"},
		"{% for i on x %}{% endfor %}":           {Line: 1, Column: 10, Message: "syntax error"},
		"{% for i in x by: 2 %}{% endfor %}":     {Line: 1, Column: 15, Message: "no option"},
		"{% if a = 1 %}{% endif %}":              {Line: 1, Column: 9, Message: "syntax error"},
		"{{ a | plus }}":                         {Line: 1, Column: 8, Message: "plus takes 1 argument, not 0"},
		"{{ a | plus: 1, 2 }}":                   {Line: 1, Column: 8, Message: "plus takes 1 argument, not 2"},
		"{{ a | plus: by: 1 }}":                  {Line: 1, Column: 14, Message: "no option"},
		"{{ a | date }}":                         {Line: 1, Column: 8, Message: "date takes 1 to 2 arguments"},
		"{% assign a.b = 1 %}":                   {Line: 1, Column: 1, Message: "plain name"},
		"{% capture a b %}{% endcapture %}":      {Line: 1, Column: 1, Message: "plain name"},
		"{{ 99999999999999999999 }}":             {Line: 1, Column: 4, Message: "out of range"},
		"{{ a’b }}":                              {Line: 1, Column: 5, Message: "check quotes"},
		"{{ %assign x = 1 }}":                    {Line: 1, Column: 4, Message: "syntax error"},
		"a\xff{{ b }}":                           {Message: "UTF-8"},
		"a\x00":                                  {Message: "NUL"},
	} {
		_, err := Compile(source, Text)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Line != want.Line || e.Column != want.Column || !strings.Contains(e.Message, want.Message) {
			t.Errorf("%q\n got %v\nwant %v", source, err, &want)
		}
	}
}

func TestNamesThatLookLikeMistakesAreFine(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		`{{ data.empty }}{{ data.blank }}`, `{{ "blank | nope" }}`, `{{ data["empty"] }}`, `{{ 'it "is"' }}`, `{% assign x = "a | b" %}`,
	} {
		if _, err := Compile(source, Text); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestRenderErrorsAreLocated(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]Error{
		"a\nb {{ 1 | divided_by: 0 }}":                                         {Line: 2, Column: 3, Message: "division by zero"},
		"\n{{ 'abc' | slice: 'x' }}":                                           {Line: 2, Column: 1, Message: "the start must be a whole number"},
		"{% if data.yes %}\n {{ 'x' | base64_decode }}{% endif %}":             {Line: 2, Column: 2, Message: "no base64"},
		"{% for i in data.tags limit: 'x' %}{% endfor %}":                      {Line: 1, Column: 1, Message: "limit must be a whole number"},
		"{% for i in data.tags %}\n{{ i | map: 'x' | concat: 1 }}{% endfor %}": {Line: 2, Column: 1, Message: "concat needs a list"},
		"{{ data.at | date: '%2000000000Y' }}":                                 {Line: 1, Column: 1, Message: "widths below 100"},
		"{{ data.at | date: '%F', 'Mars/Olympus' }}":                           {Line: 1, Column: 1, Message: "no time zone"},
		"{% include data.text %}":                                              {Line: 1, Column: 1, Message: `no partial "one two three"`},
	} {
		_, err := rendered(t, source, Text, scope(t, true))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Line != want.Line || e.Column != want.Column || !strings.Contains(e.Message, want.Message) {
			t.Errorf("%q\n got %v\nwant %v", source, err, &want)
		}
	}
}

func TestSourceLimits(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		limit  int
		source func(int) string
	}{
		{"source", MaxSource, func(n int) string { return strings.Repeat("x", n) }},
		{"tag", MaxTag, func(n int) string { return "{{ " + strings.Repeat("a", n) + "}}" }},
		{"tokens", MaxTokens, func(n int) string { return strings.Repeat("{{a}}", n) }},
		{"blocks", MaxDepth, func(n int) string { return strings.Repeat("{% if a %}", n) + strings.Repeat("{% endif %}", n) }},
		{"brackets", MaxDepth, func(n int) string { return "{{ " + strings.Repeat("a[", n-1) + "a" + strings.Repeat("]", n-1) + " }}" }},
	} {
		if _, err := Compile(row.source(row.limit), Text); err != nil {
			t.Errorf("%s at the limit: %v", row.name, err)
		}
		if _, err := Compile(row.source(row.limit+1), Text); err == nil {
			t.Errorf("%s one above the limit: accepted", row.name)
		}
	}
}

func TestOutputAndDataLimits(t *testing.T) {
	t.Parallel()
	nested := func(n int) any {
		var v any = "x"
		for range n - 1 {
			v = []any{v}
		}
		return v
	}
	for _, row := range []struct {
		name, source string
		limit        int
		value        func(int) any
	}{
		{"output", "{{ v }}", MaxOutput, func(n int) any { return strings.Repeat("x", n) }},
		{"captured text", "{% capture c %}{{ v }}{% endcapture %}", MaxValue, func(n int) any { return strings.Repeat("x", n) }},
		{"filtered text", "{% assign c = v | append: '' %}", MaxValue, func(n int) any { return strings.Repeat("x", n) }},
		{"list", "{% assign c = v | reverse %}", MaxData, func(n int) any { return []any{strings.Repeat("x", n-2*valueWeight)} }},
		{"depth of data", "{% assign c = v | json %}", MaxDataDepth, nested},
		{"depth of printed data", "{{ v }}", MaxDataDepth, nested},
		{"work", "{% for i in (2..v) %}{% endfor %}", MaxWork, func(n int) any { return n }},
		{"range", "{% assign c = (1..v) | reverse %}", MaxRange, func(n int) any { return n }},
		{"date format", "{% assign c = 0 | date: v %}", MaxDateFormat, func(n int) any { return strings.Repeat("x", n) }},
	} {
		if _, err := rendered(t, row.source, Text, map[string]any{"v": row.value(row.limit)}); err != nil {
			t.Errorf("%s at the limit: %v", row.name, err)
		}
		if _, err := rendered(t, row.source, Text, map[string]any{"v": row.value(row.limit + 1)}); err == nil {
			t.Errorf("%s one above the limit: accepted", row.name)
		}
	}
}

func TestOutputIsStorable(t *testing.T) {
	t.Parallel()
	got, err := rendered(t, "{{ v }}", Text, map[string]any{"v": "a\x00b\xffc"})
	if err != nil || got != "ab\uFFFDc" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOnlyJSONValuesAreBound(t *testing.T) {
	t.Parallel()
	_, err := rendered(t, "{{ v.Error }}", Text, map[string]any{"v": errors.New("secret")})
	if err == nil || !strings.Contains(err.Error(), "pass what JSON can hold") {
		t.Errorf("got %v", err)
	}
	// What the template doesn't mention isn't looked at.
	if got, err := rendered(t, "{{ w }}", Text, map[string]any{"v": errors.New("secret"), "w": 1}); err != nil || got != "1" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCancellation(t *testing.T) {
	t.Parallel()
	compiled, err := Compile("{% for i in (1..100000) %}{% endfor %}", Text)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compiled.Render(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("before: got %v", err)
	}
	ctx = &cancelledLater{Context: t.Context(), after: 100}
	if _, err := compiled.Render(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("while rendering: got %v", err)
	}
}

// cancelledLater is cancelled from the nth look on.
type cancelledLater struct {
	context.Context
	after int
}

func (c *cancelledLater) Err() error {
	if c.after--; c.after < 0 {
		return context.Canceled
	}
	return nil
}

func TestRenderIsConcurrent(t *testing.T) {
	t.Parallel()
	s, before := scope(t, true), scope(t, true)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				f := Format(i % 2)
				got, err := rendered(t, `{% for i in data.items %}{% assign p = i.price | plus: 1 %}{{ i.name | upcase }}{{ p }}{% endfor %}{% capture c %}{{ data.count }}{% endcapture %}{{ c }}`, f, s)
				if err != nil || got != "X6Y83" {
					t.Errorf("got %q, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(before, s); diff != "" {
		t.Errorf("Render changed the scope:\n%s", diff)
	}
}

func BenchmarkRender(b *testing.B) {
	for name, source := range map[string]string{
		"short": "Hi {{ recipient.name }}, order **{{ data.count }}** for {{ data.ratio }} is on its way.",
		"loop":  `Hi {{ recipient.name }}, {% if data.items.size > 1 %}you have {{ data.items.size }} items: {% for i in data.items %}{{ i.name | upcase }} {% endfor %}{% endif %}`,
	} {
		b.Run(name, func(b *testing.B) { benchmarkRender(b, source) })
	}
}

func benchmarkRender(b *testing.B, source string) {
	compiled, err := Compile(source, HTML)
	if err != nil {
		b.Fatal(err)
	}
	s := scope(b, true)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := compiled.Render(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
