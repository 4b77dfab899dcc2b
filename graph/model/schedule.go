package model

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// Schedule is a schedule as the API shows it.
type Schedule struct {
	*engine.Schedule
	Page *SchedulePage // that it is on
}

// SchedulePage loads what the schedules of a page refer to when the first of them is asked for it, once for all.
type SchedulePage struct {
	People  func() (map[belfry.RecipientID]*recipient.Known, error)
	Tenants func() (map[belfry.RecipientID]*belfry.Recipient, error)
}

// IsNode marks the schedule as fetchable by id.
func (Schedule) IsNode() {}

// ID is the schedule's global id.
func (s *Schedule) ID() string { return globalID(ScheduleTag, s.Schedule.ID.String()) }

// Rules are the rules as JSON, in the form of the input.
func (s *Schedule) Rules() ([]map[string]any, error) {
	rules := []map[string]any{}
	err := convert(s.Schedule.Rules, &rules)
	if rules == nil {
		rules = []map[string]any{}
	}
	return rules, err
}

// ParseScheduleID reads a schedule's global id; false for anything else.
func ParseScheduleID(id string) (uuid.UUID, bool) {
	tag, key, ok := ParseID(id)
	if !ok || tag != ScheduleTag {
		return uuid.Nil, false
	}
	parsed, err := ParseUUID(key)
	return parsed, err == nil
}

// Inputs is what the input asks for.
func (in *CreateSchedulesInput) Inputs() ([]engine.ScheduleInput, error) {
	if len(in.Schedules) > engine.MaxSchedules { // before looking at each
		return nil, belfry.Beyond("input.schedules", engine.MaxSchedules, "schedules")
	}
	out := make([]engine.ScheduleInput, len(in.Schedules))
	for i := range in.Schedules {
		s, field := &in.Schedules[i], fmt.Sprintf("input.schedules[%d]", i)
		if err := belfry.ValidateText(s.Workflow, field+".workflow"); err != nil {
			return nil, err
		}
		who, err := s.Recipient.party(field + ".recipient")
		if err == nil && who.Audience != "" {
			err = belfry.Errorf(belfry.Invalid, "a schedule is for one recipient, not for an audience").At("%s", field+".recipient.audience")
		}
		if err != nil {
			return nil, err
		}
		rules, err := rulesOf(s.Rules)
		if err != nil {
			return nil, err
		}
		out[i] = engine.ScheduleInput{Workflow: s.Workflow, Recipient: who, Rules: rules, StartsAt: instant(s.StartsAt),
			EndsAt: instant(s.EndsAt), Data: s.Data, Tenant: given(s.Tenant)}
		if s.Actor != nil {
			actor, err := s.Actor.Party(field + ".actor")
			if err != nil {
				return nil, err
			}
			out[i].Actor = &actor
		}
	}
	return out, nil
}

// Patch is what the input changes.
func (in *UpdateSchedulesInput) Patch() (engine.SchedulePatch, error) {
	p := engine.SchedulePatch{Paused: in.Paused, StartsAt: in.StartsAt, Data: in.Data}
	if in.Rules != nil {
		rules, err := rulesOf(in.Rules)
		if err != nil {
			return p, err
		}
		p.Rules = &rules
	}
	if ends, ok := in.EndsAt.ValueOK(); ok {
		end := instant(ends)
		p.EndsAt = &end
	}
	return p, nil
}

func rulesOf(in []RuleInput) ([]calendar.Rule, error) {
	var out []calendar.Rule
	err := convert(in, &out)
	return out, err
}

// NewScheduleConnection makes the API's form of a page of schedules.
func NewScheduleConnection(schedules []*Schedule, more, continued bool) *ScheduleConnection {
	out := &ScheduleConnection{Edges: make([]ScheduleEdge, len(schedules)), PageInfo: PageInfo{HasNextPage: more, HasPreviousPage: continued}}
	for i, s := range schedules {
		cursor := s.ID()
		out.Edges[i] = ScheduleEdge{Cursor: cursor, Node: *s}
		if out.PageInfo.EndCursor = &cursor; i == 0 {
			out.PageInfo.StartCursor = &cursor
		}
	}
	return out
}

// instant is the zero time for what was left out.
func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
