package graph

import (
	"context"
	"strconv"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/delivery"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/model"
)

// node finds what a global id names, as far as the viewer may see it; NotFound otherwise.
func (r *Resolver) node(ctx context.Context, id string) (model.Node, error) {
	viewer := auth.ViewerFrom(ctx)
	if viewer.Environment == 0 {
		return nil, viewer.RequireBackend()
	}
	if message, err := belfry.ParseMessageID(id); err == nil {
		if delivery.Owns(message) {
			return r.message(ctx, viewer, message)
		}
		return r.feedItem(ctx, viewer, message)
	}
	tag, key, ok := model.ParseID(id)
	if !ok {
		return nil, belfry.Errorf(belfry.NotFound, "no such id")
	}
	if who, ok := model.ParseRecipientID(id); ok {
		return r.recipientNode(ctx, viewer, who, tag)
	}
	if !viewer.IsBackend() {
		return nil, belfry.Errorf(belfry.NotFound, "no such id")
	}
	switch tag {
	case model.TriggerTag:
		return r.triggerNode(ctx, viewer.Environment, key)
	case model.RunTag:
		return r.runNode(ctx, viewer.Environment, key)
	case model.BulkTag:
		return r.bulkNode(ctx, viewer.Environment, key)
	case model.ScheduleTag:
		return r.scheduleNode(ctx, viewer.Environment, key)
	case model.VersionTag:
		versionID, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return nil, belfry.Errorf(belfry.NotFound, "no such id")
		}
		v, err := r.Engine.WorkflowVersion(ctx, viewer.Environment, versionID)
		if err != nil {
			return nil, err
		}
		return &model.WorkflowVersion{Version: v, Remembered: true}, nil
	}
	return nil, belfry.Errorf(belfry.NotFound, "no such id")
}

// triggerNode finds a trigger by the key of its id.
func (r *Resolver) triggerNode(ctx context.Context, env belfry.EnvironmentID, key string) (*model.Trigger, error) {
	id, err := model.ParseUUID(key)
	if err != nil {
		return nil, err
	}
	t, err := r.Engine.TriggerByID(ctx, env, id)
	if err != nil {
		return nil, err
	}
	return &model.Trigger{Trigger: t}, nil
}

// runNode finds a run by the key of its id.
func (r *Resolver) runNode(ctx context.Context, env belfry.EnvironmentID, key string) (*model.Run, error) {
	who, trigger, err := model.ParseRunKey(key)
	if err != nil {
		return nil, err
	}
	run, err := r.Engine.RunByKey(ctx, env, who, trigger)
	if err != nil {
		return nil, err
	}
	return &model.Run{Run: run, Page: r.runPage(ctx, env, []engine.Run{*run})}, nil
}

// keyOf is the key within a global id of a kind; NotFound if it is of none, or of another.
func keyOf(tag, id string) (string, error) {
	if found, key, ok := model.ParseID(id); ok && found == tag {
		return key, nil
	}
	return "", belfry.Errorf(belfry.NotFound, "no such id")
}

// message finds a message of the delivery: of anybody of the environment, but for a backend only. What providers say of it
// isn't for its reader.
func (r *Resolver) message(ctx context.Context, viewer belfry.Viewer, id belfry.MessageID) (model.Node, error) {
	unknown := belfry.Errorf(belfry.NotFound, "no such id")
	if !viewer.IsBackend() {
		return nil, unknown
	}
	found, err := r.Deliveries.Messages(ctx, viewer.Environment, []belfry.MessageID{id})
	if err != nil {
		return nil, err
	}
	if found[id] == nil {
		return nil, unknown
	}
	return &model.Message{Message: found[id]}, nil
}

// feedItem finds an item: of any user of the environment for a backend, one's own for a user.
func (r *Resolver) feedItem(ctx context.Context, viewer belfry.Viewer, id belfry.MessageID) (model.Node, error) {
	owner := viewer.User
	if viewer.IsBackend() {
		u, err := r.Recipients.UserByID(ctx, viewer.Environment, id.Recipient)
		if err != nil {
			return nil, err
		}
		owner = u.ExternalID
	}
	item, err := r.Feeds.Item(ctx, feed.Ref{Environment: viewer.Environment, User: owner, Channel: id.Channel}, id)
	if err != nil {
		return nil, err
	}
	return &model.FeedItem{Item: item, Environment: viewer.Environment}, nil
}
