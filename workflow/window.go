package workflow

import (
	"fmt"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// Window is a span of time that begins when a run reaches its step. Exactly one of For, Until and Rule, except that
// Until may have an Offset.
type Window struct {
	For *calendar.Duration `json:"for,omitempty"` // fixed
	// Until is a path to a value that says when it ends: a timestamp, a duration or a rule.
	Until     string             `json:"until,omitempty"`
	Offset    *calendar.Duration `json:"offset,omitempty"`    // relative to what Until says
	Direction Direction          `json:"direction,omitempty"` // of Offset
	Rule      *calendar.Rule     `json:"rule,omitempty"`      // the next moment that it matches, by the recipient's clock
	OnInvalid OnInvalid          `json:"onInvalid,omitempty"` // what to do if Until gives nothing usable; default SKIP
}

// Direction says on which side of a moment an offset lies. Spelled as in GraphQL; empty is after.
type Direction string

const (
	Before Direction = "BEFORE"
	After  Direction = "AFTER"
)

// OnInvalid says what a run does at a step whose window or key makes no sense for it. Spelled as in GraphQL.
type OnInvalid string

const (
	Skip OnInvalid = "SKIP" // goes on as if the step weren't there
	Halt OnInvalid = "HALT" // ends
)

// Span is a compiled Window.
type Span struct {
	fixed  *calendar.Duration
	until  Path
	offset *calendar.Duration
	before bool
	rule   *calendar.Rule
	max    time.Duration
	Halt   bool // OnInvalid
}

// Limits of windows.
const (
	MaxWindow         = calendar.MaxHorizon // of delays and batches
	MaxThrottleWindow = 31 * 24 * time.Hour
	MaxWait           = 30 * 24 * time.Hour // for an event
)

func (c *compiler) window(path string, w *Window, limit time.Duration) *Span {
	s := &Span{fixed: w.For, rule: w.Rule, offset: w.Offset, before: w.Direction == Before, max: limit, Halt: w.OnInvalid == Halt}
	kinds := 0
	if w.For != nil {
		kinds++
		c.duration(path+".for", w.For, limit)
	}
	if w.Until != "" {
		kinds++
		var err error
		if s.until, err = parsePath(w.Until); err != nil {
			c.problem(path+".until", err)
		}
		c.looksUp(s.until)
	}
	if w.Rule != nil {
		kinds++
		if err := w.Rule.Validate(path + ".rule"); err != nil {
			c.problem(path+".rule", err)
		}
	}
	if kinds != 1 {
		c.problemf(path, "give exactly one of for, until and rule")
	}
	if w.Offset != nil {
		c.duration(path+".offset", w.Offset, limit)
		if w.Until == "" {
			c.problemf(path+".offset", "an offset is relative to until: give that too")
		}
	}
	c.oneOf(path+".direction", string(w.Direction), "", string(Before), string(After))
	c.oneOf(path+".onInvalid", string(w.OnInvalid), "", string(Skip), string(Halt))
	return s
}

// duration checks a duration and that it is no longer than a limit.
func (c *compiler) duration(path string, d *calendar.Duration, limit time.Duration) {
	if err := d.Validate(path); err != nil {
		c.problem(path, err)
		return
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // months have to begin somewhere
	if d.After(start, time.UTC).Sub(start) > limit {
		c.problem(path, belfry.Beyond(path, int(limit.Hours()/24), "days"))
	}
}

// End is when the window ends that begins now. An error says why there is none; it is a *calendar.Error if it comes from
// the value of Until.
func (s *Span) End(scope map[string]any, now time.Time, zone *time.Location) (time.Time, error) {
	end := now
	switch {
	case s.fixed != nil:
		return s.fixed.After(now, zone), nil
	case s.rule != nil:
		next, ok := s.rule.Next(now, zone, time.Time{})
		if !ok {
			return end, fmt.Errorf("the rule never matches")
		}
		end = next
	case s.offset != nil:
		at, err := calendar.Timestamp(s.until.Lookup(scope), zone)
		if err != nil {
			return end, fmt.Errorf("%s: %w", s.until, err)
		}
		if end = s.offset.After(at, zone); s.before {
			end = s.offset.Before(at, zone)
		}
	default:
		at, err := calendar.Resolve(s.until.Lookup(scope), now, zone)
		if err != nil {
			return end, fmt.Errorf("%s: %w", s.until, err)
		}
		end = at
	}
	if !end.After(now) {
		return end, fmt.Errorf("%s is in the past", end.UTC().Format(time.RFC3339))
	}
	if end.Sub(now) > s.max {
		return end, fmt.Errorf("%s is more than %d days away", end.UTC().Format(time.RFC3339), int(s.max.Hours()/24))
	}
	return end, nil
}
