package template

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// rendersLikeMarkdown renders a template and holds it against what it promises. It returns the skeleton.
func rendersLikeMarkdown(t rapid.TB, compiled *Template, scope map[string]any) string {
	t.Helper()
	ctx := context.Background()
	source, html, err := compiled.RenderMarkdown(ctx, scope)
	content, wantErr := compiled.Render(ctx, scope)
	if source != content {
		t.Fatalf("the source is %q, Render gives %q", source, content)
	}
	want := ""
	if wantErr == nil {
		want, wantErr = Markdown(content)
	}
	if html != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("%q with %v is %q\n got %q, %v\nwant %q, %v", compiled.source, scope, content, html, err, want, wantErr)
	}
	_, printed, _ := compiled.render(ctx, scope, true)
	skeleton, _ := skeletonOf(content, printed)
	return skeleton
}

func compiledFor(t rapid.TB, source string, f Format) *Template {
	t.Helper()
	compiled, err := Compile(source, f)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

const orderBody = "Hi {{ recipient.name }}, order **{{ data.order }}** is on its way: {{ data.items }} {% if data.items == 1 %}item{% else %}items{% endif %}, {{ data.total }} €."

func orderScope(name string) map[string]any {
	return map[string]any{"recipient": map[string]any{"name": name}, "data": map[string]any{"order": "BF-17", "items": 2, "total": 128.5}}
}

// What is the same for all recipients of a trigger may stay in the skeleton.
func TestSkeletonIsFilledIn(t *testing.T) { // not in parallel: what it remembers must not be pushed out
	compiled := compiledFor(t, "Filled in: "+orderBody, HTML)
	const want = "Filled in: Hi \uE000, order **BF-17** is on its way: \uE001 items, 128.5 €."
	for _, name := range []string{"Ann", "Ann Example", "Øyvind Ægir", "李小龍", "محمد", "x"} {
		if got := rendersLikeMarkdown(t, compiled, orderScope(name)); got != want {
			t.Errorf("the skeleton of %s is %q", name, got)
		}
	}
	skeletons().Add(want, []string{"<", "|", ">"}) // nobody else has this skeleton
	defer skeletons().Remove(want)
	_, html, err := compiled.RenderMarkdown(t.Context(), orderScope("Bob"))
	if err != nil || html != "<Bob|2>" {
		t.Errorf("the skeleton was not filled in: %q, %v", html, err)
	}
}

// Where a value could mean something, or be written differently, it stays what it is. Every template is rendered for Ann
// first, so that there is a skeleton to fall into.
func TestTrapsForMarkers(t *testing.T) {
	t.Parallel()
	for source, values := range map[string][]string{
		// starts of lines
		"{{ a }}. first": {"1", "x"}, "{{ a }}) first": {"1"}, "1{{ a }}. first": {"2", "x"}, "> {{ a }}. first": {"1"}, "- {{ a }}. first": {"1"}, "text\n{{ a }}. first": {"1"},
		"-{{ a }}": {"1", "x"}, "+{{ a }}. b": {"1"}, "#{{ a }}": {"1"}, "({{ a }}) b": {"1"}, "    {{ a }}. b": {"1"}, "\t{{ a }}": {"1", "x", "xy"}, "-\t{{ a }}. b": {"1", "x"}, "{{ a }}{{ b }}. c": {"1"},
		"*{{ a }}. b*": {"1"}, "1. {{ a }}\n{{ a }}. b": {"2"}, "{{ a }} b": {"-", "#", ">", "+", "1.", "```", "~~~", "|", "***"},
		// underlines, rules and tables
		"{{ a }}\n---": {"Bob", "1", "---"}, "{{ a }}\n===": {"1"}, "b\n{{ a }}": {"---", "==="}, "{{ a }}\n|-|": {"b", "|b|", "b|"}, "|{{ a }}|\n|-|\n|{{ b }}|": {"c", "|"},
		"| {{ a }} | b |\n|-|-|\n| c | {{ b }} | {{ a }} |": {"1", "x"}, "a|b\n{{ a }}|-": {"-", ":-"},
		// addresses that links are made of
		"www.{{ a }}.com": {"bob", "Bob"}, "{{ a }}.example.com": {"www"}, "w{{ a }}.e.com": {"ww"}, "{{ a }}://e.com": {"https", "x https"}, "https://{{ a }}.com": {"bob"}, "https://e.com/{{ a }}": {"b", "b c"},
		"{{ a }}@e.com": {"bob", "x bob"}, "bob@{{ a }}.com": {"e"}, "bob@e.{{ a }}": {"com"}, "{{ a }}{{ b }}.e.com": {"w", "ww"}, "({{ a }}.e.com)": {"www"}, "*{{ a }}.e.com*": {"www"},
		"http:{{ a }} //e.com": {"x"}, "{{ a }}.": {"x www", "https", "www"}, "{{ a }}:": {"https", "x http"}, "www.e.com{{ a }}": {"b"}, "www.e.com/ {{ a }}": {"b"}, "{{ a }}\u00a0www.e.com": {"b"},
		// links and references
		"[{{ a }}]\n\n[bob]: /b": {"bob", "BOB", "b ob"}, "[the {{ a }} one]\n\n[the bob one]: /b": {"bob"}, "[ {{ a }} ]\n\n[bob]: /b": {"bob"}, "[x][ {{ a }} ]\n\n[bob]: /b": {"bob"},
		"[x]: {{ a }}": {"b", "b c"}, "[x]:\n{{ a }}": {"b", "b c"}, "[x]: /u {{ a }}\n\n[x]": {"b"}, "[ {{ a }}\n> ]: /u": {"b"}, "[x]( {{ a }} )": {"b", "b c"}, "[x]( {{ a }})": {"b", "b c"},
		"[x](/u \" {{ a }} \")": {"b", "b c"}, "[x](/u '{{ a }}')": {"b"}, "[x](/u ({{ a }}))": {"b", "b c"}, "[x](/u {{ a }})": {"b"}, "[x]{{ a }}(/u)": {"b"}, "![ {{ a }} ](/u)": {"b", "b c"}, "![x](/u \"a {{ a }}\")": {"b"},
		"[go to {{ a }} now](/u)": {"b", "b c"}, "- [{{ a }}] b": {"x", "X", "y"}, "- [ {{ a }} ] b": {"x"}, "- [{{ a }}": {"x] b"},
		// entities, escapes, code and HTML
		"&{{ a }};": {"amp", "lt", "copy"}, "&am{{ a }};": {"p"}, "&#{{ a }};": {"60", "x3c"}, "&a{{ a }}": {"mp;"}, "\\{{ a }}": {"b", "1"}, "\\\n{{ a }}": {"b"}, "{{ a }}\\\nb": {"c"}, "{{ a }}  \nb": {"c", "c d"},
		"`{{ a }}`": {"b", "b c"}, "` {{ a }} `": {"b", "1"}, "``` {{ a }}\nb\n```": {"go", "go c"}, "~~~{{ a }}\nb": {"go", "go c"}, "```\n{{ a }}\n```": {"b", "1"}, "{{ a }}\n```": {"b"},
		"<{{ a }}>": {"b", "script", "img"}, "<{{ a }}": {"b>"}, "<a {{ a }} >": {"href", "b"}, "<a title= {{ a }} >x</a>": {"b", "b c"}, "<a title=\"> {{ a }} \" href=/u>x</a>": {"b"}, "<script> {{ a }} </script>": {"b"},
		"<!-- {{ a }} -->": {"b"}, "<div>\n{{ a }}\n</div>": {"b"}, "<https://{{ a }}>": {"e"}, "<{{ a }}:b>": {"mailto"}, "<b> {{ a }} </b>": {"c"}, "</ {{ a }} >": {"b"}, "<pre>\n{{ a }}. b\n": {"1"},
		// emphasis
		"*{{ a }}*b": {"1", "x"}, "a_{{ a }}_": {"1", "x"}, "_{{ a }}_b": {"x"}, "**{{ a }}**{{ b }}": {"1", "x", "x y"}, "~~{{ a }}~": {"1", "x"}, "*{{ a }}": {"x*", " x*"}, "**{{ a }}.**b": {"x"}, "\"{{ a }}\"_b_": {"x", "𝒜", "ß"},
		// values that are not inert
		"Hi {{ a }}!":           {"", " ", " x", "x ", "x  y", "x\ny", "x\ty", "x\u00a0y", "é́", "O'Brien", "a&b", "<b>", "*x*", "_x_", "`x`", "a_b", "a.b", "½", "²", "٣", "\uE000", "\uE03F", "\uF8FF", "\\", "\x00", "x\xff", "a\x00b", strings.Repeat("x", maxInert+1)},
		"\uE000 {{ a }} \uE001": {"x"}, "{{ a }}\uE040": {"x"}, "{{ a }} {{ b }}": {"\uE001", "x"},
		"a **{{ a }}** b": {" x", "x ", "x  y"}, "{{ a }}_b_": {"x€", "x”", "x\u00a0", "x\u200b"}, "_b_{{ a }}": {"€x", "“x", "\u00a0x"}, "Hi {{ a }}": {"a\x00b", "x\xffy"},
		// captured and printed elsewhere
		"{% capture c %}{{ a }}. b{% endcapture %}Hi {{ c }} {{ a }}": {"1", "x"}, "{% ifchanged %}{{ a }}. {% endifchanged %}b {{ a }}": {"1", "x"}, "{% for i in (1..3) %}{{ a }}. {{ i }}\n{% endfor %}": {"1", "x"},
		"{% echo a %}. b": {"1", "x"}, "{% cycle a, b %}. b {{ a }}": {"1", "x"}, "{% increment n %}{{ a }}. b": {"1", "x"},
	} {
		for _, f := range []Format{Text, HTML} {
			compiled := compiledFor(t, source, f)
			rendersLikeMarkdown(t, compiled, map[string]any{"a": "Ann", "b": "Ann"})
			for _, v := range values {
				rendersLikeMarkdown(t, compiled, map[string]any{"a": v, "b": "Ann"})
				rendersLikeMarkdown(t, compiled, map[string]any{"a": v, "b": v})
				rendersLikeMarkdown(t, compiled, map[string]any{"a": "Ann", "b": v})
			}
		}
	}
}

func TestMarkersStandForWords(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"{{ a }}":               "\uE000",
		"**{{ a }}**, {{ b }}.": "**\uE000**, \uE001.",
		"*{{ a }}.*":            "*\uE000.*",
		"# {{ a }}\n\n- {{ b }}\n- {{ n }} b\n- for {{ n }}": "# \uE000\n\n- \uE001\n- 42 b\n- for \uE002",
		"{{ a }} {{ n }}":                                                 "\uE000 \uE001",
		"{{ n }} {{ n }}":                                                 "42 42",
		"({{ a }}/{{ b }}) {{ a }}: {{ b }}":                              "(Ann/Bob Example) \uE000: \uE001",
		"{{ a }}.{{ b }} {{ b }}":                                         "Ann.Bob Example \uE000",
		"{% for i in (1..2) %}for {{ a }}, {% endfor %}":                  "for \uE000, for \uE001, ",
		"{% capture c %}{{ a }}{% endcapture %}{{ c }}!":                  "\uE000!",
		"a\r\n{{ a }}\r\n{{ n }}\tb":                                      "a\r\n\uE000\r\n42\tb",
		"{% capture c %}{{ b }}{% endcapture %}{{ b | size }} to {{ a }}": "11 to \uE000",
		"{{ a }} [{{ a }}](/u) [to {{ a }} now](/u)":                      "\uE000 [Ann](/u) [to \uE001 now](/u)",
	} {
		got := rendersLikeMarkdown(t, compiledFor(t, source, HTML), map[string]any{"a": "Ann", "b": "Bob Example", "n": 42})
		if got != want {
			t.Errorf("%q\n got %q\nwant %q", source, got, want)
		}
	}
}

