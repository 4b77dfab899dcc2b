package template

import (
	"slices"
	"strings"
	"testing"
)

func TestTextFilters(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		`{{ "éa B" | capitalize }}{{ nil | upcase }}{{ 5 | downcase }}{{ true | append: 1.0 | prepend: nil }}`: "Éa b5true1.0",
		`[{{ " a " | strip }}{{ " a " | lstrip }}{{ " a " | rstrip }}{{ "a
b" | strip_newlines }}]`: "[aa  aab]",
		`{{ "a-b-a" | replace: "a", "x" }} {{ "a-b-a" | replace_first: "a", "x" }} {{ "a-b-a" | replace_last: "a", "x" }} {{ "ab" | replace: "b" }}`: "x-b-x x-b-a a-b-x a",
		`{{ "a-b-a" | remove: "a" }} {{ "a-b-a" | remove_first: "a" }} {{ "a-b-a" | remove_last: "a" }} {{ "ab" | remove: nil }}`:                    "-b- -b-a a-b- ab",
		`{{ data.text | truncate: 6 }} {{ data.text | truncate: 5, "" }} {{ "ab" | truncate: 1 }} {{ nil | truncate }}`:                              "one... one t ... ",
		`{{ data.text | truncatewords: 2, "…" }} {{ "a  b" | truncatewords: 0 }} {{ "a  b" | truncatewords }}`:                                       "one two… a... a  b",
		`{{ "abc" | slice: -2, 9 }}{{ "abc" | slice: 5 }}{{ "abc" | slice: 1, -1 }}{{ data.tags | slice: 1, 9 | join }}{{ "é" | slice: "0" }}`:       "bca aé",
		`{{ "a b  c" | split: " " | join: "|" }} {{ "a,b,," | split: "," | size }} {{ "abc" | split: "" | join: "-" }} {{ "" | split: "," | size }}`: "a|b|c 2 a-b-c 0",
		`{{ "<a href='x'>b</a><script>c</script><!-- d
-->e" | strip_html }}`: "be",
		`{{ "Tom & 'Jerry' <b>" | escape }} {{ "&lt; & <" | escape_once }} {{ "a
b" | newline_to_br }}`: "Tom &amp; &#39;Jerry&#39; &lt;b&gt; &lt; &amp; &lt; a<br />\nb",
		`{{ "a b*ü/" | url_encode }} {{ "a+b%2A%zz%" | url_decode }} {{ "Top Offers! 5%" | handleize }}`: "a+b*%C3%BC%2F a b*%zz% top-offers-5",
		`{{ data.tags | upcase }}`: `["B", "A", "A"]`,
	})
}

func TestHTMLFilters(t *testing.T) {
	t.Parallel()
	check(t, HTML, map[string]string{
		`{{ recipient.name | escape }}{{ recipient.name | escape_once }}{{ "it's" }}{{ '"' }}`:            "Ann &lt;b&gt;Ann &lt;b&gt;it&#39;s&quot;",
		"{{ recipient.name | append: '\n' | newline_to_br }}":                                             "Ann &lt;b&gt;<br />\n",
		`{{ "*a* <script>x</script>" | markdown }}{{ "b" | from_markdown | safe }}`:                       "<p><em>a</em> </p>\n<p>b</p>\n",
		`{{ "<i>" | safe | append: "<b>" }}{{ data.items[0] | json }}`:                                    "&lt;i&gt;&lt;b&gt;{&quot;name&quot;:&quot;x&quot;,&quot;price&quot;:5}",
		`{% for t in data.tags limit: 1 %}{{ '<' | append: t }}{% endfor %}{% echo "<" %}{% cycle "<" %}`: "&lt;b&lt;&lt;",
	})
}

