package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// What one transaction attends to.
const (
	schedulesAtOnce = 100
	schedulesApart  = 25 // of one environment
)

// wakeScheduler tells the scheduler that something may be due earlier than it thinks. It never blocks.
func (e *Engine) wakeScheduler() {
	select {
	case e.wakeSchedules <- struct{}{}:
	default: // it has been told
	}
}

// scheduler triggers what is due, until ctx ends.
func (e *Engine) scheduler(ctx context.Context) {
	careful := false
	e.loop(ctx, e.wakeSchedules, "scheduled triggers were undone; it is tried again", func(ctx context.Context) (bool, error) {
		// What has begun is finished even if ctx ends meanwhile.
		n, err := e.fireDue(context.WithoutCancel(ctx), careful)
		if careful = errors.Is(err, errRefused); careful || postgres.IsDeadlock(err) {
			return true, nil
		}
		return n > 0, err
	})
}

// errRefused says that the database refused something of what was due: it is to be done again carefully, so that the one
// that is refused doesn't hold up the others.
var errRefused = errors.New("the database refused a scheduled trigger")

// fireDue triggers what is due and plans what comes next, in one transaction: an occurrence leads to one trigger, whatever
// crashes. It returns how many schedules it saw to.
func (e *Engine) fireDue(ctx context.Context, careful bool) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, maxBatchTime)
	defer cancel()
	now := e.now()
	var due []Schedule
	err := postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) (err error) {
		if due, err = claimDue(ctx, tx, now); err != nil || len(due) == 0 {
			return err
		}
		people, err := partiesOf(ctx, tx, due)
		if err != nil {
			return fmt.Errorf("load recipients: %w", err)
		}
		for i := range due {
			s := &due[i]
			if s.unreadable != nil {
				e.Log.Error("a schedule cannot be read and won't happen any more; delete it and create it anew", "schedule", s.ID, "error", s.unreadable)
			}
			over := s.unreadable != nil || s.Workflow == "" || people[s.Recipient] == nil || s.Tenant != 0 && people[s.Tenant] == nil
			if over {
				s.NextAt = nil
				continue
			}
			occurrence := *s.NextAt
			ok, err := e.fire(ctx, tx, s, people, careful)
			if err != nil {
				return err
			}
			if ok {
				s.LastAt = &occurrence
			}
			s.plan(now, timezoneOf(people[s.Recipient]))
		}
		return move(ctx, tx, due)
	})
	if err != nil {
		return 0, fmt.Errorf("trigger what is scheduled: %w", err)
	}
	return len(due), nil
}

// claimDue locks schedules that are due, up to a number and a size.
func claimDue(ctx context.Context, tx *postgres.Tx, now time.Time) ([]Schedule, error) {
	rows, err := tx.Query(ctx, claimSchedules, now, schedulesAtOnce, schedulesApart)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var due []Schedule
	for size := 0; rows.Next() && size < maxClaimedData; {
		s, err := scanSchedule(rows)
		if err != nil {
			return nil, err
		}
		due = append(due, s)
		size += len(rows.RawValues()[dataColumn])
	}
	rows.Close() // what was left is free again when the transaction ends
	return due, rows.Err()
}

// dataColumn is the index of the data among scheduleColumns.
const dataColumn = 8

func partiesOf(ctx context.Context, tx *postgres.Tx, schedules []Schedule) (map[belfry.RecipientID]*belfry.Recipient, error) {
	var envs []belfry.EnvironmentID
	var ids []belfry.RecipientID
	for i := range schedules {
		s := &schedules[i]
		envs, ids = append(envs, s.env), append(ids, s.Recipient, s.Actor, s.Tenant)
	}
	slices.Sort(envs)
	return recipient.Load(ctx, tx, slices.Compact(envs), ids)
}

