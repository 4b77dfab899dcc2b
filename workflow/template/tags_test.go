package template

import "testing"

// check renders templates for the scope of scopeJSON and compares what they print.
func check(t *testing.T, f Format, want map[string]string) {
	t.Helper()
	for source, want := range want {
		if got, err := rendered(t, source, f, scope(t, true)); err != nil || got != want {
			t.Errorf("%s\n got %q, %v\nwant %q", source, got, err, want)
		}
	}
}

func TestTagsSpanLinesAndStringsHoldAnything(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		"{{ data.text\n  | upcase\n  | truncate: 6 }}": "ONE...",
		"{%\n  if\n data.yes\n%}x{% endif %}":          "x",
		`{{ "a}}b" }}{{ '{% x %}' }}{{ "a
b" }}`: "a}}b{% x %}a\nb",
		`{% assign x = "%}" %}{{ x }}`:           "%}",
		`{{ 'it "is"' }}{{ "it's" }}{{ "a\b" }}`: `it "is"it'sa\b`,
		`{{ 'it "is" \ ' | append: "it's \n" }}`: `it "is" \ it's \n`,
		"{{}}{{ }}a{{-}} b":                      "ab",
		"a } b }} c % %} {":                      "a } b }} c % %} {",
		`{% comment %}it's {{ {% comment %}x{% endcomment %}"{% endcomment %}a`: "a",
		"{% comment %}{% raw %}{% endcomment %}{% endraw %}{% endcomment %}a":   "a",
		"{% doc %}{% if %}{% enddoc %}a":                                        "a",
		"{% # it's a comment %}a{%- # b\n # c -%} d":                            "ad",
		" {%- raw -%} {{ x }}{% y %} {%- endraw -%} ":                           " {{ x }}{% y %} ",
	})
}

func TestWhitespaceControl(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		"a \n {{- 1 -}} \t\r\n b":                             "a1b",
		"a {%- assign x = '  ' -%} {{ x }} b":                 "a   b",
		"a {%- if true -%} b {%- endif -%} c":                 "abc",
		"!{% if true %}\n {% assign x = 1 %}\n{% endif %}!":   "!!",
		"!{% if true %}\n {{ '' }}{% endif %}!":               "!\n !",
		"!{% for i in (1..3) %} {% endfor %}!":                "!!",
		"!{% case 1 %}{% when 1 %} {% else %}x{% endcase %}!": "! !",
	})
}

func TestBlankAndEmpty(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		`{% if data.none_left == empty and data.blank == empty %}yes{% endif %}`:                    "yes",
		`{% if data.nothing == empty or data.count == empty or "  " == empty %}x{% endif %}`:        "",
		`{% if data.nothing == blank and "  " == blank and false == blank %}yes{% endif %}`:         "yes",
		`{% if data.count == blank or data.tags == blank %}x{% endif %}`:                            "",
		`{% if data.tags != empty %}yes{% endif %}{% unless empty != data.blank %}!{% endunless %}`: "yes!",
		`{{ blank }}{{ empty }}{{ empty | default: "d" }}{{ blank | append: "a" }}`:                 "da",
		`{% assign e = empty %}{% if data.blank == e %}yes{% endif %}`:                              "yes",
		`{% if blank == blank or empty == empty %}x{% endif %}`:                                     "",
		`{{ data.blank }}{{ data.text.blank }}`:                                                     "",
	})
}

