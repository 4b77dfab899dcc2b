package template

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Generous for a loaded machine and the race detector; what they exclude takes
// minutes or terabytes.
const (
	timeBound  = 5 * time.Second
	allocBound = 512 << 20
)

// loops nests for loops around a body.
func loops(n int, body string) string {
	return strings.Repeat("{% for i in (1..10) %}", n) + body + strings.Repeat("{% endfor %}", n)
}

const long = `{% assign s = "xxxxxxxxxxxxxxxx" %}`

// hostile templates exhaust or crash a naive use of the Liquid library.
var hostile = map[string]string{
	"big integer":               `{{ 99999999999999999999 }}`,
	"curly apostrophe":          `{{ a’b }}`,
	"huge loop":                 `{% for i in (1..1000000000) %}{% endfor %}`,
	"huge reversed loop":        `{% for i in (1..1000000000) reversed %}{% endfor %}`,
	"huge table":                `{% tablerow i in (1..1000000000) %}{% endtablerow %}`,
	"overflowing table":         `{% tablerow i in (1..100000) %}xxxxxxxx{% endtablerow %}`,
	"nested loops":              loops(9, ""),
	"nested loops with work":    loops(5, `{% assign x = "a" | append: "b" | upcase | downcase %}`),
	"nested loops with filters": loops(9, `{{ data.text | size }}`),
	"huge range":                `{{ (1..1000000000) | join }}`,
	"huge range sorted":         `{{ (1..1000000000) | sort | size }}`,
	"huge range as text":        `{{ (1..1000000000) | upcase | append: (1..1000000000) }}`,
	"huge range as argument":    `{{ "a" | split: "" | concat: (1..1000000000) | size }}`,
	"huge range sliced":         `{{ (1..1000000000) | slice: 1, 2 }}`,
	"doubling by append":        long + loops(2, `{% assign s = s | append: s %}`),
	"doubling by capture":       long + loops(2, `{% capture s %}{{ s }}{{ s }}{% endcapture %}`),
	"doubling by concat":        `{% assign s = "a,b" | split: "," %}` + loops(2, `{% assign s = s | concat: s %}`),
	"growth by replace":         long + strings.Repeat(`{% assign s = s | replace: "", s %}`, 6),
	"growth by prepend":         long + loops(3, `{% assign s = s | prepend: s %}`),
	"list as text":              `{% assign s = data.list %}` + strings.Repeat(`{% assign s = s | concat: s %}`, 8) + `{{ s | join }}{{ s | upcase }}`,
	"list as JSON":              `{% assign s = data.list %}` + strings.Repeat(`{% assign s = s | concat: s %}`, 8) + `{{ s | json }}{{ s | inspect }}`,
	"deep ifs":                  strings.Repeat("{% if true %}", 4000) + strings.Repeat("{% endif %}", 4000),
	"100000 ifs":                strings.Repeat("{% if true %}", 100_000) + strings.Repeat("{% endif %}", 100_000),
	"million parentheses":       "{{ " + strings.Repeat("(", 1_000_000) + "1" + strings.Repeat(")", 1_000_000) + " }}",
	"1000 parentheses":          "{{ " + strings.Repeat("(", 1000) + "1" + strings.Repeat(")", 1000) + " }}",
	"date width":                `{{ "now" | date: "%2000000000Y" }}`,
	"date widths":               `{{ "now" | date: "` + strings.Repeat("%999Y", 500) + `" }}`,
	"partial made by name":      `{% assign p = "/etc/passwd" %}{% include p %}`,
	"unclosed quotes":           strings.Repeat(`{{ 'a }}`, 4000),
	"many conditions":           loops(5, "{% if "+strings.Repeat("data.text contains data.text and ", 100)+"true %}x{% endif %}"),
	"first of an object":        loops(5, "{% if data.object.first == data.object.first %}{% endif %}"),
	"printing an object":        loops(5, "{% capture x %}{{ data.object }}{% endcapture %}"),
	"markdown":                  loops(4, `{% assign x = data.text | markdown %}`),
	"sorting naturally":         loops(4, `{% assign x = data.list | sort_natural: "v" %}`),
	"intersection":              loops(2, `{% assign x = data.list | intersect: data.copy %}`),
	"long separators":           `{{ data.list | map: "k" | join: data.text }}`,
	"decoding JSON":             loops(5, `{% assign x = data.json | from_json %}`),
	"deep JSON":                 `{{ data.deep | from_json | json }}`,
	"counters":                  loops(5, `{% increment a %}{% capture x %}{% cycle "a", "b" %}{% endcapture %}{% ifchanged %}x{% endifchanged %}`),
	"liquid in liquid":          "{% liquid " + strings.Repeat("liquid ", 100) + " echo 1 %}",
	"include a file":            `{% include '/etc/passwd' %}`,
	"include upwards":           `{% include '../x' %}`,
	"render a file":             `{% render 'go.mod' %}`,
	"many filters":              "{% assign s = data.text %}" + loops(4, "{% assign s = s"+strings.Repeat(" | upcase | downcase", 180)+" %}"),
	"many comparisons":          loops(5, "{% if "+strings.Repeat("data.list == data.copy and ", 100)+"true %}x{% endif %}"),
	"comparison without end":    loops(5, "{% if data.list == data.copy %}{% endif %}"),
	"sorting":                   loops(5, `{% assign s = data.list | sort: "k" %}`),
	"uniq of objects":           loops(3, `{% assign s = data.list | uniq %}`),
	"iterating an object":       loops(5, "{% for pair in data.object %}{% break %}{% endfor %}"),
	"output in raw":             loops(6, "{% raw %}"+strings.Repeat("x", 1000)+"{% endraw %}"),
	"output in trim":            loops(6, strings.Repeat("x", 1000)+" {{- 1 -}} "),
	"many cases":                loops(6, "{% case data.list %}"+strings.Repeat("{% when data.copy %}", 100)+"{% endcase %}"),
	"statement injection":       `{{ %loop i in (1..10) }}`,
	"state":                     "{{ \x00state }}",
	"state by index":            "{% assign x = [\"\x00state\"] %}",
}

