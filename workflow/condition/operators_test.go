package condition

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// decide compiles and evaluates one structured condition.
func decide(t *testing.T, s Scope, variable, operator, argument string) (bool, error) {
	t.Helper()
	n := Node{Variable: variable, Operator: operator}
	if argument != "" {
		n.Argument = json.RawMessage(argument)
	}
	c, err := CompileGroup(Group{All: []Node{n}})
	if err != nil {
		return false, err
	}
	return c.Eval(s, noon)
}

func TestOperators(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		variable, operator, argument string
		want                         bool
	}{
		// Equality. A text argument that is JSON is decoded first.
		{"data.n", "equal_to", `2`, true},
		{"data.n", "equal_to", `"2"`, true},
		{"data.n", "equal_to", `2.0`, true},
		{"data.n", "equal_to", `3`, false},
		{"data.flag", "equal_to", `"true"`, true},
		{"data.flag", "equal_to", `true`, true},
		{"data.flag", "equal_to", `1`, false},
		{"data.number_text", "equal_to", `10`, true},
		{"data.number_text", "equal_to", `"10"`, true},
		{"data.number_text", "equal_to", `"10.0"`, false}, // two texts
		{"data.zip", "equal_to", `"007"`, true},
		{"data.zip", "equal_to", `"7"`, false},
		{"data.text", "equal_to", `"hello world"`, true},
		{"data.text", "not_equal_to", `"hello"`, true},
		{"data.list", "equal_to", `["a","b"]`, true},
		{"data.nums", "equal_to", `[1,2.0,3]`, true},
		{"data.object", "equal_to", `{"k":{"deep":1}}`, true},
		{"data.none", "equal_to", `null`, true},
		{"data.none", "equal_to", `""`, false},
		{"data.missing", "equal_to", `"x"`, false},
		{"data.missing", "not_equal_to", `"x"`, true},
		{"data.missing", "equal_to", `""`, true},
		{"data.missing", "equal_to", `null`, false},
		{"data.big", "equal_to", `9007199254740993`, true},
		{"data.big", "equal_to", `9007199254740992`, false},
		// Dynamic arguments, and how to mean the text of one.
		{"data.n", "greater_than", `"data.threshold"`, true},
		{"recipient.plan", "equal_to", `"recipient.plan"`, true},
		{"recipient.plan", "equal_to", `"\"recipient.plan\""`, false},
		{"data.missing", "equal_to", `"data.absent"`, true}, // both are ""
		{"data.text", "contains", `"data.absent"`, false},
		// Order: numbers, else timestamps, else non-empty texts.
		{"data.n", "greater_than", `1`, true},
		{"data.n", "greater_than", `2`, false},
		{"data.n", "greater_than_or_equal_to", `2`, true},
		{"data.n", "less_than", `"10"`, true},
		{"data.n", "less_than_or_equal_to", `1`, false},
		{"data.number_text", "greater_than", `9`, true},
		{"data.number_text", "greater_than", `"9"`, true},
		{"data.half", "less_than", `1`, true},
		{"data.at", "less_than", `"2026-03-10T13:30:00+02:00"`, true},
		{"data.text", "greater_than", `"a"`, true},
		{"data.text", "less_than", `5`, false},
		{"data.text", "greater_than", `5`, false},
		{"data.flag", "greater_than", `false`, false},
		{"data.none", "less_than", `1`, false},
		{"data.missing", "less_than", `1`, false},
		{"data.missing", "less_than", `"x"`, false},
		{"data.list", "greater_than", `1`, false},
		{"data.n", "is_between", `[1, 2]`, true},
		{"data.n", "is_between", `["data.threshold", 10]`, true},
		{"data.n", "is_between", `[3, 4]`, false},
		{"data.missing", "is_between", `[0, 4]`, false},
		// Containment.
		{"data.list", "contains", `"a"`, true},
		{"data.nums", "contains", `2`, true},
		{"data.nums", "contains", `"2"`, true},
		{"data.list", "contains", `["z","b"]`, true},
		{"data.list", "contains", `["y","z"]`, false},
		{"data.text", "contains", `"lo w"`, true},
		{"data.zip", "contains", `"7"`, true},
		{"data.zip", "contains", `7`, true},
		{"recipient.plan", "contains", `["pro","team"]`, true},
		{"data.text", "contains", `""`, false},
		{"data.missing", "contains", `"x"`, false},
		{"data.missing", "not_contains", `"x"`, true},
		{"data.list", "not_contains", `["z"]`, true},
		{"data.n", "contains", `2`, false},
		{"data.list", "contains_all", `["b","a"]`, true},
		{"data.list", "contains_all", `["a","z"]`, false},
		{"data.list", "contains_all", `"a"`, true},
		{"data.list", "not_contains_all", `["a","z"]`, true},
		{"data.text", "contains_all", `["hello"]`, false},
		{"data.text", "not_contains_all", `["hello"]`, true},
		{"data.list", "contains_all", `[]`, false},
		// Presence.
		{"data.blank", "empty", "", true},
		{"data.empty", "empty", "", true},
		{"data.none", "empty", "", true},
		{"data.missing", "empty", "", true},
		{"data.off", "empty", "", false},
		{"data.text", "not_empty", "", true},
		{"data.text", "not_empty", `""`, true},
		{"data.blank", "exists", "", true},
		{"data.empty", "exists", "", true},
		{"data.none", "exists", "", false},
		{"data.missing", "exists", "", false},
		{"data.a.b.c", "not_exists", "", true},
		{"data.none", "not_exists", "", true},
		{"actor.name", "not_exists", "", true},
		{"data.orders.1.tags.0", "equal_to", `"vip"`, true},
		{"data.orders.9", "exists", "", false},
		// Timestamps; now is 2026-03-10T12:00Z, data.at an hour earlier.
		{"data.at", "is_timestamp", "", true},
		{"data.text", "is_timestamp", "", false},
		{"data.text", "is_not_timestamp", "", true},
		{"data.missing", "is_not_timestamp", "", true},
		{"data.at", "is_timestamp_before", `"2026-03-10T12:00:00Z"`, true},
		{"data.at", "is_timestamp_before", `"2026-03-10"`, false},
		{"data.at", "is_timestamp_on_or_after", `"2026-03-10T11:00:00Z"`, true},
		{"data.at", "is_timestamp_before", `"30 minutes ago"`, true},
		{"data.at", "is_timestamp_on_or_after", `"1 hour ago"`, true},
		{"data.at", "is_timestamp_before", `"2 hours ago"`, false},
		{"data.at", "is_timestamp_before", `"15 minutes from now"`, true},
		{"data.at", "is_timestamp_on_or_after", `"2 weeks ago"`, true},
		{"data.at", "is_timestamp_on_or_after", `"data.at"`, true},
		{"data.at", "is_timestamp_before", `"data.missing"`, false},
		{"data.text", "is_timestamp_before", `"1 day from now"`, false},
		{"data.missing", "is_timestamp_on_or_after", `"1 day ago"`, false},
		{"data.at", "is_timestamp_between", `["2026-03-10T11:00:00Z", "2026-03-11"]`, true},
		{"data.at", "is_timestamp_between", `["data.at", "data.at"]`, true},
		{"data.at", "is_timestamp_between", `["2026-03-11", "2026-03-12"]`, false},
		{"data.at", "is_timestamp_before_now", "", true},
		{"data.at", "is_timestamp_on_or_after_now", "", false},
		{"data.text", "is_timestamp_on_or_after_now", "", false},
		{"data.at", "is_timestamp_before_date", `"2026-03-11"`, true},
		{"data.at", "is_timestamp_before_date", `"2026-03-10"`, false},
		{"data.at", "is_timestamp_on_or_after_date", `"2026-03-10T23:00:00Z"`, true},
	} {
		for _, useNumber := range []bool{true, false} {
			if row.variable == "data.big" && !useNumber {
				continue // float64 can't hold it
			}
			got, err := decide(t, scope(t, useNumber), row.variable, row.operator, row.argument)
			if err != nil || got != row.want {
				t.Errorf("%s %s %s (json.Number %v): got %v, %v; want %v", row.variable, row.operator, row.argument, useNumber, got, err, row.want)
			}
		}
	}
}

