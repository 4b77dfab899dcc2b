package calendar_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
)

func TestRulesDecode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]calendar.Rule{
		`{"frequency":"weekly","interval":2,"days":["mon","fri"],"hours":9,"minutes":30}`: {Frequency: calendar.Weekly, Interval: 2, Days: calendar.Weekdays{time.Monday, time.Friday}, Hours: 9, Minutes: 30},
		`{"frequency":"daily","days":"weekends"}`:                                         {Frequency: calendar.Daily, Days: calendar.Weekdays{time.Saturday, time.Sunday}},
		`{"frequency":"monthly","dayOfMonth":31}`:                                         {Frequency: calendar.Monthly, DayOfMonth: 31},
		`{"frequency":"monthly","day_of_month":3e1,"dayOfMonth":null}`:                    {Frequency: calendar.Monthly, DayOfMonth: 30},
		`{"frequency":"hourly","minutes":55,"days":null}`:                                 {Frequency: calendar.Hourly, Minutes: 55},
	} {
		var got calendar.Rule
		if err := json.Unmarshal([]byte(in), &got); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
		if err := got.Validate("rule"); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again calendar.Rule
		if err := json.Unmarshal(b, &again); err != nil || !cmp.Equal(got, again) {
			t.Errorf("%s comes back as %s: %v", in, b, err)
		}
	}
}

func TestRulesThatAreNoRulesDontDecode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"frequency":"daily","hour":9}`:                                    `a rule has frequency, interval, days, dayOfMonth, hours and minutes, not "hour"`,
		`{"frequency":"daily","hours":9.5}`:                                 "hours: must be a whole number",
		`{"frequency":"daily","hours":"9"}`:                                 "hours: must be a whole number",
		`{"frequency":"daily","hours":1e300}`:                               "hours: must be a whole number",
		`{"frequency":"daily","interval":0}`:                                "interval: must be at least 1",
		`{"frequency":"weekly","days":["monday"]}`:                          "days[0]: must be one of sun, mon",
		`{"frequency":"weekly","days":["mon","mon"]}`:                       "days[1]: mon is there twice",
		`{"frequency":"weekly","days":"mondays"}`:                           "days: must be a list",
		`{"frequency":"monthly","dayOfMonth":1,"day_of_month":2}`:           "dayOfMonth: is there twice",
		`{"days":[` + strings.Repeat(" ", calendar.MaxRuleSize) + `"mon"]}`: "at most 4096 bytes",
		`[]`: "cannot unmarshal",
	} {
		var r calendar.Rule
		if err := json.Unmarshal([]byte(in), &r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", in, err, want)
		}
	}
}

func TestRulesAreValidated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule  calendar.Rule
		field string // "" if it is valid
	}{
		{calendar.Rule{}, "rule.frequency"},
		{calendar.Rule{Frequency: "yearly"}, "rule.frequency"},
		{calendar.Rule{Frequency: calendar.Daily, Interval: -1}, "rule.interval"},
		{calendar.Rule{Frequency: calendar.Daily, Interval: calendar.MaxInterval}, ""},
		{calendar.Rule{Frequency: calendar.Daily, Interval: calendar.MaxInterval + 1}, "rule.interval"},
		{calendar.Rule{Frequency: calendar.Daily, Hours: 23, Minutes: 55}, ""},
		{calendar.Rule{Frequency: calendar.Daily, Hours: 24}, "rule.hours"},
		{calendar.Rule{Frequency: calendar.Daily, Minutes: 60}, "rule.minutes"},
		{calendar.Rule{Frequency: calendar.Daily, Minutes: 7}, "rule.minutes"},
		{calendar.Rule{Frequency: calendar.Daily, DayOfMonth: 1}, "rule.dayOfMonth"},
		{calendar.Rule{Frequency: calendar.Hourly, Hours: 1}, "rule.hours"},
		{calendar.Rule{Frequency: calendar.Monthly, DayOfMonth: 31}, ""},
		{calendar.Rule{Frequency: calendar.Monthly, DayOfMonth: 32}, "rule.dayOfMonth"},
		{calendar.Rule{Frequency: calendar.Monthly, Days: calendar.Weekdays{time.Monday}}, "rule.days"},
		{calendar.Rule{Frequency: calendar.Weekly, Days: calendar.Weekdays{7}}, "rule.days[0]"},
		{calendar.Rule{Frequency: calendar.Weekly, Days: make(calendar.Weekdays, 8)}, "rule.days"},
	} {
		err := c.rule.Validate("rule")
		if c.field == "" {
			if err != nil {
				t.Errorf("%+v: %v", c.rule, err)
			}
			continue
		}
		if e, ok := err.(*belfry.Error); !ok || e.Field != c.field {
			t.Errorf("%+v: %v, want an error at %s", c.rule, err, c.field)
		}
	}
}
