package recipient

import "github.com/belfryhq/belfry"

// PreferenceChoice is what a page shows of a node.
type PreferenceChoice struct {
	On bool
	// ReadOnly is whether the recipient can't change it by true and false: there is a condition, or the tenant outranks.
	ReadOnly bool
}

// Choice is what holds for a channel type by one rule alone: the category or workflow with that name, the channel with that
// key (then the type is left out), the channel type itself (then the key is), or advertising.
func (s PreferenceSets) Choice(rule belfry.PreferenceRule, key string, channelType belfry.ChannelType) PreferenceChoice {
	q := PreferenceQuestion{Channel: key, ChannelType: channelType}
	d := decider{PreferenceSets: s, chain: s.chain(), q: &q, out: Decision{Allowed: true}, choosing: true}
	outranked := false
	switch rule {
	case belfry.CommercialRule:
		d.commercial()
	case belfry.ChannelRule:
		d.channel()
		outranked = key != "" && replaces(s.Tenant.section(channelsKey)) || key == "" && replaces(s.Tenant.section(channelTypesKey))
	case belfry.WorkflowRule, belfry.CategoryRule:
		section := workflowsKey
		if rule == belfry.CategoryRule {
			section = categoriesKey
		}
		q.Channel = ""
		d.entry(rule, section, key)
		outranked = replaces(entryOf(s.Tenant.section(section)[key]))
	}
	return PreferenceChoice{On: d.out.Allowed, ReadOnly: d.conditional || outranked}
}
