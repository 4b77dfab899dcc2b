package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// load reads everything that the runs see.
func (s *simulation) load(ctx context.Context) error {
	r := s.request
	if r.Recipient == (belfry.RecipientRef{}) {
		if r.RecipientProperties == nil {
			return belfry.Errorf(belfry.Invalid, "say for whom: a recipient who is known, or the properties of one to make up").At("input.recipient")
		}
		r.Recipient = belfry.User("test")
	}
	type party struct {
		ref        belfry.RecipientRef
		properties map[string]any
		field      string
	}
	parties := []party{{r.Recipient, r.RecipientProperties, "input.recipient"}, {r.Actor, r.ActorProperties, "input.actor"}}
	if r.Tenant != "" {
		tenant := party{tenantRef(r.Tenant), r.TenantProperties, "input.tenant"}
		if tenant.properties == nil {
			tenant.properties = map[string]any{} // a trigger would make it known, too
		}
		parties = append(parties, tenant)
	}
	for i := range r.Triggers {
		t := &r.Triggers[i]
		parties = append(parties, party{t.Actor, t.ActorProperties, fmt.Sprintf("input.triggers[%d].actor", i)})
	}
	var refs []belfry.RecipientRef
	for _, p := range parties {
		if p.ref == (belfry.RecipientRef{}) {
			continue
		}
		identity := recipient.Identity{RecipientRef: p.ref, Properties: p.properties}
		if err := identity.Validate(p.field); err != nil {
			return err
		}
		refs = append(refs, p.ref)
	}
	if err := s.snapshot(ctx, refs); err != nil {
		return err
	}
	for _, p := range parties {
		if p.ref == (belfry.RecipientRef{}) {
			continue
		}
		if s.ids[p.ref] == 0 && p.properties == nil {
			return belfry.Errorf(belfry.NotFound, "nobody has the id %q: name somebody who is known, or give the properties of somebody to make up", p.ref.ExternalID).At("%s", p.field)
		}
		if _, err := s.change(p.ref, p.properties, p.field); err != nil {
			return err
		}
	}
	owner := recipient.PreferenceOwner{Environment: s.env, Recipient: s.ids[r.Recipient], Tenant: s.ids[tenantRef(r.Tenant)], TenantID: r.Tenant}
	sets, err := recipient.LoadPreferences(ctx, s.engine.Pool, []recipient.PreferenceOwner{owner}, nil)
	if err != nil {
		return err
	}
	s.wishes = sets[0]
	keys := slices.Concat(s.version.program.Audiences, s.wishes.Audiences())
	if len(keys) > 0 {
		if s.memberships, err = s.engine.Recipients.LoadMemberships(ctx, s.engine.Pool, []belfry.EnvironmentID{s.env}, keys, []belfry.RecipientID{owner.Recipient}); err != nil {
			return err
		}
	}
	if !s.version.program.Variables && !s.wishes.Variables() {
		return nil
	}
	s.vars, err = s.engine.Variables(ctx, s.env)
	return err
}

// change merges properties into somebody, in memory. Whom nobody knows is made up.
func (s *simulation) change(ref belfry.RecipientRef, properties map[string]any, field string) (*belfry.Recipient, error) {
	id := s.ids[ref]
	if id == 0 {
		id = -belfry.RecipientID(len(s.ids) + 1) // nobody has a negative one
		s.ids[ref], s.people[id] = id, &belfry.Recipient{ID: id, RecipientRef: ref}
	}
	person := *s.people[id]
	person.Properties = recipient.Merge(person.Properties, properties)
	b, err := encode(person.Properties)
	if err != nil {
		return nil, belfry.Errorf(belfry.Invalid, "not representable as JSON").At("%s", field)
	}
	if len(b) > recipient.MaxPropertiesSize {
		return nil, belfry.Beyond(field+".properties", recipient.MaxPropertiesSize, "bytes of JSON in all")
	}
	s.people[id] = &person
	return &person, nil
}