func TestNumberFilters(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		`{{ 0.1 | plus: 0.2 }} {{ 10.1 | minus: 2.2 }} {{ "3.5" | times: 2 }} {{ 2 | times: 3 }} {{ 4 | minus: "1x" }}`:         "0.3 7.9 7.0 6 3",
		`{{ 9.0 | divided_by: 2 }} {{ -7 | divided_by: 2 }} {{ 7 | divided_by: -2 }} {{ 20 | divided_by: 7.0 }}`:                "4.5 -4 -4 2.857142857142857",
		`{{ -7 | modulo: 3 }} {{ 7 | modulo: -3 }} {{ 7.5 | modulo: 2 }} {{ -6 | modulo: -3 }}`:                                 "2 -2 1.5 0",
		`{{ 9223372036854775807 | plus: 1 }} {{ 4611686018427387904 | times: 2 }} {{ 3000000000 | times: 3 }}`:                  "9.223372036854776e+18 9.223372036854776e+18 9000000000",
		`{{ 1.005 | round: 2 }} {{ 2.5 | round }} {{ -2.5 | round }} {{ 5 | round: 2 }} {{ 15 | round: -1 }} {{ "x" | round }}`: "1.01 3 -3 5 20 0",
		`{{ 1.2 | ceil }} {{ -1.2 | floor }} {{ "1.9" | floor }} {{ -3 | abs }} {{ "-1.5" | abs }} {{ nil | abs }}`:             "2 -2 1 3 1.5 0",
		`{{ 4 | at_least: 5 }} {{ 4 | at_most: 3.5 }} {{ nil | at_least: 1 }} {{ "7" | at_most: "9" }}`:                         "5 3.5 1 7",
		`{{ data.count | plus: data.ratio }} {{ data.big | plus: 1 }}`:                                                          "4.5 9007199254740994",
	})
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		`{{ data.tags | sort | join }} {{ "b,B,a" | split: "," | sort_natural | join }} {{ data.tags | uniq | join }} {{ data.tags | reverse | join }}`:                                                                "a a b a b B b a a a b",
		`{{ data.items | map: "name" | join }} {{ data.items | sum: "price" }} {{ "1,2.5" | split: "," | sum }} {{ data.items | map: "x" | compact | size }}`:                                                          "x y 12 3.5 0",
		`{{ data.items | where: "price", 7 | map: "name" }} {{ data.items | where: "name" | size }} {{ data.items | reject: "name", "x" | map: "price" }}`:                                                             "y 2 7",
		`{% assign i = data.items | find: "name", "y" %}{{ i.price }} {{ data.items | find_index: "name", "y" }} {{ data.items | has: "name", "z" }} {{ data.items | has: "price" }}`:                                  "7 1 false true",
		`{{ data.items | sort: "price" | reverse | map: "name" | join }} {{ data.items | uniq: "name" | size }} {{ data.tags | concat: data.items | size }}`:                                                           "y x 2 5",
		`{{ data.tags | intersect: "a,c,a" | join }} {% assign l = "a,c,a" | split: "," %}{{ data.tags | intersect: l | join }}`:                                                                                       " a",
		`{{ (1..3) | reverse | join }} {{ data.text | first }}{{ data.text | last }} {{ data.tags | first }} {{ data.items[0] | first | join }} {{ nil | first }}`:                                                     "3 2 1 oe b name x ",
		`{{ data.items[0] | size }}{{ 5 | size }}{{ nil | size }}{{ data.none_left | join }}{{ 12 | join }}`:                                                                                                           "20012",
		`{{ nil | default: 1 }}{{ false | default: 2 }}{{ data.none_left | default: 3 }}{{ 0 | default: 4 }}{{ false | default: 5, allow_false: true }}{{ false | default: allow_false: true, 6 }}{{ nil | default }}`: "1230falsefalse",
		`{{ 0.0 | compact | first }}`: "0.0",
	})
}

func TestDateFilters(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		`{{ data.at | date: "%H:%M", "America/New_York" }} {{ data.at | date: "%H:%M", nil }} {{ data.at | date: "%F %R", "UTC" }}`:                               "05:00 11:00 2026-03-10 09:00",
		`{{ data.at | timezone: "Europe/Berlin" }} {{ data.at | timezone: "Asia/Tokyo" | date: "%H:%M %z" }} {{ data.day | timezone: data.nothing }}`:             "2026-03-10T10:00:00+01:00 18:00 +0900 2026-03-10T00:00:00Z",
		`{{ "2026-07-01" | timezone: "Europe/Berlin" | date: "%H" }}{{ "2026-01-01" | timezone: "Europe/Berlin" | date: "%H" }}`:                                  "0201", // summer time
		`{{ "Today" | date: "%F" }} {{ "now" | timezone: "Asia/Tokyo" | date: "%R" }} {{ "1152098955" | date: "%F" }} {{ "March 14, 2016" | date: "%b %e, %y" }}`: "2026-03-10 21:00 2006-07-05 Mar 14, 16",
		`{{ "" | date: "%F" }}{{ "soon" | date: "%F" }} {{ data.day | date: "" }} {{ data.day | date: "%Q%%Q" }}{{ nil | timezone: "UTC" }}`:                      "soon 2026-03-10 %Q%Q",
	})
}

func TestCodeFilters(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		`{{ "a?~" | base64_encode }} {{ "YT9+" | base64_decode }} {{ "a?~" | base64_url_safe_encode }} {{ "YT9-" | base64_url_safe_decode }} {{ "Xy8" | base64_url_safe_decode }}`: "YT9+ a?~ YT9- a?~ _/",
		`{{ "a" | md5 }}`:              "0cc175b9c0f1b6a831c399e269772661",
		`{{ "a" | sha1 }}`:             "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8",
		`{{ "a" | sha256 }}`:           "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
		`{{ "a" | hmac_sha1: "k" }}`:   "40e7d441cadb17b07f050341aa23a6820ed81c8b",
		`{{ "a" | hmac_sha256: "k" }}`: "78da91511e675587f5b9df78bedebaf5560da2abb88162ee875dcdf744951d9e",
		`{{ (1..3) | json }}{{ nil | json }}{{ 1.0 | json }}{{ "a" | json }}{{ forloop | json }}{{ blank | json }}`:                 `[1,2,3]null1"a"nullnull`,
		`{% assign o = '{"a": [1, 2.0, {"b": "c"}]}' | from_json %}{{ o.a[2].b }}{{ o.a[1] }}{{ o.a | size }}{{ " " | from_json }}`: "c2.03",
	})
}

