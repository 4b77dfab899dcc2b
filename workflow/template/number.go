package template

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/osteele/liquid/values"
)

// integer is what a value is as a whole number: texts as far as they are digits, what has no number is 0.
func integer(v any) int {
	switch v := numeric(v).(type) {
	case int:
		return v
	case float64:
		return clamp(math.Trunc(v))
	}
	return 0
}

// clamp makes a whole float an int; floats that are none become the nearest.
func clamp(f float64) int {
	switch {
	case math.IsNaN(f):
		return 0
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int(f)
}

// floatOf is a number as a float, and whether the value is a number at all. Texts are none.
func floatOf(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// numeric is what arithmetic makes of a value: an int or a float64. Texts count as far as they start like a number.
func numeric(v any) any {
	switch v := v.(type) {
	case int, float64:
		return v
	case values.SafeValue:
		return numeric(v.Value)
	case string:
		return numberIn(strings.Trim(v, spaces))
	}
	return 0
}

func numberIn(s string) any {
	sign := strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+")
	digits := s[btoi(sign):]
	if digits == "" || !isDigit(digits[0]) || len(s) > 400 {
		return 0
	}
	s = s[:btoi(sign)+numberLength(digits)]
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	f, _ := strconv.ParseFloat(s, 64)
	return f
}

// wholeArgument is a number that a filter or loop counts with: a whole one, or a text of digits.
func wholeArgument(name string, v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case float64:
		if v == math.Trunc(v) {
			return clamp(v), nil
		}
	case string:
		if n, err := strconv.Atoi(strings.Trim(v, spaces)); err == nil {
			return n, nil
		}
	}
	return 0, limitError(name + " must be a whole number; give it a default with assign")
}

// arithmetic works with decimals, as people do: 0.1 plus 0.2 is 0.3. Whole numbers stay whole while they fit.
func arithmetic(operator byte, left, right any) (any, error) {
	left, right = numeric(left), numeric(right)
	a, leftInt := left.(int)
	b, rightInt := right.(int)
	if leftInt && rightInt {
		return wholeArithmetic(operator, a, b)
	}
	x, xok := decimal(left)
	y, yok := decimal(right)
	if !xok || !yok { // infinities
		return nil, limitError("this number is out of range; use smaller ones")
	}
	if (operator == '/' || operator == '%') && y.Sign() == 0 {
		return nil, errDivision
	}
	switch operator {
	case '+':
		x.Add(x, y)
	case '-':
		x.Sub(x, y)
	case '*':
		x.Mul(x, y)
	case '/':
		x.Quo(x, y)
	case '%':
		quotient := floorRat(new(big.Rat).Quo(x, y))
		x.Sub(x, quotient.Mul(quotient, y))
	}
	f, _ := x.Float64()
	return f, nil
}

const errDivision = limitError("division by zero; check the divisor with if")

func wholeArithmetic(operator byte, a, b int) (any, error) {
	if (operator == '/' || operator == '%') && b == 0 {
		return nil, errDivision
	}
	if small := 1 << 31; operator == '+' || operator == '-' || operator == '*' {
		if -small < a && a < small && -small < b && b < small { // nothing overflows
			switch operator {
			case '+':
				return a + b, nil
			case '-':
				return a - b, nil
			}
			return a * b, nil
		}
	}
	x, y := big.NewInt(int64(a)), big.NewInt(int64(b))
	switch operator {
	case '+':
		x.Add(x, y)
	case '-':
		x.Sub(x, y)
	case '*':
		x.Mul(x, y)
	case '/', '%':
		quotient, rest := new(big.Int), new(big.Int)
		quotient.DivMod(x, y, rest)
		if b < 0 && rest.Sign() != 0 { // towards minus infinity, not towards the divisor's sign
			quotient.Sub(quotient, big.NewInt(1))
			rest.Add(rest, y)
		}
		if x = quotient; operator == '%' {
			x = rest
		}
	}
	if x.IsInt64() {
		return int(x.Int64()), nil
	}
	f, _ := new(big.Float).SetInt(x).Float64()
	return f, nil
}

// decimal is the number a person reads when a float is printed.
func decimal(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case int:
		return new(big.Rat).SetInt64(int64(v)), true
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, false
		}
		return new(big.Rat).SetString(strconv.FormatFloat(v, 'g', -1, 64))
	}
	return nil, false
}

func floorRat(r *big.Rat) *big.Rat {
	quotient, _ := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	return new(big.Rat).SetInt(quotient)
}

// rounded rounds half away from zero, to a whole number when there are no digits.
func rounded(v any, digits int) any {
	v = numeric(v)
	f, ok := v.(float64)
	if !ok || math.IsInf(f, 0) {
		if n, ok := v.(int); ok && digits < 0 {
			f = float64(n)
		} else {
			return v
		}
	}
	if digits > 20 {
		return v
	}
	digits = max(digits, -20)
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(digits, -digits))), nil))
	if digits < 0 {
		scale.Inv(scale)
	}
	x, _ := decimal(f)
	x.Mul(x, scale)
	half := big.NewRat(1, 2)
	if x.Sign() < 0 {
		x.Neg(floorRat(x.Neg(x).Add(x, half)))
	} else {
		x = floorRat(x.Add(x, half))
	}
	out, _ := x.Quo(x, scale).Float64()
	if digits <= 0 {
		return whole(out)
	}
	return out
}

// whole makes a float an int where it fits.
func whole(f float64) any {
	if math.Abs(f) < 1<<62 {
		return int(f)
	}
	return f
}
