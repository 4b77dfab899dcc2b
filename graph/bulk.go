package graph

import (
	"context"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// startBulk accepts an operation of what an input says.
func (r *Resolver) startBulk(ctx context.Context, kind recipient.BulkKind, input func() ([]recipient.BulkItem, error)) (*model.BulkOperation, error) {
	env, err := backend(ctx)
	if err != nil {
		return nil, err
	}
	items, err := input()
	if err != nil {
		return nil, err
	}
	bulk, err := r.Recipients.StartBulk(ctx, env, kind, items)
	return &model.BulkOperation{Bulk: bulk}, err
}

// bulkNode finds a bulk operation by the key of its id.
func (r *Resolver) bulkNode(ctx context.Context, env belfry.EnvironmentID, key string) (*model.BulkOperation, error) {
	id, err := model.ParseUUID(key)
	if err != nil {
		return nil, err
	}
	bulk, err := r.Recipients.BulkByID(ctx, env, id)
	if err != nil {
		return nil, err
	}
	return &model.BulkOperation{Bulk: bulk}, nil
}

// watchBulk tells how a bulk operation goes on, in the API's form.
func (r *Resolver) watchBulk(ctx context.Context, env belfry.EnvironmentID, id string) (<-chan *model.BulkOperation, error) {
	key, err := keyOf(model.BulkTag, id)
	if err != nil {
		return nil, err
	}
	operation, err := model.ParseUUID(key)
	if err != nil {
		return nil, err
	}
	states, err := r.Recipients.WatchBulk(ctx, env, operation)
	if err != nil {
		return nil, err
	}
	return mapped(ctx, states, func(b *recipient.Bulk) *model.BulkOperation { return &model.BulkOperation{Bulk: b} }), nil
}
