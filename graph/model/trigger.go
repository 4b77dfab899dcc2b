package model

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
)

// Trigger is an accepted trigger as the API shows it.
type Trigger struct {
	*engine.Trigger
}

// IsNode marks the trigger as fetchable by id.
func (Trigger) IsNode() {}

// ID is the trigger's global id.
func (t *Trigger) ID() string { return globalID(TriggerTag, t.Trigger.ID.String()) }

// RecipientCount is how many recipients were accepted.
func (t *Trigger) RecipientCount() int { return t.Recipients }

// ParseTriggerKey reads the key of a trigger's global id.
func ParseTriggerKey(key string) (uuid.UUID, error) { return uuid.Parse(key) }

// Request is the trigger that the input asks for.
func (in *TriggerWorkflowInput) Request() (*engine.Request, error) {
	if len(in.Recipients) > engine.MaxRecipients { // before looking at each
		return nil, belfry.Beyond("input.recipients", engine.MaxRecipients, "recipients a trigger")
	}
	r := &engine.Request{Workflow: in.Workflow, Data: in.Data, Recipients: make([]engine.Party, len(in.Recipients))}
	for i := range in.Recipients {
		party, err := in.Recipients[i].Party(fmt.Sprintf("input.recipients[%d]", i))
		if err != nil {
			return nil, err
		}
		r.Recipients[i] = party
	}
	if in.Actor != nil {
		actor, err := in.Actor.Party("input.actor")
		if err != nil {
			return nil, err
		}
		r.Actor = &actor
	}
	if in.Tenant != nil {
		r.Tenant = *in.Tenant
	}
	if in.IdempotencyKey != nil {
		r.IdempotencyKey = *in.IdempotencyKey
	}
	return r, nil
}

// NewTriggerPayload makes the API's form of the answer to a trigger.
func NewTriggerPayload(a *engine.Accepted) *TriggerWorkflowPayload {
	out := &TriggerWorkflowPayload{Trigger: Trigger{Trigger: &a.Trigger}, Replayed: a.Replayed, Rejected: make([]RejectedRecipient, len(a.Rejected))}
	for i, r := range a.Rejected {
		out.Rejected[i] = RejectedRecipient{Index: r.Index, Code: string(r.Code), Message: r.Message}
	}
	return out
}
