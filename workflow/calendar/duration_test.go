package calendar_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
)

func TestDurationsShiftInstants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zone, from string
		d          calendar.Duration
		after      string
		before     string
	}{
		{"UTC", "2026-06-15 12:00", calendar.Duration{Unit: calendar.Seconds, Value: 90}, "2026-06-15T12:01:30Z", "2026-06-15T11:58:30Z"},
		{"UTC", "2026-06-15 12:00", calendar.Duration{Unit: calendar.Weeks, Value: 2}, "2026-06-29T12:00:00Z", "2026-06-01T12:00:00Z"},
		// A day is 24 hours, also when the clock is put forward or back.
		{"Europe/Berlin", "2026-03-28 12:00", calendar.Duration{Unit: calendar.Days, Value: 1}, "2026-03-29T13:00:00+02:00", "2026-03-27T12:00:00+01:00"},
		{"Europe/Berlin", "2026-10-25 12:00", calendar.Duration{Unit: calendar.Days, Value: 1}, "2026-10-26T12:00:00+01:00", "2026-10-24T13:00:00+02:00"},
		// Months keep the day and the time on the wall, if they can.
		{"UTC", "2027-01-31 09:30", calendar.Duration{Unit: calendar.Months, Value: 1}, "2027-02-28T09:30:00Z", "2026-12-31T09:30:00Z"},
		{"UTC", "2028-01-31 09:30", calendar.Duration{Unit: calendar.Months, Value: 1}, "2028-02-29T09:30:00Z", "2027-12-31T09:30:00Z"},
		{"UTC", "2028-03-31 00:00", calendar.Duration{Unit: calendar.Months, Value: 1}, "2028-04-30T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"UTC", "2028-02-29 00:00", calendar.Duration{Unit: calendar.Months, Value: 12}, "2029-02-28T00:00:00Z", "2027-02-28T00:00:00Z"},
		{"Europe/Berlin", "2026-03-01 09:00", calendar.Duration{Unit: calendar.Months, Value: 1}, "2026-04-01T09:00:00+02:00", "2026-02-01T09:00:00+01:00"},
		{"Europe/Berlin", "2026-02-28 02:30", calendar.Duration{Unit: calendar.Months, Value: 1}, "2026-03-28T02:30:00+01:00", "2026-01-28T02:30:00+01:00"},
		{"Europe/Berlin", "2027-02-28 02:30", calendar.Duration{Unit: calendar.Months, Value: 1}, "2027-03-28T03:00:00+02:00", "2027-01-28T02:30:00+01:00"}, // into a gap
		{"Europe/Berlin", "2026-09-25 02:30", calendar.Duration{Unit: calendar.Months, Value: 1}, "2026-10-25T02:30:00+02:00", "2026-08-25T02:30:00+02:00"}, // into a fold
		// The calendar is that of the zone: in Kathmandu it is already the 1st.
		{"Asia/Kathmandu", "2026-01-31T20:00:00Z", calendar.Duration{Unit: calendar.Months, Value: 1}, "2026-02-28T20:00:00Z", "2025-12-31T20:00:00Z"},
		{"UTC", "2026-01-15T00:00:00.000000001Z", calendar.Duration{Unit: calendar.Months, Value: 1}, "2026-02-15T00:00:00.000000001Z", "2025-12-15T00:00:00.000000001Z"},
	} {
		loc := zone(t, c.zone)
		from := at(t, c.from, loc)
		if got, want := c.d.After(from, loc), at(t, c.after, loc); !got.Equal(want) {
			t.Errorf("%s after %s in %s is %s, want %s", c.d, c.from, c.zone, got.In(loc), want)
		}
		if got, want := c.d.Before(from, loc), at(t, c.before, loc); !got.Equal(want) {
			t.Errorf("%s before %s in %s is %s, want %s", c.d, c.from, c.zone, got.In(loc), want)
		}
	}
}

func TestDurationsAreAtMostACentury(t *testing.T) {
	t.Parallel()
	for unit, limit := range map[calendar.Unit]int{
		calendar.Seconds: 3153600000, calendar.Minutes: 52560000, calendar.Hours: 876000,
		calendar.Days: 36500, calendar.Weeks: 5214, calendar.Months: 1200,
	} {
		d := calendar.Duration{Unit: unit, Value: limit}
		if err := d.Validate("delay"); err != nil {
			t.Errorf("%s: %v", d, err)
		}
		now := at(t, "2026-06-15T12:00:00Z", nil)
		if years := d.After(now, nil).Year() - now.Year(); years < 99 || years > 100 {
			t.Errorf("%s are %d years", d, years)
		}
		var e *belfry.Error
		d.Value++
		if err := d.Validate("delay"); !errors.As(err, &e) || e.Field != "delay.value" || e.Limit != limit || e.Code != belfry.TooLarge {
			t.Errorf("%s: %#v", d, err)
		}
	}
}

