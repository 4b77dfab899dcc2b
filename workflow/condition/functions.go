package condition

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/vm/runtime"
)

// function is a function of the expression language. The first parameter is the
// evaluation; min and max count the others.
type function struct {
	call      func(params ...any) (any, error)
	signature any
	min, max  int
}

// simple adapts a function of one value, charging for the size of its text.
func simple[T any](f func(*evaluation, any) (T, error)) function {
	return function{
		call: func(p ...any) (any, error) {
			e := p[0].(*evaluation)
			if err := e.spend(textCost(p[1])); err != nil {
				return nil, err
			}
			return f(e, p[1])
		},
		signature: new(func(any, any) T), min: 1, max: 1,
	}
}

// binary adapts a function of two values that charges for itself.
func binary[T any](f func(*evaluation, any, any) (T, error)) function {
	return function{
		call:      func(p ...any) (any, error) { return f(p[0].(*evaluation), p[1], p[2]) },
		signature: new(func(any, any, any) T), min: 2, max: 2,
	}
}

// textCost is what copying or scanning a value costs.
func textCost(v any) int {
	if s, ok := v.(string); ok {
		return 1 + len(s)/8
	}
	return 1
}

// functions are what authors can call.
var functions = map[string]function{
	"len":    simple(length),
	"lower":  simple(onText(strings.ToLower)),
	"upper":  simple(onText(strings.ToUpper)),
	"trim":   simple(onText(strings.TrimSpace)),
	"int":    simple(toInt),
	"float":  simple(toFloat),
	"string": simple(toString),
	"abs":    simple(absolute),
	"round":  simple(rounded),
	"now": {
		call:      func(p ...any) (any, error) { return p[0].(*evaluation).now, nil },
		signature: new(func(any) time.Time),
	},
	"duration": simple(func(_ *evaluation, v any) (time.Duration, error) {
		s, ok := v.(string)
		if !ok {
			return 0, fmt.Errorf("duration() needs a text such as \"24h\", not %s", kind(v))
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errors.New("duration() needs a text such as \"90m\" or \"24h\"; the units are h, m, s and ms")
		}
		return d, nil
	}),
	"date": {call: date, signature: new(func(any, any, ...any) any), min: 1, max: 3},
	"get": {
		call:      func(p ...any) (any, error) { return get(p...) },
		signature: new(func(any, any, any) any), min: 2, max: 2,
	},
}

// internals are what the rewriter puts in place of operators.
var internals = map[string]function{
	"_get":        {call: get, signature: new(func(any, any, ...any) any)},
	"_item":       simple(func(_ *evaluation, v any) (any, error) { return normal(v), nil }),
	"_items":      simple(items),
	"_sliceable":  simple(sliceable),
	"_truth":      simple(truth),
	"_add":        binary(add),
	"_in":         binary(in),
	"_contains":   binary(contains),
	"_startsWith": binary(onTexts(strings.HasPrefix)),
	"_endsWith":   binary(onTexts(strings.HasSuffix)),
	"_matches":    binary(matches),
	"_equal":      binary(equal),
	"_unequal": binary(func(e *evaluation, a, b any) (bool, error) {
		same, err := equal(e, a, b)
		return !same, err
	}),
	"_check": binary(func(e *evaluation, index, _ any) (bool, error) {
		return e.check(index.(int))
	}),
}

func length(_ *evaluation, v any) (int, error) {
	switch v := v.(type) {
	case nil:
		return 0, nil
	case string:
		return utf8.RuneCountInString(v), nil
	case []any:
		return len(v), nil
	case map[string]any:
		return len(v), nil
	default:
		return 0, fmt.Errorf("len() needs a text, a list or an object, not %s", kind(v))
	}
}

func onText(f func(string) string) func(*evaluation, any) (any, error) {
	return func(_ *evaluation, v any) (any, error) {
		switch v := v.(type) {
		case nil:
			return nil, nil
		case string:
			return f(v), nil
		default:
			return nil, fmt.Errorf("this function needs a text, not %s; convert with string()", kind(v))
		}
	}
}

func toInt(_ *evaluation, v any) (int, error) {
	switch v := v.(type) {
	case string:
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return n, nil
		}
	case int:
		return v, nil
	}
	if f, ok := number(v); ok && math.Abs(f) < 1<<63 {
		return int(f), nil
	}
	return 0, fmt.Errorf("int() needs a number or the text of one, not %s", kind(v))
}

func toFloat(_ *evaluation, v any) (float64, error) {
	if f, ok := number(v); ok {
		return f, nil
	}
	return 0, fmt.Errorf("float() needs a number or the text of one, not %s", kind(v))
}

func toString(_ *evaluation, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case time.Time:
		return v.Format(time.RFC3339), nil
	case time.Duration:
		return v.String(), nil
	}
	if s, ok := text(v); ok {
		return s, nil
	}
	return "", fmt.Errorf("string() needs a single value, not %s", kind(v))
}

func absolute(_ *evaluation, v any) (any, error) {
	if n, ok := v.(int); ok {
		return max(n, -n), nil
	}
	if f, ok := v.(float64); ok {
		return math.Abs(f), nil
	}
	return nil, fmt.Errorf("abs() needs a number, not %s", kind(v))
}

