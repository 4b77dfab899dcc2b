package locale

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/belfryhq/belfry"
)

// Limits of numbers.
const (
	MaxNumberLength = 64 // bytes of a number that is given as text
	MaxFraction     = 20 // digits that can be asked for after the decimal point
)

// decimal is a number as it is written: money must not go through binary fractions.
type decimal struct {
	negative        bool
	whole, fraction string // digits; whole has no leading zeros but "0" itself
}

var number = regexp.MustCompile(`^[+-]?\d+(\.\d+)?$`)

// parseDecimal reads what JSON or Liquid may hold as a number: float64, int, int64,
// json.Number, or text such as "-1234.50".
func parseDecimal(v any) (decimal, error) {
	var text string
	switch v := v.(type) {
	case string:
		text = strings.TrimSpace(v)
	case json.Number:
		text = v.String()
		if strings.ContainsAny(text, "eE") && len(text) <= MaxNumberLength {
			if f, err := v.Float64(); err == nil {
				return parseDecimal(f)
			}
		}
	case int:
		text = strconv.Itoa(v)
	case int64:
		text = strconv.FormatInt(v, 10)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return decimal{}, belfry.Errorf(belfry.Invalid, "must be a finite number")
		}
		return split(strconv.FormatFloat(v, 'f', -1, 64)), nil
	}
	if len(text) > MaxNumberLength {
		return decimal{}, belfry.Beyond("", MaxNumberLength, "digits")
	}
	if !number.MatchString(text) {
		return decimal{}, belfry.Errorf(belfry.Invalid, `must be a number such as 1234.5 or "1234.50"`)
	}
	return split(text), nil
}

func split(text string) decimal {
	var d decimal
	d.negative = strings.HasPrefix(text, "-")
	d.whole, d.fraction, _ = strings.Cut(strings.TrimLeft(text, "+-"), ".")
	if d.whole = strings.TrimLeft(d.whole, "0"); d.whole == "" {
		d.whole = "0"
	}
	return d
}

// round returns d with at least low and at most high digits after the decimal point,
// rounded half away from zero. Nothing is negative about a zero.
func (d decimal) round(low, high int) decimal {
	if len(d.fraction) > high {
		up := d.fraction[high] >= '5'
		digits := []byte(d.whole + d.fraction[:high])
		for i := len(digits) - 1; up && i >= 0; i-- {
			if up = digits[i] == '9'; up {
				digits[i] = '0'
			} else {
				digits[i]++
			}
		}
		whole := len(d.whole)
		if up {
			digits = append([]byte{'1'}, digits...)
			whole++
		}
		d.whole, d.fraction = string(digits[:whole]), string(digits[whole:])
	}
	for len(d.fraction) > low && d.fraction[len(d.fraction)-1] == '0' {
		d.fraction = d.fraction[:len(d.fraction)-1]
	}
	if missing := low - len(d.fraction); missing > 0 {
		d.fraction += strings.Repeat("0", missing)
	}
	if strings.Trim(d.whole+d.fraction, "0") == "" {
		d.negative = false
	}
	return d
}
