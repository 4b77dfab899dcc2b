package template

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMarkdown(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"**Hi** _you_":                                      "<p><strong>Hi</strong> <em>you</em></p>\n",
		"~~old~~":                                           "<p><del>old</del></p>\n",
		"a <b>bold</b> word":                                "<p>a <b>bold</b> word</p>\n",
		"[in](/path)":                                       `<p><a href="/path" rel="nofollow">in</a></p>` + "\n",
		"[out](https://e.com/x?a=1)":                        `<p><a href="https://e.com/x?a=1" rel="nofollow noopener" target="_blank">out</a></p>` + "\n",
		"<a href=\"https://e.com\">out</a>":                 `<p><a href="https://e.com" rel="nofollow noopener" target="_blank">out</a></p>` + "\n",
		"[x](javascript:alert(1))":                          "<p>x</p>\n",
		"[x](JaVaScRiPt:alert(1))":                          "<p>x</p>\n",
		"[x](data:text/html,x)":                             "<p>x</p>\n",
		"[x](vbscript:x)":                                   "<p>x</p>\n",
		"<a href=\"java\nscript:x\">x</a>":                  "<p>x</p>\n",
		"<img src=x onerror=alert(1)>":                      `<img src="x">`,
		"<p onclick=\"x()\" style=\"position:fixed\">a</p>": "<p>a</p>",
		"a<script>alert(1)</script>b":                       "<p>ab</p>\n",
		"<iframe src=\"https://e.com\"></iframe>":           "",
		"<style>*{}</style>x":                               "x",
		"":                                                  "",
	} {
		got, err := Markdown(source)
		if err != nil || got != want {
			t.Errorf("%q\n got %q, %v\nwant %q", source, got, err, want)
		}
	}
}

// The sanitiser is left out where it would change nothing but how quotes are written.
func TestPlainMarkupIsWhatTheSanitiserMakes(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"<p>", "</p>", "<em>", "</em>", "<strong>", "</strong>", "<del>", "</del>", "<ul>", "</ul>", "<ol>", "<li>", "</li>", "<code>", "</code>", "<pre>", "</pre>",
		"<blockquote>", "</blockquote>", "<br>", "<br/>", "<br />", "<hr>", "<h1>", "</h6>", "text", " ", "\n", "\r", "é", "'", `"`, "&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&",
		"<", ">", "</", "<script>", "</script>", "<a href=x>", "</a>", "<P>", "<p >", "<img>", "<!--", "-->", "<p", "/>", "&nbsp;", "&lt", "amp;", "<title>", "<plaintext>", "\x00", "<li/>",
	}
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		markup := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces[:rapid.IntRange(1, len(pieces)).Draw(t, "kinds")]), 0, 12).Draw(t, "pieces"), "")
		got, ok := plainMarkup([]byte(markup))
		if !ok {
			return
		}
		plain++
		if want := sanitizer().Sanitize(markup); got != want {
			t.Fatalf("%q\n got %q\nwant %q", markup, got, want)
		}
	})
	if plain == 0 {
		t.Error("nothing was plain")
	}
}

func TestPlainMarkup(t *testing.T) {
	t.Parallel()
	for markup, want := range map[string]bool{
		"<p>It's <strong>A-1</strong> &amp; \"more\"</p>\n": true, "": true, "<ul>\n<li>a</li>\n</ul>\n": true, "<blockquote><p>a</p></blockquote>": true,
		"<p>a<br>b</p><hr>": true, "<p><del>a</del> &lt;script&gt;</p>": true,
		"<p onclick=x>": false, "<script>": false, "<a href=\"/\">": false, "<img src=x>": false, "<P>": false, "<p": false, "<": false, "<!-- -->": false,
		"<p/>": false, "&nbsp;": false, "&": false, "a>b": false, "a\r": false, "<svg>": false, "</ p>": false, "<p\x00>": false,
	} {
		if _, ok := plainMarkup([]byte(markup)); ok != want {
			t.Errorf("%q: %v", markup, ok)
		}
	}
}

