package graph

import (
	"context"
	"log/slog"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/delivery"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/encoder"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// Resolver is the root of all resolvers: the domain that they call.
type Resolver struct {
	Engine     *engine.Engine
	Feeds      *feed.Service
	Recipients *recipient.Service
	Deliveries *delivery.Service

	log        *slog.Logger      // of the server; for errors that don't end a request
	selections *encoder.Compiler // nil: gqlgen executes each event
}

// feedRef decides which feed a request means, and whether the viewer may.
func feedRef(ctx context.Context, in model.FeedRef, field string) (feed.Ref, error) {
	viewer := auth.ViewerFrom(ctx)
	user := ""
	if in.User != nil {
		user = *in.User
	}
	owner, err := viewer.FeedOwner(user, field+".user")
	if err != nil {
		return feed.Ref{}, err
	}
	if err := belfry.ValidateKey(in.Channel, field+".channel"); err != nil {
		return feed.Ref{}, err
	}
	return feed.Ref{Environment: viewer.Environment, User: owner, Channel: in.Channel}, nil
}

// backend returns the environment of a viewer with a secret key, and refuses all others.
func backend(ctx context.Context) (belfry.EnvironmentID, error) {
	viewer := auth.ViewerFrom(ctx)
	return viewer.Environment, viewer.RequireBackend()
}

// userID finds a user's internal id; 0 if nobody is known by that name. field names the input for errors.
func (r *Resolver) userID(ctx context.Context, env belfry.EnvironmentID, user, field string) (belfry.RecipientID, error) {
	if err := belfry.ValidateExternalID(user, field); err != nil {
		return 0, err
	}
	return r.Recipients.UserID(ctx, env, user)
}

var errCursor = belfry.Errorf(belfry.Invalid, "not a cursor: pass one that the API returned, unchanged").At("after")

// keyCursor is the key behind which a page of a list in the order of keys begins; empty for the first one.
func keyCursor(after *string) (string, error) {
	if after == nil {
		return "", nil
	}
	if belfry.ValidateKey(*after, "after") != nil {
		return "", errCursor
	}
	return *after, nil
}

// nullable turns NotFound into null, which is what a query for one thing answers.
func nullable[T any](v *T, err error) (*T, error) {
	if err != nil && belfry.CodeOf(err) == belfry.NotFound {
		return nil, nil
	}
	return v, err
}

// mapped is a channel of something else for each value of in, until that is closed or ctx ends.
func mapped[A, B any](ctx context.Context, in <-chan A, to func(A) B) <-chan B {
	out := make(chan B)
	go func() {
		defer close(out)
		for v := range in {
			select {
			case out <- to(v):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