func hostileScope() map[string]any {
	list := func() []any {
		all := make([]any, 1000)
		for i := range all {
			all[i] = map[string]any{"k": fmt.Sprint("value ", i*7919%1000), "v": strings.Repeat("x", 100)}
		}
		return all
	}
	object := map[string]any{}
	for i := range 3000 {
		object[fmt.Sprint("key", i)] = i
	}
	return map[string]any{"data": map[string]any{
		"list": list(), "copy": list(), "object": object, "text": strings.Repeat("ab", 30_000),
		"json": "[" + strings.Repeat("1,", 10_000) + "1]", "deep": strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
	}}
}

// Not parallel: it measures what is allocated.
func TestHostileTemplatesAreBounded(t *testing.T) {
	s := hostileScope()
	for name, source := range hostile {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		out, err := rendered(t, source, HTML, s)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: rendered %d bytes", name, len(out))
		} else if len(err.Error()) > 2000 || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("%s: unreadable error %.300s", name, err)
		}
		if took > timeBound {
			t.Errorf("%s: took %v", name, took)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > allocBound {
			t.Errorf("%s: allocated %d MiB", name, allocated>>20)
		}
		if testing.Verbose() {
			t.Logf("%-24s %8.1fms %5d MiB %v", name, float64(took.Microseconds())/1000, (after.TotalAlloc-before.TotalAlloc)>>20, err)
		}
	}
}

// These look dangerous and are cheap; they need not fail.
func TestOddTemplatesAreBounded(t *testing.T) {
	t.Parallel()
	s := hostileScope()
	for _, source := range []string{
		`{{ (5..1) | join }}`, `{{ (1..1000000000) }}`, `{% if (1..1000000000) contains 5 %}{% endif %}`,
		`{% if (1..1000000000) == (1..1000000000) %}{% endif %}`, `{{ (1..1000000000).last }}`, `{{ (1..100000000)[3] }}`,
		`{% for i in (-9223372036854775807..9223372036854775807) %}{% break %}{% endfor %}`, `{{ 1.5 | round: 400 }}`, `{{ 1 | modulo: 0 }}`,
		`{% for i in (1..3) offset: 9223372036854775807 %}{{ i }}{% endfor %}`, `{% assign forloop = 1 %}{% for i in (1..2) %}{{ forloop.index }}{% endfor %}`,
		`{{ data.list | sum: "v" }}`, `{{ "<" | append: "<" | strip_html }}`, `{{ "%zz" | url_decode }}`, `{{ data | json | size }}`,
		`{{ "abc" | slice: 2, -1 }}{{ "abc" | slice: 1, 9223372036854775807 }}{{ "abc" | slice: -9223372036854775807 }}`,
		`{% assign forloop = 1 %}{% cycle 'a','b' %}`, `{% for i in (1..3) limit: -9223372036854775807 offset: -9223372036854775807 %}{{ i }}{% endfor %}`,
		`{{ 9223372036854775807 | plus: 1 | times: 9999999999 }}{{ 1 | divided_by: -1 }}{{ -9223372036854775807 | minus: 9 | abs }}`,
		`{{ "9e999" | times: 2 }}{{ "1" | append: data.text | times: 2 }}{{ 1.5 | round: -400 }}{{ 5 | modulo: -3 }}`,
		`{% tablerow i in (1..3) cols: 9223372036854775807 %}{{ i }}{% endtablerow %}{{ "a" | truncate: -9223372036854775807 }}`,
		`{{ true.size }}{{ 1.5.x }}{{ "a"[0] }}`, `{{ nil | split: "," }}{{ nil | sort }}{{ nil | slice: 1 }}{{ nil | map: "x" }}`,
		`{{ data.list | where: nil }}`, `{{ 1 | map: 2 }}`, `{% assign a = 1 %}{% capture a %}{{ a }}{% endcapture %}{{ a }}`,
		"{{ a" + strings.Repeat(".b", 1000) + " }}", "{{ " + strings.Repeat("a or ", 800) + "b }}", `{% case %}{% endcase %}`, `{% if %}{% endif %}`,
	} {
		start := time.Now()
		out, err := rendered(t, source, Text, s)
		if took := time.Since(start); took > timeBound || len(out) > MaxOutput {
			t.Errorf("%.80s: took %v for %d bytes, %v", source, took, len(out), err)
		}
		if err != nil && (strings.Contains(err.Error(), "nil pointer") || strings.Contains(err.Error(), "goroutine")) {
			t.Errorf("%.80s: %v", source, err)
		}
	}
}
