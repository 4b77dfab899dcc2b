package template

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osteele/tuesday"
)

var dateFilters = map[string]filter{
	"date":     {1, 2, nil, false, formatDate},
	"timezone": {1, 1, nil, false, inZone},
}

// MaxDateFormat is the longest format of the date filter, in bytes.
const MaxDateFormat = 256

// wide finds padding widths that would make megabytes of a few characters.
var wide = regexp.MustCompile(`\d{3,}`)

// formatDate formats a date in its own zone, or in the one of the second argument. What is no date stays what it is.
func formatDate(s *state, in any, args []any) (any, error) {
	format := bounded(args[0])
	at, ok := moment(s, in)
	if !ok || format == "" {
		return in, nil
	}
	if len(format) > MaxDateFormat || wide.MatchString(format) {
		return nil, limitError(fmt.Sprintf("a date format has at most %d bytes and widths below 100", MaxDateFormat))
	}
	if name := optional(args, 1, nil); name != nil {
		zone, err := zoneOf(name)
		if err != nil {
			return nil, err
		}
		at = at.In(zone)
	}
	return tuesday.Strftime(milliseconds.ReplaceAllStringFunc(format, literally), at)
}

// milliseconds finds a directive of the formatter that Liquid doesn't have, and prints.
var milliseconds = regexp.MustCompile(`%%|%Q`)

func literally(directive string) string {
	if directive == "%Q" {
		return "%%Q"
	}
	return directive
}

// inZone is a date in a time zone; printed, it is RFC 3339 with the zone's offset.
func inZone(s *state, in any, args []any) (any, error) {
	zone, err := zoneOf(args[0])
	if err != nil {
		return nil, err
	}
	if at, ok := moment(s, in); ok {
		return at.In(zone), nil
	}
	return in, nil
}

// zones keeps the time zones that were used: loading one reads and parses a file. There are about 600.
var zones sync.Map

// zoneName leaves one spelling of every zone.
var zoneName = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`)

// zoneOf is a time zone by its IANA name. Nothing, as in {{ x | timezone: recipient.timezone }}, is UTC.
func zoneOf(v any) (*time.Location, error) {
	name := text(v)
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" || !zoneName.MatchString(name) { // the server's zone is nobody's business
		return nil, limitError(fmt.Sprintf("there is no time zone %q; use an IANA name such as Europe/Berlin", clip(name)))
	}
	zones.Store(name, zone)
	return zone, nil
}

// dateLayouts are tried in turn; without a zone they mean UTC.
var dateLayouts = []string{
	time.RFC3339, "2006-01-02", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05 -0700",
	"2006-01-02 15:04:05 -07:00", "2006-01-02 15:04:05 MST", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02T15:04Z07:00",
	"20060102T150405Z", "January 2, 2006", "January 2 2006", "Jan 2, 2006", "Jan 2 2006", "2 January 2006", "2 Jan 2006",
	"January 2, 2006 15:04:05", "January 2, 2006 15:04", "Jan 2, 2006 15:04:05", "Jan 2, 2006 15:04", "2 Jan 2006 15:04:05", "2006/01/02", "2006/01/02 15:04:05",
	time.RFC1123, time.RFC1123Z, time.RFC850, time.RFC822, time.RFC822Z, time.ANSIC, time.UnixDate, time.RubyDate,
}

// moment is the instant a value means: a time, seconds since 1970, or a text in a common layout.
func moment(s *state, v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, true
	case int:
		return time.Unix(int64(v), 0).UTC(), true
	case float64:
		return time.UnixMilli(int64(v * 1000)).UTC(), true
	case string:
		return parseDate(s, strings.Trim(v, spaces))
	}
	return time.Time{}, false
}

func parseDate(s *state, text string) (time.Time, bool) {
	if text == "" || len(text) > 64 {
		return time.Time{}, false
	}
	if word := strings.ToLower(text); word == "now" || word == "today" {
		if at, ok := s.now.(string); ok && at != text {
			return parseDate(s, at)
		}
		if at, ok := s.now.(time.Time); ok {
			return at.UTC(), true
		}
		return time.Now().UTC(), true
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && strings.Trim(text, "0123456789") == "" {
		return time.Unix(seconds, 0).UTC(), true
	}
	for _, layout := range dateLayouts {
		if at, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}
