package template

import "math"

var numberFilters = map[string]filter{
	"plus":       {1, 1, nil, false, calculated('+')},
	"minus":      {1, 1, nil, false, calculated('-')},
	"times":      {1, 1, nil, false, calculated('*')},
	"divided_by": {1, 1, nil, false, calculated('/')},
	"modulo":     {1, 1, nil, false, calculated('%')},
	"at_least":   {1, 1, nil, false, chosen(1)},
	"at_most":    {1, 1, nil, false, chosen(-1)},
	"abs":        {apply: absolute},
	"ceil":       ofNumber(math.Ceil),
	"floor":      ofNumber(math.Floor),
	"round": {0, 1, nil, false, func(_ *state, in any, args []any) (any, error) {
		return rounded(in, integer(optional(args, 0, 0))), nil
	}},
}

func calculated(operator byte) apply {
	return func(_ *state, in any, args []any) (any, error) { return arithmetic(operator, in, args[0]) }
}

// ofNumber is a filter that makes whole numbers.
func ofNumber(f func(float64) float64) filter {
	return filter{apply: func(_ *state, in any, _ []any) (any, error) {
		if x, ok := numeric(in).(float64); ok {
			return whole(f(x)), nil
		}
		return numeric(in), nil
	}}
}

// chosen is the larger of two numbers, or the smaller if sign is -1.
func chosen(sign int) apply {
	return func(_ *state, in any, args []any) (any, error) {
		a, b := numeric(in), numeric(args[0])
		if order, _ := compared(a, b); order*sign < 0 {
			return b, nil
		}
		return a, nil
	}
}

func absolute(_ *state, in any, _ []any) (any, error) {
	switch n := numeric(in).(type) {
	case int:
		if n < 0 && n != math.MinInt {
			return -n, nil
		}
		return n, nil
	case float64:
		return math.Abs(n), nil
	}
	return 0, nil
}
