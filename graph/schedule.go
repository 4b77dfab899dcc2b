package graph

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// newSchedules makes the API's form of schedules, which load whom they refer to together. One that is nil stays nil.
func (r *Resolver) newSchedules(ctx context.Context, env belfry.EnvironmentID, schedules []*engine.Schedule) []*model.Schedule {
	var people, tenants []belfry.RecipientID
	page := &model.SchedulePage{
		People: sync.OnceValues(func() (map[belfry.RecipientID]*recipient.Known, error) {
			return r.Recipients.Recipients(ctx, env, people)
		}),
		Tenants: sync.OnceValues(func() (map[belfry.RecipientID]*belfry.Recipient, error) { return r.Recipients.Load(ctx, env, tenants) }),
	}
	out := make([]*model.Schedule, len(schedules))
	for i, s := range schedules {
		if s == nil {
			continue
		}
		out[i] = &model.Schedule{Schedule: s, Page: page}
		people = append(people, s.Recipient)
		if s.Actor != 0 {
			people = append(people, s.Actor)
		}
		if s.Tenant != 0 {
			tenants = append(tenants, s.Tenant)
		}
	}
	return out
}

// newScheduleResults makes the API's form of what became of each of several schedules.
func (r *Resolver) newScheduleResults(ctx context.Context, env belfry.EnvironmentID, results []engine.ScheduleResult) []model.ScheduleResult {
	schedules := make([]*engine.Schedule, len(results))
	for i := range results {
		schedules[i] = results[i].Schedule
	}
	out := make([]model.ScheduleResult, len(results))
	for i, s := range r.newSchedules(ctx, env, schedules) {
		if out[i].Schedule = s; s == nil {
			out[i].Error = model.NewItemError(results[i].Err)
		}
	}
	return out
}

// scheduleIDs reads global ids. One that is none becomes one that doesn't exist: to a caller that is the same.
func scheduleIDs(ids []string) ([]uuid.UUID, error) {
	if len(ids) > engine.MaxScheduleIDs { // before looking at each
		return nil, belfry.Beyond("input.ids", engine.MaxScheduleIDs, "schedules")
	}
	out := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		out[i], _ = model.ParseScheduleID(id)
	}
	return out, nil
}

// scheduleNode finds a schedule by the key of its id.
func (r *Resolver) scheduleNode(ctx context.Context, env belfry.EnvironmentID, key string) (*model.Schedule, error) {
	id, err := model.ParseUUID(key)
	if err != nil {
		return nil, err
	}
	s, err := r.Engine.ScheduleByID(ctx, env, id)
	if err != nil {
		return nil, err
	}
	return r.newSchedules(ctx, env, []*engine.Schedule{s})[0], nil
}

// schedules reads a page of schedules.
func (r *Resolver) schedules(ctx context.Context, env belfry.EnvironmentID, filter *model.ScheduleFilter, first int, after *string) (*model.ScheduleConnection, error) {
	var cursor *uuid.UUID
	if after != nil {
		id, ok := model.ParseScheduleID(*after)
		if !ok {
			return nil, errCursor
		}
		cursor = &id
	}
	var f engine.ScheduleFilter
	if filter != nil {
		if filter.Workflow != nil {
			f.Workflow = *filter.Workflow
		}
		if err := belfry.ValidateText(f.Workflow, "filter.workflow"); err != nil {
			return nil, err
		}
		if filter.User != nil {
			var err error
			if f.Recipient, err = r.userID(ctx, env, *filter.User, "filter.user"); err != nil || f.Recipient == 0 {
				return &model.ScheduleConnection{Edges: []model.ScheduleEdge{}}, err
			}
		}
	}
	page, err := r.Engine.Schedules(ctx, env, f, cursor, first)
	if err != nil {
		return nil, err
	}
	schedules := make([]*engine.Schedule, len(page.Schedules))
	for i := range page.Schedules {
		schedules[i] = &page.Schedules[i]
	}
	return model.NewScheduleConnection(r.newSchedules(ctx, env, schedules), page.More, after != nil), nil
}