func rounded(_ *evaluation, v any) (any, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case float64:
		return math.Round(v), nil
	default:
		return nil, fmt.Errorf("round() needs a number, not %s", kind(v))
	}
}

// date(text), date(text, layout), date(text, layout, zone). A nil text is nil.
func date(p ...any) (any, error) {
	e, args := p[0].(*evaluation), make([]string, 0, 3)
	if at, ok := p[1].(time.Time); ok {
		return at, nil
	}
	if p[1] == nil {
		return nil, nil
	}
	for _, v := range p[1:] {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("date() needs a text such as \"2006-01-02T15:04:05Z\", not %s", kind(v))
		}
		if err := e.spend(textCost(s)); err != nil {
			return nil, err
		}
		args = append(args, s)
	}
	if len(args) == 1 {
		if at, ok := timestamp(args[0]); ok {
			return at, nil
		}
		return nil, errors.New("date() needs a text such as \"2006-01-02\" or \"2006-01-02T15:04:05Z\"; give a layout for others")
	}
	zone := time.UTC
	if len(args) == 3 {
		if err := e.spend(zoneCost); err != nil {
			return nil, err
		}
		loaded, err := time.LoadLocation(args[2])
		if err != nil {
			return nil, errors.New("date() does not know this time zone; use a name such as \"Europe/Berlin\"")
		}
		zone = loaded
	}
	at, err := time.ParseInLocation(args[1], args[0], zone)
	if err != nil {
		return nil, errors.New("date() can't read the text in this layout; write the layout as 2006-01-02 15:04:05")
	}
	return at, nil
}

// zoneCost reflects that loading a time zone reads a file.
const zoneCost = 2000

func truth(_ *evaluation, v any) (bool, error) {
	switch v := v.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	default:
		return false, fmt.Errorf("a true or false value is needed here, not %s; compare it, as in data.n != 0", kind(v))
	}
}

func items(_ *evaluation, v any) ([]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []any:
		if len(v) > MaxItems {
			return nil, fmt.Errorf("the list has %d entries, more than the %d a condition looks through", len(v), MaxItems)
		}
		return v, nil
	default:
		return nil, fmt.Errorf("a list is needed here, not %s", kind(v))
	}
}

func sliceable(_ *evaluation, v any) (any, error) {
	switch v.(type) {
	case nil:
		return []any{}, nil
	case string, []any:
		return v, nil
	default:
		return nil, fmt.Errorf("only a text or a list can be sliced, not %s", kind(v))
	}
}

func add(e *evaluation, a, b any) (any, error) {
	if err := e.spend(textCost(a) + textCost(b)); err != nil {
		return nil, err
	}
	if a == nil || b == nil {
		return nil, errors.New("can't add to nil; a value is missing here: give it a default with ??")
	}
	return runtime.Add(a, b), nil // panics on other types, which the machine reports
}

// pattern is a compiled regular expression and the size of its program.
type pattern struct {
	re   *regexp.Regexp
	size int
}

func compilePattern(source string) (pattern, error) {
	parsed, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return pattern{}, fmt.Errorf("the pattern is not a regular expression (%w)", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return pattern{}, fmt.Errorf("the pattern is not a regular expression (%w)", err)
	}
	if len(program.Inst) > MaxPatternProgram {
		return pattern{}, errors.New("the pattern is too complex; use smaller repeat counts")
	}
	re, err := regexp.Compile(source)
	if err != nil {
		return pattern{}, fmt.Errorf("the pattern is not a regular expression (%w)", err)
	}
	return pattern{re, len(program.Inst)}, nil
}

func matches(e *evaluation, v, index any) (bool, error) {
	p := e.condition.patterns[index.(int)]
	s, ok := v.(string)
	if !ok {
		if v == nil {
			return false, nil
		}
		return false, fmt.Errorf("matches needs a text on its left, not %s; convert with string()", kind(v))
	}
	if err := e.spend(1 + len(s)*p.size/4); err != nil {
		return false, err
	}
	return p.re.MatchString(s), nil
}

func onTexts(f func(s, part string) bool) func(*evaluation, any, any) (bool, error) {
	return func(e *evaluation, a, b any) (bool, error) {
		if a == nil || b == nil {
			return false, nil
		}
		s, ok1 := a.(string)
		part, ok2 := b.(string)
		if !ok1 || !ok2 {
			return false, fmt.Errorf("this operator needs texts on both sides, not %s and %s", kind(a), kind(b))
		}
		if err := e.spend(textCost(s) + textCost(part)); err != nil {
			return false, err
		}
		return f(s, part), nil
	}
}

var containsText = onTexts(strings.Contains)

// contains is a substring test for texts and a membership test for lists.
func contains(e *evaluation, a, b any) (bool, error) {
	if list, ok := a.([]any); ok {
		return in(e, b, list)
	}
	return containsText(e, a, b)
}

func in(e *evaluation, needle, haystack any) (bool, error) {
	switch haystack := haystack.(type) {
	case nil:
		return false, nil
	case map[string]any:
		key, _ := text(needle)
		_, ok := haystack[key]
		return ok, e.spend(textCost(key))
	case []any:
		for _, candidate := range haystack {
			same, err := equal(e, candidate, needle)
			if err != nil || same {
				return same, err
			}
		}
		return false, nil
	default:
		return false, fmt.Errorf("in needs a list or an object on its right, not %s; use contains for texts", kind(haystack))
	}
}
