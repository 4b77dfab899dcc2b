package condition

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func explainGroup(t *testing.T, source string, s Scope) []Evaluated {
	t.Helper()
	c, err := CompileGroup(group(t, source))
	if err != nil {
		t.Fatal(err)
	}
	return c.Explain(s, noon)
}

func TestExplainSaysWhatEveryConditionSaw(t *testing.T) {
	t.Parallel()
	got := explainGroup(t, `{"any":[
		{"all":[
			{"variable":"data.n","operator":"greater_than","argument":"data.threshold"},
			{"variable":"recipient.plan","operator":"equal_to","argument":"team"},
			{"variable":"data.text","operator":"not_empty"}]},
		{"variable":"data.n","operator":"is_between","argument":["data.number_text",20]},
		{"variable":"data.nums","operator":"contains","argument":[2,9]},
		{"variable":"data.n","operator":"equal_to","argument":"data.half"}]}`, scope(t, true))
	want := []Evaluated{
		{Path: "any[0].all[0]", Variable: "data.n", Operator: "greater_than", Value: 2, Argument: 1, Holds: true, Evaluated: true},
		{Path: "any[0].all[1]", Variable: "recipient.plan", Operator: "equal_to", Value: "pro", Argument: "team", Evaluated: true},
		{Path: "any[0].all[2]", Variable: "data.text", Operator: "not_empty"},
		{Path: "any[1]", Variable: "data.n", Operator: "is_between", Value: 2, Argument: []any{"10", 20}, Evaluated: true},
		{Path: "any[2]", Variable: "data.nums", Operator: "contains", Value: []any{1, 2, 3}, Argument: []any{2, 9}, Holds: true, Evaluated: true},
		{Path: "any[3]", Variable: "data.n", Operator: "equal_to", Argument: "data.half"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	encoded, err := json.Marshal(got[2])
	if err != nil || string(encoded) != `{"path":"any[0].all[2]","variable":"data.text","operator":"not_empty","holds":false,"evaluated":false}` {
		t.Errorf("got %s, %v", encoded, err)
	}
}

func TestExplainStatuses(t *testing.T) {
	t.Parallel()
	got := explainGroup(t, `{"any":[
		{"variable":"refs.skipped.delivery_status","operator":"greater_than_or_equal_to","argument":"$message.sent"},
		{"variable":"refs.old.engagement_status","operator":"not_contains","argument":"$message.read"}]}`, Scope{"refs": refs})
	want := []Evaluated{
		{Path: "any[0]", Variable: "refs.skipped.delivery_status", Operator: "greater_than_or_equal_to", Value: "skipped", Argument: "$message.sent", Evaluated: true},
		{Path: "any[1]", Variable: "refs.old.engagement_status", Operator: "not_contains", Value: []any{"seen"}, Argument: "$message.read", Evaluated: true, Reason: statusUnknown},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestExplainExpression(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]Evaluated{
		`recipient.plan == "team" or equal_to(data.n, data.half) or data.orders[0].sku == data.missing?.x`: {
			Values: map[string]any{"recipient.plan": "pro", "data.n": 2, "data.half": 0.5, "data.orders[0].sku": "x", "data.missing.x": nil}},
		`any(data.orders, .total > 100) or len(data) == 0 or data[recipient.id] == data.object`: {
			Values: map[string]any{"data.orders": "list of 2 entries", "data": "object of 17 keys", "recipient.id": "u1", "data.object": "object of 1 key"}},
		`data.missing > 1`: {
			Values: map[string]any{"data.missing": nil}, Reason: "line 1, column 14: "},
		`data.flag`: {Values: map[string]any{"data.flag": true}, Holds: true},
	} {
		c, err := Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		got := c.Explain(scope(t, true), noon)
		if len(got) != 1 || !strings.HasPrefix(got[0].Reason, want.Reason) || (want.Reason == "") != (got[0].Reason == "") {
			t.Fatalf("%s: got %+v", source, got)
		}
		got[0].Reason = want.Reason
		want.Source, want.Evaluated = source, true
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%s: %s", source, diff)
		}
	}
}

func TestExplainGivesTheReasonOfAnError(t *testing.T) {
	t.Parallel()
	got := explainGroup(t, `{"all":[{"variable":"data.list","operator":"contains","argument":"x"},{"variable":"data.n","operator":"exists"}]}`,
		Scope{"data": map[string]any{"list": make([]any, MaxWork+1)}})
	if len(got) != 2 || !strings.Contains(got[0].Reason, "too much work") || !got[0].Evaluated || got[0].Holds || got[1].Evaluated {
		t.Errorf("got %+v", got)
	}
}

// equals is a group of n conditions, of which the last one is false.
func equals(n int) Group {
	g := Group{}
	for i := range n {
		g.All = append(g.All, Node{Variable: "data.n", Operator: "equal_to", Argument: fmt.Append(nil, 2+i/(n-1))})
	}
	return g
}

func TestExplanationLimits(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{MaxExplained: MaxExplained, MaxExplained + 1: MaxExplained, MaxConditions: MaxExplained} {
		c, err := CompileGroup(equals(n))
		if err != nil {
			t.Fatal(err)
		}
		got := c.Explain(scope(t, true), noon)
		last := got[len(got)-1]
		if len(got) != want || last.Holds || last.Path != fmt.Sprintf("all[%d]", n-1) {
			t.Errorf("%d conditions: %d entries, the last is %+v; the reason must be there", n, len(got), last)
		}
	}
	// What was decided stays before what was not.
	g := equals(MaxConditions)
	g.All[2].Argument = []byte("0")
	c, err := CompileGroup(g)
	if err != nil {
		t.Fatal(err)
	}
	got := c.Explain(scope(t, true), noon)
	if len(got) != MaxExplained || !got[0].Holds || !got[1].Holds || got[2].Holds || !got[2].Evaluated || got[3].Evaluated {
		t.Errorf("got %+v", got)
	}
	for n, want := range map[int]int{MaxExplainedText: MaxExplainedText, MaxExplainedText + 1: MaxExplainedText} {
		s := Scope{"data": map[string]any{"a": strings.Repeat("x", n), "b": strings.Repeat("x", n-3) + "é€"}}
		c, err := Compile("data.a == data.b")
		if err != nil {
			t.Fatal(err)
		}
		got := c.Explain(s, noon)[0].Values["data.a"].(string)
		if len(got) != want || (n > want) != strings.HasSuffix(got, "…") {
			t.Errorf("%d bytes became %d: %q", n, len(got), got)
		}
		if b := c.Explain(s, noon)[0].Values["data.b"].(string); len(b) > MaxExplainedText || !utf8.ValidString(b) {
			t.Errorf("%d bytes: %q", len(b), b)
		}
	}
}

// Whatever is in the scope, an explanation is small and can be stored.
func TestExplanationsStaySmall(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("<\x00\xff>", 1000)
	long := "data." + strings.Repeat("k", MaxVariable-5)
	s := Scope{"data": map[string]any{"text": text, strings.Repeat("k", MaxVariable-5): text, "inf": math.Inf(1), "f": func() {},
		"list": []any{text, 1, math.NaN()}, "lists": []any{[]any{}}}}
	g := Group{}
	for i := range MaxConditions {
		variable := []string{"data.text", long, "data.inf", "data.f", "data.list", "data.lists"}[i%6]
		argument, _ := json.Marshal(strings.Repeat("\x01", 500))
		g.All = append(g.All, Node{Variable: variable, Operator: "not_equal_to", Argument: argument})
	}
	c, err := CompileGroup(g)
	if err != nil {
		t.Fatal(err)
	}
	source := "data.text == data.inf"
	for i := range 15 {
		source += fmt.Sprintf(` or data["%d%s"].x == data.f`, i, strings.Repeat("é", 40))
	}
	expression, err := Compile(source)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Condition{c, expression} {
		got := c.Explain(s, noon)
		encoded, err := json.Marshal(got)
		if err != nil || len(encoded) > MaxExplanation || len(got) == 0 || len(got) > MaxExplained {
			t.Errorf("%d entries, %d bytes, %v", len(got), len(encoded), err)
		}
	}
}
