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
