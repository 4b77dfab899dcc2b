package recipient

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// quietHours are when somebody doesn't want to be disturbed.
type quietHours struct {
	zone  *time.Location // nil: the recipient's
	spans [7][]span      // by the day of the week on which clocks show them
}

// span is a part of a day, by what clocks show: from is included, until is not.
type span struct{ from, until time.Duration }

const wholeDay = 24 * time.Hour

// parseQuietHours reads {"zone": …, "hours": [{"days": […], "from": "22:00", "until": "07:00"}]}.
func parseQuietHours(v any, field string) (*quietHours, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalid(field, "must be an object with hours, and maybe a zone")
	}
	q := &quietHours{}
	for key := range m {
		if key != "zone" && key != "hours" {
			return nil, invalid(clipped(field+"."+key), "quiet hours have hours and a zone")
		}
	}
	if zone := m["zone"]; zone != nil {
		name, _ := zone.(string)
		if q.zone, ok = calendar.Zone(name); !ok {
			return nil, invalid(field+".zone", "%.64q is not a time zone: use an IANA name such as Europe/Berlin", name)
		}
	}
	list, ok := m["hours"].([]any)
	if !ok {
		return nil, invalid(field+".hours", "must be a list; an empty one is no quiet hours at all")
	}
	if len(list) > MaxQuietSpans {
		return nil, belfry.Beyond(field+".hours", MaxQuietSpans, "entries")
	}
	for i, e := range list {
		if err := q.add(e, fmt.Sprintf("%s.hours[%d]", field, i)); err != nil {
			return nil, err
		}
	}
	if q.alwaysQuiet() {
		return nil, invalid(field+".hours", "that leaves no time at all: switch channels off instead")
	}
	return q, nil
}

// add adds an entry. One that goes past midnight goes on in the next day.
func (q *quietHours) add(v any, field string) error {
	m, ok := v.(map[string]any)
	if !ok {
		return invalid(field, "must be an object with days, from and until")
	}
	for key := range m {
		if !slices.Contains([]string{"days", "from", "until"}, key) {
			return invalid(clipped(field+"."+key), "an entry has days, from and until")
		}
	}
	from, ok := timeOfDay(m["from"])
	if !ok || from == wholeDay {
		return invalid(field+".from", "must be a time of day such as 22:00")
	}
	until, ok := timeOfDay(m["until"])
	if !ok || until == from {
		return invalid(field+".until", "must be a time of day such as 07:00, other than from; 24:00 is the end of the day")
	}
	days, err := daysOf(m["days"], field+".days")
	if err != nil {
		return err
	}
	for _, d := range days {
		if from < until {
			q.spans[d] = append(q.spans[d], span{from, until})
			continue
		}
		q.spans[d] = append(q.spans[d], span{from, wholeDay})
		next := (d + 1) % 7
		if until > 0 {
			q.spans[next] = append(q.spans[next], span{0, until})
		}
	}
	return nil
}

var dayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// daysOf reads days of the week; none given are all of them.
func daysOf(v any, field string) ([]int, error) {
	if v == nil {
		return []int{0, 1, 2, 3, 4, 5, 6}, nil
	}
	list, _ := v.([]any)
	if len(list) == 0 || len(list) > 7 {
		return nil, invalid(field, "must be one to seven days such as monday; leave it out for every day")
	}
	var days []int
	for i, e := range list {
		name, _ := e.(string)
		day := slices.Index(dayNames, name)
		if day < 0 || slices.Contains(days, day) {
			return nil, invalid(fmt.Sprintf("%s[%d]", field, i), "must be monday, tuesday, wednesday, thursday, friday, saturday or sunday, each at most once")
		}
		days = append(days, day)
	}
	return days, nil
}

// timeOfDay reads HH:MM, up to 24:00.
func timeOfDay(v any) (time.Duration, bool) {
	text, _ := v.(string)
	if text == "24:00" {
		return wholeDay, true
	}
	t, err := time.Parse("15:04", text)
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, err == nil && len(text) == len("15:04") && !strings.Contains(text, " ")
}

func (q *quietHours) alwaysQuiet() bool {
	for d := range q.spans {
		for at := time.Duration(0); at < wholeDay; {
			end := at
			for _, s := range q.spans[d] {
				if s.from <= at && at < s.until {
					end = max(end, s.until)
				}
			}
			if end == at {
				return false
			}
			at = end
		}
	}
	return true
}

// at reports whether it is quiet when clocks show t.
func (q *quietHours) at(t time.Time) bool {
	c := clockOf(t)
	return slices.ContainsFunc(q.spans[t.Weekday()], func(s span) bool { return s.from <= c && c < s.until })
}

func clockOf(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
}

// quietHorizon bounds the search for an end: what isn't over in a week was hidden by a shift of the clock.
const quietHorizon = 9 * wholeDay

// end is when the quiet hours that t lies in are over: the first instant at which clocks show another time. false: it isn't
// quiet.
func (q *quietHours) end(t time.Time, zone *time.Location) (time.Time, bool) {
	if q.zone != nil {
		zone = q.zone
	}
	local := t.In(zone)
	if !q.at(local) {
		return time.Time{}, false
	}
	for at := local; at.Sub(local) < quietHorizon; {
		if at = q.change(at); !q.at(at) {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// change is the next instant at which it could get loud: a span or a day ends, or the clock is shifted.
func (q *quietHours) change(t time.Time) time.Time {
	c, next := clockOf(t), wholeDay
	for _, s := range q.spans[t.Weekday()] {
		if s.until > c {
			next = min(next, s.until)
		}
	}
	at := t.Add(next - c)
	if _, shift := t.ZoneBounds(); !shift.IsZero() && shift.Before(at) {
		return shift.In(t.Location())
	}
	return at
}
