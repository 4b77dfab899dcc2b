package calendar

import "time"

// MaxHorizon is how far ahead a dynamic window may end.
const MaxHorizon = 365 * day

// Resolve reads a dynamic window from decoded JSON, and returns when it ends:
//
//   - a timestamp or a date, as in [Timestamp]: then;
//   - a duration, as in [ParseDuration]: so long after now;
//   - an object with a frequency: the first occurrence of that [Rule] after now.
//
// The end is after now and at most [MaxHorizon] away. Errors are *[Error].
func Resolve(v any, now time.Time, loc *time.Location) (time.Time, error) {
	end, err := windowEnd(v, now, loc)
	if err != nil {
		return time.Time{}, err
	}
	if err := Ahead(end, now); err != nil {
		return time.Time{}, err
	}
	return end, nil
}

func windowEnd(v any, now time.Time, loc *time.Location) (time.Time, error) {
	switch v := v.(type) {
	case nil:
		return time.Time{}, failf(Missing, "there is no timestamp, duration or rule")
	case string:
		if t, ok := parseTimestamp(v, loc); ok {
			return t, nil
		}
	case map[string]any:
		if _, ok := v["frequency"]; ok {
			return ruleEnd(v, now, loc)
		}
	default:
		return time.Time{}, failf(Invalid, `must be a timestamp, a duration such as "PT15M", or a rule such as {"frequency": "daily", "hours": 9}`)
	}
	d, err := ParseDuration(v)
	if err != nil {
		return time.Time{}, err
	}
	return d.After(now, loc), nil
}

func ruleEnd(object map[string]any, now time.Time, loc *time.Location) (time.Time, error) {
	rule, err := ruleFrom(object)
	if err == nil {
		err = rule.Validate("rule")
	}
	if err != nil {
		return time.Time{}, failf(Invalid, "%v", err)
	}
	next, ok := rule.Next(now, loc, time.Time{})
	if !ok {
		return time.Time{}, failf(Invalid, "this rule never happens: its interval and days exclude each other")
	}
	return next, nil
}

// Timestamp reads an instant, past or future, from decoded JSON: RFC 3339 with an
// offset ("2030-01-31T09:00:00Z"), or a date ("2030-01-31"), which begins at midnight in
// loc. A window relative to a timestamp shifts it with [Duration.Before] or
// [Duration.After] and checks the result with [Ahead]. Errors are *[Error].
func Timestamp(v any, loc *time.Location) (time.Time, error) {
	text, ok := v.(string)
	switch {
	case v == nil || ok && text == "":
		return time.Time{}, failf(Missing, "there is no timestamp")
	case !ok:
		return time.Time{}, failf(Invalid, `a timestamp must be a string such as "2030-01-31T09:00:00Z"`)
	}
	t, ok := parseTimestamp(text, loc)
	if !ok {
		return time.Time{}, failf(Invalid, `%s is no timestamp: write it as "2030-01-31T09:00:00Z", with an offset, or as a date`, quoted(text))
	}
	return t, nil
}

func parseTimestamp(text string, loc *time.Location) (time.Time, bool) {
	if len(text) > MaxTextLength {
		return time.Time{}, false
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return instant(dayOf(t), 0, loc), true
	}
	t, err := time.Parse(time.RFC3339, text)
	return t.UTC(), err == nil
}

// Ahead returns an *[Error] unless t is after now and at most [MaxHorizon] away.
func Ahead(t, now time.Time) error {
	switch {
	case !t.After(now):
		return failf(Past, "%s is in the past", t.UTC().Format(time.RFC3339))
	case t.After(now.Add(MaxHorizon)):
		return failf(TooFar, "%s is more than %d days away", t.UTC().Format(time.RFC3339), MaxHorizon/day)
	}
	return nil
}
