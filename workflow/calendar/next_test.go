package calendar_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/workflow/calendar"
)

func TestNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, zone, rule, anchor, after string
		want                            []string // local, with weekday and offset
	}{
		// Plain days, weeks and months.
		{"daily, strictly after", "Europe/Berlin", `{"frequency":"daily","hours":9}`, "", "2026-06-01 09:00",
			[]string{"Tue 2026-06-02 09:00 +02:00", "Wed 2026-06-03 09:00 +02:00"}},
		{"daily, later today", "Asia/Kathmandu", `{"frequency":"daily","hours":9,"minutes":15}`, "", "2026-06-01 09:14",
			[]string{"Mon 2026-06-01 09:15 +05:45"}},
		{"every third day from the anchor", "UTC", `{"frequency":"daily","interval":3,"hours":8}`, "2026-06-01 10:00", "2026-06-01 10:00",
			[]string{"Thu 2026-06-04 08:00 +00:00", "Sun 2026-06-07 08:00 +00:00"}},
		{"daily on weekdays", "UTC", `{"frequency":"daily","days":"weekdays"}`, "", "2026-06-05 00:00",
			[]string{"Mon 2026-06-08 00:00 +00:00", "Tue 2026-06-09 00:00 +00:00"}},
		{"nothing before the anchor", "UTC", `{"frequency":"daily","hours":8}`, "2026-06-10 08:00", "2026-06-01 00:00",
			[]string{"Wed 2026-06-10 08:00 +00:00", "Thu 2026-06-11 08:00 +00:00"}},
		{"weekly, Monday by default", "America/New_York", `{"frequency":"weekly","hours":9,"minutes":30}`, "", "2026-06-03 00:00",
			[]string{"Mon 2026-06-08 09:30 -04:00", "Mon 2026-06-15 09:30 -04:00"}},
		{"weekly, the anchor's weekday by default", "America/New_York", `{"frequency":"weekly"}`, "2026-06-04 12:00", "2026-06-04 12:00",
			[]string{"Thu 2026-06-11 00:00 -04:00"}},
		{"the anchor's weekday is that of the zone", "Asia/Kathmandu", `{"frequency":"weekly"}`, "2026-06-04T20:00:00Z", "2026-06-04T20:00:00Z",
			[]string{"Fri 2026-06-12 00:00 +05:45"}},
		{"every second week from the anchor's, in any order of days", "Europe/Berlin", `{"frequency":"weekly","interval":2,"days":["fri","mon"],"hours":9}`, "2026-06-03 00:00", "2026-06-03 00:00",
			[]string{"Fri 2026-06-05 09:00 +02:00", "Mon 2026-06-15 09:00 +02:00", "Fri 2026-06-19 09:00 +02:00", "Mon 2026-06-29 09:00 +02:00"}},
		{"weeks begin on Monday, so Sunday is their last day", "UTC", `{"frequency":"weekly","interval":2,"days":["mon","sun"]}`, "2026-06-01 00:00", "2026-06-01 00:00",
			[]string{"Sun 2026-06-07 00:00 +00:00", "Mon 2026-06-15 00:00 +00:00", "Sun 2026-06-21 00:00 +00:00"}},
		{"every second week without an anchor", "UTC", `{"frequency":"weekly","interval":2}`, "", "1970-01-05 00:00",
			[]string{"Mon 1970-01-19 00:00 +00:00"}},
		{"before the epoch", "UTC", `{"frequency":"weekly","interval":2}`, "", "1969-12-01 00:00",
			[]string{"Mon 1969-12-08 00:00 +00:00", "Mon 1969-12-22 00:00 +00:00", "Mon 1970-01-05 00:00 +00:00"}},
		{"the 31st, or the month's last day", "Europe/Berlin", `{"frequency":"monthly","dayOfMonth":31,"hours":12}`, "", "2027-12-31 12:00",
			[]string{"Mon 2028-01-31 12:00 +01:00", "Tue 2028-02-29 12:00 +01:00", "Fri 2028-03-31 12:00 +02:00", "Sun 2028-04-30 12:00 +02:00"}},
		{"the 29th in a common year", "UTC", `{"frequency":"monthly","dayOfMonth":29}`, "", "2027-02-01 00:00",
			[]string{"Sun 2027-02-28 00:00 +00:00", "Mon 2027-03-29 00:00 +00:00"}},
		{"no leap year in 2100", "UTC", `{"frequency":"monthly","dayOfMonth":29}`, "", "2100-02-01 00:00",
			[]string{"Sun 2100-02-28 00:00 +00:00"}},
		{"monthly, the first by default", "UTC", `{"frequency":"monthly"}`, "", "2026-06-01 00:00",
			[]string{"Wed 2026-07-01 00:00 +00:00"}},
		{"monthly, the anchor's day by default", "UTC", `{"frequency":"monthly"}`, "2026-01-30 00:00", "2026-01-30 00:00",
			[]string{"Sat 2026-02-28 00:00 +00:00", "Mon 2026-03-30 00:00 +00:00"}},
		{"quarterly across a year", "UTC", `{"frequency":"monthly","interval":3,"dayOfMonth":15}`, "2026-11-20 00:00", "2026-11-20 00:00",
			[]string{"Mon 2027-02-15 00:00 +00:00", "Sat 2027-05-15 00:00 +00:00"}},
		{"hourly", "Asia/Kathmandu", `{"frequency":"hourly","minutes":10}`, "", "2026-06-01 09:10",
			[]string{"Mon 2026-06-01 10:10 +05:45", "Mon 2026-06-01 11:10 +05:45"}},
		{"every 6 hours, from the hour of the anchor on the wall", "Asia/Kathmandu", `{"frequency":"hourly","interval":6}`, "2026-06-01 09:50", "2026-06-01 09:50",
			[]string{"Mon 2026-06-01 15:00 +05:45", "Mon 2026-06-01 21:00 +05:45", "Tue 2026-06-02 03:00 +05:45"}},
		{"hourly on Mondays", "UTC", `{"frequency":"hourly","days":["mon"],"minutes":30}`, "", "2026-06-01 23:30",
			[]string{"Mon 2026-06-08 00:30 +00:00", "Mon 2026-06-08 01:30 +00:00"}},

		// Gaps: the first instant after.
		{"02:30 doesn't exist in Berlin", "Europe/Berlin", `{"frequency":"daily","hours":2,"minutes":30}`, "", "2026-03-28 02:30",
			[]string{"Sun 2026-03-29 03:00 +02:00", "Mon 2026-03-30 02:30 +02:00"}},
		{"nor in New York", "America/New_York", `{"frequency":"weekly","days":["sun"],"hours":2}`, "", "2026-03-07 00:00",
			[]string{"Sun 2026-03-08 03:00 -04:00", "Sun 2026-03-15 02:00 -04:00"}},
		{"half an hour is missing on Lord Howe", "Australia/Lord_Howe", `{"frequency":"daily","hours":2,"minutes":15}`, "", "2026-10-03 12:00",
			[]string{"Sun 2026-10-04 02:30 +11:00", "Mon 2026-10-05 02:15 +11:00"}},
		{"and the minutes after it are not", "Australia/Lord_Howe", `{"frequency":"daily","hours":2,"minutes":45}`, "", "2026-10-03 12:00",
			[]string{"Sun 2026-10-04 02:45 +11:00"}},
		{"midnight doesn't exist in Beirut", "Asia/Beirut", `{"frequency":"daily"}`, "", "2022-03-26 00:00",
			[]string{"Sun 2022-03-27 01:00 +03:00", "Mon 2022-03-28 00:00 +03:00"}},
		{"Samoa has no 30th", "Pacific/Apia", `{"frequency":"daily","hours":9}`, "", "2011-12-29 08:00",
			[]string{"Thu 2011-12-29 09:00 -10:00", "Sat 2011-12-31 00:00 +14:00", "Sat 2011-12-31 09:00 +14:00"}},
		{"nor a Friday", "Pacific/Apia", `{"frequency":"weekly","days":["fri"],"hours":9}`, "", "2011-12-29 08:00",
			[]string{"Sat 2011-12-31 00:00 +14:00", "Fri 2012-01-06 09:00 +14:00"}},
		{"asked in the middle of the shift", "Pacific/Apia", `{"frequency":"daily","hours":23}`, "", "2011-12-30T10:00:00Z",
			[]string{"Sat 2011-12-31 23:00 +14:00"}},
		{"a missing minute of the hour", "Australia/Lord_Howe", `{"frequency":"hourly","minutes":15}`, "2026-01-01 00:00", "2026-10-04 01:00",
			[]string{"Sun 2026-10-04 01:15 +10:30", "Sun 2026-10-04 02:30 +11:00", "Sun 2026-10-04 03:15 +11:00"}},
		{"a missing hour is no hour", "Europe/Berlin", `{"frequency":"hourly","minutes":30}`, "", "2026-03-29 01:00",
			[]string{"Sun 2026-03-29 01:30 +01:00", "Sun 2026-03-29 03:30 +02:00"}},

		// Folds: the first of two.
		{"02:30 twice in Berlin", "Europe/Berlin", `{"frequency":"daily","hours":2,"minutes":30}`, "", "2026-10-24 12:00",
			[]string{"Sun 2026-10-25 02:30 +02:00", "Mon 2026-10-26 02:30 +01:00"}},
		{"asked between the two", "Europe/Berlin", `{"frequency":"daily","hours":2,"minutes":30}`, "", "2026-10-25T00:45:00Z",
			[]string{"Mon 2026-10-26 02:30 +01:00"}},
		{"01:30 twice in New York", "America/New_York", `{"frequency":"daily","hours":1,"minutes":30}`, "", "2026-10-31 12:00",
			[]string{"Sun 2026-11-01 01:30 -04:00", "Mon 2026-11-02 01:30 -05:00"}},
		{"01:45 twice on Lord Howe, but not 01:15", "Australia/Lord_Howe", `{"frequency":"daily","hours":1,"minutes":45}`, "", "2026-04-04 12:00",
			[]string{"Sun 2026-04-05 01:45 +11:00", "Mon 2026-04-06 01:45 +10:30"}},
		{"the end of a fold is not in it", "Europe/Berlin", `{"frequency":"daily","hours":3}`, "", "2026-10-24 12:00",
			[]string{"Sun 2026-10-25 03:00 +01:00"}},
		{"each real hour", "Europe/Berlin", `{"frequency":"hourly","minutes":30}`, "", "2026-10-25 01:30",
			[]string{"Sun 2026-10-25 02:30 +02:00", "Sun 2026-10-25 02:30 +01:00", "Sun 2026-10-25 03:30 +01:00"}},
		{"every second real hour", "Europe/Berlin", `{"frequency":"hourly","interval":2}`, "2026-10-25 00:00", "2026-10-25 00:00",
			[]string{"Sun 2026-10-25 02:00 +02:00", "Sun 2026-10-25 03:00 +01:00", "Sun 2026-10-25 05:00 +01:00"}},
		{"each real hour of Lord Howe", "Australia/Lord_Howe", `{"frequency":"hourly","minutes":45}`, "", "2026-04-05 00:45",
			[]string{"Sun 2026-04-05 01:45 +11:00", "Sun 2026-04-05 01:45 +10:30", "Sun 2026-04-05 02:45 +10:30"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var rule calendar.Rule
			if err := json.Unmarshal([]byte(c.rule), &rule); err != nil {
				t.Fatal(err)
			}
			if err := rule.Validate("rule"); err != nil {
				t.Fatal(err)
			}
			loc := zone(t, c.zone)
			var got []string
			for after := at(t, c.after, loc); len(got) < len(c.want); {
				next, ok := rule.Next(after, loc, at(t, c.anchor, loc))
				if !ok {
					break
				}
				got = append(got, next.In(loc).Format(withOffset))
				after = next
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestIntervalAndDaysCanExcludeEachOther(t *testing.T) {
	t.Parallel()
	monday := at(t, "2026-06-01 00:00", time.UTC)
	for _, r := range []calendar.Rule{
		{Frequency: calendar.Daily, Interval: 7, Days: calendar.Weekdays{time.Tuesday}},
		{Frequency: calendar.Hourly, Interval: 168, Days: calendar.Weekdays{time.Tuesday}},
	} {
		if next, ok := r.Next(monday, time.UTC, monday); ok {
			t.Errorf("%+v happens at %s", r, next)
		}
	}
}

func TestRareOccurrencesAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule         calendar.Rule
		anchor, want string
	}{
		{calendar.Rule{Frequency: calendar.Hourly, Days: calendar.Weekdays{time.Sunday}}, "2026-06-01 00:00", "Sun 2026-06-07 00:00 +02:00"},
		{calendar.Rule{Frequency: calendar.Daily, Days: calendar.Weekdays{time.Monday}}, "2026-06-01 00:00", "Mon 2026-06-08 00:00 +02:00"},
		{calendar.Rule{Frequency: calendar.Daily, Interval: 6, Days: calendar.Weekdays{time.Tuesday}}, "2026-06-01 00:00", "Tue 2026-07-07 00:00 +02:00"},
		{calendar.Rule{Frequency: calendar.Daily, Interval: 8, Days: calendar.Weekdays{time.Sunday}}, "2026-06-01 00:00", "Sun 2026-07-19 00:00 +02:00"},
		// 168 hours after 23:00 on a Monday it is Tuesday in summer.
		{calendar.Rule{Frequency: calendar.Hourly, Interval: 168, Days: calendar.Weekdays{time.Tuesday}}, "2026-01-05 23:00", "Tue 2026-03-31 00:00 +02:00"},
	} {
		loc := zone(t, "Europe/Berlin")
		anchor := at(t, c.anchor, loc)
		next, ok := c.rule.Next(anchor, loc, anchor)
		if got := next.In(loc).Format(withOffset); !ok || got != c.want {
			t.Errorf("%+v: got %s, %v, want %s", c.rule, got, ok, c.want)
		}
	}
}

func TestTheEarliestOfSeveralRules(t *testing.T) {
	t.Parallel()
	rules := []calendar.Rule{
		{Frequency: calendar.Weekly, Days: calendar.Weekdays{time.Friday}, Hours: 9},
		{Frequency: calendar.Weekly, Days: calendar.Weekdays{time.Tuesday}, Hours: 17},
		{Frequency: calendar.Monthly, DayOfMonth: 3},
	}
	after := at(t, "2026-06-01 00:00", time.UTC)
	for _, want := range []string{"Tue 2026-06-02 17:00 +00:00", "Wed 2026-06-03 00:00 +00:00", "Fri 2026-06-05 09:00 +00:00"} {
		next, ok := calendar.NextOf(rules, after, time.Time{}, nil)
		if !ok || next.Format(withOffset) != want {
			t.Errorf("got %s, want %s", next.Format(withOffset), want)
		}
		after = next
	}
	if next, ok := calendar.NextOf(nil, after, time.Time{}, nil); ok {
		t.Errorf("no rules happen at %s", next)
	}
}

func TestThereIsNothingAfterTheYear9999(t *testing.T) {
	t.Parallel()
	last := at(t, "9999-12-31T00:00:00Z", time.UTC)
	r := calendar.Rule{Frequency: calendar.Daily}
	if next, ok := r.Next(last.Add(-time.Hour), time.UTC, time.Time{}); !ok || !next.Equal(last) {
		t.Errorf("the last day: %s, %v", next, ok)
	}
	if next, ok := r.Next(last, time.UTC, time.Time{}); ok {
		t.Errorf("a day that no timestamp can spell: %s", next)
	}
}
