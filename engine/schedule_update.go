package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// SchedulePatch says what to change. nil leaves things as they are.
type SchedulePatch struct {
	Paused   *bool            // what would have happened during a pause doesn't happen behind it
	Rules    *[]calendar.Rule // none: once, at StartsAt
	StartsAt *time.Time
	EndsAt   *time.Time // the zero time: no end. In the past: nothing happens any more
	Data     map[string]any
}

// UpdateSchedules changes several schedules in the same way. The results are in the order of ids. An error means that
// nothing was changed.
func (e *Engine) UpdateSchedules(ctx context.Context, env belfry.EnvironmentID, ids []uuid.UUID, patch SchedulePatch) ([]ScheduleResult, error) {
	if err := validIDs(ids); err != nil {
		return nil, err
	}
	p, err := patch.validate()
	if err != nil {
		return nil, err
	}
	now := e.now()
	results := make([]ScheduleResult, len(ids))
	err = postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		schedules, err := collectSchedules(tx.Query(ctx, lockSchedules, env, ids))
		if err != nil {
			return err
		}
		var who []belfry.RecipientID
		byID := map[uuid.UUID]*Schedule{}
		for i := range schedules {
			who, byID[schedules[i].ID] = append(who, schedules[i].Recipient), &schedules[i]
		}
		people, err := recipient.Load(ctx, tx, []belfry.EnvironmentID{env}, who)
		if err != nil {
			return fmt.Errorf("load recipients: %w", err)
		}
		changed := map[uuid.UUID]*Schedule{}
		for i, id := range ids {
			s := byID[id]
			if s == nil {
				results[i].Err = belfry.Errorf(belfry.NotFound, "no schedule has the id %s", id).At("input.ids[%d]", i)
				continue
			}
			own := *s
			if err := e.patch(ctx, tx, &own, p, people[s.Recipient], now); err != nil {
				d := draft{field: fmt.Sprintf("input.ids[%d]", i)}
				if err := d.refuse(err); err != nil {
					return err
				}
				results[i].Err = d.err
				continue
			}
			results[i].Schedule, changed[id] = &own, &own
		}
		tx.AfterCommit(e.wakeScheduler)
		return p.store(ctx, tx, env, changed)
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

func validIDs(ids []uuid.UUID) error {
	if len(ids) == 0 {
		return belfry.Errorf(belfry.Invalid, "name at least one schedule").At("input.ids")
	}
	if len(ids) > MaxScheduleIDs {
		return belfry.Beyond("input.ids", MaxScheduleIDs, "schedules")
	}
	return nil
}

// checkedPatch is a patch as it is stored.
type checkedPatch struct {
	SchedulePatch
	rules, data *string
}

// validate checks what doesn't depend on the schedules.
func (p SchedulePatch) validate() (*checkedPatch, error) {
	out := &checkedPatch{SchedulePatch: p}
	if p.Rules != nil {
		if err := validRules(*p.Rules, "input.rules"); err != nil {
			return nil, err
		}
		rules, err := encodeRules(*p.Rules)
		if err != nil {
			return nil, err
		}
		out.rules = &rules
	}
	if p.StartsAt != nil {
		if err := validInstant(*p.StartsAt, "input.startsAt"); err != nil {
			return nil, err
		}
		starts := storable(*p.StartsAt)
		out.StartsAt = &starts
	}
	if p.EndsAt != nil && !p.EndsAt.IsZero() {
		if err := validInstant(*p.EndsAt, "input.endsAt"); err != nil {
			return nil, err
		}
		ends := storable(*p.EndsAt)
		out.EndsAt = &ends
	}
	if p.Data != nil {
		b, err := encodeObject(p.Data, "input.data")
		if err != nil {
			return nil, err
		}
		data := string(b)
		out.data = &data
	}
	return out, nil
}

// patch changes a schedule that is locked, and finds its next occurrence. person is nil if the recipient is gone.
func (e *Engine) patch(ctx context.Context, tx *postgres.Tx, s *Schedule, p *checkedPatch, person *belfry.Recipient, now time.Time) error {
	resumed := p.Paused != nil && s.Paused && !*p.Paused
	if p.Paused != nil {
		s.Paused = *p.Paused
	}
	if p.Rules != nil {
		s.Rules = *p.Rules
	}
	if p.StartsAt != nil {
		s.StartsAt = *p.StartsAt
	}
	if p.EndsAt != nil {
		if s.EndsAt = p.EndsAt; p.EndsAt.IsZero() {
			s.EndsAt = nil
		}
	}
	if p.Data != nil {
		s.Data = p.Data
		if err := e.checkData(ctx, tx, s.version, &Request{Data: s.Data}); err != nil {
			return err
		}
	}
	anew := p.Rules != nil || p.StartsAt != nil
	if anew {
		if err := s.validTimes(now); err != nil {
			return err
		}
	}
	switch {
	case person == nil || s.Paused:
		s.NextAt = nil
	case s.NextAt != nil && !s.NextAt.After(now) && !anew && !resumed:
		// It is due, and will happen in a moment, unless it comes behind the new end.
		if s.EndsAt != nil && s.NextAt.After(*s.EndsAt) {
			s.NextAt = nil
		}
	case anew || resumed || p.EndsAt != nil:
		s.plan(now, timezoneOf(person))
	}
	return nil
}

// validTimes checks times that have changed.
func (s *Schedule) validTimes(now time.Time) error {
	if len(s.Rules) == 0 {
		if !s.StartsAt.After(now) {
			return errPast(s.StartsAt, "input.startsAt")
		}
		return validEnd(s.EndsAt, s.StartsAt, "input.endsAt")
	}
	endless := *s
	endless.EndsAt = nil // an end may be in the past
	if _, ok := endless.next(now, ""); !ok {
		return endless.errNever("input")
	}
	return nil
}

// store writes what a patch changed, and when each of the schedules happens next.
func (p *checkedPatch) store(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, changed map[uuid.UUID]*Schedule) error {
	var ids [][16]byte
	var nexts []*time.Time
	var timezones []string
	for _, s := range changed {
		ids, nexts, timezones = append(ids, s.ID), append(nexts, s.NextAt), append(timezones, s.timezone)
	}
	ends := p.EndsAt
	if ends != nil && ends.IsZero() {
		ends = nil
	}
	_, err := tx.Exec(ctx, updateSchedules, env, ids, nexts, timezones, p.rules, p.StartsAt, p.EndsAt != nil, ends, p.Paused, p.data)
	return unstorable(err, "input.data")
}

// DeleteSchedules removes schedules: what they have triggered goes on. It returns how many there were, and the ids of
// those that there were not.
func (e *Engine) DeleteSchedules(ctx context.Context, env belfry.EnvironmentID, ids []uuid.UUID) (deleted int, notFound []uuid.UUID, err error) {
	if err := validIDs(ids); err != nil {
		return 0, nil, err
	}
	rows, err := e.Pool.Query(ctx, deleteSchedules, env, ids)
	if err != nil {
		return 0, nil, err
	}
	gone, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return 0, nil, err
	}
	was := map[uuid.UUID]bool{}
	for _, id := range gone {
		was[id] = true
	}
	for _, id := range ids {
		if !was[id] {
			notFound = append(notFound, id)
		}
	}
	return len(gone), notFound, nil
}
