package engine

import (
	"context"
	"maps"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// systemVariables are names that an environment can't give to its variables.
var systemVariables = []string{workflow.ManagePreferencesURL, workflow.CommercialUnsubscribeURL, workflow.BrandingVariable}

const (
	noPublicURL = "commercial e-mail needs an address to unsubscribe at: set BELFRY_PUBLIC_URL"
	noLinks     = "links to preferences are empty: set BELFRY_PUBLIC_URL"
)

// unsubscribeHeadersSize is about how many bytes they take, besides the address of the server.
const unsubscribeHeadersSize = 200

// loadLinks gives runs what they make links with, if any of their programs needs it: one query for all of them.
func (e *Engine) loadLinks(ctx context.Context, tx *postgres.Tx, runs []*run) error {
	var asking []*run
	for _, r := range runs {
		if r.version.asksLinks() {
			asking = append(asking, r)
		}
	}
	links, err := e.Recipients.LoadLinks(ctx, tx, environmentsOf(asking))
	for _, r := range asking {
		r.links = links[r.trigger.env]
	}
	return err
}

// asksLinks reports whether runs of the version make links.
func (v *version) asksLinks() bool {
	return v.program != nil && (v.program.Links || v.program.Mails && v.Definition.Settings.Commercial)
}

// variables is what templates of all runs of the trigger see as vars.
func (t *trigger) variables(v *version, own map[string]any, tenant *belfry.Recipient) map[string]any {
	if v.program == nil || !v.program.Variables {
		return own
	}
	out := make(map[string]any, len(own)+1)
	maps.Copy(out, own)
	var properties map[string]any
	if tenant != nil {
		properties = tenant.Properties
	}
	out[workflow.BrandingVariable] = recipient.BrandingOf(properties).Scope()
	return out
}

// linked is vars with the links to the recipient's preferences. What all runs share isn't written to.
func (r *run) linked(shared any) map[string]any {
	out := map[string]any{}
	vars, _ := shared.(map[string]any)
	maps.Copy(out, vars)
	out[workflow.ManagePreferencesURL], out[workflow.CommercialUnsubscribeURL] = nil, nil
	if r.links == nil {
		return out
	}
	about := recipient.Link{Recipient: r.recipient, Tenant: r.trigger.tenant, Purpose: recipient.ToPreferences}
	out[workflow.ManagePreferencesURL] = r.links.URL(about)
	if r.version.Definition.Settings.Commercial {
		about.Purpose = recipient.LeaveCommercial
		out[workflow.CommercialUnsubscribeURL] = r.links.URL(about)
	}
	return out
}

// unsubscribeHeaders let programs that show mail offer one click to leave (RFC 8058).
func (c *course) unsubscribeHeaders() map[string]string {
	url := c.links.URL(recipient.Link{Recipient: c.recipient, Tenant: c.trigger.tenant, Purpose: recipient.LeaveCommercial})
	return map[string]string{"List-Unsubscribe": "<" + url + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
}
