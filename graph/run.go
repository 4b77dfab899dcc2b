package graph

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/delivery"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// runPage lets the runs of a page load what they refer to together: people with one query, each trigger and version once.
func (r *Resolver) runPage(ctx context.Context, env belfry.EnvironmentID, runs []engine.Run) *model.RunPage {
	page := &model.RunPage{Triggers: map[uuid.UUID]func() (*engine.Trigger, error){}, Versions: map[int64]func() (*engine.Version, error){}}
	ids := make([]belfry.RecipientID, len(runs))
	for i := range runs {
		run := &runs[i]
		ids[i] = run.Recipient
		if page.Triggers[run.Trigger] == nil {
			page.Triggers[run.Trigger] = sync.OnceValues(func() (*engine.Trigger, error) { return r.Engine.TriggerByID(ctx, env, run.Trigger) })
		}
		if page.Versions[run.VersionID] == nil {
			page.Versions[run.VersionID] = sync.OnceValues(func() (*engine.Version, error) { return r.Engine.WorkflowVersion(ctx, env, run.VersionID) })
		}
	}
	page.Messages = sync.OnceValues(func() (map[belfry.MessageID]*delivery.Message, error) {
		return r.Deliveries.Messages(ctx, env, deliveriesOf(runs))
	})
	page.People = sync.OnceValues(func() (map[belfry.RecipientID]*recipient.Known, error) { return r.Recipients.Recipients(ctx, env, ids) })
	return page
}

// deliveriesOf is the messages of runs that are the delivery's.
func deliveriesOf(runs []engine.Run) (ids []belfry.MessageID) {
	for i := range runs {
		for _, entry := range runs[i].Log {
			if entry.Message == "" {
				continue
			}
			if id, err := belfry.ParseMessageID(entry.Message); err == nil && delivery.Owns(id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// runs reads a page of runs; user, if it isn't nil, is for whom.
func (r *Resolver) runs(ctx context.Context, env belfry.EnvironmentID, f engine.RunFilter, user *string, first int, after *string) (*model.RunConnection, error) {
	var cursor *engine.RunCursor
	var err error
	if after != nil {
		c, ok := model.ParseRunCursor(*after)
		if !ok {
			return nil, errCursor
		}
		cursor = &c
	}
	if err := belfry.ValidateText(f.Workflow, "filter.workflow"); err != nil {
		return nil, err
	}
	if user != nil {
		if f.Recipient, err = r.userID(ctx, env, *user, "filter.user"); err != nil || f.Recipient == 0 {
			return model.NewRunConnection(&engine.RunPage{}, nil, after != nil), err
		}
	}
	page, err := r.Engine.Runs(ctx, env, f, cursor, first)
	if err != nil {
		return nil, err
	}
	return model.NewRunConnection(page, r.runPage(ctx, env, page.Runs), after != nil), nil
}

// watch tells how a run goes on, in the API's form.
func (r *Resolver) watch(ctx context.Context, env belfry.EnvironmentID, id string) (<-chan *model.Run, error) {
	key, err := keyOf(model.RunTag, id)
	if err != nil {
		return nil, err
	}
	who, trigger, err := model.ParseRunKey(key)
	if err != nil {
		return nil, err
	}
	// A run that hasn't begun is waited for, but not for ever: its trigger must be there.
	if _, err := r.Engine.TriggerByID(ctx, env, trigger); err != nil {
		return nil, err
	}
	return mapped(ctx, r.Engine.Watch(ctx, env, who, trigger), func(run *engine.Run) *model.Run {
		return &model.Run{Run: run, Page: r.runPage(ctx, env, []engine.Run{*run})}
	}), nil
}
