package graph

import (
	"context"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// preferenceOwner decides whose preferences a request is about. A user token speaks for its subject alone.
func preferenceOwner(ctx context.Context, user *string, object *model.ObjectRefInput) (viewer belfry.Viewer, who belfry.RecipientRef, err error) {
	viewer = auth.ViewerFrom(ctx)
	switch {
	case viewer.Environment == 0:
		return viewer, who, viewer.RequireBackend()
	case !viewer.IsBackend() && (object != nil || user != nil && *user != viewer.User):
		return viewer, who, belfry.Errorf(belfry.Forbidden, "a user token gives access to that user's own preferences only")
	case !viewer.IsBackend():
		return viewer, belfry.User(viewer.User), nil
	case (user == nil) == (object == nil):
		return viewer, who, belfry.Errorf(belfry.Invalid, "with a secret key, say whose: give either user or object").At("input")
	case object != nil:
		who, err = object.Recipient("input.object")
		return viewer, who, err
	}
	return viewer, belfry.User(*user), belfry.ValidateExternalID(*user, "input.user")
}

// tenantOf is the tenant that an input names; empty if it names none.
func tenantOf(tenant *string, field string) (string, error) {
	if tenant == nil {
		return "", nil
	}
	return *tenant, belfry.ValidateExternalID(*tenant, field)
}

// ownPreferences reads the preferences that somebody gives for a recipient. Conditions are written by backends: they see more
// than a person should.
func ownPreferences(viewer belfry.Viewer, set string, in *model.PreferencesInput, field string) (*recipient.PreferenceSet, error) {
	news, err := recipient.ParsePreferences(in.Content(), recipient.LevelOf(set), field)
	if err == nil && !viewer.IsBackend() && news.HasConditions() {
		err = belfry.Errorf(belfry.Forbidden, "conditions are written with a secret key: from here, choose true or false").At("%s", field)
	}
	return news, err
}

// preferenceLink makes a link for a user: it is as good as the right to choose for them.
func (r *Resolver) preferenceLink(ctx context.Context, obj *model.User, tenant *string, link recipient.Link) (*string, error) {
	viewer := auth.ViewerFrom(ctx)
	if !viewer.IsBackend() && viewer.User != obj.ExternalID {
		return nil, belfry.Errorf(belfry.Forbidden, "users see links to their own preferences only")
	}
	name, err := tenantOf(tenant, "tenant")
	if err != nil {
		return nil, err
	}
	var ok bool
	if link.Recipient, ok = model.ParseRecipientID(obj.ID); !ok {
		return nil, belfry.Errorf(belfry.NotFound, "no such user")
	}
	url, err := r.Recipients.LinkURL(ctx, viewer.Environment, link, name)
	if err != nil {
		return nil, err
	}
	return &url, nil
}

func (r *Resolver) setDefaults(ctx context.Context, env belfry.EnvironmentID, input *model.SetDefaultPreferencesInput) (*model.PreferenceSet, error) {
	tenant, err := tenantOf(input.Tenant, "input.tenant")
	if err != nil {
		return nil, err
	}
	level := belfry.EnvironmentLevel
	if tenant != "" {
		level = belfry.TenantLevel
	}
	news, err := recipient.ParsePreferences(input.Preferences.Content(), level, "input.preferences")
	if err != nil {
		return nil, err
	}
	stored, err := r.Recipients.SetDefaults(ctx, env, tenant, news, input.Strategy, "input.preferences")
	if err != nil {
		return nil, err
	}
	return model.NewPreferenceSet(tenant, stored), nil
}

// preferencesOf reads a set of a user, or all that holds for the user in the name of the set's tenant.
func (r *Resolver) preferencesOf(ctx context.Context, env belfry.EnvironmentID, user, set string, resolved bool) (*model.PreferenceSet, error) {
	tenant := set
	if set == belfry.DefaultPreferences {
		tenant = ""
	}
	sets, err := r.Recipients.PreferenceSetsOf(ctx, env, belfry.User(user), tenant)
	if err != nil {
		return nil, err
	}
	switch {
	case resolved:
		return shown(ctx, set, sets.Resolve()), nil
	case tenant == "":
		return shown(ctx, set, sets.Recipient), nil
	}
	return shown(ctx, set, sets.RecipientTenant), nil
}

// shown is a set as the viewer may see it. What conditions ask is for backends: anybody may look at what holds for any tenant.
func shown(ctx context.Context, id string, set *recipient.PreferenceSet) *model.PreferenceSet {
	if !auth.ViewerFrom(ctx).IsBackend() {
		set = set.WithoutConditions()
	}
	return model.NewPreferenceSet(id, set)
}

func (r *Resolver) explain(ctx context.Context, viewer belfry.Viewer, who belfry.RecipientRef, input *model.ExplainPreferenceInput) (*model.Decision, error) {
	if input.Actor != nil && !viewer.IsBackend() {
		return nil, belfry.Errorf(belfry.Forbidden, "name an actor with a secret key only").At("input.actor")
	}
	request, err := input.Request()
	if err != nil {
		return nil, err
	}
	request.Recipient = who
	if input.Instead != nil {
		set := belfry.DefaultPreferences
		if request.Tenant != "" {
			set = request.Tenant
		}
		if request.Instead, err = ownPreferences(viewer, set, input.Instead, "input.instead"); err != nil {
			return nil, err
		}
	}
	decision, err := r.Engine.ExplainPreference(ctx, viewer.Environment, request)
	if err != nil {
		return nil, err
	}
	return model.NewDecision(decision, viewer.IsBackend())
}
