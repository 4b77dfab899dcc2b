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
var later = []string{"is_in_random_cohort"}

// membership operators ask for an audience by its key. Their variable is recipient.id.
var membership = []string{"is_audience_member", "is_not_audience_member"}

// Operators lists the operators of the structured form, sorted.
func Operators() []string { return slices.Clone(operatorNames) }

var operatorNames = func() []string {
	names := slices.Concat(slices.Collect(maps.Keys(comparing)), slices.Collect(maps.Keys(presence)),
		slices.Collect(maps.Keys(sinceNow)), []string{"is_between", "is_timestamp_between"}, membership)
	slices.Sort(names)
	return names
}()

// check decides one structured condition, or one operator function of an expression.
type check struct {
	where    string // in the group; empty in an expression
	variable path
	operator string
	argument argument
	test     func(*evaluation) (bool, error)
}

func compileNode(where string, n Node, o Options) (check, *Error) {
	c := check{where: where, operator: n.Operator}
	var ok bool
	if c.variable, ok = parsePath(n.Variable); !ok {
		return check{}, at(where+".variable", "the variable must be a path of at most %d bytes below one of %s, such as recipient.plan",
			MaxVariable, o.roots())
	}
	if c.variable[0] == eventRoot && !o.Event {
		return check{}, at(where+".variable", eventMisplaced)
	}
	var err *Error
	if c.argument, err = parseArgument(where+".argument", n.Argument); err != nil {
		return check{}, err
	}
	if isBetween(n.Operator) {
		if c.argument.ends, err = parseEnds(where+".argument", n.Operator, c.argument); err != nil {
			return check{}, err
		}
	}
	for _, p := range c.argument.paths() {
		if p[0] == eventRoot && !o.Event {
			return check{}, at(where+".argument", "%s; to mean the text, quote it twice: %q", eventMisplaced, `"`+clip(p.String())+`"`)
		}
	}
	if c.test, err = c.compile(); err != nil {
		return check{}, err
	}
	return c, nil
}

func isBetween(operator string) bool {
	return operator == "is_between" || operator == "is_timestamp_between"
}

// compile finds out what the check does.
func (c check) compile() (func(*evaluation) (bool, error), *Error) {
	name, variable, arg := c.operator, c.variable, c.argument
	if slices.Contains(later, name) {
		return nil, at(c.where+".operator", "%s is not available yet; remove this condition", name)
	}
	if !slices.Contains(Operators(), name) {
		return nil, at(c.where+".operator", "unknown operator %q; use one of %s", clip(name), strings.Join(Operators(), ", "))
	}
	if slices.Contains(membership, name) {
		return c.compileMembership()
	}
	if isStatus(variable) || arg.token != "" {
		return c.compileStatus()
	}
	if test, ok := comparing[name]; ok {
		return func(e *evaluation) (bool, error) { return test(e, variable.value(e.scope), arg.in(e.scope)) }, nil
	}
	if test, ok := presence[name]; ok {
		if err := c.noArgument(); err != nil {
			return nil, err
		}
		return func(e *evaluation) (bool, error) { return test(variable.lookup(e.scope)), nil }, nil
	}
	if test, ok := sinceNow[name]; ok {
		return c.compileTimestamp(test)
	}
	return c.compileBetween(), nil
}

func clip(s string) string {
	if len(s) > 50 {
		return s[:50] + "…"
	}
	return s
}

// takesArgument is false for operators that are about the variable alone.
func takesArgument(operator string) bool {
	return presence[operator] == nil && !strings.HasSuffix(operator, "_now")
}

func (c check) noArgument() *Error {
	if a := c.argument; a.dynamic != nil || (a.fixed != nil && a.fixed != "") {
		return at(c.where+".argument", "%s takes no argument; leave it out", c.operator)
	}
	return nil
}

func (c check) compileTimestamp(test func(a, b time.Time) bool) (func(*evaluation) (bool, error), *Error) {
	variable, arg := c.variable, c.argument
	if !takesArgument(c.operator) {
		if err := c.noArgument(); err != nil {
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
			return nil, at(c.where+".argument", "%s", err.Error())
		}
		if !absolute && !isRelative {
			return nil, at(c.where+".argument", "%s needs a timestamp (2006-01-02T15:04:05Z), a relative one (7 days ago, 15 minutes from now) or a path", c.operator)
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

func (c check) compileBetween() func(*evaluation) (bool, error) {
	variable, start, end := c.variable, c.argument.ends[0], c.argument.ends[1]
	if c.operator == "is_timestamp_between" {
		return func(e *evaluation) (bool, error) {
			at, ok := timestamp(variable.value(e.scope))
			from, ok1 := timestamp(start.in(e.scope).fixed)
			to, ok2 := timestamp(end.in(e.scope).fixed)
			return ok && ok1 && ok2 && !at.Before(from) && !at.After(to), nil
		}
	}
	return func(e *evaluation) (bool, error) {
		v := variable.value(e.scope)
		low, ok1 := compare(v, start.in(e.scope).fixed)
		high, ok2 := compare(v, end.in(e.scope).fixed)
		return ok1 && ok2 && low >= 0 && high <= 0, e.spend(2 * textCost(v))
	}
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
			return s == other || (a.written != "" && s == a.written), e.spend(textCost(s))
		}
		if a.written != "" {
			return s == a.written, e.spend(textCost(s))
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