func TestMarkersStayOutOfSyntax(t *testing.T) {
	t.Parallel()
	for _, mark := range strings.Split("& < > @ / \\ ` [ ] | { } ^ = \f \v", " ") {
		for _, source := range []string{"a {{ mark }}{{ a }}", "a {{ a }}{{ mark }}", "a b{{ mark }}b{{ a }} b", "a ({{ a }}){{ mark }} b"} {
			scope := map[string]any{"a": "Ann", "mark": mark}
			if got := rendersLikeMarkdown(t, compiledFor(t, source, Text), scope); strings.Contains(got, markerStart) {
				t.Errorf("%q beside the value: the skeleton of %q is %q", mark, source, got)
			}
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		html    string
		markers int
		want    []string
	}{
		{"<p>a</p>", 0, []string{"<p>a</p>"}},
		{"<p>\uE000</p>", 1, []string{"<p>", "</p>"}},
		{"\uE000\uE001 &gt; <b>\uE002", 3, []string{"", "", " &gt; <b>", ""}},
		{"<p></p>", 1, nil}, {"<p>%EE%80%80</p>", 1, nil}, // lost
		{"\uE000 \uE000", 1, nil}, {"\uE000 \uE001", 1, nil}, {"\uE000", 0, nil}, // found twice, or from elsewhere
		{"\uE001 \uE000", 2, nil}, {"\uE000 \uE000", 2, nil}, // out of order
		{`<img alt="\uE000">`, 1, nil}, {`<b>x</b><img alt="&gt; \uE000" title="&lt;">`, 1, nil}, {"\uE000 <b \uE001>", 2, nil}, // attributes
	} {
		if diff := cmp.Diff(row.want, cut(row.html, row.markers)); diff != "" {
			t.Errorf("%q: %s", row.html, diff)
		}
	}
}

// A skeleton that must not be filled is remembered too.
func TestSkeletonThatCannotBeFilled(t *testing.T) { // not in parallel: what it remembers must not be pushed out
	for _, source := range []string{"Dropped\n~~~ {{ a }}\nb", "An address [x]( {{ a }} )", "A description ![ {{ a }} ](/u)", "A title [x](/u \"{{ a }}\")", "A cell\n\n|b|\n|-|\n|c| {{ a }} |"} {
		skeleton := rendersLikeMarkdown(t, compiledFor(t, source, HTML), map[string]any{"a": "Ann"})
		if !strings.Contains(skeleton, "\uE000") {
			t.Errorf("%q has no marker", skeleton)
		}
		if pieces, known := skeletons().Get(skeleton); !known || pieces != nil {
			t.Errorf("%q: %q, %v", skeleton, pieces, known)
		}
	}
}

func TestSkeletonLimits(t *testing.T) { // not in parallel: what it remembers must not be pushed out
	markers := func(source string, values ...string) int {
		t.Helper()
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
		}
		skeleton := rendersLikeMarkdown(t, compiledFor(t, source, HTML), map[string]any{"a": values[0], "list": list})
		pieces, _ := skeletons().Get(skeleton)
		return len(pieces) - 1
	}
	for n, want := range map[int]int{maxInert: 1, maxInert + 1: 0} {
		if got := markers("Hi {{ a }}", strings.Repeat("x", n)); got != want {
			t.Errorf("%d bytes: %d markers", n, got)
		}
	}
	for _, n := range []int{maxMarkers, maxMarkers + 1} {
		if got := markers("{% for v in list %}{{ v }} {% endfor %}", strings.Split(strings.Repeat("x", n), "")...); got != maxMarkers {
			t.Errorf("%d values: %d markers", n, got)
		}
	}
	// The parser looks for links within 998 bytes.
	for n, want := range map[int]int{maxBracketSpan: 2, maxBracketSpan + 1: 0} {
		filler := strings.Repeat("x", n-len("[ v  v "))
		if got := markers("[ {{ a }} "+filler+" {{ a }} [x](/u)", "v"); got != want {
			t.Errorf("%d bytes between brackets: %d markers", n, got)
		}
	}
	short, long := strings.Split(strings.Repeat("v", maxMarkers), ""), []string{strings.Repeat("v", maxInert)}
	for n := maxBracketSpan - 4; n < 1004; n++ {
		for _, values := range [][]string{short, long} {
			space := strings.Repeat("x", n-len(strings.Join(values, " "))-3)
			markers("![ {% for v in list %}{{ v }} {% endfor %}"+space+" [ [x](/u)", values...)
		}
	}
	for n, want := range map[int]bool{maxSkeleton: true, maxSkeleton + 1: false} {
		source := "x" + strings.Repeat("y", n-1)
		rendersLikeMarkdown(t, compiledFor(t, source, HTML), nil)
		if skeletons().Contains(source) != want {
			t.Errorf("%d bytes: remembered %v", n, !want)
		}
	}
	markers(strings.Repeat("> ", MaxMarkdownDepth+1)+"{{ a }}", "Ann") // is refused
	for n, want := range map[int]bool{maxPieces: true, maxPieces + 1: false} {
		quotes := (n - len("<p></p>\n")) / len("&#34;")
		source := strings.Repeat(`"`, quotes) + strings.Repeat("z", (n-len("<p></p>\n"))%len("&#34;"))
		rendersLikeMarkdown(t, compiledFor(t, source, HTML), nil)
		if pieces, _ := skeletons().Get(source); (pieces != nil) != want {
			t.Errorf("HTML of %d bytes: remembered %v", n, !want)
		}
	}
}

