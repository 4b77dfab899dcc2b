package workflow

import (
	"context"
	"fmt"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/template"
)

// UpdateData merges values into the run's data, on the top level. Either form.
type UpdateData struct {
	Data map[string]any `json:"data,omitempty"` // strings in it are templates
	JSON string         `json:"json,omitempty"` // a template that renders a JSON object
}

// UpdateRecipient merges properties into a user, object or tenant, deeply; whom nobody knows yet becomes known.
type UpdateRecipient struct {
	Collection string         `json:"collection,omitempty"` // a template; objects only
	ID         string         `json:"id,omitempty"`         // a template; default: the run's recipient, or its tenant
	Properties map[string]any `json:"properties,omitempty"` // strings in it are templates
	JSON       string         `json:"json,omitempty"`       // a template that renders a JSON object
}

// UpdateSpec is a compiled UpdateRecipient.
type UpdateSpec struct {
	kind           string // for people: user, object, tenant
	collection, id *template.Template
	properties     *Object
	own            bool // the run's recipient, who has to be a user
}

// Update is what an UpdateRecipient rendered to.
type Update struct {
	Ref        belfry.RecipientRef
	Properties map[string]any
}

func (c *compiler) updateData(path string, s *Step) {
	o := c.objectOrJSON(path+".updateData", "data", s.UpdateData.Data, s.UpdateData.JSON)
	c.emit(Op{Kind: OpUpdateData, Step: s.Ref, Data: o})
}

func (c *compiler) updateRecipient(path, kind string, s *Step, u *UpdateRecipient) {
	spec := &UpdateSpec{kind: kind, properties: c.objectOrJSON(path, "properties", u.Properties, u.JSON)}
	collection, id := u.Collection, u.ID
	switch kind {
	case "object":
		if collection == "" || id == "" {
			c.problemf(path, "say which object: give collection and id")
		}
	case "user":
		collection = belfry.Users
		if spec.own = id == ""; spec.own {
			id = "{{ recipient.id }}"
		}
	case "tenant":
		collection = belfry.Tenants
		if id == "" {
			id = "{{ tenant.id }}"
		}
	}
	if kind != "object" && u.Collection != "" {
		c.problemf(path+".collection", "only objects have a collection")
	}
	spec.collection, spec.id = c.template(path+".collection", collection, template.Text), c.template(path+".id", id, template.Text)
	c.emit(Op{Kind: OpUpdateRecipient, Step: s.Ref, Update: spec})
}

// Render fills in whom to update, and with what.
func (u *UpdateSpec) Render(ctx context.Context, scope map[string]any) (*Update, error) {
	out := &Update{}
	var err error
	if u.own && collectionOf(scope["recipient"]) != belfry.Users {
		return nil, fmt.Errorf("id: the recipient is no user: say which user is meant")
	}
	if out.Ref.Collection, err = u.collection.Render(ctx, scope); err != nil {
		return nil, fmt.Errorf("collection: %w", err)
	}
	if out.Ref.ExternalID, err = u.id.Render(ctx, scope); err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	out.Ref.ExternalID, out.Ref.Collection = strings.TrimSpace(out.Ref.ExternalID), strings.TrimSpace(out.Ref.Collection)
	if err := belfry.ValidateExternalID(out.Ref.ExternalID, u.kind); err != nil {
		return nil, err
	}
	if u.kind == "object" {
		if strings.HasPrefix(out.Ref.Collection, "$") {
			return nil, fmt.Errorf("collection: names that begin with $ are not for objects")
		}
		if err := belfry.ValidateExternalID(out.Ref.Collection, "collection"); err != nil {
			return nil, err
		}
	}
	if out.Properties, err = u.properties.Render(ctx, scope); err != nil {
		return nil, fmt.Errorf("properties: %w", err)
	}
	return out, nil
}
