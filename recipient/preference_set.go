package recipient

import (
	"bytes"
	"encoding/json"
	"maps"
	"time"

	"github.com/belfryhq/belfry"
)

// Limits of a preference set.
const (
	MaxPreferencesSize      = 32 << 10 // bytes of JSON
	MaxPreferenceEntries    = 500      // of one of its maps, such as workflows
	MaxPreferenceConditions = 50       // nodes with a condition
	MaxPreferenceName       = 255      // characters of a category
	MaxQuietSpans           = 21
)

// Sections of a set.
const (
	channelTypesKey = "channelTypes"
	channelsKey     = "channels"
	workflowsKey    = "workflows"
	categoriesKey   = "categories"
	commercialKey   = "commercialSubscribed"
	mutesKey        = "mutes"
	quietHoursKey   = "quietHours"
	objectsKey      = "objects" // of mutes

	conditionKey  = "condition"  // an expression
	conditionsKey = "conditions" // a group
	otherwiseKey  = "otherwise"  // of an entry: what holds for the channels that it doesn't name
	strategyKey   = "strategy"   // at a node of a tenant's default
)

// PreferenceSet is what somebody wants to be told, in the shape that docs/preferences.md describes. It is immutable. The
// zero value, like nil, says nothing.
//
//	{"channelTypes": {<type>: Setting}, "channels": {<key>: Setting},
//	 "workflows": {<key>: Entry}, "categories": {<name>: Entry}, "commercialSubscribed": Setting,
//	 "mutes": {"workflows": {<key>: Until}, "categories": {<name>: Until}, "objects": {"<collection>/<id>": Until}},
//	 "quietHours": {"zone": …, "hours": [{"days": […], "from": "22:00", "until": "07:00"}]}}
//
//	Setting  true, false, or one of {"condition": <expression>} and {"conditions": <group>}
//	Entry    true, false, or {"channelTypes": …, "channels": …, "otherwise": bool} with or without a condition
//	Until    a timestamp, or true
type PreferenceSet struct {
	content map[string]any
	asks    *asks // nil: nobody has looked
}

// asks is what conditions of a stored set look at. Whoever reads sets reads it for them.
type asks struct {
	variables bool // maybe: the environment's variables
	audiences []string
}

// Map is the set as JSON. Nobody may write to it.
func (s *PreferenceSet) Map() map[string]any {
	if s == nil || s.content == nil {
		return map[string]any{}
	}
	return s.content
}

// section is a map of the set; nil if there is none.
func (s *PreferenceSet) section(name string) map[string]any {
	if s == nil {
		return nil
	}
	m, _ := s.content[name].(map[string]any)
	return m
}

// encode returns the JSON to store, and refuses too much of it.
func (s *PreferenceSet) encode(field string) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s.Map()); err != nil {
		return "", belfry.Errorf(belfry.Invalid, "not representable as JSON").At("%s", field)
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(out) > MaxPreferencesSize {
		return "", belfry.Beyond(field, MaxPreferencesSize, "bytes of JSON in a preference set")
	}
	return string(out), nil
}

// Merge lays news over the set: what news says stands, what it doesn't mention stays, what it says null to is removed. It
// is also how a level of defaults is completed by the one below it, which is what gives the reads that are resolved:
// lower.Merge(upper).
//
//   - A plain true or false of an entry is {"otherwise": …}, and says everything about it: nothing stays of what was there.
//     An entry without otherwise leaves alone what it doesn't name: laid over false, {"channelTypes": {"email": true}} is
//     e-mail, and nothing else.
//   - A setting, a condition and the quiet hours are replaced as a whole.
//   - A strategy stays until another one is given.
func (s *PreferenceSet) Merge(news *PreferenceSet) *PreferenceSet {
	out := maps.Clone(s.Map())
	for key, v := range news.Map() {
		m, isMap := v.(map[string]any)
		old, _ := out[key].(map[string]any)
		switch {
		case v == nil:
			delete(out, key)
		case key == workflowsKey || key == categoriesKey:
			out[key] = mergeMaps(old, m, mergeEntries)
		case key == mutesKey:
			out[key] = mergeMaps(old, m, func(old, news any) any {
				before, _ := old.(map[string]any)
				after, _ := news.(map[string]any)
				return orNil(mergeMaps(before, after, latter))
			})
		case (key == channelTypesKey || key == channelsKey) && isMap:
			out[key] = mergeMaps(old, m, latter)
		default:
			out[key] = v
		}
		if m, ok := out[key].(map[string]any); ok && len(m) == 0 && key != quietHoursKey {
			delete(out, key)
		}
	}
	return &PreferenceSet{content: out}
}

