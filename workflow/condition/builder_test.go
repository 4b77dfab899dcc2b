package condition

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func group(t testing.TB, source string) Group {
	t.Helper()
	var g Group
	if err := json.Unmarshal([]byte(source), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestBuilderAndExpressionOfTheSameCondition(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`{"all":[{"variable":"recipient.plan","operator":"equal_to","argument":"pro"},{"variable":"data.total","operator":"not_empty"}]}`:                                                       `equal_to(recipient.plan, "pro") and not_empty(data.total)`,
		`{"any":[{"all":[{"variable":"data.n","operator":"greater_than","argument":"data.limit"},{"variable":"data.n","operator":"is_timestamp"}]},{"variable":"data.n","operator":"exists"}]}`: `(greater_than(data.n, data.limit) and is_timestamp(data.n)) or exists(data.n)`,
		`{"all":[{"variable":"refs.inbox.delivery_status","operator":"greater_than_or_equal_to","argument":"$message.sent"}]}`:                                                                  `greater_than_or_equal_to(refs.inbox.delivery_status, "$message.sent")`,
		`{"all":[{"variable":"refs.inbox.engagement_status","operator":"not_contains","argument":"$message.seen"}]}`:                                                                            `not_contains(refs.inbox.engagement_status, "$message.seen")`,
		`{"all":[{"variable":"data.list","operator":"contains","argument":["a",1,-2.5,null,true,[]]}]}`:                                                                                         `contains_any(data.list, ["a", 1, -2.5, nil, true, []])`,
		`{"all":[{"variable":"recipient.at","operator":"is_timestamp_before","argument":"7 days ago"}]}`:                                                                                        `is_timestamp_before(recipient.at, "7 days ago")`,
		`{"all":[{"variable":"data.at","operator":"is_timestamp_between","argument":["2026-01-01","data.end"]}]}`:                                                                               `is_timestamp_between(data.at, ["2026-01-01", data.end])`,
		`{"all":[{"variable":"data.items.0.first-name","operator":"equal_to","argument":"5"}]}`:                                                                                                 `equal_to(data.items[0]["first-name"], "5")`,
		`{"all":[{"variable":"data.not.in","operator":"equal_to","argument":"\"data.x\""}]}`:                                                                                                    `equal_to(data["not"]["in"], "\"data.x\"")`,
		`{"all":[{"variable":"event.type","operator":"equal_to","argument":null}]}`:                                                                                                             `equal_to(event.type, nil)`,
		`{"all":[{"variable":"data.n","operator":"is_timestamp_before_now"}]}`:                                                                                                                  `is_timestamp_before_now(data.n)`,
	} {
		g := group(t, source)
		got, ok := Expression(g)
		if !ok || got != want {
			t.Errorf("%s\n got %s, %v\nwant %s", source, got, ok, want)
		}
		back, ok := Structured(got)
		encoded, _ := json.Marshal(back)
		if !ok || string(encoded) != source {
			t.Errorf("%s\ncomes back as %s, %v", source, encoded, ok)
		}
	}
}

func TestPlainExpressionsWithABuilderForm(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`recipient.plan == "pro"`:                                                 `equal_to(recipient.plan, "pro")`,
		`"pro" != recipient?.plan && exists(data.n)`:                              `not_equal_to(recipient.plan, "pro") and exists(data.n)`,
		`data.a == nil or not (data["b"] == nil)`:                                 `not_exists(data.a) or exists(data.b)`,
		`!(data.a != nil) || !empty(data.b)`:                                      `not_exists(data.a) or not_empty(data.b)`,
		`not not_contains(data.a, "x")`:                                           `contains_any(data.a, "x")`,
		`(exists(data.a) or exists(data.b)) or exists(data.c) and exists(data.d)`: `exists(data.a) or exists(data.b) or (exists(data.c) and exists(data.d))`,
		`equal_to(data.a, 0x10) and equal_to(data.b, [1.50])`:                     `equal_to(data.a, 16) and equal_to(data.b, [1.5])`,
	} {
		g, ok := Structured(source)
		if got, _ := Expression(g); !ok || got != want {
			t.Errorf("%s: got %s, %v; want %s", source, got, ok, want)
		}
	}
}

