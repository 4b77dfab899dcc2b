package graph

import (
	"context"
	"errors"
	"fmt"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// MaxUpserts is how many objects one upsertObjects takes.
const MaxUpserts = 100

// list reads a page of the recipients of a collection.
func (r *Resolver) list(ctx context.Context, env belfry.EnvironmentID, collection string, first int, after *string, filter *recipient.Filter) (*recipient.Page, error) {
	l := recipient.List{Collection: collection, First: first}
	if filter != nil {
		l.Filter = *filter
	}
	if after != nil {
		var ok bool
		if l.After, ok = model.ParseIDCursor(*after); !ok {
			return nil, errCursor
		}
	}
	return r.Recipients.List(ctx, env, l)
}

// upsertObjects makes objects known, each for itself.
func (r *Resolver) upsertObjects(ctx context.Context, env belfry.EnvironmentID, objects []model.UpsertObjectInput) (*model.UpsertObjectsPayload, error) {
	switch {
	case len(objects) == 0:
		return nil, belfry.Errorf(belfry.Invalid, "at least one object is required").At("input.objects")
	case len(objects) > MaxUpserts:
		return nil, belfry.Beyond("input.objects", MaxUpserts, "objects at once")
	}
	payload := &model.UpsertObjectsPayload{Results: make([]model.UpsertObjectResult, len(objects))}
	var identities []recipient.Identity
	var fields []string
	var places []int // of identities among the objects
	for i := range objects {
		field := fmt.Sprintf("input.objects[%d]", i)
		identity, err := objects[i].Identity(field)
		if refused, ok := errors.AsType[*belfry.Error](err); ok {
			payload.Results[i].Error = model.NewItemError(refused)
			continue
		}
		identities, fields, places = append(identities, *identity), append(fields, field), append(places, i)
	}
	results, err := r.Recipients.UpsertEach(ctx, env, identities, fields)
	if err != nil {
		return nil, err
	}
	for n, result := range results {
		to := &payload.Results[places[n]]
		if result.Err != nil {
			to.Error = model.NewItemError(result.Err)
		} else {
			to.Object = model.NewObject(result.Known)
		}
	}
	return payload, nil
}

// known reads a recipient; nil if there is none.
func (r *Resolver) known(ctx context.Context, env belfry.EnvironmentID, ref belfry.RecipientRef) (*recipient.Known, error) {
	if err := belfry.ValidateText(ref.ExternalID, "id"); err != nil {
		return nil, err
	}
	return nullable(r.Recipients.ByRef(ctx, env, ref))
}

// deleted deletes one recipient, and reports whether there was any.
func (r *Resolver) deleted(ctx context.Context, env belfry.EnvironmentID, ref belfry.RecipientRef) (bool, error) {
	unknown, err := r.Recipients.Delete(ctx, env, []belfry.RecipientRef{ref}, "input")
	return len(unknown) == 0, err
}

// channelData is where a recipient is reached, as far as the viewer may know: users only see their own.
func (r *Resolver) channelData(ctx context.Context, globalID, user string) ([]belfry.ChannelData, error) {
	viewer := auth.ViewerFrom(ctx)
	id, ok := model.ParseRecipientID(globalID)
	if !ok || !viewer.IsBackend() && viewer.User != user {
		return []belfry.ChannelData{}, nil
	}
	found, err := r.Recipients.ChannelData(ctx, viewer.Environment, []belfry.RecipientID{id})
	if err != nil || found[id] == nil {
		return []belfry.ChannelData{}, err
	}
	return found[id], nil
}

// self returns the viewer, who may be a user: then its own external id.
func self(ctx context.Context) (env belfry.EnvironmentID, user string, err error) {
	viewer := auth.ViewerFrom(ctx)
	if viewer.Environment == 0 {
		return 0, "", viewer.RequireBackend()
	}
	return viewer.Environment, viewer.User, nil
}

// seen is a user as the viewer may see them.
func seen(ctx context.Context, u *recipient.Known) *model.User {
	if viewer := auth.ViewerFrom(ctx); viewer.IsBackend() || viewer.User == u.ExternalID {
		return model.NewUser(u)
	}
	return model.NewStranger(u)
}

// recipientNode finds a user, object or tenant: any of the environment for a backend, oneself for a user.
func (r *Resolver) recipientNode(ctx context.Context, viewer belfry.Viewer, id belfry.RecipientID, tag string) (model.Node, error) {
	unknown := belfry.Errorf(belfry.NotFound, "no such id")
	found, err := r.Recipients.ByID(ctx, viewer.Environment, id)
	if err != nil {
		return nil, err
	}
	if !viewer.IsBackend() && found.RecipientRef != belfry.User(viewer.User) {
		return nil, unknown
	}
	tags := map[string]string{belfry.Users: model.UserTag, belfry.Tenants: model.TenantTag}
	if want, ok := tags[found.Collection]; ok && want != tag || !ok && tag != model.ObjectTag {
		return nil, unknown
	}
	return model.NewRecipient(found), nil
}