func TestLocaleFilters(t *testing.T) {
	t.Parallel()
	plain := strings.NewReplacer("\u00a0", " ", "\u202f", " ")
	for source, want := range map[string]string{
		`{{ data.at | format_date_in_locale: "long", "de" }}|{{ data.at | format_date_in_locale: "fr", "full" }}|{{ data.at | format_date_in_locale }}`:                                                            "10. März 2026|mardi 10 mars 2026|Mar 10, 2026",
		`{{ data.at | format_datetime_in_locale: "short", "en-GB", "Asia/Tokyo" }}|{{ data.at | timezone: "UTC" | format_datetime_in_locale: "short", "en-GB" }}`:                                                  "10/03/2026, 18:00|10/03/2026, 09:00",
		`{{ 1234567.891 | format_number: "de" }}|{{ "1234.5" | format_number }}|{{ 1234 | format_number: "en", min_fraction: 2 }}|{{ 1.239 | format_number: max_fraction: 1 }}|{{ "x" | format_number }}`:          "1.234.567,891|1,234.5|1,234.00|1.2|x",
		`{{ 1234.5 | currency: "EUR", "de" }}|{{ "1234.5" | currency: "USD" }}|{{ 1234.5 | rounded_currency: "USD", "en" }}|{{ nil | currency: "USD" }}`:                                                           "1.234,50 €|$1,234.50|$1,235|",
		`{{ 1 | pluralize: "item", "items" }} {{ 0 | pluralize: "item", "items" }} {{ 3 | pluralize: "plik", "pliku", few: "pliki", many: "plików", locale: "pl" }} {{ nil | pluralize: "a", "b", zero: "none" }}`: "item items pliki none",
		`{{ "your mcDonald's order" | titlecase }}|{{ "1.10.0" | compare_versions: "1.9" }}{{ "v2" | compare_versions: "2.0.0" }}{{ "1.0-rc.1" | compare_versions: "1.0" }}{{ nil | compare_versions: "1" }}`:      "Your McDonald's Order|10-1",
	} {
		if got, err := rendered(t, source, Text, scope(t, true)); err != nil || plain.Replace(got) != want {
			t.Errorf("%s\n got %q, %v\nwant %q", source, got, err, want)
		}
	}
	german := map[string]any{"recipient": map[string]any{"locale": "de-AT"}, "price": 1234.5}
	const source = `{{ price | format_number }} {% render 'p', price: price %}`
	compiled, err := CompileWith(source, Text, Partials{"p": "{{ price | format_number }}"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := compiled.Render(t.Context(), german); err != nil || plain.Replace(got) != "1 234,5 1 234,5" {
		t.Errorf("in the recipient's locale: got %q, %v", got, err)
	}
	if !slices.Contains(compiled.Roots(), "recipient") {
		t.Errorf("the recipient's locale is used, but the roots are %v", compiled.Roots())
	}
}

func TestFilterErrors(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`{{ 1 | divided_by: 0 }}{{ 1.0 | modulo: 0 }}`:  "division by zero",
		`{{ 1 | modulo: 0.0 }}`:                         "division by zero",
		`{{ data.tags | concat: "x" }}`:                 "concat needs a list",
		`{{ data.items | sort }}`:                       "sort can't compare",
		`{{ (1..2) | map: "x" }}`:                       "map can't select",
		`{{ "x!" | base64_decode }}`:                    "no base64",
		`{{ "gICA" | base64_decode }}`:                  "no text",
		`{{ "%ff" | url_decode }}`:                      "UTF-8",
		`{{ "{" | from_json }}`:                         "no JSON",
		`{{ "1 2" | from_json }}`:                       "something follows the JSON",
		`{{ data.at | timezone: "Local" }}`:             "no time zone",
		`{{ data.at | timezone: "../etc/passwd" }}`:     "no time zone",
		`{{ data.at | timezone: "Europe//Berlin" }}`:    "no time zone",
		`{{ 5 | currency: "EURO" }}`:                    "currency: ",
		`{{ "a" | compare_versions: "1" }}`:             "compare_versions: must be a version",
		`{{ data.at | format_date_in_locale: "huge" }}`: "unknown style",
		`{{ "abc" | slice: 1.5 }}`:                      "whole number",
		`{{ "abc" | truncatewords: data.nothing }}`:     "whole number",
	} {
		if _, err := rendered(t, source, Text, scope(t, true)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "line 1, column") {
			t.Errorf("%s\n got %v\nwant %s", source, err, want)
		}
	}
}

func TestUnknownFilters(t *testing.T) {
	t.Parallel()
	if _, err := CompileWith("{{ 1 | nope }}", Text, nil); err == nil {
		t.Error("an unknown filter was accepted")
	}
	lax, err := CompileLax("{{ 1 | nope: 'x', y: 2 | plus: 1 | nada }}", Text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := lax.Render(t.Context(), nil); err != nil || got != "2" {
		t.Errorf("got %q, %v", got, err)
	}
}