// Each of these means something that no structured condition does.
func TestExpressionsWithoutABuilderForm(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		`data.n == 2`,     // the text "2" is equal to 2 in the builder
		`data.n == "2"`,   // and the other way round
		`data.n == "007"`, // a number too
		`data.n == "true"`, `data.n == ""`, `data.flag == true`, `data.n == "data.x"`, `data.n == "[1]"`, `data.n == "$message.sent"`,
		`data.flag`,               // not a bool: an error
		`data.n > 1`,              // missing: an error
		`data.text contains "x"`,  // not a text: an error
		`recipient.plan in ["a"]`, // a list is no entry
		`data.a[0] == nil`,        // an object has no index
		`data.a == data.b`, `lower(data.a) == "x"`, `data == nil`, `data["a b"] == nil`,
		`exists(data.a) and (exists(data.b) or exists(data.c))`,
		`not (exists(data.a) and exists(data.b))`,
		`not greater_than(data.a, 1)`,                              // both are false for what has no order
		`not equal_to(refs.a.delivery_status, "$message.skipped")`, // both are false when unknown
		`refs.a.delivery_status == "sent"`,
		`refs.a.engagement_status == nil`,
		`true`, `any(data.list, exists(data.a))`, `exists(data.a) ? true : false`, `data.n ==`, ``,
	} {
		if g, ok := Structured(source); ok {
			t.Errorf("%s has the builder form %+v", source, g)
		}
	}
	for name, source := range map[string]string{
		"object":    `{"all":[{"variable":"data.n","operator":"equal_to","argument":{"a":1}}]}`,
		"invalid":   `{"all":[{"variable":"data.n","operator":"is_in_random_cohort","argument":"a"}]}`,
		"too large": `{"all":[{"variable":"data.n","operator":"equal_to","argument":"` + strings.Repeat("x", MaxArgument-2) + `"}]}`,
	} {
		if source, ok := Expression(group(t, source)); ok {
			t.Errorf("%s: has the expression %s", name, source)
		}
	}
	if source, ok := Expression(Group{All: []Node{{Variable: "data.\xff", Operator: "exists"}}}); ok {
		t.Errorf("broken encoding: has the expression %s", source)
	}
}

// values is a generator of what JSON can hold, with what operators find interesting.
func values(depth int) *rapid.Generator[any] {
	scalars := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.IntRange(-2, 12), func(n int) any { return n }),
		rapid.SampledFrom([]any{0.5, 1e21, 9007199254740992.0, 9007199254740993, json.Number("2"), json.Number("2.50"), json.Number("1e400"), 1e6, []any(nil), map[string]any(nil)}),
		rapid.SampledFrom([]any{
			"", "a", "b", "pro", "hello", "true", "null", "2", "2.0", "007", "1e400", `"a"`, `["a",2]`, "data.a", `"data.a"`, "recipient.plan",
			"2026-03-10T11:00:00Z", "2026-03-10", "7 days ago", "1 hour from now", "é\x00\n\"'\\", "$message.sent", "event.a", "event.e.f",
		}),
	)
	if depth == 0 {
		return scalars
	}
	inner := values(depth - 1)
	return rapid.OneOf(scalars, scalars, scalars,
		rapid.Map(rapid.SliceOfN(inner, 0, 3), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(rapid.SampledFrom(keys), inner, 0, 3), func(m map[string]any) any { return m }),
	)
}

var keys = []string{"a", "b", "0", "1", "-1", "01", "not", "first-name", "é", `q"`, "$x", "_eval"}

func variables() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 4).Draw(t, "status") == 0 {
			return "refs." + rapid.SampledFrom([]string{"sent", "read", "old", "skipped", "x"}).Draw(t, "ref") + "." +
				rapid.SampledFrom([]string{"delivery_status", "engagement_status", "matched"}).Draw(t, "field")
		}
		path := rapid.SliceOfN(rapid.SampledFrom(keys), 1, 3).Draw(t, "keys")
		return strings.Join(append([]string{rapid.SampledFrom([]string{"data", "recipient", "event"}).Draw(t, "root")}, path...), ".")
	})
}

