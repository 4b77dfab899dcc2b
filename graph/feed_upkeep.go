package graph

import (
	"context"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/model"
)

// parseItemIDs reads 1 to feed.MaxMarkIDs ids of items. What can't be one is returned as unknown. field names the input for errors.
func parseItemIDs(in []string, field string) (ids []belfry.MessageID, unknown []string, err error) {
	switch {
	case len(in) == 0:
		return nil, nil, belfry.Errorf(belfry.Invalid, "give 1 to %d ids", feed.MaxMarkIDs).At("%s", field)
	case len(in) > feed.MaxMarkIDs:
		return nil, nil, belfry.Beyond(field, feed.MaxMarkIDs, "ids")
	}
	unknown = []string{}
	for _, s := range in {
		if id, err := belfry.ParseMessageID(s); err == nil {
			ids = append(ids, id)
		} else {
			unknown = append(unknown, s)
		}
	}
	return ids, unknown, nil
}

// idStrings is ids as the API shows them, behind others.
func idStrings(out []string, ids []belfry.MessageID) []string {
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

// retract removes items by id or by resource, whichever the input says.
func (r *Resolver) retract(ctx context.Context, env belfry.EnvironmentID, where *model.RetractItemsWhereInput) (*model.RetractItemsPayload, error) {
	given := 0
	for _, is := range []bool{where.Ids != nil, where.ResourceKey != nil, where.TriggerID != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return nil, belfry.Errorf(belfry.Invalid, "give exactly one of ids, resourceKey and triggerId").At("input.where")
	}
	if where.Ids == nil {
		operation, err := r.startRetraction(ctx, env, where)
		if err != nil {
			return nil, err
		}
		return &model.RetractItemsPayload{Removed: operation.Items, NotFound: []string{}, Operation: &model.FeedOperation{Operation: operation}}, nil
	}
	ids, unknown, err := parseItemIDs(where.Ids, "input.where.ids")
	if err != nil {
		return nil, err
	}
	removed, notFound, err := r.Feeds.Retract(ctx, env, ids)
	if err != nil {
		return nil, err
	}
	return &model.RetractItemsPayload{Removed: removed, NotFound: idStrings(unknown, notFound)}, nil
}

// startRetraction removes items of a resource or of a trigger.
func (r *Resolver) startRetraction(ctx context.Context, env belfry.EnvironmentID, where *model.RetractItemsWhereInput) (*feed.Operation, error) {
	if where.ResourceKey != nil {
		return r.Feeds.RetractResource(ctx, env, *where.ResourceKey)
	}
	key, err := keyOf(model.TriggerTag, *where.TriggerID)
	if err != nil {
		return nil, err
	}
	trigger, err := model.ParseUUID(key)
	if err != nil {
		return nil, err
	}
	if _, err := r.Engine.TriggerByID(ctx, env, trigger); err != nil {
		return nil, err
	}
	return r.Feeds.RetractTrigger(ctx, env, trigger)
}

// feedOperation finds an operation by its global id.
func (r *Resolver) feedOperation(ctx context.Context, env belfry.EnvironmentID, id string) (*feed.Operation, error) {
	key, err := keyOf(model.FeedOpTag, id)
	if err != nil {
		return nil, err
	}
	operation, err := model.ParseUUID(key)
	if err != nil {
		return nil, err
	}
	return r.Feeds.OperationByID(ctx, env, operation)
}
