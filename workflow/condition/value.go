package condition

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// normal turns whole numbers into int, the type for which the virtual machine has
// all operators, and other json.Numbers into float64. Nil lists and maps are nil, as
// in JSON.
func normal(v any) any {
	switch n := v.(type) {
	case []any:
		if n == nil {
			return nil
		}
	case map[string]any:
		if n == nil {
			return nil
		}
	case float64:
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int(n)
		}
	case json.Number:
		if !strings.ContainsAny(string(n), ".eE") { // not worth an error
			if i, err := strconv.Atoi(string(n)); err == nil {
				return i
			}
		}
		if f, err := n.Float64(); err == nil {
			return normal(f)
		}
		return string(n)
	}
	return v
}

// step goes one key or list index down, to nil when there is nothing.
func step(v, key any) any {
	switch v := v.(type) {
	case map[string]any:
		if name, ok := key.(string); ok {
			return normal(v[name])
		}
	case []any:
		i, ok := normal(key).(int)
		if s, isText := key.(string); isText {
			n, err := strconv.Atoi(s)
			i, ok = n, err == nil
		}
		if i < 0 {
			i += len(v)
		}
		if ok && i >= 0 && i < len(v) {
			return normal(v[i])
		}
	}
	return nil
}

// get walks from a value along keys: get(evaluation, value, key, …).
func get(p ...any) (any, error) {
	v := p[1]
	for _, key := range p[2:] {
		v = step(v, key)
	}
	// A text costs by its size wherever it is used next.
	cost := len(p)
	if s, ok := v.(string); ok {
		cost += len(s) / 64
	}
	return v, p[0].(*evaluation).spend(cost)
}

// equal compares deeply; 2 and 2.0 are equal at any depth.
func equal(e *evaluation, a, b any) (bool, error) {
	if err := e.spend(textCost(a)); err != nil {
		return false, err
	}
	a, b = normal(a), normal(b)
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false, nil
		}
		for i := range x {
			if same, err := equal(e, x[i], y[i]); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false, nil
		}
		for key := range x {
			other, present := y[key]
			if !present {
				return false, nil
			}
			if same, err := equal(e, x[key], other); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	case string:
		y, ok := b.(string)
		return ok && x == y, nil
	case bool:
		y, ok := b.(bool)
		return ok && x == y, nil
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y), nil
	case time.Duration:
		y, ok := b.(time.Duration)
		return ok && x == y, nil
	case nil:
		return b == nil, nil
	}
	if i, ok := a.(int); ok {
		if j, ok := b.(int); ok {
			return i == j, nil
		}
	}
	x, ok1 := float(a)
	y, ok2 := float(b)
	return ok1 && ok2 && x == y, nil
}

// float is the value of a Go number.
func float(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case int64:
		return float64(v), true
	case int32:
		return float64(v), true
	case float32:
		return float64(v), true
	default:
		return 0, false
	}
}

// number also reads texts that spell a number.
func number(v any) (float64, bool) {
	s, ok := v.(string)
	if !ok {
		return float(v)
	}
	if s == "" || len(s) > 64 || strings.ContainsAny(s, "xXpP_nN") {
		return 0, false // hex, underscores, Inf and NaN are texts
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// text spells a single value.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case json.Number:
		return string(v), true
	}
	if f, ok := float(v); ok {
		return strconv.FormatFloat(f, 'f', -1, 64), true
	}
	return "", false
}

// timestamp reads RFC 3339, the same without a zone (UTC), and plain dates.
func timestamp(v any) (time.Time, bool) {
	if at, ok := v.(time.Time); ok {
		return at, true
	}
	s, ok := v.(string)
	if !ok || len(s) < len("2006-01-02") || len(s) > 40 {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02", "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// kind names the type of a value in error messages.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "nil"
	case string:
		return "a text"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	case time.Time:
		return "a date"
	case time.Duration:
		return "a duration"
	}
	if _, ok := float(v); ok {
		return "a number"
	}
	return "this value"
}