func TestDurationsAreValidated(t *testing.T) {
	t.Parallel()
	for field, d := range map[string]calendar.Duration{
		"delay.unit":  {Unit: "years", Value: 1},
		"delay.value": {Unit: calendar.Days, Value: 0},
	} {
		var e *belfry.Error
		if err := d.Validate("delay"); !errors.As(err, &e) || e.Field != field || e.Code != belfry.Invalid {
			t.Errorf("%v: %v, want an error at %s", d, err, field)
		}
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{ // as JSON
		`{"unit":"minutes","value":5}`:  "5 minutes",
		`{"unit":"days","value":1.0}`:   "1 days",
		`{"unit":"months","value":120}`: "120 months",
		`"PT15M"`:                       "15 minutes",
		`"P1D"`:                         "1 days",
		`"P2W"`:                         "2 weeks",
		`"P1DT12H"`:                     "36 hours",
		`"PT90M"`:                       "90 minutes",
		`"PT3600S"`:                     "1 hours",
		`"P1Y6M"`:                       "18 months",
		`"P3M"`:                         "3 months",
		`"P0M1D"`:                       "1 days",
		`"10m"`:                         "10 minutes",
		`"1h30m"`:                       "90 minutes",
		`"24h"`:                         "1 days",
		`"1.5h"`:                        "90 minutes",
		`"61s"`:                         "61 seconds",
	} {
		var v any
		if err := json.Unmarshal([]byte(in), &v); err != nil {
			t.Fatal(err)
		}
		if got, err := calendar.ParseDuration(v); err != nil || got.String() != want {
			t.Errorf("%s is %s, %v, want %s", in, got, err, want)
		}
	}
	if d, err := calendar.ParseDuration(map[string]any{"unit": "hours", "value": json.Number("3")}); err != nil || d.Value != 3 {
		t.Errorf("a number that was kept as text: %s, %v", d, err)
	}
}

func TestWhatIsNoDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]calendar.Reason{
		`null`: calendar.Missing, `""`: calendar.Missing,
		`5`: calendar.Invalid, `[]`: calendar.Invalid, `{}`: calendar.Invalid,
		`{"unit":"minutes"}`: calendar.Invalid, `{"value":5}`: calendar.Invalid,
		`{"unit":"minutes","value":5.5}`: calendar.Invalid, `{"unit":"minutes","value":"5"}`: calendar.Invalid,
		`{"unit":"minutes","value":-5}`: calendar.Invalid, `{"unit":"minutes","value":5,"x":1}`: calendar.Invalid,
		`{"unit":"minutes","value":1e300}`: calendar.Invalid,
		`"P"`:                              calendar.Invalid, `"PT"`: calendar.Invalid, `"P1DT"`: calendar.Invalid, `"P1M1D"`: calendar.Invalid,
		`"-P1D"`: calendar.Invalid, `"P1.5D"`: calendar.Invalid, `"P0D"`: calendar.Invalid, `"0s"`: calendar.Invalid,
		`"-5m"`: calendar.Invalid, `"500ms"`: calendar.Invalid, `"soon"`: calendar.Invalid,
		`"P101Y"`: calendar.Invalid, `"P99999999999999999999D"`: calendar.Invalid, `"P9999999999D"`: calendar.Invalid,
		`"P3000000000W"`: calendar.Invalid,
		`"` + strings.Repeat("1", calendar.MaxTextLength+1) + `"`: calendar.Invalid,
	} {
		var v any
		if err := json.Unmarshal([]byte(in), &v); err != nil {
			t.Fatal(err)
		}
		var e *calendar.Error
		if got, err := calendar.ParseDuration(v); !errors.As(err, &e) || e.Reason != want {
			t.Errorf("%s is %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestTheLongestDurationTextIsStillRead(t *testing.T) {
	t.Parallel()
	text := "PT" + strings.Repeat("0", calendar.MaxTextLength-4) + "7S"
	if d, err := calendar.ParseDuration(text); err != nil || d.Value != 7 {
		t.Errorf("%s, %v", d, err)
	}
	var e *calendar.Error
	if _, err := calendar.ParseDuration("PT0" + text[2:]); !errors.As(err, &e) || !strings.Contains(e.Message, "at most 64") {
		t.Errorf("one more: %v", err)
	}
}

func TestAfterIsLater(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
	for _, unit := range []calendar.Unit{calendar.Seconds, calendar.Minutes, calendar.Hours, calendar.Days, calendar.Weeks, calendar.Months} {
		d := calendar.Duration{Unit: unit, Value: 1}
		if !d.After(now, nil).After(now) || !d.Before(now, nil).Before(now) {
			t.Errorf("%s", d)
		}
	}
}
