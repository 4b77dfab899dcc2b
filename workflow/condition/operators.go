package condition

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// operator decides a condition from the value of its variable and its argument.
type operator func(e *evaluation, v any, a argument) (bool, error)

var comparing = map[string]operator{
	"equal_to":                 equalTo,
	"not_equal_to":             not(equalTo),
	"greater_than":             ordered(func(c int) bool { return c > 0 }),
	"greater_than_or_equal_to": ordered(func(c int) bool { return c >= 0 }),
	"less_than":                ordered(func(c int) bool { return c < 0 }),
	"less_than_or_equal_to":    ordered(func(c int) bool { return c <= 0 }),
	"contains":                 containsArgument,
	"not_contains":             not(containsArgument),
	"contains_all":             containsAll,
	"not_contains_all":         not(containsAll),
}

// presence operators take no argument and tell unset from empty.
var presence = map[string]func(v any, set bool) bool{
	"exists":           func(v any, set bool) bool { return set && v != nil },
	"not_exists":       func(v any, set bool) bool { return !set || v == nil },
	"empty":            func(v any, _ bool) bool { return isEmpty(v) },
	"not_empty":        func(v any, _ bool) bool { return !isEmpty(v) },
	"is_timestamp":     func(v any, _ bool) bool { _, ok := timestamp(v); return ok },
	"is_not_timestamp": func(v any, _ bool) bool { _, ok := timestamp(v); return !ok },
}

// sinceNow operators compare a timestamp with now.
var sinceNow = map[string]func(at, now time.Time) bool{
	"is_timestamp_before_now":       time.Time.Before,
	"is_timestamp_on_or_after_now":  notBefore,
	"is_timestamp_before":           time.Time.Before,
	"is_timestamp_on_or_after":      notBefore,
	"is_timestamp_before_date":      func(a, b time.Time) bool { return day(a).Before(day(b)) },
	"is_timestamp_on_or_after_date": func(a, b time.Time) bool { return !day(a).Before(day(b)) },
}

// later holds operators that are part of the language and not built yet.
var later = []string{"is_audience_member", "is_not_audience_member", "is_in_random_cohort"}

// Operators lists the operators of the structured form, sorted.
func Operators() []string {
	names := slices.Concat(slices.Collect(maps.Keys(comparing)), slices.Collect(maps.Keys(presence)),
		slices.Collect(maps.Keys(sinceNow)), []string{"is_between", "is_timestamp_between"})
	slices.Sort(names)
	return names
}

func compileNode(where string, n Node) (check, error) {
	variable, ok := parsePath(n.Variable)
	if !ok {
		return nil, at(where+".variable", "the variable must be a path of at most %d bytes below one of %s, such as recipient.plan",
			MaxVariable, strings.Join(rootNames, ", "))
	}
	if slices.Contains(later, n.Operator) {
		return nil, at(where+".operator", "%s is not available yet; remove this condition", n.Operator)
	}
	arg, err := parseArgument(where+".argument", n.Argument)
	if err != nil {
		return nil, err
	}
	test, err := compileOperator(where, n.Operator, variable, arg)
	if err != nil {
		return nil, err
	}
	return func(e *evaluation) (bool, error) {
		holds, err := test(e)
		if err != nil {
			return false, at(where, "%s", err.Error())
		}
		return holds, nil
	}, nil
}

func compileOperator(where, name string, variable path, arg argument) (check, *Error) {
	if test, ok := comparing[name]; ok {
		return func(e *evaluation) (bool, error) { return test(e, variable.value(e.scope), arg.in(e.scope)) }, nil
	}
	if test, ok := presence[name]; ok {
		if err := noArgument(where, name, arg); err != nil {
			return nil, err
		}
		return func(e *evaluation) (bool, error) { return test(variable.lookup(e.scope)), nil }, nil
	}
	if test, ok := sinceNow[name]; ok {
		return compileTimestamp(where, name, variable, arg, test)
	}
	if name == "is_between" || name == "is_timestamp_between" {
		return compileBetween(where, name, variable, arg)
	}
	return nil, at(where+".operator", "unknown operator %q; use one of %s", clip(name), strings.Join(Operators(), ", "))
}

func clip(s string) string {
	if len(s) > 50 {
		return s[:50] + "…"
	}
	return s
}

func noArgument(where, name string, arg argument) *Error {
	if arg.dynamic != nil || (arg.fixed != nil && arg.fixed != "") {
		return at(where+".argument", "%s takes no argument; leave it out", name)
	}
	return nil
}

func compileTimestamp(where, name string, variable path, arg argument, test func(a, b time.Time) bool) (check, *Error) {
	if strings.HasSuffix(name, "_now") {
		if err := noArgument(where, name, arg); err != nil {
			return nil, err
		}
		return func(e *evaluation) (bool, error) {
			at, ok := timestamp(variable.value(e.scope))
			return ok && test(at, e.now), nil
		}, nil
	}
	if arg.dynamic == nil {
		s, _ := arg.fixed.(string)
		_, absolute := timestamp(s)
		_, isRelative, err := relative(s)
		if err != nil {
			return nil, at(where+".argument", "%s", err.Error())
		}
		if !absolute && !isRelative {
			return nil, at(where+".argument", "%s needs a timestamp (2006-01-02T15:04:05Z), a relative one (7 days ago, 15 minutes from now) or a path", name)
		}
	}
	return func(e *evaluation) (bool, error) {
		left, ok1 := timestamp(variable.value(e.scope))
		right, ok2 := moment(arg.in(e.scope).fixed, e.now)
		return ok1 && ok2 && test(left, right), nil
	}, nil
}

