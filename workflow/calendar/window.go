package calendar

import (
	"fmt"
	"slices"
	"time"

	"github.com/belfryhq/belfry"
)

// WindowType says what a [Window] does with its day.
type WindowType string

// The types of windows.
const (
	Send      WindowType = "send"        // messages go out from From until Until
	DoNotSend WindowType = "do_not_send" // not at all
)

// Window says when on one day of the week messages may go out, such as
//
//	{"day": "monday", "type": "send", "from": "09:00", "until": "17:00:00"}
//
// Times are HH:MM or HH:MM:SS on the wall; only for Send. From is included, and midnight
// if it is empty. Until is excluded, and the end of the day if it is empty or 24:00.
type Window struct {
	Day   string     `json:"day"` // monday to sunday
	Type  WindowType `json:"type"`
	From  string     `json:"from,omitempty"`
	Until string     `json:"until,omitempty"`
}

// Windows are the send windows of a step: exactly one for each day of the week, in any
// order.
type Windows []Window

// Validate returns everything that is wrong, in order; nil if nothing is. The errors'
// fields are field itself or a part of it, such as "sendWindows[2].from".
func (w Windows) Validate(field string) []*belfry.Error {
	if len(w) > 7 {
		return []*belfry.Error{belfry.Beyond(field, 7, "send windows")}
	}
	var problems []*belfry.Error
	var seen [7]bool
	for i, window := range w {
		problems = append(problems, window.problems(fmt.Sprintf("%s[%d]", field, i))...)
		d, ok := weekdayNamed(window.Day)
		if ok && seen[d] {
			problems = append(problems, belfry.Errorf(belfry.Invalid, "%s is there twice", window.Day).At("%s[%d].day", field, i))
		}
		if ok {
			seen[d] = true
		}
	}
	for i := range 7 {
		if d := time.Weekday((i + 1) % 7); !seen[d] {
			problems = append(problems, belfry.Errorf(belfry.Invalid, "%s is missing: there must be one send window for each day of the week", windowDays[d]).At("%s", field))
		}
	}
	return problems
}

func (w Window) problems(field string) []*belfry.Error {
	var problems []*belfry.Error
	wrong := func(part, message string) {
		problems = append(problems, belfry.Errorf(belfry.Invalid, "%s", message).At("%s.%s", field, part))
	}
	if _, ok := weekdayNamed(w.Day); !ok {
		wrong("day", "must be monday, tuesday, wednesday, thursday, friday, saturday or sunday")
	}
	switch w.Type {
	case Send:
		from, fromOK := clock(w.From, 0)
		if !fromOK || from == day {
			wrong("from", "must be a time of day such as 09:00 or 09:00:00")
		}
		until, untilOK := clock(w.Until, day)
		if !untilOK {
			wrong("until", "must be a time of day such as 17:00 or 17:00:00; leave it out for the end of the day")
		}
		if fromOK && untilOK && until <= from {
			wrong("until", "must be after from: a window doesn't go past midnight, continue it on the next day")
		}
	case DoNotSend:
		if w.From != "" {
			wrong("from", "only has a meaning when messages are sent: leave it out")
		}
		if w.Until != "" {
			wrong("until", "only has a meaning when messages are sent: leave it out")
		}
	default:
		wrong("type", "must be send or do_not_send")
	}
	return problems
}

var windowDays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

func weekdayNamed(name string) (time.Weekday, bool) {
	i := slices.Index(windowDays, name)
	return time.Weekday(i), i >= 0
}

// clock reads a time of day: at most 24:00.
func clock(text string, whenEmpty time.Duration) (time.Duration, bool) {
	switch text {
	case "":
		return whenEmpty, true
	case "24:00", "24:00:00":
		return day, true
	}
	layout := "15:04:05"
	if len(text) == len("15:04") {
		layout = "15:04"
	}
	if len(text) != len(layout) { // the parser also takes 9:00 and fractions
		return 0, false
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return 0, false
	}
	return sinceMidnight(t), true
}

func sinceMidnight(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute +
		time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
}

// openHours are the windows by weekday, ready to be looked at; from == until is closed.
type openHours [7]struct{ from, until time.Duration }

func (w Windows) hours() (openHours, bool) {
	var hours openHours
	if w.Validate("") != nil {
		return hours, false
	}
	some := false
	for _, window := range w {
		if window.Type == Send {
			d, _ := weekdayNamed(window.Day)
			hours[d].from, _ = clock(window.From, 0)
			hours[d].until, _ = clock(window.Until, day)
			some = true
		}
	}
	return hours, some
}

// at reports whether it is open when clocks show t.
func (h *openHours) at(t time.Time) bool {
	d, c := t.Weekday(), sinceMidnight(t)
	return h[d].from <= c && c < h[d].until
}

// change returns the next instant after t at which something could open or close: a
// window begins or ends, a day begins, or the clock is shifted.
func (h *openHours) change(t time.Time) time.Time {
	d, c := t.Weekday(), sinceMidnight(t)
	next := day
	for _, edge := range []time.Duration{h[d].from, h[d].until} {
		if c < edge {
			next = min(next, edge)
		}
	}
	at := t.Add(next - c)
	if _, shift := t.ZoneBounds(); !shift.IsZero() && shift.Before(at) {
		return shift.In(t.Location())
	}
	return at
}

// A window can be opened at most once a week, and a shift of the clock can hide it in the
// first: beyond this there is nothing more to find.
const openingHorizon = 15 * day

// Opening reports whether messages may go out at an instant.
//
// When open, until is when that ends: the zero time if it never does, because all days
// are open. When closed, next is the next opening. ok is false if it never opens or the
// windows are not valid.
func (w Windows) Opening(at time.Time, loc *time.Location) (open bool, until, next time.Time, ok bool) {
	hours, ok := w.hours()
	if !ok {
		return false, time.Time{}, time.Time{}, false
	}
	local := at.In(orUTC(loc))
	open = hours.at(local)
	for t := local; t.Sub(local) < openingHorizon; {
		t = hours.change(t)
		if hours.at(t) == open {
			continue
		}
		if open {
			return true, t.UTC(), time.Time{}, true
		}
		return false, time.Time{}, t.UTC(), true
	}
	return open, time.Time{}, time.Time{}, open
}
