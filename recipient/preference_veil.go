package recipient

import "maps"

// conditionalKey is what people see in the place of a condition. No set has it.
const conditionalKey = "conditional"

// WithoutConditions is the set with {"conditional": true} in the place of every condition: for people, who may see that there
// is one but not what it asks.
func (s *PreferenceSet) WithoutConditions() *PreferenceSet {
	out := maps.Clone(s.Map())
	for key, v := range out {
		switch key {
		case channelTypesKey, channelsKey:
			out[key] = veilEach(v, veil)
		case workflowsKey, categoriesKey:
			out[key] = veilEach(v, veilEntry)
		case commercialKey:
			out[key] = veil(v)
		}
	}
	return &PreferenceSet{content: out}
}

// veilEach veils every value of a map.
func veilEach(v any, one func(any) any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(m))
	for name, node := range m {
		out[name] = one(node)
	}
	return out
}

// veil veils the condition of a node itself. It doesn't change the node.
func veil(node any) any {
	m, ok := node.(map[string]any)
	if !ok || m[conditionKey] == nil && m[conditionsKey] == nil {
		return node
	}
	m = maps.Clone(m)
	delete(m, conditionKey)
	delete(m, conditionsKey)
	m[conditionalKey] = true
	return m
}

func veilEntry(entry any) any {
	m, ok := veil(entry).(map[string]any)
	if !ok {
		return entry
	}
	m = maps.Clone(m)
	for _, key := range []string{channelTypesKey, channelsKey} {
		if settings, ok := m[key]; ok {
			m[key] = veilEach(settings, veil)
		}
	}
	return m
}