func TestSkeletonsAreBounded(t *testing.T) {
	t.Parallel()
	for i := range 2 * cachedSkeletons {
		if _, err := fillMarkdown(fmt.Sprintf("bounded %d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := skeletons().Len(); n > cachedSkeletons {
		t.Errorf("%d skeletons are remembered", n)
	}
}

func TestRenderMarkdownErrors(t *testing.T) {
	t.Parallel()
	compiled := compiledFor(t, strings.Repeat("[", MaxBrackets)+"{{ a }}", HTML)
	source, html, err := compiled.RenderMarkdown(t.Context(), map[string]any{"a": "["})
	if _, ok := errors.AsType[*Error](err); !ok || html != "" || len(source) != MaxBrackets+1 {
		t.Errorf("got %d bytes, %q, %v", len(source), html, err)
	}
	compiled = compiledFor(t, "Hi {{ a | divided_by: 0 }}", HTML)
	source, html, err = compiled.RenderMarkdown(t.Context(), map[string]any{"a": 1})
	if _, ok := errors.AsType[*Error](err); !ok || html != "" || source != "" {
		t.Errorf("got %q, %q, %v", source, html, err)
	}
}

func TestRenderMarkdownConcurrently(t *testing.T) {
	t.Parallel()
	compiled := compiledFor(t, "Concurrently: "+orderBody, HTML)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				name := "Ann " + strings.Repeat("x", i*j)
				_, html, err := compiled.RenderMarkdown(t.Context(), orderScope(name))
				want := "<p>Concurrently: Hi " + name + ", order <strong>BF-17</strong> is on its way: 2 items, 128.5 €.</p>\n"
				if diff := cmp.Diff(want, html); diff != "" || err != nil {
					t.Errorf("%v\n%s", err, diff)
					return
				}
			}
		})
	}
	wg.Wait()
}

