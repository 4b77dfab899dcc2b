package locale

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
)

// Styles are the lengths of dates. In en: 9/3/26; Sep 3, 2026; September 3, 2026;
// Thursday, September 3, 2026.
var styles = []string{"short", "medium", "long", "full"}

// FormatDate writes the day that it is in loc at t, in a style: short, medium, long or
// full. The calendar is the Gregorian one everywhere. A nil loc is UTC. The error for an
// unknown style is a *belfry.Error.
func FormatDate(t time.Time, loc *time.Location, tag, style string) (string, error) {
	c, _ := find(tag)
	return c.format(t, loc, c.Date, style)
}

// FormatDateTime is [FormatDate] with the time of day: without seconds in short, with
// seconds in medium, and in long and full also with the offset from UTC, such as GMT+2.
func FormatDateTime(t time.Time, loc *time.Location, tag, style string) (string, error) {
	c, _ := find(tag)
	return c.format(t, loc, c.DateTime, style)
}

func (c *conventions) format(t time.Time, loc *time.Location, patterns [4]string, style string) (string, error) {
	i := slices.Index(styles, style)
	if i < 0 {
		return "", belfry.Errorf(belfry.Invalid, "unknown style: use %s", strings.Join(styles, ", "))
	}
	if loc == nil {
		loc = time.UTC
	}
	t = t.In(loc)
	var b strings.Builder
	for pattern := patterns[i]; pattern != ""; {
		literal, rest, found := strings.Cut(pattern, "{")
		b.WriteString(literal)
		if !found {
			break
		}
		var placeholder string
		placeholder, pattern, _ = strings.Cut(rest, "}")
		b.WriteString(c.field(t, placeholder))
	}
	return b.String(), nil
}

// field returns what stands for a placeholder.
func (c *conventions) field(t time.Time, placeholder string) string {
	n, width := 0, 1
	switch placeholder {
	case "y":
		n = t.Year()
	case "yy":
		n, width = (t.Year()%100+100)%100, 2
	case "M", "MM":
		n, width = int(t.Month()), len(placeholder)
	case "d", "dd":
		n, width = t.Day(), len(placeholder)
	case "H", "HH":
		n, width = t.Hour(), len(placeholder)
	case "h", "hh":
		n, width = (t.Hour()+11)%12+1, len(placeholder)
	case "m", "mm":
		n, width = t.Minute(), len(placeholder)
	case "s", "ss":
		n, width = t.Second(), len(placeholder)
	case "E":
		return c.Weekdays[t.Weekday()]
	case "a":
		return c.Periods[t.Hour()*len(c.Periods)/24]
	case "z":
		return c.zone(t)
	default:
		return c.Months[strings.TrimPrefix(placeholder, "month:")][t.Month()-1]
	}
	return c.digits(fmt.Sprintf("%0*d", width, n))
}

// zone writes the offset: names of zones are ambiguous (CST), and there are too many.
func (c *conventions) zone(t time.Time) string {
	_, offset := t.Zone()
	pattern := c.Zone.Plus
	switch {
	case offset == 0:
		return "UTC"
	case offset < 0:
		pattern, offset = c.Zone.Minus, -offset
	}
	text := strconv.Itoa(offset / 3600)
	if minutes := offset / 60 % 60; minutes != 0 {
		text += c.Zone.Separator + fmt.Sprintf("%02d", minutes)
	}
	return strings.Replace(pattern, "{o}", c.digits(text), 1)
}