// moment is the time an argument means: absolute, or relative to now.
func moment(v any, now time.Time) (time.Time, bool) {
	if at, ok := timestamp(v); ok {
		return at, true
	}
	s, _ := v.(string)
	if len(s) > 64 {
		return time.Time{}, false
	}
	offset, ok, err := relative(s)
	return now.Add(offset), ok && err == nil
}

func compileBetween(where, name string, variable path, arg argument) (check, *Error) {
	list, ok := arg.fixed.([]any)
	if !ok || len(list) != 2 {
		return nil, at(where+".argument", "%s needs a list of two values, [start, end]", name)
	}
	var ends [2]argument
	for i, v := range list {
		ends[i] = argument{fixed: v}
		if s, ok := v.(string); ok {
			ends[i] = textArgument(s)
		}
		_, isTime := timestamp(v)
		if name == "is_timestamp_between" && ends[i].dynamic == nil && !isTime {
			return nil, at(where+".argument", "%s needs timestamps (2006-01-02T15:04:05Z) or paths; relative ones are not possible here", name)
		}
	}
	if name == "is_timestamp_between" {
		return func(e *evaluation) (bool, error) {
			at, ok := timestamp(variable.value(e.scope))
			start, ok1 := timestamp(ends[0].in(e.scope).fixed)
			end, ok2 := timestamp(ends[1].in(e.scope).fixed)
			return ok && ok1 && ok2 && !at.Before(start) && !at.After(end), nil
		}, nil
	}
	return func(e *evaluation) (bool, error) {
		v := variable.value(e.scope)
		low, ok1 := compare(v, ends[0].in(e.scope).fixed)
		high, ok2 := compare(v, ends[1].in(e.scope).fixed)
		return ok1 && ok2 && low >= 0 && high <= 0, nil
	}, nil
}

func notBefore(at, than time.Time) bool { return !at.Before(than) }

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func not(test operator) operator {
	return func(e *evaluation, v any, a argument) (bool, error) {
		holds, err := test(e, v, a)
		return !holds && err == nil, err
	}
}

// equalTo holds for the same value, and for a number or bool and its spelling.
func equalTo(e *evaluation, v any, a argument) (bool, error) {
	if s, ok := v.(string); ok {
		if other, ok := a.fixed.(string); ok {
			return s == other || (a.written != "" && s == a.written), nil
		}
		if a.written != "" {
			return s == a.written, nil
		}
	}
	return loosely(e, v, a.fixed)
}

// loosely is deep equality in which a number or bool equals its spelling.
func loosely(e *evaluation, a, b any) (bool, error) {
	_, isText := a.(string)
	_, otherIsText := b.(string)
	if isText == otherIsText {
		return equal(e, a, b)
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y, e.spend(1)
	}
	if isBool(a) || isBool(b) {
		x, ok1 := text(a)
		y, ok2 := text(b)
		return ok1 && ok2 && x == y, e.spend(1)
	}
	return false, e.spend(1)
}

func isBool(v any) bool { _, ok := v.(bool); return ok }

// compare orders numbers, else timestamps, else texts; ok is false when the two
// have no order. Empty texts (unset paths) have none.
func compare(a, b any) (order int, ok bool) {
	if x, isInt := a.(int); isInt {
		if y, isInt := b.(int); isInt {
			return cmp.Compare(x, y), true // exact beyond 2^53
		}
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return cmp.Compare(x, y), true
		}
	}
	if x, ok := timestamp(a); ok {
		if y, ok := timestamp(b); ok {
			return x.Compare(y), true
		}
	}
	x, ok1 := a.(string)
	y, ok2 := b.(string)
	return strings.Compare(x, y), ok1 && ok2 && x != "" && y != ""
}

func ordered(wanted func(int) bool) operator {
	return func(e *evaluation, v any, a argument) (bool, error) {
		other := a.fixed
		if _, isText := v.(string); isText && a.written != "" {
			if _, numeric := number(v); !numeric {
				other = a.written // text against text
			}
		}
		order, ok := compare(v, other)
		return ok && wanted(order), e.spend(textCost(v))
	}
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	default:
		return false
	}
}

// containsArgument: list and value: an entry; list and list: a shared entry; text
// and text: a substring; text and list: the text is an entry of the argument.
func containsArgument(e *evaluation, v any, a argument) (bool, error) {
	if isEmpty(a.fixed) || isEmpty(v) {
		return false, nil
	}
	list, isList := v.([]any)
	wanted, wantsList := a.fixed.([]any)
	switch {
	case isList && wantsList:
		for _, w := range wanted {
			if found, err := member(e, list, argument{fixed: w}); found || err != nil {
				return found, err
			}
		}
		return false, nil
	case isList:
		return member(e, list, a)
	case wantsList:
		return member(e, wanted, argument{fixed: v})
	}
	s, ok := v.(string)
	part := a.written
	if inner, isText := a.fixed.(string); isText {
		part = inner
	} else if part == "" {
		part, _ = text(a.fixed)
	}
	return ok && part != "" && strings.Contains(s, part), e.spend(textCost(s))
}

func member(e *evaluation, list []any, a argument) (bool, error) {
	for _, candidate := range list {
		if same, err := equalTo(e, normal(candidate), a); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// containsAll holds for lists that have every entry of the argument.
func containsAll(e *evaluation, v any, a argument) (bool, error) {
	list, ok := v.([]any)
	if !ok || isEmpty(a.fixed) {
		return false, nil
	}
	wanted, ok := a.fixed.([]any)
	if !ok {
		return member(e, list, a)
	}
	for _, w := range wanted {
		if found, err := member(e, list, argument{fixed: w}); !found || err != nil {
			return false, err
		}
	}
	return true, nil
}