// nastyPieces are what templates are put together of; half of what is drawn are outputs.
var nastyPieces = []string{
	" ", " ", " ", "\n", "\n", "\n\n", "\t", "\r\n", "  \n", "    ", "text", "a", "1", "1.", "1. ", "1) ", "- ", "* ", "+ ", "-", "#", "# ", "## ", "> ", ">", "*", "**", "***", "_", "__", "~", "~~", "~~~", "`", "``", "```", "```\n",
	"[", "]", "(", ")", "](", "](/u)", "](/u \"", "\")", "'", "\"", "![", "[x]", "[ ] ", "[x] ", "]:", "]: ", "[ann]: /u\n", "[the ann]: /u 'x'\n", "|", "|-|\n", "|-|-|\n", "---", "\n---\n", "===", "\n===\n", ":-", ":", ":-:|",
	"&", "&amp;", "&#", "&#x", ";", "amp", "#", "\\", "\\\n", "<", ">", "<b>", "</b>", "<a href=", "<a ", "<div>", "</div>", "<script>", "<!--", "-->", "<br>", "/>", "=", "@", "@e.com", "e.com", ".com", ".", "...", ",", "!", "?", "%", "$", "+", "/", "//",
	"www.", "www", "http", "http:", "https://", "https://e.com/", "ftp:", "mailto:", "://", "€", "é", "“", "”", "\u00a0", "\u2028", "—", "𝒜", "\uE000", "\uE001", "\f", "\v", "{", "}", "^",
}

