package calendar

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
)

// Frequency is how often a [Rule] happens.
type Frequency string

// The frequencies.
const (
	Hourly  Frequency = "hourly"
	Daily   Frequency = "daily"
	Weekly  Frequency = "weekly"
	Monthly Frequency = "monthly"
)

// Limits of rules.
const (
	MaxInterval = 1000    // every so many hours, days, weeks or months
	MinuteStep  = 5       // minutes are multiples of it
	MaxRuleSize = 4 << 10 // bytes of a rule's JSON
)

// Rule is one recurrence, such as
//
//	{"frequency": "weekly", "days": ["mon", "fri"], "hours": 9, "minutes": 30}
//
// Decoding refuses unknown keys, accepts day_of_month for dayOfMonth, and "weekdays"
// and "weekends" for days. A decoded rule still has to be validated.
type Rule struct {
	Frequency  Frequency `json:"frequency"`
	Interval   int       `json:"interval,omitempty"`   // every so many; 0 is 1
	Days       Weekdays  `json:"days,omitempty"`       // weekly: default the anchor's; hourly and daily: default every day
	DayOfMonth int       `json:"dayOfMonth,omitempty"` // monthly, 1 to 31, at most the month's last; 0 is the anchor's
	Hours      int       `json:"hours,omitempty"`      // 0 to 23; not for hourly rules
	Minutes    int       `json:"minutes,omitempty"`    // 0 to 55, in steps of MinuteStep
}

// Weekdays are days of the week. In JSON: a list of "mon" to "sun", or "weekdays" or
// "weekends".
type Weekdays []time.Weekday

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// MarshalJSON returns the list of three-letter names.
func (w Weekdays) MarshalJSON() ([]byte, error) {
	names := make([]string, 0, len(w))
	for _, d := range w {
		if d < time.Sunday || d > time.Saturday {
			return nil, belfry.Errorf(belfry.Invalid, "%d is no day of the week", int(d)).At("days")
		}
		names = append(names, dayNames[d])
	}
	return json.Marshal(names)
}

// UnmarshalJSON reads a list of names or a shorthand.
func (w *Weekdays) UnmarshalJSON(b []byte) error {
	if len(b) > MaxRuleSize {
		return belfry.Beyond("days", MaxRuleSize, "bytes")
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	days, err := weekdaysFrom(v)
	if err != nil {
		return err
	}
	*w = days
	return nil
}

// UnmarshalJSON reads a rule. Errors are *belfry.Error with the key that is wrong.
func (r *Rule) UnmarshalJSON(b []byte) error {
	if len(b) > MaxRuleSize {
		return belfry.Beyond("rule", MaxRuleSize, "bytes")
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil {
		return err
	}
	rule, err := ruleFrom(object)
	if err != nil {
		return err
	}
	*r = rule
	return nil
}

// ruleFrom reads a rule from decoded JSON, in which null is the same as leaving out.
func ruleFrom(object map[string]any) (Rule, error) {
	var r Rule
	numbers := map[string]*int{
		"interval": &r.Interval, "hours": &r.Hours, "minutes": &r.Minutes,
		"dayOfMonth": &r.DayOfMonth, "day_of_month": &r.DayOfMonth,
	}
	if object["dayOfMonth"] != nil && object["day_of_month"] != nil {
		return r, belfry.Errorf(belfry.Invalid, "is there twice: leave out day_of_month").At("dayOfMonth")
	}
	for key, v := range object {
		if v == nil {
			continue
		}
		var ok bool
		var err error
		switch number := numbers[key]; {
		case number != nil:
			if *number, ok = whole(v); !ok {
				return r, belfry.Errorf(belfry.Invalid, "must be a whole number").At("%s", key)
			}
			if key == "interval" && *number == 0 {
				return r, belfry.Errorf(belfry.Invalid, "must be at least 1").At("interval")
			}
		case key == "frequency":
			text, _ := v.(string)
			r.Frequency = Frequency(text)
		case key == "days":
			if r.Days, err = weekdaysFrom(v); err != nil {
				return r, err
			}
		default:
			return r, belfry.Errorf(belfry.Invalid, "a rule has frequency, interval, days, dayOfMonth, hours and minutes, not %s", quoted(key))
		}
	}
	return r, nil
}

func weekdaysFrom(v any) (Weekdays, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		switch v {
		case "weekdays":
			return Weekdays{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}, nil
		case "weekends":
			return Weekdays{time.Saturday, time.Sunday}, nil
		}
	case []any:
		var days Weekdays
		for i, entry := range v {
			text, _ := entry.(string)
			d := slices.Index(dayNames, text)
			if d < 0 {
				return nil, belfry.Errorf(belfry.Invalid, "must be one of %s", strings.Join(dayNames, ", ")).At("days[%d]", i)
			}
			if slices.Contains(days, time.Weekday(d)) {
				return nil, belfry.Errorf(belfry.Invalid, "%s is there twice", text).At("days[%d]", i)
			}
			days = append(days, time.Weekday(d))
		}
		return days, nil
	}
	return nil, belfry.Errorf(belfry.Invalid, `must be a list of %s, or "weekdays" or "weekends"`, strings.Join(dayNames, ", ")).At("days")
}

// Validate returns a *belfry.Error that names the part of field that is wrong.
func (r Rule) Validate(field string) error {
	wrong := func(part, format string, args ...any) error {
		return belfry.Errorf(belfry.Invalid, format, args...).At("%s.%s", field, part)
	}
	switch {
	case !slices.Contains([]Frequency{Hourly, Daily, Weekly, Monthly}, r.Frequency):
		return wrong("frequency", "must be hourly, daily, weekly or monthly")
	case r.Interval < 0:
		return wrong("interval", "must be at least 1")
	case r.Interval > MaxInterval:
		return belfry.Beyond(field+".interval", MaxInterval, "hours, days, weeks or months")
	case r.Minutes < 0 || r.Minutes > 59 || r.Minutes%MinuteStep != 0:
		return wrong("minutes", "must be a multiple of %d from 0 to 55", MinuteStep)
	case r.Hours < 0 || r.Hours > 23:
		return wrong("hours", "must be from 0 to 23")
	case r.Hours != 0 && r.Frequency == Hourly:
		return wrong("hours", "has no meaning in an hourly rule: leave it out")
	case r.DayOfMonth != 0 && r.Frequency != Monthly:
		return wrong("dayOfMonth", "only has a meaning in a monthly rule: leave it out")
	case r.DayOfMonth < 0 || r.DayOfMonth > 31:
		return wrong("dayOfMonth", "must be from 1 to 31")
	case len(r.Days) > 0 && r.Frequency == Monthly:
		return wrong("days", "has no meaning in a monthly rule: use dayOfMonth")
	case len(r.Days) > 7:
		return belfry.Beyond(field+".days", 7, "days")
	}
	for i, d := range r.Days {
		if d < time.Sunday || d > time.Saturday {
			return belfry.Errorf(belfry.Invalid, "is no day of the week").At("%s.days[%d]", field, i)
		}
	}
	return nil
}
