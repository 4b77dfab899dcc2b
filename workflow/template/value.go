package template

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/osteele/liquid/expressions"
	"github.com/osteele/liquid/values"
)

// Values are what JSON can hold (nil, bool, int, float64, string, []any, map[string]any), and besides time.Time,
// values.Range, values.SafeValue, *loop, blankValue and emptyValue. They are taken out of the scope one by one, so that
// a rendering costs what it looks at: element must be called on whatever comes out of a container.

// valueWeight is what any value counts for besides its text.
const valueWeight = 32

// element makes a value that a container held ready for use. Whole numbers become int, however JSON was decoded; only
// a json.Number that was spelled with a fraction stays a float.
func element(v any) any {
	switch v := v.(type) {
	case string, map[string]any, []any, nil, bool, int, time.Time:
		return v
	case json.Number:
		if !strings.ContainsAny(string(v), ".eE") { // not worth an error
			if n, err := strconv.Atoi(string(v)); err == nil {
				return n
			}
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return string(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v)
		}
		return v
	case float32:
		return element(float64(v))
	case int64:
		return int(v)
	case int32:
		return int(v)
	case values.Range, values.SafeValue, *loop, blankValue, emptyValue:
		return v
	}
	// Methods and fields of other types are none of a template's business.
	panic(expressions.InterpreterError("the template was given a " + reflect.TypeOf(v).String() + "; pass what JSON can hold"))
}

// property is v.name.
func (s *state) property(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		if held, ok := v[name]; ok {
			return element(held)
		}
		switch name {
		case "size":
			return len(v)
		case "first":
			return s.first(v)
		}
	case []any:
		switch name {
		case "size":
			return len(v)
		case "first":
			return s.first(v)
		case "last":
			return last(v)
		}
	case string:
		switch name {
		case "size":
			s.work -= len(v) / 64
			return utf8.RuneCountInString(v)
		case "first":
			return s.first(v)
		case "last":
			return last(v)
		}
	case values.Range:
		from, to := bounds(v)
		switch name {
		case "size":
			return max(v.Len(), 0)
		case "first":
			return from
		case "last":
			return to
		}
	case values.SafeValue:
		return s.property(v.Value, name)
	case *loop:
		return v.property(name)
	}
	return nil
}

// item is v[index].
func item(v, index any) any {
	switch key := index.(type) {
	case string:
		if held, ok := v.(map[string]any); ok {
			if held, ok := held[key]; ok {
				return element(held)
			}
			return nil
		}
		if l, ok := v.(*loop); ok {
			return l.property(key)
		}
	case int:
		list, _ := v.([]any)
		if key < 0 {
			key += len(list)
		}
		if key >= 0 && key < len(list) {
			return element(list[key])
		}
	}
	return nil
}

// first charges for objects, of which it looks at all keys.
func (s *state) first(v any) any {
	switch v := v.(type) {
	case []any:
		if len(v) > 0 {
			return element(v[0])
		}
	case map[string]any:
		if s.work -= len(v); len(v) > 0 && s.work >= 0 {
			key := slices.Min(slices.Collect(maps.Keys(v)))
			return []any{key, v[key]}
		}
	case values.Range:
		from, _ := bounds(v)
		return from
	case string:
		if v != "" {
			_, size := utf8.DecodeRuneInString(v)
			return v[:size]
		}
	}
	return nil
}

func last(v any) any {
	switch v := v.(type) {
	case []any:
		if len(v) > 0 {
			return element(v[len(v)-1])
		}
	case values.Range:
		_, to := bounds(v)
		return to
	case string:
		if v != "" {
			_, size := utf8.DecodeLastRuneInString(v)
			return v[len(v)-size:]
		}
	}
	return nil
}

// keys are an object's, sorted: the order in which JSON had them is not known any more.
func keys(object map[string]any) []string {
	all := make([]string, 0, len(object))
	for key := range object {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// bounds are the first and the last number of a range.
func bounds(r values.Range) (from, to int) {
	from = r.Index(0).(int)
	return from, from + r.Len() - 1
}

// equal compares deeply, for one unit of work a value. When the work runs out it says false, and the next charge fails.
func equal(a, b any, work *int) bool {
	if *work--; *work < 0 {
		return false
	}
	if s, ok := b.(values.SafeValue); ok {
		b = s.Value
	}
	if isWord(b) && !isWord(a) {
		a, b = b, a
	}
	switch a := a.(type) {
	case nil, bool:
		return a == scalar(b)
	case string:
		text, ok := b.(string)
		*work -= min(len(a), len(text)) / 1024
		return ok && a == text
	case blankValue:
		return isBlank(b)
	case emptyValue:
		return isEmpty(b)
	case values.SafeValue:
		return equal(a.Value, b, work)
	case []any:
		list, ok := b.([]any)
		return ok && len(a) == len(list) && equalLists(a, list, work)
	case map[string]any:
		object, ok := b.(map[string]any)
		return ok && len(a) == len(object) && equalObjects(a, object, work)
	case values.Range, *loop:
		return a == scalar(b)
	case time.Time:
		at, ok := b.(time.Time)
		return ok && a.Equal(at)
	}
	order, ok := compared(a, b)
	return ok && order == 0
}

// scalar is a value that Go can compare; others become nil's opposite.
func scalar(v any) any {
	switch v.(type) {
	case []any, map[string]any, values.SafeValue:
		return struct{}{}
	}
	return v
}

func isWord(v any) bool {
	return v == any(blankValue{}) || v == any(emptyValue{})
}

func equalLists(a, b []any, work *int) bool {
	for i := range a {
		if !equal(element(a[i]), element(b[i]), work) {
			return false
		}
	}
	return true
}

func equalObjects(a, b map[string]any, work *int) bool {
	for key, v := range a {
		other, ok := b[key]
		if !ok || !equal(element(v), element(other), work) {
			return false
		}
	}
	return true
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	case values.SafeValue:
		return isEmpty(v.Value)
	}
	return false
}

func isBlank(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return isSpace(v)
	}
	return isEmpty(v)
}
