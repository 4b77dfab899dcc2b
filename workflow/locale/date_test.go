package locale_test

import (
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/locale"
)

func at(t *testing.T, text, zone string) (time.Time, *time.Location) {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	instant, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return instant, loc
}

func TestFormatDate(t *testing.T) {
	t.Parallel()
	day, loc := at(t, "2026-09-03T22:30:00Z", "Asia/Tokyo") // there it is already the 4th
	for tag, want := range map[string][4]string{
		"en":    {"9/4/26", "Sep 4, 2026", "September 4, 2026", "Friday, September 4, 2026"},
		"en-GB": {"04/09/2026", "4 Sept 2026", "4 September 2026", "Friday, 4 September 2026"},
		"de":    {"04.09.26", "04.09.2026", "4. September 2026", "Freitag, 4. September 2026"},
		"de-CH": {"04.09.26", "04.09.2026", "4. September 2026", "Freitag, 4. September 2026"},
		"fr":    {"04/09/2026", "4 sept. 2026", "4 septembre 2026", "vendredi 4 septembre 2026"},
		"es":    {"4/9/26", "4 sept 2026", "4 de septiembre de 2026", "viernes, 4 de septiembre de 2026"},
		"pt-BR": {"04/09/2026", "4 de set. de 2026", "4 de setembro de 2026", "sexta-feira, 4 de setembro de 2026"},
		"ja":    {"2026/09/04", "2026/09/04", "2026年9月4日", "2026年9月4日金曜日"},
		"ar":    {"4\u200f/9\u200f/2026", "04\u200f/09\u200f/2026", "4 سبتمبر 2026", "الجمعة، 4 سبتمبر 2026"},
		"hi":    {"4/9/26", "4 सित॰ 2026", "4 सितंबर 2026", "शुक्रवार, 4 सितंबर 2026"},
		"bn":    {"৪/৯/২৬", "৪ সেপ, ২০২৬", "৪ সেপ্টেম্বর, ২০২৬", "শুক্রবার, ৪ সেপ্টেম্বর, ২০২৬"},
	} {
		for i, style := range []string{"short", "medium", "long", "full"} {
			if got := must(locale.FormatDate(day, loc, tag, style)); got != want[i] {
				t.Errorf("%s %s: %q, want %q", tag, style, got, want[i])
			}
		}
	}
}

func TestFormatDateTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ instant, zone, tag, style, want string }{
		{"2026-09-03T12:05:06Z", "Europe/Berlin", "en", "short", "9/3/26, 2:05 PM"},
		{"2026-09-03T12:05:06Z", "Europe/Berlin", "en", "medium", "Sep 3, 2026, 2:05:06 PM"},
		{"2026-09-03T12:05:06Z", "Europe/Berlin", "en", "long", "September 3, 2026 at 2:05:06 PM GMT+2"},
		{"2026-09-03T12:05:06Z", "Asia/Kathmandu", "en", "full", "Thursday, September 3, 2026 at 5:50:06 PM GMT+5:45"},
		{"2026-01-03T12:05:06Z", "America/St_Johns", "de", "long", "3. Januar 2026 um 08:35:06 GMT-3:30"},
		{"2026-01-03T12:05:06Z", "America/St_Johns", "fr", "long", "3 janvier 2026 à 08:35:06 UTC−3:30"},
		{"2026-01-03T12:05:06Z", "Europe/Berlin", "fi", "long", "3. tammikuuta 2026 klo 13.05.06 UTC+1"},
		{"2026-01-03T12:05:06Z", "Asia/Dhaka", "bn", "long", "৩ জানুয়ারি, ২০২৬ এ ৬:০৫:০৬ PM GMT +৬"},
		{"2026-01-03T12:05:06Z", "Europe/London", "en-GB", "long", "3 January 2026 at 12:05:06 UTC"},
		{"2026-01-03T00:05:06Z", "UTC", "en", "short", "1/3/26, 12:05 AM"},
		{"2026-01-03T12:05:06Z", "UTC", "ja", "short", "2026/01/03 12:05"},
		{"2026-01-03T22:05:06Z", "UTC", "zh-TW", "short", "2026/1/3\u2009晚上10:05"},
		{"0000-01-03T22:05:06Z", "UTC", "en", "medium", "Jan 3, 0, 10:05:06 PM"},
	} {
		instant, loc := at(t, c.instant, c.zone)
		if got := must(locale.FormatDateTime(instant, loc, c.tag, c.style)); got != c.want {
			t.Errorf("%s %s in %s: %q, want %q", c.tag, c.style, c.zone, got, c.want)
		}
	}
	noon := time.Date(2026, 1, 3, 12, 0, 0, 0, time.FixedZone("", 3600))
	if got := must(locale.FormatDateTime(noon, nil, "en", "short")); got != "1/3/26, 11:00 AM" {
		t.Errorf("no location: %s", got)
	}
	if got := must(locale.FormatDate(time.Date(-1, 1, 3, 12, 0, 0, 0, time.UTC), nil, "en", "short")); got != "1/3/99" {
		t.Errorf("before the year 0: %s", got)
	}
}

func TestThereAreFourStyles(t *testing.T) {
	t.Parallel()
	for _, style := range []string{"", "Short", "iso"} {
		_, err := locale.FormatDate(time.Now(), time.UTC, "en", style)
		if belfry.CodeOf(err) != belfry.Invalid {
			t.Errorf("%q: %v", style, err)
		}
	}
}
