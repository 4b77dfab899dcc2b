package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// Limits of schedules.
const (
	MaxSchedules     = 1000 // created by one call
	MaxScheduleIDs   = 100  // updated or deleted by one call
	MaxScheduleRules = 10
	MaxSchedulePage  = 100
)

// Schedule triggers a workflow for one recipient: once, or whenever one of its rules says so.
//
// Rules go by the clock of the recipient, and move with it: when the recipient's timezone changes, so does the next
// occurrence. An occurrence that nobody could attend to in time happens once, late; the ones that were missed behind it
// don't. While the workflow is inactive or the schedule is paused, occurrences are left out. If the recipient or the
// tenant is deleted, nothing happens any more.
type Schedule struct {
	ID            uuid.UUID
	Workflow      string // key
	Recipient     belfry.RecipientID
	Actor, Tenant belfry.RecipientID // 0: none
	Data          map[string]any
	Rules         []calendar.Rule // empty: once, at StartsAt
	StartsAt      time.Time       // nothing happens before it; intervals of rules count from it
	EndsAt        *time.Time      // nothing happens after it; nil: no end
	Paused        bool
	NextAt        *time.Time // nil: never again, or paused
	LastAt        *time.Time // when the latest occurrence was due that triggered the workflow; nil: none yet
	CreatedAt     time.Time

	env                 belfry.EnvironmentID
	workflowID, version int64  // version: the current one
	timezone            string // by which NextAt was found, as it is written in the recipient's properties
	unreadable          error  // Data or Rules, as they are stored
}

// ScheduleInput says when to trigger which workflow for whom.
type ScheduleInput struct {
	Workflow  string          // key
	Recipient Party           // known, or identified on the spot; its Data are laid over those of the schedule
	Rules     []calendar.Rule // empty: once, at StartsAt
	StartsAt  time.Time       // zero: now; without rules it is required, and has to be in the future
	EndsAt    time.Time       // zero: no end
	Data      map[string]any
	Actor     *Party
	Tenant    string // external id; made known if it isn't
}

// ScheduleResult is what became of one of several schedules: it is there, or there is an error.
type ScheduleResult struct {
	Schedule *Schedule
	Err      *belfry.Error // its Field begins with that of the item: input.schedules[3].rules[0].hours
}

// next is the first occurrence after an instant, by the clock of a zone. False: there is none.
func (s *Schedule) next(after time.Time, timezone string) (time.Time, bool) {
	at, ok := s.StartsAt, s.StartsAt.After(after)
	if len(s.Rules) > 0 {
		zone, _ := calendar.Zone(timezone)
		at, ok = calendar.NextOf(s.Rules, after, s.StartsAt, zone)
	}
	if !ok || s.EndsAt != nil && at.After(*s.EndsAt) {
		return time.Time{}, false
	}
	return at.UTC(), true
}

// plan sets the next occurrence after an instant.
func (s *Schedule) plan(after time.Time, timezone string) {
	s.NextAt, s.timezone = nil, timezone
	if at, ok := s.next(after, timezone); ok && !s.Paused && s.unreadable == nil {
		s.NextAt = &at
	}
}

// timezoneOf is the name of the recipient's zone. Empty and unknown ones are UTC, which is for calendar to say.
func timezoneOf(r *belfry.Recipient) string {
	name, _ := r.Properties["timezone"].(string)
	return name
}

// draft is a schedule on its way to be stored.
type draft struct {
	Schedule
	input *ScheduleInput
	field string // of the input
	data  []byte
	err   *belfry.Error
}

// refuse notes why the draft comes to nothing. An error about input is one about the item.
func (d *draft) refuse(err error) error {
	e, ok := errors.AsType[*belfry.Error](err)
	if !ok {
		return err
	}
	own := *e
	if rest, ok := strings.CutPrefix(own.Field, "input."); ok && !strings.HasPrefix(own.Field, d.field) {
		own.Field = d.field + "." + rest
	}
	d.err = &own
	return nil
}

