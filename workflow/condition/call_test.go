package condition

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOperatorFunctions(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]bool{
		`equal_to(data.n, "2") and not (data.n == "2")`:                true,
		`equal_to(data.missing, "") and not equal_to(data.none, "")`:   true, // unset is "", null is null
		`equal_to(data.none, nil) and not equal_to(data.missing, nil)`: true,
		`not equal_to(data.n, 3) and not_equal_to(data.n, 3)`:          true,
		`data.n | equal_to(2)`:                                                     true,
		`greater_than(data.n, data.threshold)`:                                     true,
		`less_than(data.half, 1) and less_than(data.half, +1)`:                     true,
		`greater_than(data.n, -1.5)`:                                               true,
		`greater_than(data.missing, 1) or data.flag`:                               true, // no error, as in the structured form
		`contains_any(data.list, ["z", "b"])`:                                      true,
		`contains_any(data.text, "lo w") and not_contains(data.text, "x")`:         true,
		`contains_all(data.list, ["a", "b"])`:                                      true,
		`is_between(data.n, [data.threshold, 10])`:                                 true,
		`is_timestamp_before(data.at, "30 minutes ago")`:                           true,
		`is_timestamp_between(data.at, [data.at, "2026-03-11"])`:                   true,
		`is_timestamp_before_now(data.at)`:                                         true,
		`exists(data.blank) and not_exists(data.missing) and empty(data.none)`:     true,
		`equal_to(data.orders[1].tags[0], "vip") and exists(data.orders[-1]?.sku)`: true,
		`equal_to(data["orders"]["1"].sku, "y")`:                                   true,
		`equal_to(recipient.plan, "\"recipient.plan\"")`:                           false, // the text
		`any(data.nums, # == 2 and equal_to(data.n, 2))`:                           true,
		`equal_to(data.n, 2) ? data.flag : data.off`:                               true,
	} {
		c, err := Compile(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		for _, useNumber := range []bool{false, true} {
			if got, err := c.Eval(scope(t, useNumber), noon); err != nil || got != want {
				t.Errorf("%s (json.Number %v): got %v, %v; want %v", source, useNumber, got, err, want)
			}
		}
	}
}

func TestOperatorFunctionErrors(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]Error{
		`true and equal_to(data.n)`:                        {Column: 10, Message: "a path and one value"},
		`exists(data.n, 1)`:                                {Column: 1, Message: "a path and nothing else"},
		`equal_to(lower(data.x), "a")`:                     {Column: 10, Message: "takes a path such as recipient.plan first"},
		`equal_to(data, "a")`:                              {Column: 10, Message: "takes a path"},
		`equal_to(data["a b"], "a")`:                       {Column: 14, Message: "takes a path"},
		`equal_to(data["a.b"], "a")`:                       {Column: 14, Message: "takes a path"},
		`equal_to(data[data.x], "a")`:                      {Column: 14, Message: "takes a path"},
		`equal_to(data.x, data.n + 1)`:                     {Column: 25, Message: "a literal or a path"},
		`equal_to(data.x, [data.n])`:                       {Column: 18, Message: "a literal or a path"},
		`equal_to(data.x, "recipient.plan")`:               {Column: 18, Message: `"\"recipient.plan\""`},
		`is_between(data.x, ["recipient.plan", 1])`:        {Column: 21, Message: "without quotes"},
		`is_between(data.x, 1)`:                            {Column: 1, Message: "[start, end]"},
		`is_timestamp_before(data.x, "soon")`:              {Column: 1, Message: "7 days ago"},
		`is_timestamp_before(data.x, "5 minutes ago")`:     {Column: 1, Message: "at least 15 minutes"},
		`is_audience_member(actor.id, "vips")`:             {Column: 1, Message: "the variable is recipient.id"},
		`is_in_random_cohort(recipient.id, "a")`:           {Column: 1, Message: "not available yet"},
		`equal_to(refs.inbox.delivery_status, "sent")`:     {Column: 1, Message: `"$message.sent"`},
		`contains(data.list, "a")`:                         {Column: 1, Message: "contains_any"},
		`equal_to == 1`:                                    {Column: 1, Message: "unknown name"},
		`any(data.list, equal_to(#, 1))`:                   {Column: 25, Message: "takes a path"},
		`equal_to(data.x, ["a", ["b", lower("C")]])`:       {Column: 18, Message: "a literal"},
		`equal_to(data.x, equal_to(data.x, 1))`:            {Column: 18, Message: "a literal"},
		`contains_any(refs.inbox.delivery_status, "sent")`: {Column: 1, Message: "status tokens only"},
	} {
		_, err := Compile(source)
		e, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(e.Message, want.Message) || e.Line != 1 || e.Column != want.Column {
			t.Errorf("%s: got %v; want column %d: … %s …", source, err, want.Column, want.Message)
		}
	}
}

func TestEventOnlyWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	s := Scope{"event": map[string]any{"total": 5}, "data": map[string]any{"limit": 3}}
	group := func(variable, argument string) Group {
		return Group{All: []Node{{Variable: variable, Operator: "greater_than", Argument: []byte(argument)}}}
	}
	for _, source := range []string{`event.total > 3`, `greater_than(event.total, data.limit)`, `less_than(data.limit, event.total)`} {
		if _, err := Compile(source); err == nil || !strings.Contains(err.Error(), "waits for an event") {
			t.Errorf("%s: got %v", source, err)
		}
		c, err := CompileWith(source, Options{Event: true})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Eval(s, noon); err != nil || !got {
			t.Errorf("%s: got %v, %v", source, got, err)
		}
	}
	for path, g := range map[string]Group{
		"all[0].variable": group("event.total", "3"), "all[0].argument": group("data.limit", `"event.total"`),
	} {
		_, err := CompileGroup(g)
		if e, ok := errors.AsType[*Error](err); !ok || e.Path != path || !strings.Contains(e.Message, "waits for an event") {
			t.Errorf("%s: got %v", path, err)
		}
		if _, err := CompileGroupWith(g, Options{Event: true}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	c, err := CompileGroupWith(group("event.total", `"data.limit"`), Options{Event: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Eval(s, noon); err != nil || !got {
		t.Errorf("got %v, %v", got, err)
	}
	// The way out that the message names: the text.
	if _, err := CompileGroup(group("data.limit", `"\"event.total\""`)); err != nil {
		t.Error(err)
	}
	if _, err := CompileWith("evnt.x == 1", Options{Event: true}); err == nil {
		t.Error("a misspelt root is accepted")
	}
}

func TestWhatCanNeverBeABoolIsRefused(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		`1 + 1`, `nil`, `-data.n`, `data.n * 2`, `[true]`, `data.list[1:]`, `len(data.list)`, `lower(data.s)`, `now()`, `date(data.at)`,
		`now().Year()`, `count(data.list, true)`, `1 ?? "a"`, `data.a ? 1 : "b"`, `data.a and data.n + 1`, `data.n % 2 or true`,
		`not (data.n - 1)`, `1 ? true : false`, `any(data.list, # + 1)`, `now() - now()`, `"a" | upper()`, `now()?.Year()`,
	} {
		if _, err := Compile(source); err == nil || !strings.Contains(err.Error(), "true or false value is needed") {
			t.Errorf("%s: got %v", source, err)
		}
	}
	for _, source := range []string{
		`data.n`, `data.n ?? 0`, `data.a ? nil : true`, `get(data, "flag")`, `find(data.list, #)`, `now().Before(now())`, `data`, `exists(data.n)`,
	} {
		if _, err := Compile(source); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestRootsAndRefs(t *testing.T) {
	t.Parallel()
	for source, want := range map[string][2]string{
		`true`:                                   {"", ""},
		`data.n > 1 and data.m.x == recipient.y`: {"data recipient", ""},
		`refs.inbox.seen or refs?.email["read"] or refs["a-b"].matched`: {"refs", "a-b email inbox"},
		`refs.inbox == nil`:                              {"refs", "inbox"},
		`any(data.list, .x == vars.y and refs.inbox.x)`:  {"data refs vars", "inbox"},
		`data[tenant.key] == run.total_activities`:       {"data run tenant", ""},
		`get(refs.sms, "seen")`:                          {"refs", "sms"},
		`is_between(data.n, "[\"actor.low\", 3]")`:       {"actor data", ""},
		`equal_to(workflow.id, refs.a.signal_variables)`: {"refs workflow", "a"},
	} {
		c, err := Compile(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got := [2]string{strings.Join(c.Roots(), " "), strings.Join(c.Refs(), " ")}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", source, diff)
		}
	}
	c, err := CompileGroup(Group{Any: []Node{
		{Variable: "refs.inbox.engagement_status", Operator: "contains", Argument: []byte(`"$message.seen"`)},
		{All: []Node{{Variable: "data.n", Operator: "is_between", Argument: []byte(`["vars.low","refs.b.x"]`)}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Roots(), []string{"data", "refs", "vars"}) || !slices.Equal(c.Refs(), []string{"b", "inbox"}) {
		t.Errorf("got %v, %v", c.Roots(), c.Refs())
	}
	for _, source := range []string{`refs == nil`, `refs[data.key].seen`, `get(refs, "inbox")`, `refs[0].seen`, `len(refs) > 0`} {
		if _, err := Compile(source); err == nil || !strings.Contains(err.Error(), "ref of a step") {
			t.Errorf("%s: got %v", source, err)
		}
	}
}
