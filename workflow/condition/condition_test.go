package condition

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

const scopeJSON = `{
	"data": {
		"n": 2, "half": 0.5, "big": 9007199254740993, "zip": "007", "text": "hello world", "flag": true, "off": false,
		"none": null, "blank": "", "list": ["a", "b"], "nums": [1, 2, 3], "empty": [], "at": "2026-03-10T11:00:00Z",
		"orders": [{"sku": "x", "total": 5}, {"sku": "y", "total": 50, "tags": ["vip"]}],
		"object": {"k": {"deep": 1}}, "number_text": "10", "threshold": 1
	},
	"recipient": {"id": "u1", "plan": "pro", "tags": ["beta"]},
	"actor": null,
	"run": {"total_activities": 3},
	"refs": {"inbox": {"seen": false}}
}`

// scope decodes the fixture the way the engine does, or as plain float64s.
func scope(t testing.TB, useNumber bool) Scope {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(scopeJSON))
	if useNumber {
		decoder.UseNumber()
	}
	var s Scope
	if err := decoder.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestExpressions(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]bool{
		`true`:                                    true,
		`data.n > 1 and recipient.plan == "pro"`:  true,
		`data.n == 2 && data.n != 3`:              true,
		`data.n == "2"`:                           false,
		`data.half < 1`:                           true,
		`1 <= data.n < 3`:                         true,
		`data.n + 1 == 3`:                         true,
		`data.text + "!" == "hello world!"`:       true,
		`data.n * 2 - 1 == 3 and data.n % 2 == 0`: true,
		`data.flag`:                               true,
		`not data.flag`:                           false,
		`data["flag"] ? data.off : data.flag`:     false,
		`data.orders[1].sku == "y"`:               true,
		`data.orders[-1].sku == "y"`:              true,
		`data.text[:5] == "hello"`:                true,
		`run.total_activities >= 3`:               true,
		`refs.inbox.seen == false`:                true,
		`data.list == ["a", "b"]`:                 true,
		`data.nums != [1, 2]`:                     true,
		`data.nums == [1, 2, 3]`:                  true,
		`data.object == data.object`:              true,
		// Missing values are nil at any depth.
		`data.missing`:      false,
		`!data.missing`:     true,
		`data.a.b.c == nil`: true,
		`actor.name == nil and actor?.name == nil`: true,
		`tenant.id == "t"`:                         false,
		`data.n.deeper == nil`:                     true,
		`data.list[99] == nil`:                     true,
		`(data.missing ?? 0) < 1`:                  true,
		`data.missing contains "x"`:                false,
		`"x" in data.missing`:                      false,
		`any(data.missing, # == 1)`:                false,
		`all(data.missing, # == 1)`:                true,
		`len(data.missing) == 0`:                   true,
		`data.missing and true`:                    false,
		`data.missing or data.flag`:                true,
		// Lists and texts.
		`"a" in data.list and "z" not in data.list`: true,
		`2 in data.nums`:                            true,
		`"k" in data.object`:                        true,
		`recipient.plan in ["pro", "team"]`:         true,
		`data.list contains "b"`:                    true,
		`data.text contains "lo w"`:                 true,
		`data.text startsWith "hell"`:               true,
		`data.text endsWith "world"`:                true,
		`data.text matches "^h.*d$"`:                true,
		`data.text not matches "^x"`:                true,
		`any(data.orders, .total > 10)`:             true,
		`all(data.orders, .total > 10)`:             false,
		`none(data.orders, .sku == "z")`:            true,
		`one(data.orders, {.sku == "x"})`:           true,
		`count(data.orders, #.total > 1) == 2`:      true,
		`find(data.orders, .total > 10).sku == "y"`: true,
		`any(data.orders, "vip" in .tags)`:          true,
		`any(data.orders, .missing)`:                false,
		// Functions.
		`len(data.list) == 2 and len(data.text) == 11`:                           true,
		`upper(trim(" a ")) == "A" and lower("B") == "b"`:                        true,
		`data.text | upper() == "HELLO WORLD"`:                                   true,
		`int("12") == 12 and float("1.5") == 1.5`:                                true,
		`string(data.n) == "2"`:                                                  true,
		`abs(-2) == 2 and round(1.6) == 2`:                                       true,
		`get(data.orders, 0).total == 5`:                                         true,
		`now() > date(data.at)`:                                                  true,
		`now() - date(data.at) == duration("1h")`:                                true,
		`now().Year() == 2026`:                                                   true,
		`date(data.at).Hour() == 11`:                                             true,
		`date("2026-03-10") < now()`:                                             true,
		`date("10.03.2026 13:00", "02.01.2006 15:04", "Europe/Berlin") == now()`: true,
		`date(data.missing) == nil`:                                              true,
	} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			c, err := Compile(source)
			if err != nil {
				t.Fatal(err)
			}
			for _, useNumber := range []bool{false, true} {
				got, err := c.Eval(scope(t, useNumber), noon)
				if err != nil || got != want {
					t.Errorf("json.Number %v: got %v, %v; want %v", useNumber, got, err, want)
				}
			}
		})
	}
}

