package calendar_test

import (
	"testing"
	"time"

	"github.com/belfryhq/belfry/workflow/calendar"
)

// zone loads a zone that must exist.
func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, ok := calendar.Zone(name)
	if !ok {
		t.Fatalf("no time zone %s: install tzdata", name)
	}
	return loc
}

// at reads an instant: RFC 3339, or "2026-03-29 02:30" in loc.
func at(t testing.TB, text string, loc *time.Location) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	if instant, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return instant
	}
	instant, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return instant
}

const withOffset = "Mon 2006-01-02 15:04 -07:00"