func arguments() *rapid.Generator[any] {
	tokens := rapid.Map(rapid.SampledFrom([]string{"skipped", "bounced", "sent", "delivered", "seen", "seen_not_read", "read_not_link_clicked"}),
		func(s string) any { return tokenPrefix + s })
	paths := rapid.Map(variables(), func(s string) any { return s })
	times := rapid.SampledFrom([]any{"2026-03-10T11:00:00Z", "2 hours ago", "1 day from now", "2026-03-10"})
	pair := rapid.OneOf(paths, times, values(0))
	pairs := rapid.Custom(func(t *rapid.T) any { return []any{pair.Draw(t, "start"), pair.Draw(t, "end")} })
	return rapid.OneOf(values(2), paths, tokens, times, pairs)
}

// conditions draws one that compiles.
func conditions(t *rapid.T) Node {
	return rapid.Custom(func(t *rapid.T) Node {
		n := Node{Variable: variables().Draw(t, "variable"), Operator: rapid.SampledFrom(Operators()).Draw(t, "operator")}
		if slices.Contains(membership, n.Operator) {
			n.Variable, n.Argument = "recipient.id", json.RawMessage(`"vips"`)
		} else if takesArgument(n.Operator) {
			n.Argument, _ = json.Marshal(arguments().Draw(t, "argument"))
		}
		return n
	}).Filter(func(n Node) bool {
		_, err := compileNode("", n, Options{Event: true})
		return err == nil
	}).Draw(t, "condition")
}

func groups(t *rapid.T) Group {
	several := func(name string) []Node {
		nodes := make([]Node, rapid.IntRange(1, 3).Draw(t, name))
		for i := range nodes {
			nodes[i] = conditions(t)
		}
		return nodes
	}
	if rapid.Bool().Draw(t, "all") {
		return Group{All: several("conditions")}
	}
	any := several("alternatives")
	for i := range any {
		if rapid.Bool().Draw(t, "nested") {
			any[i] = Node{All: several("nested")}
		}
	}
	return Group{Any: any}
}

func scopes(t *rapid.T) Scope {
	root := rapid.MapOfN(rapid.SampledFrom(keys), values(2), 0, 8)
	s := Scope{"refs": refs}
	for _, name := range []string{"data", "recipient", "event"} {
		s[name] = map[string]any(root.Draw(t, name))
	}
	return s
}

// normalised writes a group the one way that Structured does: no lists of one, no
// argument that says the same in other words.
func normalised(g Group) Group {
	argument := func(n Node) Node {
		if takesArgument(n.Operator) {
			v, _ := decode(n.Argument)
			n.Argument = encode(v)
		}
		return n
	}
	every := func(nodes []Node) (all []Node) {
		for _, n := range nodes {
			all = append(all, argument(n))
		}
		return all
	}
	if len(g.Any) == 1 {
		if g.Any[0].All != nil {
			return Group{All: every(g.Any[0].All)}
		}
		return Group{All: every(g.Any)}
	}
	out := Group{All: every(g.All)}
	for _, n := range g.Any {
		switch len(n.All) {
		case 0:
			out.Any = append(out.Any, argument(n))
		case 1:
			out.Any = append(out.Any, argument(n.All[0]))
		default:
			out.Any = append(out.Any, Node{All: every(n.All)})
		}
	}
	return out
}

// hasObject says that an argument holds an object, which has no literal.
func hasObject(g Group) bool {
	return slices.ContainsFunc(slices.Concat(g.All, g.Any), func(n Node) bool {
		if n.All != nil {
			return hasObject(Group{All: n.All})
		}
		v, _ := decode(n.Argument)
		return !isString(v) && strings.Contains(string(n.Argument), "{")
	})
}