// newDraft checks everything about an input that can be checked without the database.
func newDraft(in *ScheduleInput, field string, id uuid.UUID, now time.Time) *draft {
	d := &draft{input: in, field: field}
	d.ID, d.Workflow, d.CreatedAt = id, in.Workflow, now
	d.Rules, d.StartsAt, d.Data = in.Rules, in.StartsAt, in.Data
	if d.StartsAt.IsZero() {
		d.StartsAt = now
	}
	d.StartsAt = storable(d.StartsAt)
	if !in.EndsAt.IsZero() {
		ends := storable(in.EndsAt)
		d.EndsAt = &ends
	}
	if err := d.validate(now); err != nil {
		d.err = err
		return d
	}
	if own := in.Recipient.Data; own != nil {
		d.Data = workflow.MergeAt(d.Data, nil, own)
	}
	if d.Data == nil {
		d.Data = map[string]any{}
	}
	var err error
	if d.data, err = encodeObject(d.Data, field+".data"); err != nil {
		_ = d.refuse(err) // it is one of ours
	}
	return d
}

func (d *draft) validate(now time.Time) *belfry.Error {
	in, field := d.input, d.field
	if in.Workflow == "" {
		return belfry.Errorf(belfry.Invalid, "say which workflow, by its key").At("%s.workflow", field)
	}
	checks := []error{in.Recipient.validate(field + ".recipient"), validRules(in.Rules, field+".rules"),
		validInstant(d.StartsAt, field+".startsAt"), validEnd(d.EndsAt, d.StartsAt, field+".endsAt")}
	if in.Actor != nil {
		checks = append(checks, in.Actor.validate(field+".actor"))
	}
	if in.Tenant != "" {
		checks = append(checks, belfry.ValidateExternalID(in.Tenant, field+".tenant"))
	}
	if e, wrong := errors.AsType[*belfry.Error](errors.Join(checks...)); wrong {
		return e
	}
	switch {
	case len(in.Rules) > 0:
	case in.StartsAt.IsZero():
		return belfry.Errorf(belfry.Invalid, "say when: give startsAt, or rules").At("%s.startsAt", field)
	case !d.StartsAt.After(now):
		return errPast(d.StartsAt, field+".startsAt")
	}
	return nil
}

func validRules(rules []calendar.Rule, field string) error {
	if len(rules) > MaxScheduleRules {
		return belfry.Beyond(field, MaxScheduleRules, "rules")
	}
	for i, r := range rules {
		if err := r.Validate(fmt.Sprintf("%s[%d]", field, i)); err != nil {
			return err
		}
	}
	return nil
}

// validInstant refuses what has no timestamp in RFC 3339.
func validInstant(t time.Time, field string) error {
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		return belfry.Errorf(belfry.Invalid, "must be between 1970 and 9999").At("%s", field)
	}
	return nil
}

func validEnd(ends *time.Time, starts time.Time, field string) error {
	if ends == nil {
		return nil
	}
	if ends.Before(starts) {
		return belfry.Errorf(belfry.Invalid, "must not be before startsAt").At("%s", field)
	}
	return validInstant(*ends, field)
}

func errPast(t time.Time, field string) *belfry.Error {
	return belfry.Errorf(belfry.Invalid, "%s is in the past: what happens once needs a time to come; to have it now, trigger the workflow", t.Format(time.RFC3339)).At("%s", field)
}

// errNever explains why a schedule has no next occurrence.
func (s *Schedule) errNever(field string) *belfry.Error {
	if s.EndsAt != nil {
		return belfry.Errorf(belfry.Invalid, "nothing would ever happen: there is no occurrence from now to endsAt").At("%s.endsAt", field)
	}
	return belfry.Errorf(belfry.Invalid, "nothing would ever happen: interval and days of the rules exclude each other").At("%s.rules", field)
}

// storable is an instant as PostgreSQL will give it back.
func storable(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
