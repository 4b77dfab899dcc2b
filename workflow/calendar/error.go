package calendar

import (
	"encoding/json"
	"fmt"
	"math"
)

// Reason says why a dynamic window can't be used. The set is closed and its spelling
// stable: it is recorded with the run.
type Reason string

const (
	Missing Reason = "missing" // nothing there: null, no such path, or an empty text
	Invalid Reason = "invalid" // neither timestamp nor duration nor rule
	Past    Reason = "past"    // not after now
	TooFar  Reason = "too_far" // beyond MaxHorizon
)

// Error says why a value from data is no usable time.
type Error struct {
	Reason  Reason
	Message string // a sentence for the author of the data
}

func (e *Error) Error() string { return e.Message }

func failf(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// quoted is a stranger's text, fit for a message.
func quoted(text string) string {
	if len(text) > MaxTextLength {
		text = text[:MaxTextLength] + "…"
	}
	return fmt.Sprintf("%q", text)
}

// whole reads a whole number as JSON decoders return it.
func whole(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case int64:
		return int(v), int64(int(v)) == v
	case float64:
		// Beyond 2^53 a float names no single whole number.
		return int(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n), int64(int(n)) == n
		}
		if f, err := v.Float64(); err == nil {
			return whole(f)
		}
	}
	return 0, false
}