var nastyValues = []string{
	"Ann", "Ann Example", "x", "X", "1", "12", "1 2", "a1", "1a", "www", "x www", "www x", "http", "https", "ftp", "mailto", "ann", "the ann", "amp", "lt", "60", "x3c", "com", "e", "script", "b", "href", "go", "w", "ww", "é", "ß", "𝒜", "李", "ا", "ª", "İ",
	"Ann Example Ann Example Ann Example Ann Example Ann Example", "", " ", "x ", " x", "x  y", "x\ny", "-", "*", "1.", "#", "[x]", "](/u)", "<b>", "&", "O'Brien", "a-b", "a.b", "\uE000", "½", "\u00a0", "²", "é́",
}

func TestRenderMarkdownIsMarkdown(t *testing.T) {
	t.Parallel()
	filled := 0
	piece := rapid.OneOf(rapid.SampledFrom(nastyPieces), rapid.SampledFrom([]string{" ", "text", " text "}), rapid.SampledFrom([]string{"{{ a }}", "{{ b }}", "{{ c }}", " {{ a }} ", "{{ b }}.", "**{{ c }}**"}))
	value := rapid.SampledFrom(nastyValues)
	rapid.Check(t, func(t *rapid.T) {
		source := strings.Join(rapid.SliceOfN(piece, 1, 14).Draw(t, "pieces"), "")
		compiled, err := Compile(source, Format(rapid.IntRange(0, 1).Draw(t, "format")))
		if err != nil {
			t.Skip(err)
		}
		for range 3 {
			scope := map[string]any{"a": value.Draw(t, "a"), "b": value.Draw(t, "b"), "c": value.Draw(t, "c")}
			skeleton := rendersLikeMarkdown(t, compiled, scope)
			if pieces, _ := skeletons().Get(skeleton); len(pieces) > 1 {
				filled++
			}
		}
	})
	t.Logf("%d were filled in", filled)
	if filled == 0 {
		t.Error("no skeleton was filled in")
	}
}