// current is the set without the mutes that have ended: that is when they are dropped, for they say nothing any more.
func (s *PreferenceSet) current(now time.Time) *PreferenceSet {
	mutes := s.section(mutesKey)
	if mutes == nil {
		return s
	}
	out := maps.Clone(s.content)
	kept := mergeMaps(nil, mutes, func(_, section any) any {
		names, _ := section.(map[string]any)
		return orNil(mergeMaps(nil, names, func(_, v any) any {
			if until, ok := mutedUntil(v); ok && !until.IsZero() && !until.After(now) {
				return nil
			}
			return v
		}))
	})
	if out[mutesKey] = kept; len(kept) == 0 {
		delete(out, mutesKey)
	}
	return &PreferenceSet{content: out}
}

// latter is what counts of two values that can't be merged.
func latter(_, news any) any { return news }

// orNil turns an object that says nothing into nil.
func orNil(m map[string]any) any {
	if len(m) == 0 {
		return nil
	}
	return m
}

// mergeMaps merges the values of two maps, key by key. A nil value removes.
func mergeMaps(old, news map[string]any, merge func(old, news any) any) map[string]any {
	out := make(map[string]any, len(old)+len(news))
	maps.Copy(out, old)
	for key, v := range news {
		if v != nil {
			v = merge(out[key], v)
		}
		if v == nil {
			delete(out, key)
		} else {
			out[key] = v
		}
	}
	return out
}

// mergeEntries merges what is said about a workflow or category.
func mergeEntries(old, news any) any {
	before, after := entryOf(old), entryOf(news)
	out := map[string]any{}
	if _, closed := after[otherwiseKey].(bool); !closed {
		maps.Copy(out, before)
	} else if strategy, ok := before[strategyKey]; ok {
		out[strategyKey] = strategy
	}
	if after[conditionKey] != nil || after[conditionsKey] != nil { // one of the two forms
		delete(out, conditionKey)
		delete(out, conditionsKey)
	}
	for key, v := range after {
		switch m, isMap := v.(map[string]any); {
		case v == nil:
			delete(out, key)
		case isMap && (key == channelTypesKey || key == channelsKey):
			inner, _ := out[key].(map[string]any)
			if merged := mergeMaps(inner, m, latter); len(merged) > 0 {
				out[key] = merged
			} else {
				delete(out, key)
			}
		default:
			out[key] = v
		}
	}
	if plain, ok := out[otherwiseKey].(bool); ok && len(out) == 1 {
		return plain
	}
	return orNil(out)
}

// entryOf is an entry in its long form.
func entryOf(v any) map[string]any {
	switch v := v.(type) {
	case bool:
		return map[string]any{otherwiseKey: v}
	case map[string]any:
		return v
	}
	return nil
}

// Resolve lays the levels over each other: what holds for the recipient, as one set.
func (s PreferenceSets) Resolve() *PreferenceSet {
	out := &PreferenceSet{}
	chain := s.chain()
	for i := len(chain) - 1; i >= 0; i-- {
		set := chain[i].set
		if chain[i].level == belfry.RecipientTenantLevel {
			set = set.without(s.Tenant)
		}
		out = out.Merge(set)
	}
	content := out.content
	for key, order := range map[string][]belfry.PreferenceLevel{
		commercialKey: {belfry.RecipientLevel, belfry.TenantLevel, belfry.EnvironmentLevel},
		quietHoursKey: {belfry.RecipientTenantLevel, belfry.RecipientLevel, belfry.TenantLevel, belfry.EnvironmentLevel},
	} {
		delete(content, key)
		for _, l := range s.levels(order...) {
			if v, ok := l.set.Map()[key]; ok {
				content[key] = v
				break
			}
		}
	}
	if muted := mergeMaps(s.Recipient.section(mutesKey), s.RecipientTenant.section(mutesKey), func(a, b any) any {
		before, _ := a.(map[string]any)
		after, _ := b.(map[string]any)
		return mergeMaps(before, after, longer)
	}); len(muted) > 0 {
		content[mutesKey] = muted
	}
	return out
}

// longer is the mute of two that ends later.
func longer(a, b any) any {
	first, ok := mutedUntil(a)
	second, _ := mutedUntil(b)
	if ok && (first.IsZero() || !second.IsZero() && first.After(second)) {
		return a
	}
	return b
}

// without is the set without the nodes that a tenant's default outranks.
func (s *PreferenceSet) without(tenant *PreferenceSet) *PreferenceSet {
	out := maps.Clone(s.Map())
	for _, key := range []string{channelTypesKey, channelsKey} {
		if replaces(tenant.section(key)) {
			delete(out, key)
		}
	}
	for _, key := range []string{workflowsKey, categoriesKey} {
		kept := maps.Clone(s.section(key))
		for name, entry := range tenant.section(key) {
			if replaces(entryOf(entry)) {
				delete(kept, name)
			}
		}
		if kept != nil {
			out[key] = kept
		}
	}
	return &PreferenceSet{content: out}
}
