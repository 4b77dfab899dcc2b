package locale_test

import (
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/locale"
)

func TestTheNearestLocaleIsUsed(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"de-CH": "de-CH", "de_CH": "de-CH", "DE-ch": "de-CH", "de-DE": "de", "de-LI": "de", "de_DE.UTF-8": "de", "de-u-nu-arab": "de",
		"en-US": "en", "en-NZ": "en-GB", "pt-BR": "pt", "pt-AO": "pt-PT", "es-ES": "es", "es-AR": "es-419", "fr-BE": "fr",
		"zh-CN": "zh", "zh-TW": "zh-Hant", "zh-HK": "zh-Hant", "sr-RS": "sr", "sr-Latn-RS": "sr-Latn",
		"no": "nb", "nn": "nb", "gsw": "de", "iw": "he", "in": "id", "tl": "fil",
	} {
		if got, ok := locale.Match(tag); !ok || got != want {
			t.Errorf("%s is %s, %v, want %s", tag, got, ok, want)
		}
	}
	for _, tag := range []string{"", "C", "und", "cy", "kk", "tlh", "x-private", "../de", "de\x00", "ü", "-", strings.Repeat("de-", 22) + "de"} {
		if got, ok := locale.Match(tag); ok || got != "en" {
			t.Errorf("%q is %s, %v, want en", tag, got, ok)
		}
	}
	longest := "de-DE-x" + strings.Repeat("-abcdef", 8) + "g"
	if got, ok := locale.Match(longest); len(longest) != locale.MaxTagLength || !ok || got != "de" {
		t.Errorf("%s (%d bytes) is %s, %v", longest, len(longest), got, ok)
	}
	if got, ok := locale.Match(longest + "h"); ok || got != "en" {
		t.Errorf("one byte more is %s, %v", got, ok)
	}
}

func TestPluralize(t *testing.T) {
	t.Parallel()
	english := map[locale.Category]string{locale.One: "item", locale.Other: "items"}
	russian := map[locale.Category]string{locale.One: "день", locale.Few: "дня", locale.Many: "дней", locale.Other: "дня"}
	for _, c := range []struct {
		count any
		tag   string
		forms map[locale.Category]string
		want  string
	}{
		{1, "en", english, "item"}, {0, "en", english, "items"}, {2.0, "en", english, "items"}, {-1, "en", english, "item"},
		{"1", "en", english, "item"}, {1.5, "en", english, "items"}, {"1.0", "en", english, "items"}, {1000001, "en", english, "items"},
		{0, "fr", english, "item"}, {2, "fr", english, "items"}, {1000000, "fr", english, "items"},
		{1, "ja", english, "items"}, // one form for all
		{1, "ru", russian, "день"}, {21, "ru", russian, "день"}, {3, "ru", russian, "дня"}, {11, "ru", russian, "дней"}, {1000021, "ru", russian, "день"},
		{5, "ru", english, "items"}, // forms that aren't given
		{0, "en", map[locale.Category]string{locale.Zero: "nothing", locale.Other: "something"}, "nothing"},
		{"0.0", "en", map[locale.Category]string{locale.Zero: "nothing", locale.Other: "something"}, "something"},
	} {
		if got := must(locale.Pluralize(c.count, c.tag, c.forms)); got != c.want {
			t.Errorf("%v in %s: %s, want %s", c.count, c.tag, got, c.want)
		}
	}
	if _, err := locale.Pluralize(1, "en", map[locale.Category]string{locale.One: "item"}); belfry.CodeOf(err) != belfry.Invalid {
		t.Errorf("no form for other: %v", err)
	}
	if _, err := locale.Pluralize("many", "en", english); belfry.CodeOf(err) != belfry.Invalid {
		t.Errorf("a count that is no number: %v", err)
	}
}

func TestTitlecase(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "your order": "Your Order", "it's o'clock": "It's O'clock", "it’s": "It’s", "McDonald's ORDER": "McDonald's ORDER",
		"well-known snake_case a/b": "Well-Known Snake_Case A/B", "(new) 'quoted'": "(New) 'Quoted'", "3d print, 2nd": "3d Print, 2nd",
		"éclair état": "Éclair État", "ǆ": "ǅ", "日本": "日本", "a\xffb": "A\uFFFDB",
	} {
		if got := must(locale.Titlecase(in)); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	if _, err := locale.Titlecase(strings.Repeat("x", locale.MaxTextLength)); err != nil {
		t.Error(err)
	}
	if _, err := locale.Titlecase(strings.Repeat("x", locale.MaxTextLength+1)); belfry.CodeOf(err) != belfry.TooLarge {
		t.Errorf("one byte too many: %v", err)
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	// Ascending; those in one line are equal.
	order := []string{
		"0", "0.0.1 v0.0.1 V0.0.01", "0.9", "1-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
		"1.0.0-rc.1 1-rc.1 1.0-rc.1+5", "1 1.0 1.0.0 v1.0.0+build.7 1.0.0.0", "1.0.0.1", "1.2", "1.10", "2.0.0", "10", "99999999999999999999", "100000000000000000000",
	}
	for i, a := range order {
		for j, b := range order {
			for _, x := range strings.Fields(a) {
				for _, y := range strings.Fields(b) {
					want := min(1, max(-1, i-j))
					if got, err := locale.CompareVersions(x, y); err != nil || got != want {
						t.Errorf("%s with %s: %d, %v, want %d", x, y, got, err, want)
					}
				}
			}
		}
	}
	for _, v := range []string{"", "latest", "1.", ".1", "1..2", "1.2.x", "-1", "1.0-", "1.0 beta"} {
		if _, err := locale.CompareVersions(v, "1"); belfry.CodeOf(err) != belfry.Invalid {
			t.Errorf("%q: %v", v, err)
		}
	}
	longest := strings.Repeat("1", locale.MaxVersionLength)
	if _, err := locale.CompareVersions("1", longest); err != nil {
		t.Error(err)
	}
	if _, err := locale.CompareVersions("1", longest+"1"); belfry.CodeOf(err) != belfry.TooLarge {
		t.Errorf("one character too many: %v", err)
	}
}

func FuzzStrangers(f *testing.F) {
	f.Add("de-CH", "1234.5", "EUR", "1.0-rc.1", int64(1780000000))
	f.Add("fa", "-0", "jpy", "v2", int64(-62135596800))
	f.Fuzz(func(_ *testing.T, tag, n, code, version string, unix int64) {
		for _, style := range []string{"short", "full"} {
			_, _ = locale.FormatDateTime(time.Unix(unix, 0), nil, tag, style)
		}
		_, _ = locale.FormatNumber(n, tag, 0, 3)
		_, _ = locale.Currency(n, code, tag)
		_, _ = locale.PluralCategory(n, tag)
		_, _ = locale.CompareVersions(version, n)
	})
}
