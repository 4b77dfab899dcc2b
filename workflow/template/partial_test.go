package template

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testPartials = Partials{
	"card":    "[{{ card.name }}{{ name }}{{ recipient.plan }}{{ forloop.index }}]",
	"ui/row":  "<{{ row }}>",
	"assigns": "{% assign x = 'in' %}{% increment n %}{% cycle 'a', 'b' %}",
	"breaks":  "{% break %}",
	"nests":   "{% render 'card', name: name %}",
	"shows":   "{{ x }}{{ name }}{{ data.count }}",
	"b":       "{{ a }}",
}

func TestPartials(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"{% render 'card' %}": "[]", // it sees no scope
		"{% render 'card', name: recipient.plan %}{% render 'card' name: 'x' %}":                                     "[pro][x]",
		"{% render 'card' with data.items[0] %}":                                                                     "[x]",
		"{% render 'card' with data.items[0] as name, x: 1 %}":                                                       `[{"name"=>"x", "price"=>5}]`,
		"{% render 'card' for data.items %}":                                                                         "[x1][y2]",
		"{% render 'card' for data.items as name %}":                                                                 `[{"name"=>"x", "price"=>5}1][{"name"=>"y", "price"=>7}2]`,
		"{% render 'card' for data.none_left %}{% render 'card' for data.missing %}":                                 "[]",
		"{% render 'ui/row' for (1..3) %}{% render 'ui/row' with 4 %}":                                               "<1><2><3><4>",
		"{% assign x = 'out' %}{% increment n %}{% render 'assigns' %}{{ x }}{% increment n %}{% cycle 'a', 'b' %}":  "00aout1a",
		"{% assign x = 'out' %}{% increment n %}{% include 'assigns' %}{{ x }}{% increment n %}{% cycle 'a', 'b' %}": "01ain2b",
		"{% for i in (1..2) %}{{ i }}{% render 'breaks' %}{{ i }}{% endfor %}":                                       "1122",
		"{% for i in (1..2) %}{{ i }}{% include 'breaks' %}{{ i }}{% endfor %}":                                      "1",
		"{% render 'nests', name: 'n' %}":                                                                            "[n]",
		"{% assign name = 'n' %}{% include 'shows', x: 1 %}{{ x }}":                                                  "1n3",
		"{% include 'card' for data.items %}":                                                                        "[xpro][ypro]",
		"{% include 'ui/row' with 'r' %}{% include 'b' a: 1 %}":                                                      "<r>1",
		"{% assign p = 'b' %}{% assign a = 2 %}{% include p %}{% include p, a: 3 %}":                                 "23",
		"{% liquid\n render 'card', name: 'l'\n include 'b', a: 1 %}":                                                "[l]1",
	} {
		compiled, err := CompileWith(source, Text, testPartials)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := compiled.Render(t.Context(), scope(t, true)); err != nil || got != want {
			t.Errorf("%s\n got %q, %v\nwant %q", source, got, err, want)
		}
	}
}

func TestPartialErrors(t *testing.T) {
	t.Parallel()
	partials := Partials{
		"bad": "a\n{{ b | nope }}", "fails": "a {{ 1 | divided_by: 0 }}", "self": "{% render 'self' %}", "a": "{% include 'b' %}", "b": "x {% include 'a' %}",
		"gone": "{% render 'nowhere' %}", "long": strings.Repeat("x", MaxSource), "includes": "{% include 'fails' %}", "loop": "{% include name %}", "nul": "a\x00",
	}
	for source, want := range map[string]Error{
		"x {% render 'nope' %}":                        {Line: 1, Column: 13, Message: `there is no partial "nope"`},
		"{% render 'gone' %}":                          {Line: 1, Column: 11, Partial: "gone", Message: `there is no partial "nowhere"`},
		"{% render 'bad' %}":                           {Line: 2, Column: 8, Partial: "bad", Message: "unknown filter"},
		"{% render 'fails' %}":                         {Line: 1, Column: 3, Partial: "fails", Message: "division by zero"},
		"{% render 'self' %}":                          {Line: 1, Column: 11, Partial: "self", Message: "in a circle: self > self"},
		"{% include 'a' %}":                            {Line: 1, Column: 14, Partial: "b", Message: "a > b > a"},
		"{% render 'long' %}":                          {Line: 1, Column: 11, Message: "longer than"},
		"{% render 'nul' %}":                           {Partial: "nul", Message: "NUL"},
		"{% render 'includes' %}":                      {Line: 1, Column: 1, Partial: "includes", Message: "use render"},
		"{% assign p = 'bad' %}{% include p %}":        {Line: 2, Column: 8, Partial: "bad", Message: "unknown filter"},
		"{% assign p = 'nope' %}{% include p %}":       {Line: 1, Column: 24, Message: `no partial "nope"`},
		"{% include data.count %}":                     {Line: 1, Column: 1, Message: `no partial "3"`},
		"{% assign name = 'loop' %}{% include name %}": {Line: 1, Column: 1, Partial: "loop", Message: "does \"loop\" include itself?"},
		"{% render 'a' with %}":                        {Line: 1, Column: 19, Message: "a value is missing"},
		"{% render 'a', 1 %}":                          {Line: 1, Column: 16, Message: "name: value"},
		"{% include 5 %}":                              {Line: 1, Column: 12, Message: "in quotes"},
	} {
		compiled, err := CompileWith(source, Text, partials)
		if err == nil {
			_, err = compiled.Render(t.Context(), scope(t, true))
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Line != want.Line || e.Column != want.Column || e.Partial != want.Partial || !strings.Contains(e.Message, want.Message) {
			t.Errorf("%q\n got %v\nwant %v", source, err, &want)
		}
	}
}

// chain returns partials p1 to pn, each of which renders the next.
func chain(tag string, n int) Partials {
	partials := Partials{}
	for i := 1; i < n; i++ {
		partials[fmt.Sprint("p", i)] = fmt.Sprintf("{%% %s 'p%d' %%}", tag, i+1)
	}
	partials[fmt.Sprint("p", n)] = "end"
	return partials
}

func TestPartialLimits(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		limit    int
		source   string
		partials func(int) Partials
	}{
		{"depth of render", MaxPartialDepth, "{% render 'p1' %}", func(n int) Partials { return chain("render", n) }},
		{"depth of include", MaxPartialDepth, "{% include 'p1' %}", func(n int) Partials { return chain("include", n) }},
		{"depth of names made when rendering", MaxPartialDepth, "{% assign p = 'p1' %}{% include p %}", func(n int) Partials {
			partials := chain("include", n)
			for key, source := range partials { // the next name is passed on
				partials[key] = strings.Replace(strings.Replace(source, "{% include ", "{% assign p = ", 1), "' %}", "' %}{% include p %}", 1)
			}
			return partials
		}},
		{"bytes", MaxSource, "{% render 'p' %}", func(n int) Partials { return Partials{"p": strings.Repeat("x", n-len("{% render 'p' %}"))} }},
		{"tokens", MaxTokens, "{% render 'p' %}", func(n int) Partials { return Partials{"p": strings.Repeat("{{a}}", n-1)} }},
	} {
		for n, ok := range map[int]bool{row.limit: true, row.limit + 1: false} {
			compiled, err := CompileWith(row.source, Text, row.partials(n))
			if err == nil {
				_, err = compiled.Render(t.Context(), nil)
			}
			if (err == nil) != ok {
				t.Errorf("%s of %d: %v", row.name, n, err)
			}
		}
	}
}