func TestLargeIntegersAreExact(t *testing.T) {
	t.Parallel()
	c, err := Compile(`data.big == 9007199254740993 and data.big != 9007199254740992`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Eval(scope(t, true), noon); err != nil || !got {
		t.Errorf("got %v, %v; json.Number must keep large ids apart", got, err)
	}
}

func TestRunTimeErrorsAreFalseAndLocated(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]Error{
		"data.flag and\n data.missing > 1":    {Line: 2, Column: 15, Message: "give it a default with ??"},
		`data.text > 1`:                       {Line: 1, Column: 11, Message: "convert one side"},
		`data.n and true`:                     {Line: 1, Column: 6, Message: "true or false value is needed"},
		`data.n`:                              {Line: 1, Column: 6, Message: "compare it"},
		`data.n contains "2"`:                 {Line: 1, Column: 8, Message: "needs texts"},
		`"a" in data.text`:                    {Line: 1, Column: 5, Message: "use contains"},
		`any(data.text, true)`:                {Line: 1, Column: 10, Message: "a list is needed"},
		`duration(data.text) > now() - now()`: {Line: 1, Column: 1, Message: "90m"},
		`data.n % 0 == 1`:                     {Line: 1, Column: 8, Message: "divide by zero"},
		`date(data.text) > now()`:             {Line: 1, Column: 1, Message: "give a layout"},
	} {
		c, err := Compile(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got, err := c.Eval(scope(t, true), noon)
		e, ok := errors.AsType[*Error](err)
		if got || !ok || !strings.Contains(e.Message, want.Message) || e.Line != want.Line || e.Column != want.Column {
			t.Errorf("%s: got %v, %v; want false and %v", source, got, err, want)
		}
	}
}

func TestCompileErrorsAreLocated(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]Error{
		"data.n == 1\n and foo(2)": {Line: 2, Column: 6, Message: "foo() is not available"},
		`data.n >`:                 {Line: 1, Column: 8, Message: "unexpected token"},
		`dat.n == 1`:               {Line: 1, Column: 1, Message: "use one of the roots"},
		`data.n == 1 extra`:        {Line: 1, Column: 13, Message: "unexpected token"},
		`"text"`:                   {Line: 1, Column: 1, Message: "true or false value is needed"},
		`lower()`:                  {Line: 1, Column: 1, Message: "takes 1 to 1 arguments"},
		`data.s == 'unclosed`:      {Line: 1, Column: 20, Message: "literal not terminated"},
		``:                         {Message: "empty"},
		"data.s == \"\xff\"":       {Message: "UTF-8"},
		`data.text matches "(a"`:   {Line: 1, Column: 11, Message: "not a regular expression"},
	} {
		_, err := Compile(source)
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(e.Message, want.Message) || e.Line != want.Line || e.Column != want.Column {
			t.Errorf("%q: got %v; want %v", source, err, want)
		}
	}
}

func TestSourceLimits(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("(", n) + "true" + strings.Repeat(")", n) }
	negated := func(n int) string { return strings.Repeat("!", n) + "true" }
	padded := func(n int) string { return "true" + strings.Repeat(" ", n-4) }
	pattern := func(n int) string { return `data.s matches "` + strings.Repeat("a", n) + `"` }
	// The tree of n trues joined by and has 2n-1 nodes.
	trues := func(n int) string { return strings.Repeat("true and ", n-1) + "true" }
	if _, err := Compile(trues(MaxNodes / 2)); err != nil {
		t.Errorf("%d nodes: %v", MaxNodes-1, err)
	}
	if _, err := Compile(trues(MaxNodes/2 + 1)); err == nil {
		t.Errorf("%d nodes: accepted", MaxNodes+1)
	}
	// a{n} compiles to n instructions and two more.
	program := func(n int) string { return fmt.Sprintf(`data.s matches "a{%d}"`, n-2) }
	if _, err := Compile(program(MaxPatternProgram)); err != nil {
		t.Errorf("pattern program at the limit: %v", err)
	}
	if _, err := Compile(program(MaxPatternProgram + 1)); err == nil {
		t.Error("pattern program one above the limit: accepted")
	}
	for name, f := range map[string]func(int) string{"brackets": nested, "prefixes": negated, "source": padded, "pattern": pattern} {
		limit := map[string]int{"brackets": MaxDepth, "prefixes": MaxDepth, "source": MaxSource, "pattern": MaxPattern}[name]
		if _, err := Compile(f(limit)); err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		}
		if _, err := Compile(f(limit + 1)); err == nil {
			t.Errorf("%s one above the limit: accepted", name)
		}
	}
}

func TestListLimit(t *testing.T) {
	t.Parallel()
	c, err := Compile(`any(data.list, # == 1)`)
	if err != nil {
		t.Fatal(err)
	}
	for n, wantErr := range map[int]bool{MaxItems: false, MaxItems + 1: true} {
		_, err := c.Eval(Scope{"data": map[string]any{"list": make([]any, n)}}, noon)
		if (err != nil) != wantErr {
			t.Errorf("%d items: %v", n, err)
		}
	}
}

func TestNowIsGivenAndUTC(t *testing.T) {
	t.Parallel()
	c, err := Compile(`now() == date("2026-03-10T12:00:00Z") and now().Hour() == 12`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Eval(nil, noon.In(time.FixedZone("far", 7*3600)))
	if err != nil || !got {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestEvalIsConcurrent(t *testing.T) {
	t.Parallel()
	c, err := Compile(`any(data.orders, .total > 10) and data.text matches "^h" and upper(recipient.plan) == "PRO"`)
	if err != nil {
		t.Fatal(err)
	}
	s := scope(t, true)
	before := scope(t, true)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if got, err := c.Eval(s, noon); err != nil || !got {
					t.Errorf("got %v, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(before, s); diff != "" {
		t.Errorf("Eval changed the scope:\n%s", diff)
	}
}

func BenchmarkEval(b *testing.B) {
	c, err := Compile(`data.n > 1 and recipient.plan == "pro"`)
	if err != nil {
		b.Fatal(err)
	}
	s := scope(b, true)
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := c.Eval(s, noon); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