// In JSON they are null, and so they are here, in both forms.
func TestNilListsAndMapsAreNull(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{"list": []any(nil), "map": map[string]any(nil)} {
		s := Scope{"data": map[string]any{"x": v, "in": []any{v}}}
		for _, variable := range []string{"data.x", "data.in.0"} {
			if got, err := decide(t, s, variable, "not_exists", ""); err != nil || !got {
				t.Errorf("nil %s: %s exists: %v", name, variable, err)
			}
		}
		c, err := Compile(`data.x == nil and not_exists(data.x) and data.in == [nil] and equal_to(data.x, nil)`)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Eval(s, noon); err != nil || !got {
			t.Errorf("nil %s: got %v, %v", name, got, err)
		}
	}
}

func TestEveryOperatorIsListedAndRuns(t *testing.T) {
	t.Parallel()
	for _, name := range Operators() {
		argument := map[bool]string{true: `["2026-01-01","2026-01-02"]`}[strings.HasSuffix(name, "between")]
		if strings.Contains(name, "timestamp_before") || strings.Contains(name, "on_or_after") {
			argument = `"2026-01-01"`
		}
		if strings.HasSuffix(name, "_now") {
			argument = ""
		}
		variables := []string{"data.missing", "data.none", "data.text", "data.list", "data.object", "data.n", "data.flag"}
		if slices.Contains(membership, name) {
			argument, variables = `"vips"`, []string{"recipient.id"}
		}
		for _, variable := range variables {
			if _, err := decide(t, scope(t, true), variable, name, argument); err != nil {
				t.Errorf("%s %s: %v", variable, name, err)
			}
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	const yes, no = `{"variable":"data.flag","operator":"equal_to","argument":true}`, `{"variable":"data.off","operator":"equal_to","argument":true}`
	for source, want := range map[string]bool{
		`{"all":[` + yes + `]}`:            true,
		`{"all":[` + yes + `,` + no + `]}`: false,
		`{"any":[` + no + `,` + yes + `]}`: true,
		`{"any":[` + no + `,` + no + `]}`:  false,
		`{"any":[{"all":[` + yes + `,` + no + `]},{"all":[` + yes + `,` + yes + `]}]}`: true,
		`{"any":[{"all":[` + yes + `,` + no + `]},` + no + `]}`:                        false,
	} {
		var g Group
		if err := json.Unmarshal([]byte(source), &g); err != nil {
			t.Fatal(err)
		}
		c, err := CompileGroup(g)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Eval(scope(t, true), noon); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", source, got, err, want)
		}
		encoded, err := json.Marshal(g)
		if err != nil || string(encoded) != source {
			t.Errorf("%s: encodes as %s, %v", source, encoded, err)
		}
	}
}

func TestGroupErrorsNameThePart(t *testing.T) {
	t.Parallel()
	condition := func(variable, operator, argument string) string {
		return fmt.Sprintf(`{"variable":%q,"operator":%q,"argument":%s}`, variable, operator, argument)
	}
	ok := condition("data.n", "equal_to", "1")
	for source, want := range map[string]Error{
		`{"all":[` + ok + `,` + condition("data.n", "equals", "1") + `]}`:                 {Path: "all[1].operator", Message: `unknown operator "equals"`},
		`{"all":[` + condition("date.n", "equal_to", "1") + `]}`:                          {Path: "all[0].variable", Message: "recipient.plan"},
		`{"all":[` + condition("data", "equal_to", "1") + `]}`:                            {Path: "all[0].variable"},
		`{"all":[` + condition("data..n", "equal_to", "1") + `]}`:                         {Path: "all[0].variable"},
		`{"any":[` + ok + `,{"all":[` + ok + `,` + condition("data.n", "x", "1") + `]}]}`: {Path: "any[1].all[1].operator"},
		`{"all":[{"all":[` + ok + `]}]}`:                                                  {Path: "all[0]", Message: `only inside "any"`},
		`{"any":[{"all":[{"all":[` + ok + `]}]}]}`:                                        {Path: "any[0].all[0]", Message: `only inside "any"`},
		`{"any":[{"all":[]}]}`:                                                            {Path: "any[0].all", Message: "empty"},
		`{"all":[]}`:                                                                      {Message: "empty"},
		`{}`:                                                                              {Message: "exactly one"},
		`{"all":[` + ok + `],"any":[` + ok + `]}`:                                         {Message: "exactly one"},
		`{"all":[],"extra":1}`:                                                            {Message: "extra"},
		`{"all":[{"variable":"data.n","op":"x"}]}`:                                        {Message: `"op"`},
		`[]`: {Message: `"all" or "any"`},
		`{"all":[` + condition("recipient.id", "is_in_random_cohort", `"a"`) + `]}`:             {Path: "all[0].operator", Message: "not available yet"},
		`{"all":[` + condition("recipient.plan", "is_audience_member", `"vips"`) + `]}`:         {Path: "all[0].variable", Message: "recipient.id"},
		`{"all":[` + condition("recipient.id", "is_not_audience_member", `["a"]`) + `]}`:        {Path: "all[0].argument", Message: "key of an audience"},
		`{"all":[` + condition("recipient.id", "is_audience_member", `"recipient.plan"`) + `]}`: {Path: "all[0].argument", Message: "key of an audience"},
		`{"all":[` + condition("data.at", "is_timestamp_before", `"5 minutes ago"`) + `]}`:      {Path: "all[0].argument", Message: "at least 15 minutes"},
		`{"all":[` + condition("data.at", "is_timestamp_before", `"999999 weeks ago"`) + `]}`:   {Path: "all[0].argument", Message: "100 years"},
		`{"all":[` + condition("data.at", "is_timestamp_before", `"soon"`) + `]}`:               {Path: "all[0].argument", Message: "7 days ago"},
		`{"all":[` + condition("data.at", "is_timestamp_between", `["1 day ago","2026-01-01"]`) + `]}`: {
			Path: "all[0].argument", Message: "relative ones are not possible"},
		`{"all":[` + condition("data.n", "is_between", `[1]`) + `]}`: {Path: "all[0].argument", Message: "two values"},
		`{"all":[` + condition("data.n", "exists", `1`) + `]}`:       {Path: "all[0].argument", Message: "takes no argument"},
	} {
		var g Group
		err := json.Unmarshal([]byte(source), &g)
		if err == nil {
			_, err = CompileGroup(g)
		}
		e, isError := errors.AsType[*Error](err)
		if !isError || e.Path != want.Path || !strings.Contains(e.Message, want.Message) {
			t.Errorf("%s\n got %v\nwant %v", source, err, want)
		}
	}
}

func TestGroupLimits(t *testing.T) {
	t.Parallel()
	one := Node{Variable: "data.n", Operator: "equal_to", Argument: json.RawMessage("1")}
	nodes := func(n int) []Node {
		all := make([]Node, n)
		for i := range all {
			all[i] = one
		}
		return all
	}
	conditions := func(n int) Group { return Group{All: nodes(n)} }
	nested := func(n int) Group { return Group{Any: []Node{{All: nodes(n - 1)}, one}} }
	argument := func(n int) Group {
		g := conditions(1)
		g.All[0].Argument = json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`)
		return g
	}
	variable := func(n int) Group {
		g := conditions(1)
		g.All[0].Variable = "data." + strings.Repeat("x", n-len("data."))
		return g
	}
	for _, row := range []struct {
		name  string
		limit int
		group func(int) Group
	}{
		{"conditions", MaxConditions, conditions},
		{"nested conditions", MaxConditions, nested},
		{"argument", MaxArgument, argument},
		{"variable", MaxVariable, variable},
	} {
		if _, err := CompileGroup(row.group(row.limit)); err != nil {
			t.Errorf("%s at the limit: %v", row.name, err)
		}
		if _, err := CompileGroup(row.group(row.limit + 1)); err == nil {
			t.Errorf("%s one above the limit: accepted", row.name)
		}
	}
	document := func(n int) []byte {
		d := `{"all":[{"variable":"data.n","operator":"exists"}]}`
		return []byte(d[:len(d)-1] + strings.Repeat(" ", n-len(d)) + "}")
	}
	var g Group
	if err := json.Unmarshal(document(MaxGroup), &g); err != nil {
		t.Errorf("document at the limit: %v", err)
	}
	if err := json.Unmarshal(document(MaxGroup+1), &g); err == nil {
		t.Error("document one byte above the limit: accepted")
	}
}

func TestStructuredRunTimeErrorNamesTheCondition(t *testing.T) {
	t.Parallel()
	huge := make([]any, MaxWork+1)
	scope := Scope{"data": map[string]any{"list": huge[1:]}}
	if _, err := decide(t, scope, "data.list", "contains", `"x"`); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	scope = Scope{"data": map[string]any{"list": huge}}
	_, err := decide(t, scope, "data.list", "contains", `"x"`)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Path != "all[0]" || !strings.Contains(e.Message, "too much work") {
		t.Errorf("got %v", err)
	}
}
