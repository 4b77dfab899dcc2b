package calendar

import (
	"slices"
	"time"
)

// epoch anchors rules that have no start of their own.
const epoch = 4 // 1970-01-05, a Monday

// maxYear is the last year that has a timestamp in RFC 3339.
const maxYear = 9999

// Next returns the first occurrence strictly after an instant, and false if there is
// none: interval and days can exclude each other.
//
// The anchor is the start of the schedule. Nothing happens before it; interval counts
// from the hour, day, week or month it is in; and it supplies the weekday or the day of
// the month that a rule leaves out. Without an anchor (the zero time) these are Monday,
// 1970-01-05, the first of the month, and there is no start. The rule must be valid.
func (r Rule) Next(after time.Time, loc *time.Location, anchor time.Time) (time.Time, bool) {
	loc = orUTC(loc)
	free := anchor.IsZero()
	if free {
		anchor = instant(epoch, 0, loc)
	} else if after.Before(anchor) {
		after = anchor.Add(-time.Nanosecond)
	}
	if r.Interval < 1 {
		r.Interval = 1
	}
	var next time.Time
	var ok bool
	switch anchor = anchor.In(loc); r.Frequency {
	case Hourly:
		next, ok = r.nextHour(after, anchor)
	case Daily:
		next, ok = r.nextDay(after, anchor)
	case Weekly:
		next, ok = r.nextWeek(after, anchor)
	case Monthly:
		if r.DayOfMonth == 0 && free {
			r.DayOfMonth = 1
		}
		next, ok = r.nextMonth(after, anchor)
	}
	if !ok || next.Year() > maxYear {
		return time.Time{}, false
	}
	return next, true
}

// NextOf returns the earliest of the next occurrences of several rules, and false if
// none of them has one.
func NextOf(rules []Rule, after, anchor time.Time, loc *time.Location) (time.Time, bool) {
	var first time.Time
	for _, r := range rules {
		if next, ok := r.Next(after, loc, anchor); ok && (first.IsZero() || next.Before(first)) {
			first = next
		}
	}
	return first, !first.IsZero()
}

// The searches below start with the day, week or month that the clock shows at after: no
// shift makes an earlier wall time happen later.

func (r Rule) nextDay(after, anchor time.Time) (time.Time, bool) {
	d := inPhase(dayOf(after.In(anchor.Location())), dayOf(anchor), r.Interval)
	for range 1 + 7 { // the weekdays of every n-th day repeat after at most 7
		if t := r.on(d, anchor); t.After(after) && r.includes(weekday(d)) {
			return t, true
		}
		d += r.Interval
	}
	return time.Time{}, false
}

func (r Rule) nextWeek(after, anchor time.Time) (time.Time, bool) {
	if len(r.Days) == 0 {
		r.Days = Weekdays{anchor.Weekday()}
	}
	w := inPhase(week(dayOf(after.In(anchor.Location()))), week(dayOf(anchor)), r.Interval)
	for range 2 {
		for d := epoch + 7*w; d < epoch+7*(w+1); d++ {
			if !r.includes(weekday(d)) {
				continue
			}
			if t := r.on(d, anchor); t.After(after) {
				return t, true
			}
		}
		w += r.Interval
	}
	return time.Time{}, false
}

func (r Rule) nextMonth(after, anchor time.Time) (time.Time, bool) {
	if r.DayOfMonth == 0 {
		r.DayOfMonth = anchor.Day()
	}
	m := inPhase(monthOf(after.In(anchor.Location())), monthOf(anchor), r.Interval)
	for range 2 {
		if t := r.on(dayInMonth(m, r.DayOfMonth), anchor); t.After(after) {
			return t, true
		}
		m += r.Interval
	}
	return time.Time{}, false
}

// on returns the occurrence of a day.
func (r Rule) on(dayNumber int, anchor time.Time) time.Time {
	clock := time.Duration(r.Hours)*time.Hour + time.Duration(r.Minutes)*time.Minute
	return instant(dayNumber, clock, anchor.Location())
}

// includes reports whether the rule may happen on a day of the week.
func (r Rule) includes(d time.Weekday) bool {
	return len(r.Days) == 0 || slices.Contains(r.Days, d)
}

// inPhase returns the first number from n that is a multiple of interval away from phase.
func inPhase(n, phase, interval int) int {
	return n + int(floorMod(int64(phase-n), int64(interval)))
}

// nextHour looks for one occurrence in each real hour, counted from the full hour on the
// wall that the anchor is in.
func (r Rule) nextHour(after, anchor time.Time) (time.Time, bool) {
	_, offset := anchor.Zone()
	hour := func(t time.Time) int { return int(floorDiv(t.Unix()+int64(offset), 3600)) }
	h := inPhase(hour(after), hour(anchor), r.Interval)
	// The hours of the week repeat after at most 168 steps. A shift of the clock can move
	// the pattern meanwhile: twice that, and no step is missing.
	for range 2 * 168 {
		start := time.Unix(int64(h)*3600-int64(offset), 0).In(anchor.Location())
		if t, ok := minuteWithin(start, r.Minutes); ok && t.After(after) && r.includes(t.Weekday()) {
			return t.UTC(), true
		}
		h += r.Interval
	}
	return time.Time{}, false
}

// minuteWithin returns when, in the hour from start, clocks first show that minute; and if
// a shift hides it, when the shift ends.
func minuteWithin(start time.Time, minute int) (time.Time, bool) {
	end := start.Add(time.Hour)
	var hidden time.Time
	for t := start; t.Before(end); {
		_, shift := t.ZoneBounds()
		wait := until(t, minute)
		if shift.IsZero() || !shift.Before(end) {
			found := t.Add(wait)
			if found.Before(end) {
				return found, true
			}
			break
		}
		if found := t.Add(wait); found.Before(shift) {
			return found, true
		}
		before, after := offsets(shift)
		if hidden.IsZero() && after > before && wait < shift.Sub(t)+after-before {
			hidden = shift
		}
		t = shift.In(start.Location())
	}
	return hidden, !hidden.IsZero()
}

// until returns how long the clock takes from t to show a minute, were it never shifted.
func until(t time.Time, minute int) time.Duration {
	seconds := floorMod(int64(minute*60-t.Minute()*60-t.Second()), 3600)
	return time.Duration(seconds) * time.Second
}
