package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/template"
)

// TriggerWorkflow triggers another workflow. All strings are templates; an empty one takes the default.
type TriggerWorkflow struct {
	Workflow        string `json:"workflow"`                  // key
	Recipients      string `json:"recipients,omitempty"`      // an id, or a JSON list of ids; default the run's recipient
	Actor           string `json:"actor,omitempty"`           // default the run's actor
	Tenant          string `json:"tenant,omitempty"`          // default the run's tenant
	Data            string `json:"data,omitempty"`            // renders a JSON object; default the run's data
	CancellationKey string `json:"cancellationKey,omitempty"` // default that of the trigger
}

// StartSpec is a compiled TriggerWorkflow.
type StartSpec struct {
	workflow, recipients, actor, tenant, data, cancellationKey *template.Template

	ownRecipient, ownActor bool // those of the run, which may be objects
}

// Start is what a TriggerWorkflow rendered to.
type Start struct {
	Workflow        string
	Collection      string   // of the recipients: users, but for the run's own
	Recipients      []string // external ids
	ActorCollection string   // users, but for the run's own
	Actor           string
	Tenant          string
	Data            map[string]any // nil: that of the run
	CancellationKey string
}

func (c *compiler) start(path string, s *Step) {
	t, path := s.TriggerWorkflow, path+".triggerWorkflow"
	if strings.TrimSpace(t.Workflow) == "" {
		c.problemf(path+".workflow", "say which workflow, by its key")
	}
	or := func(field, source, instead string) *template.Template {
		if source == "" {
			source = instead
		}
		return c.template(path+"."+field, source, template.Text)
	}
	spec := &StartSpec{
		workflow:        or("workflow", t.Workflow, ""),
		recipients:      or("recipients", t.Recipients, "{{ recipient.id }}"),
		actor:           or("actor", t.Actor, "{{ actor.id }}"),
		tenant:          or("tenant", t.Tenant, "{{ tenant.id }}"),
		cancellationKey: or("cancellationKey", t.CancellationKey, "{{ workflow.cancellation_key }}"),
		ownRecipient:    t.Recipients == "", ownActor: t.Actor == "",
	}
	if t.Data != "" {
		spec.data = or("data", t.Data, "")
	}
	c.emit(Op{Kind: OpStart, Step: s.Ref, Start: spec})
}

// Render fills in the request for another workflow.
func (s *StartSpec) Render(ctx context.Context, scope map[string]any) (*Start, error) {
	out := &Start{Collection: belfry.Users, ActorCollection: belfry.Users}
	if s.ownRecipient {
		out.Collection = collectionOf(scope["recipient"])
	}
	if s.ownActor {
		out.ActorCollection = collectionOf(scope["actor"])
	}
	var recipients string
	for _, part := range []struct {
		name string
		from *template.Template
		to   *string
	}{
		{"workflow", s.workflow, &out.Workflow}, {"recipients", s.recipients, &recipients}, {"actor", s.actor, &out.Actor},
		{"tenant", s.tenant, &out.Tenant}, {"cancellationKey", s.cancellationKey, &out.CancellationKey},
	} {
		text, err := part.from.Render(ctx, scope)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		*part.to = strings.TrimSpace(text)
	}
	if recipients == "" {
		return nil, fmt.Errorf("recipients: the template rendered nobody")
	}
	out.Recipients = []string{recipients}
	if strings.HasPrefix(recipients, "[") {
		if err := json.Unmarshal([]byte(recipients), &out.Recipients); err != nil {
			return nil, fmt.Errorf("recipients: %.100q is neither an id nor a JSON list of ids", recipients)
		}
	}
	if s.data != nil {
		text, err := s.data.Render(ctx, scope)
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		if out.Data, err = parseObject(text); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	return out, nil
}

// collectionOf is where somebody in the scope belongs; with the users, if nothing else is known.
func collectionOf(party any) string {
	person, _ := party.(map[string]any)
	if collection, _ := person["collection"].(string); collection != "" {
		return collection
	}
	return belfry.Users
}
