package calendar

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
)

// Unit is what a [Duration] counts.
type Unit string

// The units. All but months are exact elapsed time.
const (
	Seconds Unit = "seconds"
	Minutes Unit = "minutes"
	Hours   Unit = "hours"
	Days    Unit = "days"
	Weeks   Unit = "weeks"
	Months  Unit = "months"
)

// Limits of durations.
const (
	MaxYears      = 100 // a Duration is at most a century
	MaxTextLength = 64  // bytes of a duration, a timestamp or the name of a zone
)

const day = 24 * time.Hour

// exact holds the units of elapsed time, the largest first.
var exact = []struct {
	unit   Unit
	length time.Duration
}{{Weeks, 7 * day}, {Days, day}, {Hours, time.Hour}, {Minutes, time.Minute}, {Seconds, time.Second}}

// Duration is a length of time, such as {"unit": "minutes", "value": 5}.
type Duration struct {
	Unit  Unit `json:"unit"`
	Value int  `json:"value"`
}

// Validate returns a *belfry.Error that names the part of field that is wrong: an
// unknown unit, a value below 1, or more than [MaxYears].
func (d Duration) Validate(field string) error {
	length := d.Unit.length()
	limit := int64(12 * MaxYears)
	if d.Unit != Months {
		if length == 0 {
			return belfry.Errorf(belfry.Invalid, "must be seconds, minutes, hours, days, weeks or months").At("%s.unit", field)
		}
		limit = int64(MaxYears * 365 * day / length)
	}
	if d.Value < 1 {
		return belfry.Errorf(belfry.Invalid, "must be a whole number of at least 1").At("%s.value", field)
	}
	if int64(d.Value) > limit {
		return belfry.Beyond(field+".value", int(min(limit, math.MaxInt)), string(d.Unit))
	}
	return nil
}

func (u Unit) length() time.Duration {
	for _, e := range exact {
		if e.unit == u {
			return e.length
		}
	}
	return 0
}

// After returns the instant that is d after t. Months are counted on the calendar of
// loc: a month after January 31 is the last day of February, at the same time of day.
// d must be valid.
func (d Duration) After(t time.Time, loc *time.Location) time.Time { return d.shift(t, loc, 1) }

// Before returns the instant that is d before t; otherwise like [Duration.After].
func (d Duration) Before(t time.Time, loc *time.Location) time.Time { return d.shift(t, loc, -1) }

func (d Duration) shift(t time.Time, loc *time.Location, sign int) time.Time {
	if d.Unit != Months {
		return t.Add(time.Duration(sign*d.Value) * d.Unit.length()).UTC()
	}
	local := t.In(orUTC(loc))
	month := monthOf(local) + sign*d.Value
	return instant(dayInMonth(month, local.Day()), sinceMidnight(local), loc)
}

// ParseDuration reads a duration as decoded JSON: an object like that of [Duration],
// ISO 8601 in whole numbers ("PT15M", "P1D", "P1DT12H", "P1Y6M"), or hours, minutes
// and seconds as in "1h30m". Elapsed time comes back in the largest unit that holds it
// exactly, so "PT90M" is 90 minutes and "24h" is 1 day. Months can't be mixed with
// smaller units. The result is valid; errors are *[Error] with [Invalid] or [Missing].
func ParseDuration(v any) (Duration, error) {
	var d Duration
	var err error
	switch v := v.(type) {
	case nil:
		return d, failf(Missing, "there is no duration")
	case string:
		d, err = durationText(v)
	case map[string]any:
		d, err = durationObject(v)
	default:
		err = failf(Invalid, `a duration must be a string such as "PT15M", or an object such as {"unit": "minutes", "value": 15}`)
	}
	if err != nil {
		return Duration{}, err
	}
	if err := d.Validate("duration"); err != nil {
		return Duration{}, failf(Invalid, "%v", err)
	}
	return d, nil
}

func durationObject(object map[string]any) (Duration, error) {
	var d Duration
	for key, v := range object {
		switch key {
		case "unit":
			text, _ := v.(string)
			d.Unit = Unit(text)
		case "value":
			n, ok := whole(v)
			if !ok {
				return d, failf(Invalid, "duration.value: must be a whole number")
			}
			d.Value = n
		default:
			return d, failf(Invalid, "a duration has unit and value, not %s", quoted(key))
		}
	}
	return d, nil
}

var iso = regexp.MustCompile(`^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$`)

func durationText(text string) (Duration, error) {
	if text == "" {
		return Duration{}, failf(Missing, "the duration is empty")
	}
	if len(text) > MaxTextLength {
		return Duration{}, failf(Invalid, "a duration has at most %d characters", MaxTextLength)
	}
	if !strings.HasPrefix(text, "P") {
		elapsed, err := time.ParseDuration(text)
		if err != nil {
			return Duration{}, failf(Invalid, `%s is neither a duration such as "PT15M" or "1h30m" nor a timestamp such as "2030-01-31T09:00:00Z"`, quoted(text))
		}
		return elapsedDuration(elapsed)
	}
	m := iso.FindStringSubmatch(text)
	if m == nil || text == "P" || m[5] == "T" {
		return Duration{}, failf(Invalid, `%s is not a duration: write it as "P1DT12H", in whole numbers`, quoted(text))
	}
	var n [9]int64
	for _, i := range []int{1, 2, 3, 4, 6, 7, 8} {
		if m[i] == "" {
			continue
		}
		// The limit keeps every sum below inside an int64, whatever the units.
		v, err := strconv.ParseInt(m[i], 10, 64)
		if err != nil || v > MaxYears*366*24*3600 {
			return Duration{}, failf(Invalid, "%s is longer than %d years", quoted(text), MaxYears)
		}
		n[i] = v
	}
	months := 12*n[1] + n[2]
	seconds := ((n[3]*7+n[4])*24+n[6])*3600 + n[7]*60 + n[8]
	switch {
	case months > 0 && seconds > 0:
		return Duration{}, failf(Invalid, "%s mixes months with smaller units: use one or the other", quoted(text))
	case months > 0:
		return Duration{Months, int(min(months, 12*MaxYears+1))}, nil
	case seconds > MaxYears*366*24*3600:
		return Duration{}, failf(Invalid, "%s is longer than %d years", quoted(text), MaxYears)
	}
	return elapsedDuration(time.Duration(seconds) * time.Second)
}

// elapsedDuration is elapsed in the largest unit that holds it exactly.
func elapsedDuration(elapsed time.Duration) (Duration, error) {
	if elapsed <= 0 {
		return Duration{}, failf(Invalid, "a duration must be longer than nothing")
	}
	for _, e := range exact {
		if elapsed%e.length == 0 {
			return Duration{e.unit, int(elapsed / e.length)}, nil
		}
	}
	return Duration{}, failf(Invalid, "a duration must be in whole seconds, not %s", elapsed)
}

// String returns the duration for people, such as "5 minutes".
func (d Duration) String() string { return fmt.Sprintf("%d %s", d.Value, d.Unit) }
