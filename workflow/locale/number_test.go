package locale_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/locale"
)

const (
	nbsp   = "\u00a0" // no-break space
	narrow = "\u202f" // narrow no-break space
)

func TestFormatNumber(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"en": "-1,234,567.89", "en-GB": "-1,234,567.89", "de": "-1.234.567,89", "de-CH": "-1'234'567.89",
		"fr": "-1" + narrow + "234" + narrow + "567,89", "es": "-1.234.567,89", "pt-BR": "-1.234.567,89",
		"ja": "-1,234,567.89", "ar": "\u200e-1,234,567.89", "hi": "-12,34,567.89", "bn": "-১২,৩৪,৫৬৭.৮৯",
		"sv": "−1" + nbsp + "234" + nbsp + "567,89",
	} {
		if got := must(locale.FormatNumber(-1234567.891, tag, 0, 2)); got != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
	}
	for _, c := range []struct {
		v         any
		tag       string
		low, high int
		want      string
	}{
		{1234, "es", 0, 0, "1234"}, // no group of one digit
		{12345, "es", 0, 0, "12.345"},
		{"1.005", "en", 0, 2, "1.01"}, // exact, though 1.005 is no binary fraction
		{1.005, "en", 0, 2, "1.01"},
		{"2.5", "en", 0, 0, "3"}, {"-2.5", "en", 0, 0, "-3"}, {"2.4999", "en", 0, 0, "2"},
		{"999.995", "en", 2, 2, "1,000.00"}, {"-0.004", "en", 2, 2, "0.00"},
		{"1.50", "en", 0, 2, "1.5"}, {"1.5", "en", 3, 5, "1.500"}, {"007", "en", 0, 0, "7"}, {" +7 ", "en", 0, 0, "7"},
		{int64(math.MinInt64), "en", 0, 0, "-9,223,372,036,854,775,808"},
		{json.Number("1e3"), "en", 0, 0, "1,000"}, {json.Number("12.30"), "en", 2, 2, "12.30"},
		{1e-300, "en", 0, 2, "0"}, {1e21, "en", 0, 0, "1,000,000,000,000,000,000,000"},
		{0.1, "en", 0, locale.MaxFraction, "0.1"},
		{strings.Repeat("9", locale.MaxNumberLength), "en", 0, 0, "9" + strings.Repeat(",999", 21)},
	} {
		if got := must(locale.FormatNumber(c.v, c.tag, c.low, c.high)); got != c.want {
			t.Errorf("%v in %s: %q, want %q", c.v, c.tag, got, c.want)
		}
	}
}

func TestCurrency(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v                        any
		code, tag, want, rounded string
	}{
		{1234.5, "USD", "en", "$1,234.50", "$1,235"},
		{-1234.5, "USD", "en", "-$1,234.50", "-$1,235"},
		{1234.5, "gbp", "en-GB", "£1,234.50", "£1,235"},
		{1234.5, "CHF", "en", "CHF" + nbsp + "1,234.50", "CHF" + nbsp + "1,235"}, // letters keep a distance
		{1234.5, "EUR", "de", "1.234,50" + nbsp + "€", "1.235" + nbsp + "€"},
		{-1234.5, "CHF", "de-CH", "CHF-1'234.50", "CHF-1'235"},
		{1234.5, "EUR", "fr", "1" + narrow + "234,50" + nbsp + "€", "1" + narrow + "235" + nbsp + "€"},
		{1234.5, "EUR", "es", "1234,50" + nbsp + "€", "1235" + nbsp + "€"},
		{1234.5, "BRL", "pt-BR", "R$" + nbsp + "1.234,50", "R$" + nbsp + "1.235"},
		{1234.5, "JPY", "ja", "￥1,235", "￥1,235"},
		{1234.5, "JPY", "en", "¥1,235", "¥1,235"},
		{1234.5678, "KWD", "en", "KWD" + nbsp + "1,234.568", "KWD" + nbsp + "1,235"},
		{1234567.5, "INR", "hi", "₹12,34,567.50", "₹12,34,568"},
		{-5, "EUR", "ar", "\u200f\u200e-5.00" + nbsp + "€", "\u200f\u200e-5" + nbsp + "€"},
		{"0.004", "USD", "en", "$0.00", "$0"},
		{1, "COP", "en", "COP" + nbsp + "1.00", "COP" + nbsp + "1"}, // ISO 4217 says 2, CLDR none
		{1, "CLF", "en", "CLF" + nbsp + "1.0000", "CLF" + nbsp + "1"},
	} {
		if got := must(locale.Currency(c.v, c.code, c.tag)); got != c.want {
			t.Errorf("%v %s in %s: %q, want %q", c.v, c.code, c.tag, got, c.want)
		}
		if got := must(locale.RoundedCurrency(c.v, c.code, c.tag)); got != c.rounded {
			t.Errorf("%v %s in %s, rounded: %q, want %q", c.v, c.code, c.tag, got, c.rounded)
		}
	}
}

func TestWhatIsNoNumberOrCurrency(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		nil, true, "", "-", "1.", ".5", "1,000", "1e3", "0x10", "١", "NaN", math.NaN(), math.Inf(1), []any{1}, map[string]any{}, json.Number("1e999"), json.Number("x"),
	} {
		if got, err := locale.FormatNumber(v, "en", 0, 2); belfry.CodeOf(err) != belfry.Invalid {
			t.Errorf("%#v is %q, %v", v, got, err)
		}
	}
	if _, err := locale.FormatNumber(strings.Repeat("9", locale.MaxNumberLength+1), "en", 0, 2); belfry.CodeOf(err) != belfry.TooLarge {
		t.Errorf("one digit too many: %v", err)
	}
	if _, err := locale.FormatNumber(1, "en", 0, locale.MaxFraction+1); belfry.CodeOf(err) != belfry.TooLarge {
		t.Errorf("one place too many: %v", err)
	}
	for _, places := range [][2]int{{-1, 2}, {3, 2}} {
		if _, err := locale.FormatNumber(1, "en", places[0], places[1]); belfry.CodeOf(err) != belfry.Invalid {
			t.Errorf("from %d to %d places: %v", places[0], places[1], err)
		}
	}
	for _, code := range []string{"", "EU", "EURO", "XYZ", "ſek"} {
		if got, err := locale.Currency(1, code, "en"); belfry.CodeOf(err) != belfry.Invalid {
			t.Errorf("%q: %q, %v", code, got, err)
		}
	}
}

func TestAnyNumberIsReadableAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{1,30}(\.[0-9]{1,30})?`).Draw(t, "number")
		got, err := locale.FormatNumber(text, "en", 0, locale.MaxFraction)
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.ReplaceAll(got, ",", "")
		if again := must(locale.FormatNumber(plain, "en", 0, locale.MaxFraction)); again != got {
			t.Fatalf("%s is %s, and that is %s", text, got, again)
		}
		whole, _, _ := strings.Cut(strings.TrimPrefix(got, "-"), ".")
		for i, group := range strings.Split(whole, ",") {
			if len(group) != 3 && (i > 0 || len(group) > 3) {
				t.Fatalf("%s has a group of %d digits", got, len(group))
			}
		}
	})
}
