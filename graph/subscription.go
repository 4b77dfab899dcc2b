package graph

import (
	"context"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/model"
)

// subscriptionsOf finds whose subscriptions are listed, 0 if nobody is known by that name, and where to begin.
func (r *Resolver) subscriptionsOf(ctx context.Context, env belfry.EnvironmentID, collection, id string, after *string) (of, behind belfry.RecipientID, err error) {
	if err := belfry.ValidateExternalID(collection, "collection"); err != nil {
		return 0, 0, err
	}
	if err := belfry.ValidateExternalID(id, "id"); err != nil {
		return 0, 0, err
	}
	if after != nil {
		var ok bool
		if behind, ok = model.ParseSubscriptionCursor(*after); !ok {
			return 0, 0, errCursor
		}
	}
	of, err = r.Recipients.ID(ctx, env, belfry.RecipientRef{Collection: collection, ExternalID: id})
	return of, behind, err
}
