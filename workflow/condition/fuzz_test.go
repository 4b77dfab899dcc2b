package condition

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func FuzzCompile(f *testing.F) {
	for _, source := range hostile {
		if len(source) < 1000 { // the fuzzer is slow with long seeds
			f.Add(source)
		}
	}
	for _, source := range []string{
		`data.n > 1 and recipient.plan == "pro"`, `any(data.orders, .total > 10)`, `date(data.at).Year() == now().Year()`,
		`data?.a?.["b"]?.c ?? data.list[1:2] == ["b"]`, `count(data.nums, # > 1) == 2`, `"a" not in data.list`,
		`data.text matches "^h.*d$" ? data.flag : !data.off`, `data.text | upper() | len() == 11`, `1 <= data.n < 3`,
	} {
		f.Add(source)
	}
	s := scope(f, true)
	f.Fuzz(func(t *testing.T, source string) {
		start := time.Now()
		c, err := Compile(source)
		if err == nil {
			_, err = c.Eval(s, noon)
		}
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Message == "" {
				t.Fatalf("not a helpful *Error: %#v", err)
			}
		}
		if took := time.Since(start); took > timeBound {
			t.Fatalf("took %v", took)
		}
	})
}

func FuzzCompileGroup(f *testing.F) {
	for _, source := range []string{
		`{"all":[{"variable":"data.n","operator":"greater_than","argument":"1"}]}`,
		`{"any":[{"all":[{"variable":"data.list","operator":"contains","argument":["a",1,null]}]}]}`,
		`{"all":[{"variable":"data.at","operator":"is_timestamp_before","argument":"7 days ago"}]}`,
		`{"all":[{"variable":"data.at","operator":"is_timestamp_between","argument":["data.at","2026-01-01"]}]}`,
	} {
		f.Add([]byte(source))
	}
	s := scope(f, true)
	f.Fuzz(func(t *testing.T, source []byte) {
		var g Group
		if json.Unmarshal(source, &g) != nil {
			return
		}
		c, err := CompileGroup(g)
		if err == nil {
			_, err = c.Eval(s, noon)
		}
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			t.Fatalf("not an *Error: %#v", err)
		}
	})
}

// A source and its builder form decide the same.
func FuzzStructured(f *testing.F) {
	for _, source := range []string{
		`equal_to(recipient.plan, "pro") and not_empty(data.n)`, `data.text == "hello world" or not (data.n == nil)`,
		`is_between(data.n, [data.threshold, 10]) or contains_any(data.list, ["a", 1.5, nil])`,
		`is_timestamp_before(data.at, "7 days ago") && !exists(data.orders[1].sku)`,
		`less_than(refs.inbox.delivery_status, "$message.sent") or (exists(event.a) and data["n"] != nil)`,
	} {
		f.Add(source)
	}
	s := scope(f, true)
	f.Fuzz(func(t *testing.T, source string) {
		g, ok := Structured(source)
		if !ok {
			return
		}
		want, err1 := evalExpression(t, source, s)
		got, err2 := evalGroup(t, g, s)
		if got != want || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%s: %v, %v; its builder form %+v: %v, %v", source, want, err1, g, got, err2)
		}
	})
}
