package engine

import (
	"context"
	"maps"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// loadPreferences reads what the recipients of runs want to be told, and the defaults, with one query for all of them.
func loadPreferences(ctx context.Context, tx *postgres.Tx, runs []*run, people map[belfry.RecipientID]*belfry.Recipient, digests recipient.SetDigests) error {
	owners := make([]recipient.PreferenceOwner, 0, len(runs))
	asking := make([]*run, 0, len(runs))
	for _, r := range runs {
		if r.version.asksPreferences() {
			owners, asking = append(owners, r.owner(people)), append(asking, r)
		}
	}
	sets, err := recipient.LoadPreferences(ctx, tx, owners, digests)
	for i := range sets {
		asking[i].preferences = sets[i]
	}
	return err
}

// asksPreferences reports whether runs of the version depend on what their recipients want to be told.
func (v *version) asksPreferences() bool {
	settings := &v.Definition.Settings
	return v.program != nil && v.program.Sends && (settings.Commercial || !settings.OverridePreferences)
}

// owner is whose preferences count for the run.
func (r *run) owner(people map[belfry.RecipientID]*belfry.Recipient) recipient.PreferenceOwner {
	o := recipient.PreferenceOwner{Environment: r.trigger.env, Recipient: r.recipient}
	if tenant := people[r.trigger.tenant]; tenant != nil {
		o.Tenant, o.TenantID = r.trigger.tenant, tenant.ExternalID
	}
	return o
}

// firstData is the data of the first activity of the batch that the run carries: those of the trigger that carries it, as
// they were when it joined. nil: there is no batch.
func (r *run) firstData() map[string]any {
	if r.summary == nil {
		return nil
	}
	if list := r.summary.activities; len(list) > 0 && list[0].trigger == r.trigger.id && list[0].data != nil {
		return list[0].data
	}
	data := r.trigger.data
	if overlay := r.trigger.overlays[r.recipient]; overlay != nil {
		data = workflow.MergeAt(data, nil, overlay)
	}
	if data == nil {
		data = map[string]any{}
	}
	return data
}

// decisions are those of a batch of runs that are the same for all who have the same sets, which people who choose from one page do.
type decisions map[decisionKey]recipient.Decision

type decisionKey struct {
	sets    recipient.PreferenceSets
	version *version
	message *workflow.MessageTemplate
}

// wanted decides whether the recipient wants a message.
func (c *course) wanted(m *workflow.MessageTemplate) recipient.Decision {
	k := decisionKey{c.preferences, c.version, m}
	if d, ok := c.decided[k]; ok {
		return d
	}
	d := recipient.Decide(c.preferences, *c.prefers(m))
	if d.Standing && c.decided != nil {
		c.decided[k] = d
	}
	return d
}

// prefers is what decides whether the recipient wants a message.
func (c *course) prefers(m *workflow.MessageTemplate) *recipient.PreferenceQuestion {
	settings := &c.version.Definition.Settings
	return &recipient.PreferenceQuestion{
		Workflow: c.version.Key, Categories: c.version.Definition.Categories, Commercial: settings.Commercial, Override: settings.OverridePreferences,
		Critical: settings.Critical, Channel: m.Channel, ChannelType: m.Type, Objects: c.about(), Zone: c.zone(), Now: c.now,
		Scope: func() map[string]any {
			if c.firstData == nil {
				return c.scope
			}
			scope := maps.Clone(c.scope)
			scope["data"] = c.firstData
			return scope
		},
	}
}

// about is the objects that the run is about: the one that it is for, the one that acts, the one whose subscriber it is for, and the
// one that the data name.
func (c *course) about() []belfry.RecipientRef {
	if !c.preferences.Mutes() {
		return nil
	}
	var out []belfry.RecipientRef
	for _, root := range []string{"recipient", "actor"} {
		if party, ok := c.scope[root].(map[string]any); ok && party["collection"] != belfry.Users {
			out = append(out, objectOf(party))
		}
	}
	if person, ok := c.scope["recipient"].(map[string]any); ok {
		if subscription, ok := person["subscription"].(map[string]any); ok {
			if object, ok := subscription["object"].(map[string]any); ok {
				out = append(out, objectOf(object))
			}
		}
	}
	if data, ok := c.scope["data"].(map[string]any); ok {
		if object, ok := data["object"].(map[string]any); ok {
			out = append(out, objectOf(object))
		}
	}
	return out
}

func objectOf(party map[string]any) belfry.RecipientRef {
	collection, _ := party["collection"].(string)
	externalID, _ := party["id"].(string)
	return belfry.RecipientRef{Collection: collection, ExternalID: externalID}
}

// maxHolds bounds how often quiet hours and send windows may put a message off in turn: each time by hours.
const maxHolds = 32

// hold is until when a message has to wait, for its recipient's quiet hours or the step's send windows, and the reason that
// it waits for last; the zero time: it can go out at once. false: the windows never open.
func (c *course) hold(m *workflow.MessageTemplate, d recipient.Decision) (at time.Time, reason string, ok bool) {
	if d.NotBefore.IsZero() && len(m.Windows) == 0 {
		return time.Time{}, "", true
	}
	at = c.now
	later := *c.prefers(m)
	for turn := range maxHolds {
		if len(m.Windows) > 0 {
			open, _, next, opens := m.Windows.Opening(at, c.zone())
			if !opens {
				return time.Time{}, "", false
			}
			if !open {
				at, reason = next.UTC(), "send_window"
			}
		}
		later.Now = at
		quiet, _ := c.preferences.QuietUntil(&later)
		if quiet.IsZero() || turn == maxHolds-1 { // in the end it goes by the windows
			break
		}
		at, reason = quiet, "quiet_hours"
	}
	if at.Equal(c.now) {
		return time.Time{}, "", true
	}
	return at, reason, true
}

// denial says for people what denied a message.
func denial(d recipient.Decision) string {
	for _, r := range d.Because {
		if r.Allows {
			continue
		}
		switch r.Level {
		case belfry.RecipientLevel:
			return r.Node + " of the recipient"
		case belfry.RecipientTenantLevel:
			return r.Node + " of the recipient, for the tenant"
		case belfry.TenantLevel:
			return r.Node + " of the tenant's default"
		}
		return r.Node + " of the environment's default"
	}
	return ""
}
