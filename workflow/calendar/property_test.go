package calendar_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/belfryhq/belfry/workflow/calendar"
)

// shifts are places and days around which clocks do something odd, and one where they
// don't.
var shifts = []struct{ zone, day string }{
	{"Europe/Berlin", "2026-03-29"}, {"Europe/Berlin", "2026-10-25"},
	{"America/New_York", "2028-03-12"}, {"America/New_York", "2028-11-05"},
	{"Australia/Lord_Howe", "2026-04-05"}, {"Australia/Lord_Howe", "2026-10-04"},
	{"Asia/Kathmandu", "2026-02-28"}, {"Asia/Kathmandu", "1986-01-01"},
	{"Pacific/Apia", "2011-12-30"}, {"America/Sao_Paulo", "2018-11-04"},
	{"Africa/Casablanca", "2026-02-15"}, {"UTC", "2028-02-29"},
}

func drawShift(t *rapid.T) (*time.Location, time.Time) {
	shift := rapid.SampledFrom(shifts).Draw(t, "shift")
	loc, ok := calendar.Zone(shift.zone)
	if !ok {
		t.Fatalf("no time zone %s", shift.zone)
	}
	midnight, err := time.Parse(time.DateOnly, shift.day)
	if err != nil {
		t.Fatal(err)
	}
	seconds := rapid.IntRange(-3*86400, 3*86400).Draw(t, "seconds")
	return loc, midnight.Add(time.Duration(seconds) * time.Second)
}

func drawDays(t *rapid.T) calendar.Weekdays {
	return calendar.Weekdays(rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) time.Weekday {
		return time.Weekday(rapid.IntRange(0, 6).Draw(t, "weekday"))
	}), 0, 7, rapid.ID).Draw(t, "days"))
}

func drawRule(t *rapid.T) calendar.Rule {
	r := calendar.Rule{
		Frequency: rapid.SampledFrom([]calendar.Frequency{calendar.Hourly, calendar.Daily, calendar.Weekly, calendar.Monthly}).Draw(t, "frequency"),
		Interval:  rapid.SampledFrom([]int{0, 1, 1, 2, 3, 7, 24, calendar.MaxInterval}).Draw(t, "interval"),
		Minutes:   5 * rapid.IntRange(0, 11).Draw(t, "minutes"),
	}
	if r.Frequency != calendar.Hourly {
		r.Hours = rapid.SampledFrom([]int{0, 1, 2, 3, 9, 23}).Draw(t, "hours")
	}
	if r.Frequency != calendar.Monthly {
		r.Days = drawDays(t)
	} else {
		r.DayOfMonth = rapid.SampledFrom([]int{0, 1, 28, 29, 30, 31}).Draw(t, "dayOfMonth")
	}
	if err := r.Validate("rule"); err != nil {
		t.Fatal(err)
	}
	return r
}

// wall is what the clocks show at t, as if it were UTC.
func wall(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// matches is the definition of daily, weekly and monthly rules with an interval of 1 or
// of days or weeks, for one minute on the wall.
func matches(r calendar.Rule, w, anchor time.Time) bool {
	if w.Hour() != r.Hours || w.Minute() != r.Minutes || len(r.Days) > 0 && !slices.Contains(r.Days, w.Weekday()) {
		return false
	}
	monday := func(t time.Time) time.Time {
		return t.Truncate(24*time.Hour).AddDate(0, 0, -(int(t.Weekday())+6)%7)
	}
	n := max(1, r.Interval)
	switch r.Frequency {
	case calendar.Daily:
		return int(w.Truncate(24*time.Hour).Sub(anchor.Truncate(24*time.Hour)).Hours())%(24*n) == 0
	case calendar.Weekly:
		return int(monday(w).Sub(monday(anchor)).Hours())%(7*24*n) == 0 && (len(r.Days) > 0 || w.Weekday() == anchor.Weekday())
	default:
		day := r.DayOfMonth
		if day == 0 {
			day = anchor.Day()
		}
		last := time.Date(w.Year(), w.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		months := (w.Year()-anchor.Year())*12 + int(w.Month()) - int(anchor.Month())
		return w.Day() == min(day, last) && months%n == 0
	}
}

// The oracle watches the clock on the wall, minute by minute: a rule happens when the
// clock first reaches a minute that matches, or jumps over it.
func TestNextIsWhatSomebodySeesWhoWatchesTheClock(t *testing.T) {
	t.Parallel()
	const watched = 8 * 24 * time.Hour
	rapid.Check(t, func(t *rapid.T) {
		r := drawRule(t)
		if r.Frequency == calendar.Hourly {
			t.Skip("has its own oracle")
		}
		loc, after := drawShift(t)
		anchor := after.Add(-time.Duration(rapid.IntRange(0, 100*24).Draw(t, "anchor")) * time.Hour)
		next, ok := r.Next(after, loc, anchor)
		if ok && !next.After(after) {
			t.Fatalf("%s isn't after %s", next, after)
		}

		var want time.Time
		start := after.Truncate(time.Minute)
		shown := wall(start.Add(-30*time.Hour), loc) // the latest minute that was shown
		for m := start.Add(-30 * time.Hour); want.IsZero() && m.Before(start.Add(watched)); m = m.Add(time.Minute) {
			w := wall(m, loc)
			for shown.Before(w) {
				shown = shown.Add(time.Minute)
				if m.After(after) && matches(r, shown, wall(anchor, loc)) {
					want = m
				}
			}
		}
		switch {
		case want.IsZero() && ok && next.Before(start.Add(watched)):
			t.Fatalf("%+v in %s after %s: nothing happens, but got %s", r, loc, after, next)
		case !want.IsZero() && !next.Equal(want):
			t.Fatalf("%+v in %s after %s: got %s, want %s", r, loc, after.In(loc), next.In(loc), want.In(loc))
		}
	})
}

func TestHourlyIsOnceInEveryRealHour(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		loc, after := drawShift(t)
		r := calendar.Rule{Frequency: calendar.Hourly, Minutes: 5 * rapid.IntRange(0, 11).Draw(t, "minutes")}
		next, ok := r.Next(after, loc, after)
		if !ok || !next.After(after) || next.Sub(after) > 2*time.Hour {
			t.Fatalf("%+v in %s after %s: %s, %v", r, loc, after, next, ok)
		}
		second, ok := r.Next(next, loc, after)
		if gap := second.Sub(next); !ok || gap <= 0 || gap >= 2*time.Hour {
			t.Fatalf("%+v in %s: %s, then %s", r, loc, next, second)
		}
		start, _ := next.In(loc).ZoneBounds()
		if next.In(loc).Minute() != r.Minutes && !next.Equal(start) {
			t.Fatalf("%+v in %s: the clock shows %s", r, loc, next.In(loc))
		}
		// Away from shifts it is simply the next time that the clock shows the minute.
		for m := after.Truncate(time.Minute).Add(time.Minute); m.Before(next); m = m.Add(time.Minute) {
			if m.In(loc).Minute() != r.Minutes {
				continue
			}
			if from, to := m.In(loc).ZoneBounds(); m.Sub(from) > 2*time.Hour && (to.IsZero() || to.Sub(m) > 2*time.Hour) {
				t.Fatalf("%+v in %s after %s: %s was before %s", r, loc, after, m.In(loc), next.In(loc))
			}
		}
	})
}

