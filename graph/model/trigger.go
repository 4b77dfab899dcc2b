package model

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/workflow"
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

// Source is what caused it. Idempotency keys replay answers of releases that didn't say.
func (t *Trigger) Source() TriggerSource {
	return TriggerSource(strings.ToUpper(string(cmp.Or(t.Trigger.Source, engine.SourceAPI))))
}

// Priority says which work goes first.
func (t *Trigger) Priority() TriggerPriority {
	return TriggerPriority(cmp.Or(t.Trigger.Priority, engine.Normal))
}

// CancellationKey is nil if it can't be cancelled.
func (t *Trigger) CancellationKey() *string { return optional(t.Trigger.CancellationKey) }

// Settings say how its runs differ from usual ones.
func (t *Trigger) Settings() TriggerSettings {
	return TriggerSettings{Sandbox: t.Sandbox, SkipDelay: t.SkipDelay}
}

// Request is the trigger that the input asks for.
func (in *TriggerWorkflowInput) Request() (*engine.Request, error) {
	if len(in.Recipients) > engine.MaxRecipients { // before looking at each
		return nil, belfry.Beyond("input.recipients", engine.MaxRecipients, "recipients a trigger")
	}
	if err := belfry.ValidateText(in.Workflow, "input.workflow"); err != nil {
		return nil, err
	}
	r := &engine.Request{Workflow: in.Workflow, Data: in.Data, Priority: engine.Priority(in.Priority), Recipients: make([]engine.Party, len(in.Recipients))}
	for i := range in.Recipients {
		party, err := in.Recipients[i].party(fmt.Sprintf("input.recipients[%d]", i))
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
	r.Tenant, r.CancellationKey, r.IdempotencyKey = given(in.Tenant), given(in.CancellationKey), given(in.IdempotencyKey)
	if in.Settings != nil {
		r.Sandbox, r.SkipDelay = in.Settings.Sandbox, in.Settings.SkipDelay
	}
	return r, nil
}

// given is the empty string for what was left out.
func given(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// party is whom the input names; field names it for errors.
func (in *TriggerRecipientInput) party(field string) (engine.Party, error) {
	if in.Audience != nil && in.Object == nil && in.User == nil && in.Identify == nil {
		return engine.Party{Audience: *in.Audience, Data: in.Data}, belfry.ValidateKey(*in.Audience, field+".audience")
	}
	if in.Object != nil && in.User == nil && in.Identify == nil && in.Audience == nil {
		ref, err := in.Object.Recipient(field + ".object")
		return engine.Party{Ref: ref, Data: in.Data}, err
	}
	party, err := (&RecipientInput{User: in.User, Identify: in.Identify}).Party(field)
	if err != nil || in.Object != nil || in.Audience != nil {
		return party, belfry.Errorf(belfry.Invalid, "give exactly one of user, object, audience and identify").At("%s", field)
	}
	party.Data = in.Data
	return party, nil
}

// Refs is who is meant; nil: everybody.
func (in *CancelTriggersInput) Refs() ([]belfry.RecipientRef, error) {
	if err := belfry.ValidateText(in.Workflow, "input.workflow"); err != nil {
		return nil, err
	}
	if err := belfry.ValidateText(in.CancellationKey, "input.cancellationKey"); err != nil {
		return nil, err
	}
	if in.Recipients == nil {
		return nil, nil
	}
	if len(in.Recipients) > engine.MaxRecipients { // before looking at each
		return nil, belfry.Beyond("input.recipients", engine.MaxRecipients, "recipients")
	}
	refs := make([]belfry.RecipientRef, len(in.Recipients))
	for i, id := range in.Recipients {
		if err := belfry.ValidateExternalID(id, fmt.Sprintf("input.recipients[%d]", i)); err != nil {
			return nil, err
		}
		refs[i] = belfry.User(id)
	}
	return refs, nil
}

// Ref is the object that the input names; field names it for errors.
func (in *ObjectRefInput) Ref(field string) (belfry.RecipientRef, error) {
	ref := belfry.RecipientRef{Collection: in.Collection, ExternalID: in.ID}
	if strings.HasPrefix(in.Collection, "$") {
		return ref, belfry.Errorf(belfry.Invalid, "names that begin with '$' are not for objects").At("%s.collection", field)
	}
	return ref, belfry.ValidateExternalID(in.Collection, field+".collection")
}

// Recipient is the object, or the tenant, that the input names as somebody to be told; field names it for errors.
func (in *ObjectRefInput) Recipient(field string) (belfry.RecipientRef, error) {
	if in.Collection == belfry.Tenants {
		return in.Name(), nil
	}
	return in.Ref(field)
}

// NewTriggerPayload makes the API's form of the answer to a trigger.
func NewTriggerPayload(a *engine.Accepted) *TriggerWorkflowPayload {
	return &TriggerWorkflowPayload{Trigger: Trigger{Trigger: &a.Trigger}, Replayed: a.Replayed, Rejected: newRejected(a.Rejected, "input")}
}

// newRejected makes the API's form of those who were left out; input is what names the trigger.
func newRejected(rejected []engine.Rejected, input string) []RejectedRecipient {
	out := make([]RejectedRecipient, len(rejected))
	for i, r := range rejected {
		out[i] = RejectedRecipient{Index: r.Index, Code: string(r.Code), Message: renamed(r.Message, input)}
	}
	return out
}

// NewTriggerResult makes the API's form of what became of one of many triggers, the i-th.
func NewTriggerResult(i int, a *engine.Accepted) TriggerWorkflowResult {
	return TriggerWorkflowResult{Trigger: &Trigger{Trigger: &a.Trigger}, Replayed: a.Replayed, Rejected: newRejected(a.Rejected, itemOf(i))}
}

// NewTriggerRefusal makes the API's form of why one of many triggers was refused, the i-th.
func NewTriggerRefusal(i int, err error, e *belfry.Error) TriggerWorkflowResult {
	own := *e
	own.Field = renamed(e.Field, itemOf(i))
	out := TriggerWorkflowResult{Rejected: []RejectedRecipient{}, Error: NewItemError(&own)}
	out.Error.Violations = Violations(err)
	return out
}

// NewTriggerFailure makes the API's form of an error of ours. reference is what the log has it under.
func NewTriggerFailure(reference string) TriggerWorkflowResult {
	failure := NewItemError(belfry.Errorf(belfry.Internal, "%s", InternalMessage))
	failure.Reference = &reference
	return TriggerWorkflowResult{Rejected: []RejectedRecipient{}, Error: failure}
}

func itemOf(i int) string { return fmt.Sprintf("input.triggers[%d]", i) }

// NewItemError makes the API's form of why one of many things was refused.
func NewItemError(e *belfry.Error) *ItemError {
	out := &ItemError{Code: string(e.Code), Message: e.Error(), Field: optional(e.Field), Violations: []workflow.Violation{}}
	if e.Limit != 0 {
		out.Limit = &e.Limit
	}
	return out
}

// InternalMessage is what clients learn of an error of ours.
const InternalMessage = "something went wrong on our side; the server's log has it under the reference"

// Violations is how data failed to meet a schema, if that is what the error is about; never nil.
func Violations(err error) []workflow.Violation {
	if e, ok := errors.AsType[*engine.SchemaError](err); ok {
		return e.Violations
	}
	return []workflow.Violation{}
}

// renamed is a text about "input.…" as one about an item of a list.
func renamed(text, input string) string {
	if rest, ok := strings.CutPrefix(text, "input."); ok {
		return input + "." + rest
	}
	return text
}
