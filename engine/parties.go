package engine

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// parties is everybody in a request, by internal id.
type parties struct {
	recipients    []belfry.RecipientID // each once, in the order given
	inputs        []int                // of each recipient: where in the request it was first named
	objects       []belfry.RecipientID // those of recipients that aren't users
	rejected      []Rejected
	actor, tenant belfry.RecipientID // 0: none
}

func tenantRef(id string) belfry.RecipientRef {
	return belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: id}
}

// resolve identifies whom the request identifies, and finds the others.
func (e *Engine) resolve(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, r *Request) (*parties, error) {
	who := &parties{}
	tenant := tenantRef(r.Tenant)
	invalid := make([]error, len(r.Recipients))
	var refs []belfry.RecipientRef
	var identities []recipient.Identity
	var fields []string
	collect := func(p *Party, field string) {
		refs = append(refs, p.ref())
		if p.Identify != nil {
			identities, fields = append(identities, *p.Identify), append(fields, field+".identify")
		}
	}
	for i := range r.Recipients {
		field := fmt.Sprintf("input.recipients[%d]", i)
		if invalid[i] = r.Recipients[i].validate(field); invalid[i] == nil && r.Recipients[i].Audience == "" {
			collect(&r.Recipients[i], field)
		}
	}
	if r.Actor != nil {
		collect(r.Actor, "input.actor")
	}
	if r.Tenant != "" {
		refs = append(refs, tenant)
	}
	known, err := e.Recipients.Find(ctx, tx, env, refs)
	if err != nil {
		return nil, fmt.Errorf("find recipients: %w", err)
	}
	if _, ok := known[tenant]; r.Tenant != "" && !ok {
		identities, fields = append(identities, recipient.Identity{RecipientRef: tenant}), append(fields, "input.tenant")
	}
	identified, err := e.Recipients.Identify(ctx, tx, env, identities, fields)
	if err != nil {
		return nil, fmt.Errorf("identify recipients: %w", err)
	}
	for ref, id := range identified {
		known[ref] = id
	}

	who.tenant = known[tenant]
	if r.Actor != nil {
		if who.actor = known[r.Actor.ref()]; who.actor == 0 {
			return nil, belfry.Errorf(belfry.NotFound, "nobody has the id %q: identify the actor first, or on the spot", r.Actor.Ref.ExternalID).At("input.actor.user")
		}
	}
	seen := make(map[belfry.RecipientID]bool, len(r.Recipients))
	for i := range r.Recipients {
		ref := r.Recipients[i].ref()
		id := known[ref]
		switch {
		case invalid[i] != nil:
			who.rejected = append(who.rejected, Rejected{i, belfry.CodeOf(invalid[i]), invalid[i].Error()})
		case r.Recipients[i].Audience != "": // see openSources
		case id == 0:
			why := fmt.Sprintf("no user has the id %q: identify the user first, or on the spot", ref.ExternalID)
			if ref.Collection != belfry.Users {
				why = fmt.Sprintf("nothing in %.100q has the id %q: store it first", ref.Collection, ref.ExternalID)
			}
			who.rejected = append(who.rejected, Rejected{i, belfry.NotFound, why})
		case !seen[id]:
			seen[id] = true
			who.recipients, who.inputs = append(who.recipients, id), append(who.inputs, i)
			if ref.Collection != belfry.Users {
				who.objects = append(who.objects, id)
			}
		}
	}
	return who, nil
}

// overlays is what recipients brought of their own, as JSON; nil if nobody brought anything.
func (p *parties) overlays(r *Request) ([]byte, error) {
	var out map[belfry.RecipientID]json.RawMessage
	size := 0
	for i, id := range p.recipients {
		own := r.Recipients[p.inputs[i]].Data
		if own == nil {
			continue
		}
		field := fmt.Sprintf("input.recipients[%d].data", p.inputs[i])
		b, err := encodeObject(own, field)
		if err != nil {
			return nil, err
		}
		if size += len(b); size > MaxDataSize {
			return nil, belfry.Beyond(field, MaxDataSize, "bytes of JSON for all recipients together")
		}
		if out == nil {
			out = map[belfry.RecipientID]json.RawMessage{}
		}
		out[id] = b
	}
	if out == nil {
		return nil, nil
	}
	return encode(out)
}