func TestNextNeverTakesLong(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := drawRule(t)
		r.Interval = rapid.IntRange(0, calendar.MaxInterval).Draw(t, "interval")
		loc, after := drawShift(t)
		anchor := time.Unix(rapid.Int64Range(-1e11, 2e11).Draw(t, "anchor"), 0)
		began := time.Now()
		next, ok := r.Next(after, loc, anchor)
		if took := time.Since(began); took > time.Second { // it is microseconds; a busy machine is no bug
			t.Fatalf("%+v took %s", r, took)
		}
		if ok && (!next.After(after) || next.Before(anchor)) {
			t.Fatalf("%+v after %s, from %s: %s", r, after, anchor, next)
		}
		if again, _ := r.Next(after, loc, anchor); !again.Equal(next) {
			t.Fatalf("%s, then %s", next, again)
		}
	})
}

// full is a time of day with its seconds.
func full(clock, whenEmpty string) string {
	switch len(clock) {
	case 0:
		return whenEmpty
	case len("15:04"):
		return clock + ":00"
	default:
		return clock
	}
}

func TestWindowsAreOpenWhenTheClockSaysSo(t *testing.T) {
	t.Parallel()
	times := []string{"", "00:30", "01:45", "02:00", "02:15:30", "02:30", "03:00", "17:00"}
	rapid.Check(t, func(t *rapid.T) {
		loc, at := drawShift(t)
		windows := calendar.Windows{}
		clocks := map[string][2]string{}
		for _, d := range []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"} {
			w := calendar.Window{Day: string(d[0]+'a'-'A') + d[1:], Type: calendar.DoNotSend}
			if rapid.Bool().Draw(t, "send") {
				i := rapid.IntRange(0, len(times)-2).Draw(t, "from")
				j := rapid.IntRange(i+1, len(times)).Draw(t, "until")
				w.Type, w.From = calendar.Send, times[i]
				if j < len(times) {
					w.Until = times[j]
				}
				clocks[d] = [2]string{full(w.From, "00:00:00"), full(w.Until, "24:00:00")}
			}
			windows = append(windows, w)
		}
		if problems := windows.Validate("sendWindows"); problems != nil {
			t.Fatal(problems)
		}
		inside := func(m time.Time) bool {
			local := m.In(loc)
			c, ok := clocks[local.Format("Monday")]
			clock := local.Format("15:04:05")
			return ok && c[0] <= clock && clock < c[1]
		}
		open, until, next, ok := windows.Opening(at, loc)
		if !ok {
			if len(clocks) > 0 {
				t.Fatalf("%v never opens", clocks)
			}
			return
		}
		if open != inside(at) {
			t.Fatalf("%v at %s: open is %v", clocks, at.In(loc), open)
		}
		change := next
		if open {
			change = until
		}
		if change.IsZero() {
			if len(clocks) < 7 {
				t.Fatalf("%v at %s: never closes", clocks, at.In(loc))
			}
			return
		}
		if inside(change) == open {
			t.Fatalf("%v at %s: nothing happens at %s", clocks, at.In(loc), change.In(loc))
		}
		for m := at; m.Before(change); m = m.Add(30 * time.Second) {
			if inside(m) != open {
				t.Fatalf("%v at %s: changes at %s, before %s", clocks, at.In(loc), m.In(loc), change.In(loc))
			}
		}
	})
}