func FuzzRenderMarkdown(f *testing.F) {
	for _, source := range nastyPieces {
		f.Add("Hi {{ a }}"+source+"{{ b }} you", "Ann", "Ann Example", true)
		f.Add(source+"{{ a }} b "+source+" {{ b }}\n"+source, "1", "www", false)
	}
	for _, source := range []string{orderBody, "[ {{ a }} ](/u) *{{ b }}*", "|{{ a }}|{{ b }}|\n|-|-|\n", "- {{ a }}\n  {{ b }}\n\n1. {{ a }}", "{% for i in (1..3) %}{{ a }}{{ i }} {% endfor %}{{ b }}"} {
		f.Add(source, "Ann", "x", true)
	}
	f.Fuzz(func(t *testing.T, source, a, b string, escape bool) {
		format := Text
		if escape {
			format = HTML
		}
		compiled, err := Compile(source, format)
		if err != nil {
			return
		}
		for _, scope := range []map[string]any{{"a": a, "b": b}, {"a": "Ann", "b": a}, {"a": "x", "b": "Ann Example"}, {"a": "1", "b": "www"}} {
			rendersLikeMarkdown(t, compiled, scope)
		}
	})
}

func BenchmarkMarkdown(b *testing.B) {
	compiled := compiledFor(b, orderBody, HTML)
	s := orderScope("Ann Example")
	b.Run("rendered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			source, _ := compiled.Render(b.Context(), s)
			if _, err := Markdown(source); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("filled in", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := compiled.RenderMarkdown(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("liquid only", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := compiled.Render(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
