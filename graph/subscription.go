package graph

import (
	"context"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// subscriptions lists those of a recipient, in the order of the other party. Whoever isn't known has none.
func (r *Resolver) subscriptions(ctx context.Context, collection, id string, first int, after *string,
	read func(ctx context.Context, env belfry.EnvironmentID, of, behind belfry.RecipientID, first int) ([]recipient.Subscription, bool, error),
	other func(*recipient.Subscription) belfry.RecipientID) (*model.ObjectSubscriptionConnection, error) {
	env, err := backend(ctx)
	if err != nil {
		return nil, err
	}
	if err := belfry.ValidateExternalID(collection, "collection"); err != nil {
		return nil, err
	}
	if err := belfry.ValidateExternalID(id, "id"); err != nil {
		return nil, err
	}
	var behind belfry.RecipientID
	if after != nil {
		var ok bool
		if behind, ok = model.ParseSubscriptionCursor(*after); !ok {
			return nil, errCursor
		}
	}
	of, err := r.Recipients.ID(ctx, env, belfry.RecipientRef{Collection: collection, ExternalID: id})
	if err != nil {
		return nil, err
	}
	page, more, err := read(ctx, env, of, behind, first)
	if err != nil {
		return nil, err
	}
	return model.NewObjectSubscriptionConnection(page, more, after != nil, other), nil
}
