package recipient

import "slices"

// audienceOperator is in the text of every condition that asks for an audience.
const audienceOperator = "audience_member"

// nodes visits every node of the set that may have a condition.
func (s *PreferenceSet) nodes(visit func(node map[string]any)) {
	one := func(v any) {
		if node, ok := v.(map[string]any); ok {
			visit(node)
		}
	}
	settings := func(m map[string]any) {
		for _, key := range []string{channelTypesKey, channelsKey} {
			section, _ := m[key].(map[string]any)
			for _, setting := range section {
				one(setting)
			}
		}
	}
	settings(s.Map())
	one(s.Map()[commercialKey])
	for _, key := range []string{workflowsKey, categoriesKey} {
		for _, entry := range s.section(key) {
			one(entry)
			if m, ok := entry.(map[string]any); ok {
				settings(m)
			}
		}
	}
}

// audiences are the keys of the audiences that conditions of the set ask for.
func (s *PreferenceSet) audiences() (keys []string) {
	s.nodes(func(node map[string]any) {
		if c, _, err := conditionOf(node); err == nil && c != nil {
			keys = append(keys, c.Audiences()...)
		}
	})
	return keys
}

// Audiences are the keys of the audiences that conditions may ask for, each once.
func (s PreferenceSets) Audiences() (keys []string) {
	for _, set := range [...]*PreferenceSet{s.Recipient, s.RecipientTenant, s.Tenant, s.Environment} {
		switch {
		case set == nil:
		case set.asks == nil:
			keys = append(keys, set.audiences()...)
		default:
			keys = append(keys, set.asks.audiences...)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Variables is whether a condition may look at the environment's variables. The sets are stored ones.
func (s PreferenceSets) Variables() bool {
	return slices.ContainsFunc([]*PreferenceSet{s.Recipient, s.RecipientTenant, s.Tenant, s.Environment}, func(set *PreferenceSet) bool {
		return set != nil && set.asks != nil && set.asks.variables
	})
}
