package locale_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/workflow/locale"
)

// intl.json is what Intl returns in a JavaScript engine with the same CLDR data, for
// values that the patterns in cldr.json were not taken from.
func TestOutputsAreThoseOfIntl(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/intl.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]struct {
		Dates, Currencies map[string][]string
		Numbers, Plurals  map[string]string
	}
	if err := json.Unmarshal(b, &expected); err != nil {
		t.Fatal(err)
	}
	if len(expected) < 45 {
		t.Fatalf("only %d locales", len(expected))
	}
	for tag, want := range expected {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			check := func(what any, want []string, got ...string) {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%v (-want +got):\n%s", what, diff)
				}
			}
			for instant, want := range want.Dates {
				at, err := time.Parse(time.RFC3339, instant)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, style := range []string{"short", "medium", "long", "full"} {
					got = append(got, must(locale.FormatDate(at, time.UTC, tag, style)))
					if style != "full" {
						got = append(got, must(locale.FormatDateTime(at, time.UTC, tag, style)))
					}
				}
				check(instant, want, got...)
			}
			for n, want := range want.Numbers {
				check(n, []string{want}, must(locale.FormatNumber(n, tag, 0, 2)))
			}
			for n, want := range want.Plurals {
				category, err := locale.PluralCategory(n, tag)
				check(n, []string{want}, must(string(category), err))
			}
			for code, want := range want.Currencies {
				var got []string
				for _, n := range []string{"1", "-1234.5", "1234567.8"} {
					got = append(got, must(locale.Currency(n, code, tag)), must(locale.RoundedCurrency(n, code, tag)))
				}
				check(code, want, got...)
			}
		})
	}
}

// must returns the error instead of the text, so that the two are compared alike.
func must(text string, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return text
}