// fire triggers the workflow of a schedule. False: this occurrence is left out, because the workflow is inactive or
// doesn't want such data.
func (e *Engine) fire(ctx context.Context, tx *postgres.Tx, s *Schedule, people map[belfry.RecipientID]*belfry.Recipient, careful bool) (bool, error) {
	r := &Request{Workflow: s.Workflow, Recipients: []Party{{Ref: people[s.Recipient].RecipientRef}}, Data: s.Data, source: SourceSchedule, schedule: s.ID}
	if actor := people[s.Actor]; actor != nil { // gone: it happens without
		r.Actor = &Party{Ref: actor.RecipientRef}
	}
	if s.Tenant != 0 {
		r.Tenant = people[s.Tenant].ExternalID
	}
	accept := func() error {
		data, err := r.validate()
		if err != nil {
			return err
		}
		return e.accept(ctx, tx, s.env, r, data, &Accepted{})
	}
	var err error
	if careful {
		err = tx.Savepoint(ctx, accept)
	} else {
		err = accept()
	}
	if err == nil {
		return true, nil
	}
	_, ours := errors.AsType[*belfry.Error](err)
	_, schema := errors.AsType[*SchemaError](err)
	switch code := belfry.CodeOf(err); {
	case code == belfry.WorkflowInactive:
		return false, nil
	case schema || code == belfry.NotFound:
	case !ours && !postgres.IsDataException(err):
		return false, err
	case !careful: // the transaction may be broken
		return false, errRefused
	}
	e.Log.Warn("a scheduled trigger was left out", "schedule", s.ID, "workflow", s.Workflow, "due", s.NextAt, "error", err)
	return false, nil
}

// move writes when schedules happen next, and happened last.
func move(ctx context.Context, tx *postgres.Tx, schedules []Schedule) error {
	var envs []int64
	var ids [][16]byte
	var nexts, lasts []*time.Time
	var timezones []string
	for i := range schedules {
		s := &schedules[i]
		envs, ids, timezones = append(envs, int64(s.env)), append(ids, s.ID), append(timezones, s.timezone)
		nexts, lasts = append(nexts, s.NextAt), append(lasts, s.LastAt)
	}
	if _, err := tx.Exec(ctx, moveSchedules, envs, ids, nexts, lasts, timezones); err != nil {
		return fmt.Errorf("plan what comes next: %w", err)
	}
	return nil
}

// followZones plans the schedules of recipients anew who have moved to another time zone.
func (e *Engine) followZones(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, recipients []belfry.RecipientID) error {
	now := e.now()
	moved, err := collectSchedules(tx.Query(ctx, lockMoved, env, recipients, now))
	if err != nil || len(moved) == 0 {
		return err
	}
	people, err := partiesOf(ctx, tx, moved)
	if err != nil {
		return err
	}
	for i := range moved {
		if person := people[moved[i].Recipient]; person != nil {
			moved[i].plan(now, timezoneOf(person))
		}
	}
	tx.AfterCommit(e.wakeScheduler)
	return move(ctx, tx, moved)
}

// loadOccurrences tells the triggers that a schedule caused when that was and will be, as far as it is known now.
func loadOccurrences(ctx context.Context, tx *postgres.Tx, runs []*run) error {
	scheduled := map[uuid.UUID][]*trigger{}
	var ids [][16]byte
	for _, r := range runs {
		if t := r.trigger; t.schedule != nil && t.occurrence == nil {
			if scheduled[*t.schedule] == nil {
				ids = append(ids, *t.schedule)
			}
			t.occurrence = map[string]any{"id": t.schedule.String(), "last_occurrence_at": nil, "next_occurrence_at": nil}
			scheduled[*t.schedule] = append(scheduled[*t.schedule], t)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, selectOccurrences, environmentsOf(runs), ids)
	if err != nil {
		return fmt.Errorf("read schedules: %w", err)
	}
	var id uuid.UUID
	var last, next *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &last, &next}, func() error {
		for _, t := range scheduled[id] {
			for name, at := range map[string]*time.Time{"last_occurrence_at": last, "next_occurrence_at": next} {
				if at != nil {
					t.occurrence[name] = at.UTC().Format(time.RFC3339Nano)
				}
			}
		}
		return nil
	})
	return err
}

// schedule adds what a run sees of the schedule that caused it: recipient.schedule.
func (s Scope) schedule(occurrence map[string]any) {
	if person, ok := s["recipient"].(map[string]any); ok && occurrence != nil {
		person["schedule"] = occurrence
	}
}