func TestMarkdownLimits(t *testing.T) {
	t.Parallel()
	lines := func(n int) string { return "|a|\n|-|\n" + strings.Repeat("b\n", n/3-2) }
	for _, row := range []struct {
		name   string
		limit  int
		source func(int) string
	}{
		{"length", MaxMarkdown, func(n int) string { return strings.Repeat("a", n) }},
		{"quotes", MaxMarkdownDepth, func(n int) string { return strings.Repeat(">", n) + "a" }},
		{"lists", MaxMarkdownDepth, func(n int) string { return strings.Repeat("- ", n) + "a" }},
		{"brackets", MaxBrackets, func(n int) string { return strings.Repeat("[", n) }},
		{"cells", MaxCells, lines},
	} {
		if _, err := Markdown(row.source(row.limit)); err != nil {
			t.Errorf("%s at the limit: %v", row.name, err)
		}
		over := row.limit + 1
		if row.name == "cells" {
			over = row.limit + 3 // one more row of three columns
		}
		if _, err := Markdown(row.source(over)); err == nil {
			t.Errorf("%s above the limit: accepted", row.name)
		}
	}
	if _, err := Markdown("a\xff"); err == nil {
		t.Error("invalid UTF-8 was accepted")
	}
}

func TestHostileMarkdownIsBounded(t *testing.T) {
	t.Parallel()
	const n = MaxMarkdown / 2
	for _, unit := range []string{
		">", "> ", "- ", "[", "[a](", "![", "*a ", "*a_a", "a**b", "**a *a ", "<", "<a ", "<div>", "|", "|a", "|-", "[a]: b\n", "http://a.b ",
		"www.", "a@", "~~a ", "&#0;", "<!--", "<![CDATA[", "<?", "a]", "\\", ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>a\n", "# a\n", "[a](<", "`", "e`", "1. ", "\t", "-\n",
	} {
		for _, head := range []string{"", "|a|b|c|d|\n|-|-|-|-|\n"} {
			start := time.Now()
			out, err := Markdown(head + strings.Repeat(unit, (n-len(head))/len(unit)))
			if took := time.Since(start); took > timeBound || len(out) > MaxMarkup {
				t.Errorf("%q after %q: took %v for %d bytes, %v", unit, head, took, len(out), err)
			}
		}
	}
}

func TestSafeURL(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"https://e.com", "http://e.com:8080/a?b=c#d", "HTTPS://E.com/%20", "mailto:a@e.com?subject=x", "/", "/path?x=//y", "https://é.com/ü",
	} {
		if got, ok := SafeURL(good); !ok || got != good {
			t.Errorf("%q: got %q, %v", good, got, ok)
		}
	}
	if got, ok := SafeURL(" https://e.com "); !ok || got != "https://e.com" {
		t.Errorf("surrounding spaces: got %q, %v", got, ok)
	}
	for _, bad := range []string{
		"", " ", "javascript:alert(1)", "JavaScript:alert(1)", " javascript:x", "java\nscript:x", "java\tscript:x", "\x01javascript:x", "data:text/html,x",
		"vbscript:x", "file:///etc/passwd", "ftp://e.com", "//e.com", "/\\e.com", "\\\\e.com", "/\t/e.com", "https:e.com", "https:///x", "http://", "https://:80",
		"https://user:pw@e.com", "https://google.com@e.com", "path", "../x", "?x", "#x", "mailto:", "https://e.com/\u202egnp", "https://e.com/a b", "a\xff", "https://e.com/\x00",
		"https://e.com/%zz", "blob:https://e.com",
	} {
		if got, ok := SafeURL(bad); ok || got != "" {
			t.Errorf("%q: accepted as %q", bad, got)
		}
	}
	for n, want := range map[int]bool{MaxURL: true, MaxURL + 1: false} {
		if _, ok := SafeURL("/" + strings.Repeat("a", n-1)); ok != want {
			t.Errorf("%d bytes: %v", n, ok)
		}
	}
}
