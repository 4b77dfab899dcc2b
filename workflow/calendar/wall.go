package calendar

import "time"

// A wall time is what a clock on the wall shows, without a zone: here a day number and
// the time since its midnight.

const secondsPerDay = 24 * 60 * 60

// dayOf numbers the calendar day that t shows in its own location; 0 is 1970-01-01.
func dayOf(t time.Time) int {
	y, m, d := t.Date()
	return dayNumber(y, m, d)
}

func dayNumber(y int, m time.Month, d int) int {
	return int(floorDiv(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix(), secondsPerDay))
}

// monthOf numbers the calendar month that t shows; 0 is January of the year 0.
func monthOf(t time.Time) int { return t.Year()*12 + int(t.Month()) - 1 }

// dayInMonth returns the number of a day of a month, and of the month's last day if it
// has fewer.
func dayInMonth(month, dayOfMonth int) int {
	first := dayNumber(0, time.Month(month+1), 1)
	last := dayNumber(0, time.Month(month+2), 1) - 1
	return min(first+dayOfMonth-1, last)
}

func weekday(dayNumber int) time.Weekday {
	return time.Weekday(floorMod(int64(dayNumber)+int64(time.Thursday), 7))
}

// week numbers the week of a day; weeks begin on Monday, and 0 has 1970-01-05.
func week(dayNumber int) int { return int(floorDiv(int64(dayNumber)-4, 7)) }

// instant returns when the clocks of loc show a wall time: the first time, if they show
// it twice, and the first instant after the gap, if they skip it.
func instant(dayNumber int, clock time.Duration, loc *time.Location) time.Time {
	wall := time.Unix(int64(dayNumber)*secondsPerDay, 0).UTC().Add(clock)
	y, m, d := wall.Date()
	t := time.Date(y, m, d, wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), orUTC(loc))

	// time.Date doesn't say which of two instants it picks, nor what it does in gaps. Both
	// happen next to a transition, which is where the zone of t begins or ends.
	start, end := t.ZoneBounds()
	for _, transition := range []time.Time{start, end} {
		if transition.IsZero() {
			continue
		}
		before, after := offsets(transition)
		from, to := showing(transition, before), showing(transition, after)
		switch {
		case !wall.Before(from) && wall.Before(to): // skipped
			return transition.UTC()
		case !wall.Before(to) && wall.Before(from): // shown twice
			return wall.Add(-before)
		}
	}
	return t.UTC()
}

// offsets returns the offsets from UTC right before and after a transition.
func offsets(transition time.Time) (before, after time.Duration) {
	_, b := transition.Add(-time.Nanosecond).Zone()
	_, a := transition.Zone()
	return time.Duration(b) * time.Second, time.Duration(a) * time.Second
}

// showing is what a clock with that offset shows at t, as if its zone were UTC.
func showing(t time.Time, offset time.Duration) time.Time { return t.UTC().Add(offset) }

func orUTC(loc *time.Location) *time.Location {
	if loc == nil {
		return time.UTC
	}
	return loc
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }
