package calendar_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// week is the same window on weekdays, and nothing on weekends.
func week(from, until string) calendar.Windows {
	var w calendar.Windows
	for _, d := range []string{"monday", "tuesday", "wednesday", "thursday", "friday"} {
		w = append(w, calendar.Window{Day: d, Type: calendar.Send, From: from, Until: until})
	}
	return append(w, calendar.Window{Day: "saturday", Type: calendar.DoNotSend}, calendar.Window{Day: "sunday", Type: calendar.DoNotSend})
}

// only is one window on one day of the week, and nothing on the others.
func only(day, from, until string) calendar.Windows {
	w := week("", "")
	for i := range w {
		if w[i] = (calendar.Window{Day: w[i].Day, Type: calendar.DoNotSend}); w[i].Day == day {
			w[i] = calendar.Window{Day: day, Type: calendar.Send, From: from, Until: until}
		}
	}
	return w
}

// every is the same window on all days.
func every(from, until string) calendar.Windows {
	w := week(from, until)
	for i := range w {
		w[i] = calendar.Window{Day: w[i].Day, Type: calendar.Send, From: from, Until: until}
	}
	return w
}

func TestOpening(t *testing.T) {
	t.Parallel()
	const open, closed = "open until ", "closed until "
	for _, c := range []struct {
		name    string
		windows calendar.Windows
		zone    string
		at      string
		want    string
	}{
		{"inside", week("09:00:00", "17:00:00"), "Europe/Berlin", "2026-06-01 12:00", open + "Mon 2026-06-01 17:00 +02:00"},
		{"from is included", week("09:00", "17:00"), "Europe/Berlin", "2026-06-01 09:00", open + "Mon 2026-06-01 17:00 +02:00"},
		{"until is not", week("09:00", "17:00"), "Europe/Berlin", "2026-06-01 17:00", closed + "Tue 2026-06-02 09:00 +02:00"},
		{"before", week("09:00", "17:00"), "America/New_York", "2026-06-01 08:59", closed + "Mon 2026-06-01 09:00 -04:00"},
		{"over the weekend", week("09:00", "17:00"), "Asia/Kathmandu", "2026-06-05 18:00", closed + "Mon 2026-06-08 09:00 +05:45"},
		{"windows of neighbouring days are one", week("", ""), "Europe/Berlin", "2026-06-03 12:00", open + "Sat 2026-06-06 00:00 +02:00"},
		{"24:00 is the end of the day", week("08:00", "24:00"), "UTC", "2026-06-05 12:00", open + "Sat 2026-06-06 00:00 +00:00"},
		{"always open", every("", ""), "UTC", "2026-06-01 12:00", "open"},
		{"never open", only("", "", ""), "UTC", "2026-06-01 12:00", "never"},
		{"once a week, just missed", only("monday", "09:00", "09:00:01"), "UTC", "2026-06-01 09:01", closed + "Mon 2026-06-08 09:00 +00:00"},

		{"it begins in the gap", every("02:30", "05:00"), "Europe/Berlin", "2026-03-29 01:00", closed + "Sun 2026-03-29 03:00 +02:00"},
		{"it ends in the gap", every("01:00", "02:30"), "Europe/Berlin", "2026-03-29 01:30", open + "Sun 2026-03-29 03:00 +02:00"},
		{"all of it is in the gap", only("sunday", "02:00", "02:59"), "Europe/Berlin", "2026-03-28 12:00", closed + "Sun 2026-04-05 02:00 +02:00"},
		{"all of it is in the gap, the week before too late", only("sunday", "02:00", "02:59"), "Europe/Berlin", "2026-03-22 03:00", closed + "Sun 2026-04-05 02:00 +02:00"},
		{"half an hour is missing", every("02:15", "05:00"), "Australia/Lord_Howe", "2026-10-04 01:00", closed + "Sun 2026-10-04 02:30 +11:00"},
		{"Samoa has no Friday", only("friday", "09:00", "17:00"), "Pacific/Apia", "2011-12-29 12:00", closed + "Fri 2012-01-06 09:00 +14:00"},

		{"it begins in the fold, the first time", every("02:30", "05:00"), "Europe/Berlin", "2026-10-25 01:00", closed + "Sun 2026-10-25 02:30 +02:00"},
		{"the clock goes back before it began", every("02:30", "05:00"), "Europe/Berlin", "2026-10-25T00:45:00Z", open + "Sun 2026-10-25 02:00 +01:00"},
		{"and gets there again", every("02:30", "05:00"), "Europe/Berlin", "2026-10-25T01:15:00Z", closed + "Sun 2026-10-25 02:30 +01:00"},
		{"a fold inside makes it longer", every("01:00", "05:00"), "America/New_York", "2026-11-01 00:00", closed + "Sun 2026-11-01 01:00 -04:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if problems := c.windows.Validate("sendWindows"); problems != nil {
				t.Fatal(problems)
			}
			loc := zone(t, c.zone)
			isOpen, until, next, ok := c.windows.Opening(at(t, c.at, loc), loc)
			got := closed + next.In(loc).Format(withOffset)
			switch {
			case !ok:
				got = "never"
			case isOpen && until.IsZero():
				got = "open"
			case isOpen:
				got = open + until.In(loc).Format(withOffset)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestWindowsListAllTheirProblems(t *testing.T) {
	t.Parallel()
	var windows calendar.Windows
	if err := json.Unmarshal([]byte(`[
		{"day":"monday","type":"send","from":"9:00","until":"25:00"},
		{"day":"monday","type":"send","from":"17:00","until":"17:00:00"},
		{"day":"tuesday","type":"do_not_send","from":"09:00","until":"17:00"},
		{"day":"wednesday","type":"sometimes"},
		{"day":"thursday","type":"send","from":"24:00"},
		{"day":"Friday","type":"send","from":"09:00:00.5"},
		{"day":"sunday","type":"send","until":"00:00"}
	]`), &windows); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range windows.Validate("w") {
		if p.Code != belfry.Invalid {
			t.Errorf("%v has the code %s", p, p.Code)
		}
		got = append(got, p.Error())
	}
	want := []string{
		"w[0].from: must be a time of day such as 09:00 or 09:00:00",
		"w[0].until: must be a time of day such as 17:00 or 17:00:00; leave it out for the end of the day",
		"w[1].until: must be after from: a window doesn't go past midnight, continue it on the next day",
		"w[1].day: monday is there twice",
		"w[2].from: only has a meaning when messages are sent: leave it out",
		"w[2].until: only has a meaning when messages are sent: leave it out",
		"w[3].type: must be send or do_not_send",
		"w[4].from: must be a time of day such as 09:00 or 09:00:00",
		"w[4].until: must be after from: a window doesn't go past midnight, continue it on the next day",
		"w[5].day: must be monday, tuesday, wednesday, thursday, friday, saturday or sunday",
		"w[5].from: must be a time of day such as 09:00 or 09:00:00",
		"w[6].until: must be after from: a window doesn't go past midnight, continue it on the next day",
		"w: friday is missing: there must be one send window for each day of the week",
		"w: saturday is missing: there must be one send window for each day of the week",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if open, _, _, ok := windows.Opening(time.Now(), nil); open || ok {
		t.Error("windows that aren't valid must not open")
	}
}

func TestThereAreAtMostSevenWindows(t *testing.T) {
	t.Parallel()
	windows := every("", "")
	if problems := windows.Validate("w"); problems != nil {
		t.Error(problems)
	}
	problems := append(windows, windows[0]).Validate("w")
	if len(problems) != 1 || problems[0].Code != belfry.TooLarge || problems[0].Limit != 7 {
		t.Error(problems)
	}
	if got := len(calendar.Windows(nil).Validate("w")); got != 7 {
		t.Errorf("no windows at all: %d problems, want one for each day", got)
	}
}