func evalGroup(t testing.TB, g Group, s Scope) (bool, error) {
	t.Helper()
	c, err := CompileGroupWith(g, Options{Event: true})
	if err != nil {
		t.Fatalf("%+v: %v", g, err)
	}
	return c.Eval(s, noon)
}

func evalExpression(t testing.TB, source string, s Scope) (bool, error) {
	t.Helper()
	c, err := CompileWith(source, Options{Event: true})
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return c.Eval(s, noon)
}

func TestGroupsSurviveTheExpressionForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		g := groups(rt)
		source, ok := Expression(g)
		if !ok {
			if encoded, _ := json.Marshal(g); !hasObject(g) {
				rt.Fatalf("%s has no expression", encoded)
			}
			return
		}
		back, ok := Structured(source)
		if diff := cmp.Diff(normalised(g), back); !ok || diff != "" {
			rt.Fatalf("%s: comes back as %+v, %v: %s", source, back, ok, diff)
		}
		for range 5 {
			s := scopes(rt)
			want, err1 := evalGroup(t, g, s)
			got, err2 := evalExpression(t, source, s)
			if got != want || (err1 == nil) != (err2 == nil) {
				rt.Fatalf("%s\nscope %v\ngroup %v, %v; expression %v, %v", source, s, want, err1, got, err2)
			}
		}
	})
}

// leaves are expressions, of which some have a builder form.
func leaves(t *rapid.T) string {
	variable, _ := parsePath(variables().Draw(t, "variable"))
	path := variable.expression()
	literal, _ := spelled(values(1).Filter(func(v any) bool { _, ok := spelled(v); return ok }).Draw(t, "value"))
	return fmt.Sprintf(rapid.SampledFrom([]string{
		"%[1]s == %[2]s", "%[2]s != %[1]s", "%[1]s == nil", "nil != %[1]s", "not (%[1]s == %[2]s)", "!exists(%[1]s)",
		"not equal_to(%[1]s, %[2]s)", "not not_contains(%[1]s, %[2]s)", "not is_timestamp(%[1]s)", "not greater_than(%[1]s, %[2]s)",
		"empty(%[1]s)", "%[1]s", "%[1]s contains %[2]s", "%[1]s > %[2]s",
	}).Draw(t, "form"), path, literal)
}

func TestExpressionsSurviveTheBuilderForm(t *testing.T) {
	t.Parallel()
	survived := 0
	rapid.Check(t, func(rt *rapid.T) {
		source := leaves(rt)
		for range rapid.IntRange(0, 2).Draw(rt, "more") {
			source += " " + rapid.SampledFrom([]string{"and", "or", "&&", "||"}).Draw(rt, "operator") + " " + leaves(rt)
		}
		g, ok := Structured(source)
		if !ok {
			return
		}
		survived++
		again, ok := Expression(g)
		if !ok {
			rt.Fatalf("%s: its builder form %+v has no expression", source, g)
		}
		for range 5 {
			s := scopes(rt)
			want, err := evalExpression(t, source, s)
			if got, err2 := evalGroup(t, g, s); got != want || (err == nil) != (err2 == nil) {
				rt.Fatalf("%s\nscope %v\nexpression %v, %v; group %v, %v", source, s, want, err, got, err2)
			}
			if got, err2 := evalExpression(t, again, s); got != want || (err == nil) != (err2 == nil) {
				rt.Fatalf("%s\nbecame %s\nscope %v\n%v, %v; then %v, %v", source, again, s, want, err, got, err2)
			}
		}
	})
	if survived < 10 {
		t.Errorf("only %d expressions had a builder form: the test proves nothing", survived)
	}
}

func TestEveryOperatorHasAFunction(t *testing.T) {
	t.Parallel()
	for _, operator := range slices.Concat(Operators(), later) {
		if operatorOf[functionOf(operator)] != operator {
			t.Errorf("%s has no function", operator)
		}
		if _, ok := functions[functionOf(operator)]; ok {
			t.Errorf("%s is also an ordinary function", operator)
		}
	}
}
