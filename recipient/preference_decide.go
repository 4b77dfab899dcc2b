package recipient

import (
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/condition"
)

// PreferenceSets are all that count for a message to somebody. Any may be nil. RecipientTenant and Tenant are those of the
// tenant in whose name it is; nil if there is none.
type PreferenceSets struct {
	Recipient, RecipientTenant, Tenant, Environment *PreferenceSet
}

// PreferenceQuestion is about one message.
type PreferenceQuestion struct {
	Workflow    string   // key
	Categories  []string // of the workflow
	Commercial  bool     // the workflow is advertising
	Override    bool     // the workflow doesn't ask for preferences
	Critical    bool     // the workflow disturbs quiet hours
	Channel     string   // key
	ChannelType belfry.ChannelType
	Objects     []belfry.RecipientRef // what it is about
	Scope       func() map[string]any // what conditions see; asked for only if there are any. nil: nothing
	Zone        *time.Location        // the recipient's; nil: UTC
	Now         time.Time
}

// Decision is whether a message is sent.
type Decision struct {
	Allowed bool
	// Because is every node that had a say, in the order in which they are asked; empty: nobody said anything, and what
	// isn't specified is allowed. What follows upon what (docs/preferences.md):
	//
	//	commercial, override, mutes (objects, workflow, categories), channel, workflow, categories, quiet hours
	Because PreferenceReasons
	// NotBefore is when quiet hours end that the message has to wait for; zero: it need not. Only if it is allowed.
	NotBefore time.Time
	// Standing is that it depends on nothing but the sets, the workflow and the channel: neither on the time, nor on what a
	// message is about or its recipient is like. It is the same for every message of the kind.
	Standing bool
}

// maxExplained is how many false conditions of one decision are shown with what they saw.
const maxExplained = 3

// Decide decides whether a message is sent, and when at the earliest. It is pure, and the only one who knows the rules: the
// engine, explanations and tests ask it.
func Decide(sets PreferenceSets, q PreferenceQuestion) Decision {
	d := decider{PreferenceSets: sets, chain: sets.chain(), q: &q, out: Decision{Allowed: true, Standing: true}}
	if q.Commercial {
		d.commercial()
	}
	if q.Override {
		if d.out.Allowed {
			d.out.Because = append(d.out.Because, PreferenceReason{Rule: belfry.OverrideRule, Allows: true})
		}
		return d.out
	}
	d.mutes()
	d.channel()
	d.entry(belfry.WorkflowRule, workflowsKey, q.Workflow)
	for _, category := range q.Categories {
		d.entry(belfry.CategoryRule, categoriesKey, category)
	}
	if d.out.Allowed {
		d.quiet()
	}
	return d.out
}

// Mutes reports whether anything is muted.
func (s *PreferenceSets) Mutes() bool {
	return len(s.Recipient.section(mutesKey)) > 0 || len(s.RecipientTenant.section(mutesKey)) > 0
}

// level is a set and whose it is.
type level struct {
	level belfry.PreferenceLevel
	set   *PreferenceSet
}

// levels are the sets that there are of some levels, in that order.
func (s *PreferenceSets) levels(order ...belfry.PreferenceLevel) []level {
	out := make([]level, 0, len(order))
	for _, l := range order {
		set := s.Environment
		switch l {
		case belfry.RecipientLevel:
			set = s.Recipient
		case belfry.RecipientTenantLevel:
			set = s.RecipientTenant
		case belfry.TenantLevel:
			set = s.Tenant
		}
		if set != nil {
			out = append(out, level{l, set})
		}
	}
	return out
}

// chain is the levels that are asked, the highest first. A tenant about whom nobody said anything is as no tenant.
func (s *PreferenceSets) chain() []level {
	if s.RecipientTenant == nil && s.Tenant == nil {
		return s.levels(belfry.RecipientLevel, belfry.EnvironmentLevel)
	}
	return s.levels(belfry.RecipientTenantLevel, belfry.TenantLevel, belfry.EnvironmentLevel)
}

// decider gathers what nodes say.
type decider struct {
	PreferenceSets
	chain     []level
	q         *PreferenceQuestion
	scope     map[string]any
	explained int
	out       Decision

	choosing    bool // a page asks what to show: conditions aren't decided, but noted
	conditional bool
}

// say lets a node have its say: true, false, or an object with a condition.
func (d *decider) say(rule belfry.PreferenceRule, l belfry.PreferenceLevel, node string, v any) {
	r := PreferenceReason{Rule: rule, Level: l, Node: node}
	switch v := v.(type) {
	case bool:
		r.Allows = v
	case map[string]any:
		d.out.Standing = false
		if d.choosing {
			d.conditional, r.Allows = true, true
			break
		}
		if d.scope == nil && d.q.Scope != nil {
			d.scope = d.q.Scope()
		}
		var explain func() []condition.Evaluated
		r.Allows, r.Detail, explain = holds(v, d.scope, d.q.Now)
		if !r.Allows && explain != nil && d.explained < maxExplained {
			d.explained++
			r.Conditions = explain()
		}
	default:
		return
	}
	d.reason(r)
}

func (d *decider) reason(r PreferenceReason) {
	d.out.Allowed = d.out.Allowed && r.Allows
	d.out.Because = append(d.out.Because, r)
}

// commercial asks whether advertising is welcome: not the recipient's set for the tenant, it is about the person.
func (d *decider) commercial() {
	for _, l := range d.levels(belfry.RecipientLevel, belfry.TenantLevel, belfry.EnvironmentLevel) {
		if v, ok := l.set.Map()[commercialKey]; ok {
			d.say(belfry.CommercialRule, l.level, commercialKey, v)
			return
		}
	}
}

