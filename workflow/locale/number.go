package locale

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
)

// FormatNumber writes a number with the separators and digits of a locale: 1234567.891 is
// 1,234,567.89 in en and 12,34,567.89 in hi, with at most 2 digits after the decimal
// point.
//
// v is a float64, int, int64, json.Number, or text such as "-1234.50". It gets at least
// minFraction and at most maxFraction digits after the decimal point, 0 to [MaxFraction],
// rounded half away from zero. Errors are *belfry.Error.
func FormatNumber(v any, tag string, minFraction, maxFraction int) (string, error) {
	if minFraction < 0 || maxFraction < minFraction {
		return "", belfry.Errorf(belfry.Invalid, "the least number of digits after the decimal point must be from 0 to the greatest")
	}
	if maxFraction > MaxFraction {
		return "", belfry.Beyond("", MaxFraction, "digits after the decimal point")
	}
	d, err := parseDecimal(v)
	if err != nil {
		return "", err
	}
	c, _ := find(tag)
	return c.write(d.round(minFraction, maxFraction), &c.Number, ""), nil
}

// Currency writes an amount of money: 1234.5 with USD is $1,234.50 in en, and with EUR
// 1.234,50 € in de. It has as many digits after the decimal point as ISO 4217 says,
// rounded half away from zero: 2 for most, none for JPY, 3 for KWD. v is as in
// [FormatNumber]; code is of ISO 4217, in any case. Errors are *belfry.Error.
func Currency(v any, code, tag string) (string, error) {
	return money(v, code, tag, false)
}

// RoundedCurrency is [Currency] in whole units: 1234.5 with USD is $1,235 in en.
func RoundedCurrency(v any, code, tag string) (string, error) {
	return money(v, code, tag, true)
}

func money(v any, code, tag string, rounded bool) (string, error) {
	d, err := parseDecimal(v)
	if err != nil {
		return "", err
	}
	if len(code) == 3 {
		code = strings.ToUpper(code)
	}
	if !tables().currencies[code] {
		return "", belfry.Errorf(belfry.Invalid, "unknown currency: use a code of ISO 4217, such as EUR")
	}
	places := minorUnits(code)
	if rounded {
		places = 0
	}
	c, _ := find(tag)
	symbol, ok := c.Symbols[code]
	if !ok {
		symbol = code
	}
	return c.write(d.round(places, places), &c.Currency, symbol), nil
}

// minorUnits returns how many digits after the decimal point a currency has by ISO 4217.
// CLDR has other numbers, of digits in use.
func minorUnits(code string) int {
	switch code {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	case "CLF", "UYW":
		return 4
	default:
		return 2
	}
}

// write puts a rounded number, and the symbol of a currency if there is one, into a
// layout.
func (c *conventions) write(d decimal, l *layout, symbol string) string {
	text := c.digits(c.Grouping.apply(d.whole, l.Group))
	if d.fraction != "" {
		text += l.Decimal + c.digits(d.fraction)
	}
	pattern := l.Positive
	if d.negative {
		pattern = l.Negative
	}
	// Letters need a space where they meet the number: CHF 5, but €5.
	const space = "\u00a0"
	if last, _ := utf8.DecodeLastRuneInString(symbol); strings.Contains(pattern, "{c}{n}") && !detached(last) {
		symbol += space
	}
	if first, _ := utf8.DecodeRuneInString(symbol); strings.Contains(pattern, "{n}{c}") && !detached(first) {
		symbol = space + symbol
	}
	return strings.NewReplacer("{n}", text, "{c}", symbol).Replace(pattern)
}

func detached(r rune) bool { return unicode.IsSymbol(r) || unicode.In(r, unicode.Z) }

func (g grouping) apply(whole, separator string) string {
	if separator == "" || len(whole) < g.Primary+g.Minimum {
		return whole
	}
	var b strings.Builder
	for i, digit := range whole {
		rest := len(whole) - i // digits from here
		if i > 0 && rest >= g.Primary && (rest-g.Primary)%g.Secondary == 0 {
			b.WriteString(separator)
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// digits writes 0 to 9 in the digits of the locale, and leaves the rest alone.
func (c *conventions) digits(text string) string {
	if c.Digits == "" {
		return text
	}
	own := []rune(c.Digits)
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return own[r-'0']
		}
		return r
	}, text)
}
