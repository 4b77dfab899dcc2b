package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// PreferenceRequest asks whether somebody would get a message.
type PreferenceRequest struct {
	Workflow    string // key: its current version counts
	Recipient   belfry.RecipientRef
	Actor       belfry.RecipientRef // zero: nobody
	Tenant      string              // external id; empty: none
	Channel     string
	ChannelType belfry.ChannelType
	Data        map[string]any
	Objects     []belfry.RecipientRef    // that it is about, besides those that a run would find
	At          time.Time                // zero: now
	Instead     *recipient.PreferenceSet // of the recipient's own for the tenant, or its default one. nil: what is stored
}

// ExplainPreference decides as a run would, without one. Somebody whom nobody knows prefers nothing.
func (e *Engine) ExplainPreference(ctx context.Context, env belfry.EnvironmentID, r *PreferenceRequest) (recipient.Decision, error) {
	var none recipient.Decision
	if err := belfry.ValidateKey(r.Workflow, "input.workflow"); err != nil {
		return none, err
	}
	if err := belfry.ValidateKey(r.Channel, "input.channel"); err != nil {
		return none, err
	}
	stored, err := e.Workflow(ctx, env, r.Workflow, 0)
	if err != nil {
		return none, err
	}
	sets, err := e.Recipients.PreferenceSetsOf(ctx, env, r.Recipient, r.Tenant)
	if err != nil {
		return none, fmt.Errorf("read preferences: %w", err)
	}
	switch {
	case r.Instead != nil && r.Tenant != "":
		sets.RecipientTenant = r.Instead
	case r.Instead != nil:
		sets.Recipient = r.Instead
	}
	v := &version{Version: *stored}
	t := &trigger{env: env, data: r.Data}
	if t.data == nil {
		t.data = map[string]any{}
	}
	people, id, err := e.explained(ctx, env, r, t)
	if err != nil {
		return none, err
	}
	vars, err := e.Variables(ctx, env)
	if err != nil {
		return none, err
	}
	c := course{ctx: ctx, version: v, trigger: t, now: e.now(), preferences: sets}
	if !r.At.IsZero() {
		c.now = r.At.UTC()
	}
	c.scope = t.scope(v, people, vars, c.now).with(people[id])
	if keys := sets.Audiences(); len(keys) > 0 {
		m, err := e.Recipients.LoadMemberships(ctx, e.Pool, []belfry.EnvironmentID{env}, keys, []belfry.RecipientID{id})
		if err != nil {
			return none, err
		}
		c.scope.audiences(m, t, id)
	}
	q := c.prefers(&workflow.MessageTemplate{Channel: r.Channel, Type: r.ChannelType})
	q.Objects = slices.Concat(q.Objects, r.Objects)
	return recipient.Decide(sets, *q), nil
}

// explained reads who is in a request, and notes in the trigger who acts, and for which tenant. It returns the recipient's id.
func (e *Engine) explained(ctx context.Context, env belfry.EnvironmentID, r *PreferenceRequest, t *trigger) (map[belfry.RecipientID]*belfry.Recipient, belfry.RecipientID, error) {
	var who belfry.RecipientID
	var ids []belfry.RecipientID
	for _, party := range []struct {
		ref belfry.RecipientRef
		id  *belfry.RecipientID
	}{{r.Recipient, &who}, {r.Actor, &t.actor}, {tenantRef(r.Tenant), &t.tenant}} {
		if party.ref.ExternalID == "" {
			continue
		}
		id, err := e.Recipients.ID(ctx, env, party.ref)
		if err != nil {
			return nil, 0, fmt.Errorf("find recipients: %w", err)
		}
		*party.id, ids = id, append(ids, id)
	}
	people, err := e.Recipients.Load(ctx, env, ids)
	if err != nil {
		return nil, 0, fmt.Errorf("load recipients: %w", err)
	}
	return people, who, nil
}
