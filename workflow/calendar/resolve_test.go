package calendar_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry/workflow/calendar"
)

func TestDynamicWindowsEnd(t *testing.T) {
	t.Parallel()
	loc := zone(t, "America/New_York")
	now := at(t, "2026-06-03 12:00", loc)
	for in, want := range map[string]string{
		`"2026-07-01T09:00:00Z"`:                               "Wed 2026-07-01 05:00 -04:00",
		`"2026-07-01T09:00:00.25+02:00"`:                       "Wed 2026-07-01 03:00 -04:00",
		`"2026-07-01"`:                                         "Wed 2026-07-01 00:00 -04:00",
		`{"unit":"hours","value":36}`:                          "Fri 2026-06-05 00:00 -04:00",
		`{"unit":"months","value":1}`:                          "Fri 2026-07-03 12:00 -04:00",
		`"PT15M"`:                                              "Wed 2026-06-03 12:15 -04:00",
		`"1h30m"`:                                              "Wed 2026-06-03 13:30 -04:00",
		`{"frequency":"daily","hours":9}`:                      "Thu 2026-06-04 09:00 -04:00",
		`{"frequency":"monthly","day_of_month":31}`:            "Tue 2026-06-30 00:00 -04:00",
		`{"frequency":"weekly","days":"weekends","hours":8}`:   "Sat 2026-06-06 08:00 -04:00",
		`{"frequency":"hourly","minutes":5,"days":["sun"]}`:    "Sun 2026-06-07 00:05 -04:00",
		`{"frequency":"daily","hours":12,"day_of_month":null}`: "Thu 2026-06-04 12:00 -04:00",
	} {
		var v any
		if err := json.Unmarshal([]byte(in), &v); err != nil {
			t.Fatal(err)
		}
		got, err := calendar.Resolve(v, now, loc)
		if err != nil || got.In(loc).Format(withOffset) != want {
			t.Errorf("%s ends at %s, %v, want %s", in, got.In(loc).Format(withOffset), err, want)
		}
	}
}

func TestDynamicWindowsThatCantBeUsed(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-06-03T12:00:00Z", nil)
	for in, want := range map[string]string{
		`null`:                              "missing: there is no timestamp, duration or rule",
		`""`:                                "missing: the duration is empty",
		`12`:                                "invalid: must be a timestamp, a duration",
		`true`:                              "invalid: must be a timestamp, a duration",
		`"tomorrow"`:                        `invalid: "tomorrow" is neither a duration such as "PT15M" or "1h30m" nor a timestamp`,
		`"2026-07-01T09:00:00"`:             "invalid: ", // in which zone?
		`"2026-02-30"`:                      "invalid: ",
		`{}`:                                "invalid: duration.unit: must be seconds",
		`{"unit":"eons","value":1}`:         "invalid: duration.unit: must be seconds",
		`{"frequency":"never"}`:             "invalid: rule.frequency: must be hourly",
		`{"frequency":"daily","hours":"9"}`: "invalid: hours: must be a whole number",
		`{"frequency":"daily","minutes":7}`: "invalid: rule.minutes: must be a multiple of 5",
		`{"frequency":"daily","interval":7,"days":["tue"]}`:       "invalid: this rule never happens",
		`"2026-06-03T12:00:00Z"`:                                  "past: 2026-06-03T12:00:00Z is in the past",
		`"2026-06-03"`:                                            "past: ",
		`"0001-01-01T00:00:00Z"`:                                  "past: ",
		`"2027-06-03T12:00:01Z"`:                                  "too_far: 2027-06-03T12:00:01Z is more than 365 days away",
		`"9999-12-31T23:59:59Z"`:                                  "too_far: ",
		`{"unit":"days","value":366}`:                             "too_far: ",
		`{"frequency":"monthly","interval":1000,"dayOfMonth":31}`: "too_far: ",
		`"` + strings.Repeat("x", 1000) + `"`:                     "invalid: a duration has at most 64 characters",
	} {
		var v any
		if err := json.Unmarshal([]byte(in), &v); err != nil {
			t.Fatal(err)
		}
		got, err := calendar.Resolve(v, now, time.UTC)
		var e *calendar.Error
		if !errors.As(err, &e) || !strings.HasPrefix(fmt.Sprintf("%s: %s", e.Reason, e.Message), want) {
			t.Errorf("%.60s is %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestTheHorizonIs365Days(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-06-03T12:00:00Z", nil)
	if _, err := calendar.Resolve("2027-06-03T12:00:00Z", now, nil); err != nil {
		t.Error(err)
	}
	if _, err := calendar.Resolve(map[string]any{"unit": "days", "value": 365.0}, now, nil); err != nil {
		t.Error(err)
	}
}

// An offset from a timestamp is checked after it was applied: the event may be over.
func TestWindowsRelativeToATimestamp(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-06-03T12:00:00Z", nil)
	base, err := calendar.Timestamp("2026-06-03T11:00:00Z", nil)
	if err != nil {
		t.Fatal(err)
	}
	offset := calendar.Duration{Unit: calendar.Hours, Value: 2}
	if err := calendar.Ahead(offset.After(base, nil), now); err != nil {
		t.Error(err)
	}
	var e *calendar.Error
	if err := calendar.Ahead(offset.Before(base, nil), now); !errors.As(err, &e) || e.Reason != calendar.Past {
		t.Error(err)
	}
	for in, want := range map[any]calendar.Reason{
		nil: calendar.Missing, "": calendar.Missing, 12.0: calendar.Invalid, "PT1H": calendar.Invalid, strings.Repeat("2", 65): calendar.Invalid,
	} {
		if got, err := calendar.Timestamp(in, nil); !errors.As(err, &e) || e.Reason != want {
			t.Errorf("%v is %s, %v, want %s", in, got, err, want)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, seed := range []string{
		`null`, `"PT15M"`, `"2026-07-01"`, `"1h30m"`, `{"unit":"months","value":1200}`, `"P1Y2M"`,
		`{"frequency":"weekly","interval":2,"days":["mon"],"hours":9,"minutes":30}`, `{"frequency":"monthly","day_of_month":31}`,
	} {
		f.Add(seed, int64(1780000000))
	}
	loc := zone(f, "Australia/Lord_Howe")
	f.Fuzz(func(t *testing.T, in string, now int64) {
		var v any
		if now < 0 || now > 1<<34 || json.Unmarshal([]byte(in), &v) != nil {
			return
		}
		from := time.Unix(now, 0)
		got, err := calendar.Resolve(v, from, loc)
		var e *calendar.Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Errorf("%q: %v has no reason", in, err)
		case err == nil && (!got.After(from) || got.Sub(from) > calendar.MaxHorizon):
			t.Errorf("%q ends at %s", in, got)
		}
	})
}