func TestManyPartialsAreBounded(t *testing.T) {
	t.Parallel()
	partials := Partials{} // every one renders all later ones twice
	for i := range 40 {
		for j := i + 1; j < 40; j++ {
			partials[fmt.Sprint(i)] += strings.Repeat(fmt.Sprintf("{%% include '%d' %%}", j), 2)
		}
	}
	for _, source := range []string{"{% include '0' %}", "{% include data.text %}"} {
		if compiled, err := CompileWith(source, Text, partials); err == nil {
			if _, err = compiled.Render(t.Context(), scope(t, true)); err == nil {
				t.Errorf("%s was rendered", source)
			}
		}
	}
	wide := Partials{"a": strings.Repeat("{% include 'b' %}", 100), "b": strings.Repeat("{% include 'c' %}", 100), "c": strings.Repeat("{% render 'd' %}", 100), "d": "{% if a %}{% endif %}"}
	compiled, err := CompileWith("{% include 'a' %}", Text, wide)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := compiled.Render(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "too much work") {
		t.Errorf("got %v", err)
	}
}

func TestRoots(t *testing.T) {
	t.Parallel()
	for source, want := range map[string][]string{
		"plain":                            nil,
		"{{ data.a }}{{ recipient.name }}": {"data", "recipient"},
		"{{ order.id }}":                   {"data", "order"},
		"{% if actor and vars['x'][tenant.id] == (1..total_actors) %}{% endif %}":       {"actor", "tenant", "total_actors", "vars"},
		"{{ 'x' | append: refs.a | default: event.b, allow_false: run.c }}":             {"event", "refs", "run"},
		"{% for a in activities %}{{ a.b }}{{ forloop.index }}{% endfor %}":             {"activities"},
		"{% for actor in actors %}{{ actor.id }}{% endfor %}{{ actor.id }}":             {"actor", "actors"},
		"{% assign x = inputs.a %}{{ x }}{% capture y %}{{ x }}{% endcapture %}{{ y }}": {"inputs"},
		"{% if data %}{% assign x = 1 %}{{ x }}{% endif %}{{ x }}":                      {"data", "x"}, // it may not have been assigned
		"{% liquid\n assign x = 1 %}{{ x }}":                                            nil,
		"{{ ['workflow'].key }}":                                                        {"workflow"},
		"{% render 'shows', x: timestamp %}":                                            {"timestamp"},
		"{% include 'shows' %}":                                                         {"data", "name", "shows", "x"},
		"{{ 5 | currency: 'EUR' }}{{ 5 | currency: 'EUR', 'de' }}":                      {"recipient"},
	} {
		compiled, err := CompileWith(source, Text, testPartials)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if diff := cmp.Diff(want, compiled.Roots()); diff != "" {
			t.Errorf("%s:\n%s", source, diff)
		}
	}
	dynamic, err := Compile("{{ [data.name].x }}", Text)
	if err != nil || len(dynamic.Roots()) != len(knownRoots) {
		t.Errorf("a name that data holds may be any root, but they are %v, %v", dynamic.Roots(), err)
	}
}

func TestKeysOfDataNeedNoPrefix(t *testing.T) {
	t.Parallel()
	s := map[string]any{
		"data":      map[string]any{"order": "A-1", "actor": "of data", "extra": "of data", "recipient": "of data"},
		"recipient": map[string]any{"name": "Ann"}, "extra": "of the scope",
	}
	for source, want := range map[string]string{
		"{{ order }}{{ order | downcase }}":                 "A-1a-1",
		"{{ recipient.name }}{{ actor }}":                   "Ann", // a root is never a key of data
		"{{ extra }}":                                       "of the scope",
		"{% assign order = 1 %}{{ order }}{{ data.order }}": "1A-1",
		"{{ ['order'] }}":                                   "A-1",
	} {
		if got, err := rendered(t, source, Text, s); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", source, got, err, want)
		}
	}
	if got, err := rendered(t, "{{ order }}", Text, map[string]any{"data": "no object"}); err != nil || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
}
