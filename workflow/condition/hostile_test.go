package condition

import (
	"strings"
	"testing"
	"time"
)

// timeBound is generous for a loaded machine; what it excludes takes minutes.
const timeBound = 5 * time.Second

// hostile sources exhaust a naive use of the expression library.
var hostile = map[string]string{
	"repeat of repeat":       `len(repeat(repeat("x",999000),999000)) > 0`,
	"replace":                `let a=repeat("x",90000); replace(a,"",a) == ""`,
	"run-time pattern":       `data.s matches repeat("(a|b)*",50000)`,
	"pattern from data":      `data.s matches data.s`,
	"long program":           `data.s matches ".{1000}.{1000}.{1000}.{1000}.{1000}"`,
	"million parentheses":    strings.Repeat("(", 1_000_000),
	"million brackets":       strings.Repeat("[", 1_000_000),
	"million negations":      strings.Repeat("!", 1_000_000) + "true",
	"4000 parentheses":       strings.Repeat("(", 4000),
	"4000 brackets":          strings.Repeat("[", 4000),
	"4000 braces":            strings.Repeat("{", 4000),
	"4000 negations":         strings.Repeat("!", 4000) + "true",
	"800 nots":               strings.Repeat("not ", 800) + "true",
	"minus signs":            strings.Repeat("- ", 2000) + "1 > 0",
	"choices":                strings.Repeat("true ? true : ", 250) + "true",
	"coalescing":             strings.Repeat("data.a ?? ", 400) + "true",
	"many nodes":             strings.Repeat("true and ", 400) + "true",
	"cubic":                  `let a=1..50000; all(a, all(a, all(a, true)))`,
	"nested predicates":      `any(data.list, any(data.list, # == 1))`,
	"nested by braces":       `any(data.list, {any(data.list, {# == 1})})`,
	"range":                  `len(1..1000000000) > 0`,
	"range in a predicate":   `any(1..1000000, # > 1)`,
	"join of map":            `join(map(1..20000, "a")) == ""`,
	"map":                    `len(map(data.list, #)) > 0`,
	"filter":                 `len(filter(data.list, true)) > 0`,
	"reduce":                 `reduce(data.list, #acc + #) > 0`,
	"sortBy":                 `sortBy(data.list, #) == nil`,
	"overriding builtin":     `::repeat("x", 10) == ""`,
	"environment":            `$env == nil`,
	"environment key":        `$env["_eval"] == nil`,
	"internal state":         `_eval == nil`,
	"internal function":      `_get(data, data, "x") == nil`,
	"power":                  `data.n ** 1000 > 1`,
	"caret":                  `data.n ^ 1000 > 1`,
	"let":                    `let x = 1; x > 0`,
	"sequence":               `1; true`,
	"if":                     `if true { true } else { false }`,
	"map literal":            `{"a": 1} == nil`,
	"bytes":                  `b"x" == data.s`,
	"method":                 `now().Format("2006") == ""`,
	"method of data":         `data.s.Foo()`,
	"time of marshal":        `now().MarshalJSON() == nil`,
	"computed call":          `(data.f)(1)`,
	"toJSON":                 `toJSON(data) == ""`,
	"index pointer":          `any(data.list, #index == 1)`,
	"unknown pointer":        `any(data.list, #acc == 1)`,
	"deep member":            "data" + strings.Repeat(".a", 2000) + " == 1",
	"deep index":             "data" + strings.Repeat("[0]", 1300) + " == 1",
	"operators in operators": "equal_to(data.a, " + strings.Repeat("equal_to(data.a, ", 30) + "1" + strings.Repeat(")", 31),
	"lists in an argument":   "equal_to(data.a, " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + ")",
	"all refs":               `any([refs], # != nil)`,
	"internal check":         `_check(_eval, 0, nil)`,
	"map as an argument":     `equal_to(data.a, {"a": 1})`,
	"range as an argument":   `contains_any(data.a, 1..1000000000)`,
	"comment":                "/*" + strings.Repeat("(", 3000),
}

func TestHostileSourcesAreRefused(t *testing.T) {
	t.Parallel()
	for name, source := range hostile {
		start := time.Now()
		_, err := Compile(source)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(err.Error()) > 2*MaxSource {
			t.Errorf("%s: the error is %d bytes long", name, len(err.Error()))
		}
		if took := time.Since(start); took > timeBound {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// Sources that are fine, over data that makes them expensive.
func TestHostileDataIsBounded(t *testing.T) {
	t.Parallel()
	list := make([]any, MaxItems)
	for i := range list {
		list[i] = strings.Repeat("b", 50)
	}
	data := map[string]any{
		"list": list, "other": list[:MaxItems-1], "text": strings.Repeat("ab", 1<<19),
		"same": strings.Repeat("ab", 1<<19), "lists": repeat(list, 100),
	}
	for name, source := range map[string]string{
		"quadratic membership":  `all(data.list, # not in data.other or true) and all(data.list, "x" not in data.list)`,
		"scans of a big text":   `any(data.list, data.text contains #)`,
		"patterns on big text":  `any(data.list, data.text matches "(a|b)*c")`,
		"comparing big texts":   `none(data.list, data.text < data.same)`,
		"equal big texts":       `none(data.list, data.text != data.same)`,
		"concatenation":         `any(data.list, data.text + data.text == "")`,
		"upper":                 `any(data.list, upper(data.text) == "")`,
		"dates with time zones": `any(data.list, date("2026", "2006", "Europe/Berlin") == nil)`,
		"operator on big texts": `any(data.list, not_equal_to(data.text, data.same))`,
		"operator on ranges":    `any(data.list, is_between(data.text, [data.same, "a"]))`,
		"operator on big lists": `any(data.list, contains_any(data.list, "x"))`,
		"deep equality":         `any(data.list, data.lists == [] or data.lists != data.lists)`,
	} {
		c, err := Compile(source)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		start := time.Now()
		holds, err := c.Eval(Scope{"data": data}, noon)
		if holds || err == nil || !strings.Contains(err.Error(), "too much work") {
			t.Errorf("%s: got %v, %v; want a work limit error", name, holds, err)
		}
		if took := time.Since(start); took > timeBound {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func repeat(list []any, n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = list
	}
	return out
}