// mutes asks the recipient's own sets, both: what is muted in one is muted.
func (d *decider) mutes() {
	for _, l := range d.levels(belfry.RecipientLevel, belfry.RecipientTenantLevel) {
		muted := l.set.section(mutesKey)
		if muted == nil {
			continue
		}
		d.out.Standing = false // some end, others are of what the message is about
		for _, o := range d.q.Objects {
			d.mute(l.level, muted, objectsKey, o.Collection+"/"+o.ExternalID)
		}
		d.mute(l.level, muted, workflowsKey, d.q.Workflow)
		for _, category := range d.q.Categories {
			d.mute(l.level, muted, categoriesKey, category)
		}
	}
}

func (d *decider) mute(l belfry.PreferenceLevel, muted map[string]any, section, name string) {
	names, _ := muted[section].(map[string]any)
	until, ok := mutedUntil(names[name])
	if !ok || !until.IsZero() && !until.After(d.q.Now) {
		return
	}
	r := PreferenceReason{Rule: belfry.MuteRule, Level: l, Node: mutesKey + "." + section + "." + name}
	if !until.IsZero() {
		until = until.UTC()
		r.Until = &until
	}
	d.reason(r)
}

// channel asks for the channel or its type, wherever the message comes from: the highest level that says anything about it,
// and there the channel before its type. Where the tenant's map replaces, the recipient's of that name isn't asked.
func (d *decider) channel() {
	for _, l := range d.chain {
		for _, m := range []struct{ section, key string }{{channelsKey, d.q.Channel}, {channelTypesKey, string(d.q.ChannelType)}} {
			if l.level == belfry.RecipientTenantLevel && replaces(d.Tenant.section(m.section)) {
				continue
			}
			v, ok := l.set.section(m.section)[m.key]
			if _, isText := v.(string); ok && !isText { // a strategy is no setting
				d.say(belfry.ChannelRule, l.level, m.section+"."+m.key, v)
				return
			}
		}
	}
}

// replaces reports whether a node outranks the recipient's.
func replaces(node map[string]any) bool {
	return node[strategyKey] == string(belfry.ReplacePreferences)
}

// entry asks what is said about the workflow or a category of it: for its condition, and for the channel. For either the
// highest level counts that says anything about it.
func (d *decider) entry(rule belfry.PreferenceRule, section, name string) {
	chain := d.chain
	if entry, _ := d.Tenant.section(section)[name].(map[string]any); replaces(entry) {
		chain = d.levels(belfry.TenantLevel, belfry.EnvironmentLevel)
	}
	path := section + "." + name
	conditional, settled := false, false
	for _, l := range chain {
		entry := entryOf(l.set.section(section)[name])
		_, closed := entry[otherwiseKey].(bool)
		if !conditional && (entry[conditionKey] != nil || entry[conditionsKey] != nil) {
			conditional = true
			d.say(rule, l.level, path, entry)
		}
		if !settled {
			settled = d.settle(rule, l.level, path, entry)
		}
		if closed {
			return // nothing is left to be said below
		}
	}
}

// settle asks an entry for the channel, then its type, then what holds otherwise. It reports whether any of them said
// anything.
func (d *decider) settle(rule belfry.PreferenceRule, l belfry.PreferenceLevel, path string, entry map[string]any) bool {
	for _, m := range []struct{ section, key string }{{channelsKey, d.q.Channel}, {channelTypesKey, string(d.q.ChannelType)}} {
		settings, _ := entry[m.section].(map[string]any)
		if v, ok := settings[m.key]; ok {
			d.say(rule, l, path+"."+m.section+"."+m.key, v)
			return true
		}
	}
	v, ok := entry[otherwiseKey].(bool)
	if !ok {
		return false
	}
	if len(entry) > 1 {
		path += "." + otherwiseKey
	}
	d.say(rule, l, path, v)
	return true
}

// quiet lets the message wait for the end of quiet hours.
func (d *decider) quiet() {
	until, l := d.QuietUntil(d.q)
	d.out.Standing = d.out.Standing && l == ""
	if until.IsZero() {
		return
	}
	d.out.NotBefore = until
	d.reason(PreferenceReason{Rule: belfry.QuietHoursRule, Level: l, Node: quietHoursKey, Allows: true, Until: &until})
}

// QuietUntil is when the quiet hours end in which q.Now lies, the zero time if the message need not wait; and whose quiet hours
// count, "" if nobody has any, or the message isn't held up by them.
// In-app messages disturb nobody. The first level that has quiet hours counts, even if it has none: an empty list.
func (s *PreferenceSets) QuietUntil(q *PreferenceQuestion) (time.Time, belfry.PreferenceLevel) {
	if q.Critical || q.Override || q.ChannelType == belfry.InApp {
		return time.Time{}, ""
	}
	for _, l := range s.levels(belfry.RecipientTenantLevel, belfry.RecipientLevel, belfry.TenantLevel, belfry.EnvironmentLevel) {
		v, ok := l.set.Map()[quietHoursKey]
		if !ok {
			continue
		}
		hours, err := parseQuietHours(v, quietHoursKey)
		if err != nil { // a release became stricter
			return time.Time{}, l.level
		}
		zone := q.Zone
		if zone == nil {
			zone = time.UTC
		}
		until, _ := hours.end(q.Now, zone)
		return until, l.level
	}
	return time.Time{}, ""
}