func TestConditions(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		"{% if true or false and false %}yes{% endif %}":                                                                      "yes", // from the right
		"{% if false and true or true %}x{% endif %}":                                                                         "",
		"{% if data.count >= 3 and data.ratio < 2 %}yes{% endif %}":                                                           "yes",
		"{% if data.count <> 2 %}yes{% endif %}":                                                                              "yes",
		"{% if 1 == 1.0 and '1' != 1 %}yes{% endif %}":                                                                        "yes",
		"{% if 'b' > 'a' and data.text contains 'two' %}yes{% endif %}":                                                       "yes",
		"{% if data.tags contains 'a' and recipient contains 'plan' %}yes{% endif %}":                                         "yes",
		"{% if data.text contains data.nothing %}x{% endif %}":                                                                "",
		"{% if 'a1' contains 1 and (1..3) contains 2 %}yes{% endif %}":                                                        "yes",
		"{% if data.nothing < 1 or data.nothing >= 0 or nil <= nil %}x{% endif %}":                                            "",
		`{% if "10" > 5 or "10" <= 5 %}x{% endif %}`:                                                                          "", // texts and numbers don't compare
		"{% if data.tags == data.tags and data.items[0] == data.items[0] and data.items[0] != data.items[1] %}yes{% endif %}": "yes",
		"{% if (1..3) == (1..3) %}yes{% endif %}":                                                                             "yes",
		"{% if data.no %}a{% elsif data.yes %}b{% else %}c{% else %}d{% endif %}":                                             "b",
		"{% unless data.yes %}a{% elsif data.count == 3 %}b{% else %}c{% endunless %}":                                        "b",
		"{% case data.count %}{% when 1 or 2 %}a{% when 3, 3.0 %}b{% when data.count %}c{% else %}d{% endcase %}":             "bbc",
		"{% case 'x' %} ignored {% else %}d{% endcase %}":                                                                     "d",
		"{% case data.blank %}{% when empty %}e{% endcase %}":                                                                 "e",
		"{% if 0 and '' and data.none_left %}all true{% endif %}":                                                             "all true",
	})
}

func TestLoops(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		"{% for i in data.missing %}x{% else %}none{% endfor %}":                                                     "none",
		"{% for i in nil %}x{% else %}none{% endfor %}{% for i in 5 %}x{% else %}none{% endfor %}":                   "nonenone",
		"{% for i in data.text %}[{{ i }}]{% endfor %}{% for i in '' %}x{% else %}e{% endfor %}":                     "[one two three]e",
		"{% for p in data.items[0] %}{{ p[0] }}={{ p[1] }} {% endfor %}":                                             "name=x price=5 ", // sorted by key
		"{% for i in (1..6) limit: 2 %}{{ i }}{% endfor %}{% for i in (1..6) offset: continue %}{{ i }}{% endfor %}": "123456",
		"{% for i in (1..6), reversed, offset: 1, limit: '3' %}{{ i }}{% endfor %}":                                  "432",
		"{% for i in (data.count..data.nothing) %}x{% else %}none{% endfor %}":                                       "none",
		"{% for i in (1..2.9) %}{{ i }}{% endfor %}{% for i in ('1'..'2') %}{{ i }}{% endfor %}":                     "1212",
		"{% for i in (1..2) %}{% for j in (1..2) %}{{ forloop.parentloop.index }}{{ forloop.index0 }}{{ forloop.rindex }}{{ forloop.rindex0 }} {% endfor %}{{ forloop.parentloop }}{% endfor %}{{ forloop.index }}": "1021 1110 2021 2110 ",
		"{% for t in data.tags limit: 1 %}{{ forloop.name }} {{ forloop.length }} {{ forloop.first }} {{ forloop.last }} {{ forloop.x }}{% endfor %}":                                                               "t-data.tags 1 true true ",
		"{% assign i = 'out' %}{% for i in (1..2) %}{{ i }}{% assign j = i %}{% endfor %}{{ i }}{{ j }}":                                                                                                            "12out2",
		"{% for t in data.tags offset: -1 limit: 2 %}{{ t }}{% endfor %}{% for t in data.tags offset: -1 %}{{ t }}{% endfor %}":                                                                                     "bbaa",
		"a{% break %}b": "a",
		"a{% if true %}{% continue %}{% endif %}b":                                                  "a",
		"{% for i in (1..3) %}{% case i %}{% when 2 %}{% break %}{% endcase %}{{ i }}{% endfor %}!": "1!",
		"{% tablerow i in (1..3) cols: 2 limit: 3 %}{{ tablerowloop.row }}{{ tablerowloop.col }}{{ tablerowloop.col_last }}{% if i == 3 %}{% break %}{% endif %}{% endtablerow %}": "<tr class=\"row1\">\n<td class=\"col1\">11false</td><td class=\"col2\">12true</td></tr>\n<tr class=\"row2\"><td class=\"col1\">21false</td></tr>\n",
		"{% tablerow i in data.missing %}{% endtablerow %}":                                         "",
		"{% for i in (1..4) %}{% cycle 'a', 'b' %}{% endfor %}{% cycle 'a', 'b' %}":                 "ababa",
		"{% cycle 'g': 1, 2, 3 %}{% cycle 'h': 1 %}{% cycle 'g': 7, 8, 9 %}":                        "118",
		"{% assign x = 'a' %}{% cycle x, 'b' %}{% cycle x, 'b' %}":                                  "aa",
		"{% for i in (1..4) %}{% ifchanged %}{{ i | divided_by: 2 }}{% endifchanged %}{% endfor %}": "012",
	})
}

func TestObjectsAreSortedByKey(t *testing.T) {
	t.Parallel()
	object, want := map[string]any{}, ""
	for i := range 26 {
		key := string(rune('a' + i))
		object[key] = key
		want += key
	}
	got, err := rendered(t, "{% for p in o %}{{ p[0] }}{% endfor %}{{ o.first[1] }}{{ o | first | last }}", Text, map[string]any{"o": object})
	if err != nil || got != want+"aa" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		"{% increment n %}{% increment n %}{% decrement n %}{{ n }}{% assign n = 9 %}{{ n }}": "01119",
		"{% decrement m %}{{ m }}": "-1-1",
		"{% assign a-b = 1 %}{{ a-b }}{% capture 'c' %}x{% endcapture %}{{ c }}":                                            "1x",
		"{% assign é = 'ü' %}{{ é }}":                                                                                       "ü",
		"{% assign l = data.tags %}{{ l[0] }}{{ l.last }}{{ l.first }}{{ l[-3] }}{{ l[9] }}{{ l['0'] }}":                    "babb",
		"{{ ['data'].count }}{{ [data.tags[0]] }}{{ data['count'] }}{{ data[data.missing] }}":                               "33",
		"{% assign k = 'data' %}{{ [k].count }}{{ [k]['count'] | plus: [k].count }}":                                        "36",
		"{{ data.items[0].size }}{{ data.items[0].first[0] }}{{ data.text.size }}{{ data.text.first }}{{ data.text.last }}": "2name13oe",
		"{% echo data.tags | join: '+' %}{% echo %}":                                                                        "b+a+a",
		"{{ data.items[0] }}{{ (1..3) }}{{ data.tags }}{{ data.yes }}":                                                      `{"name"=>"x", "price"=>5}1..3baatrue`,
		"{{ 1.0 }} {{ 100000000000000000000.0 }} {{ 0.00001 }} {{ -0.5 }}":                                                  "1.0 1.0e+20 1.0e-05 -0.5",
	})
}

func TestLiquidTag(t *testing.T) {
	t.Parallel()
	check(t, Text, map[string]string{
		"{% liquid\n  assign n = data.count | times: 2\r\n  # it's a remark\n\n  if n > 5\n    echo n\n    echo \"%}\"\n  endif\n  for i in (1..2)\n    echo i\n  endfor\n%}{{ n }}": "6%}126",
		"{% liquid liquid liquid echo 'deep' %}":                                             "deep",
		"{% liquid\n comment\n if {{ \n comment\n endcomment\n endcomment\n echo 1 %}":       "1",
		"{% for i in (1..3) %}{% liquid\n if i == 2\n break\n endif\n echo i %}{% endfor %}": "1",
		"{%- liquid -%} a": "a",
	})
}
