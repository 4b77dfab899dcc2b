package recipient

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
)

// ParsePreferences checks a set that somebody wrote. level says whose it is to be: not everything has a meaning everywhere.
// Nulls may stand anywhere: merging removes what they stand for. field names the input for errors.
func ParsePreferences(content map[string]any, level belfry.PreferenceLevel, field string) (*PreferenceSet, error) {
	if err := belfry.ValidateJSON(content, field); err != nil {
		return nil, err
	}
	set := &PreferenceSet{content: content}
	if _, err := set.encode(field); err != nil {
		return nil, err
	}
	p := preferenceParser{level: level}
	if err := p.set(content, field); err != nil {
		return nil, err
	}
	return set, nil
}

// preferenceParser checks a set node by node, in the order of keys: the same input gets the same error.
type preferenceParser struct {
	level      belfry.PreferenceLevel
	conditions int
}

func invalid(field, format string, args ...any) error {
	return belfry.Errorf(belfry.Invalid, format, args...).At("%s", field)
}

// each checks the values of an object, in the order of keys.
func each(m map[string]any, field string, check func(key string, v any, at string) error) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if err := check(key, m[key], field+"."+key); err != nil {
			return err
		}
	}
	return nil
}

func (p *preferenceParser) set(m map[string]any, field string) error {
	return each(m, field, func(key string, v any, at string) error {
		if v == nil {
			return nil
		}
		switch key {
		case channelTypesKey, channelsKey:
			return p.settings(key, v, at, true)
		case workflowsKey, categoriesKey:
			return p.entries(key, v, at)
		case commercialKey:
			if p.level == belfry.RecipientTenantLevel {
				return invalid(at, "whether somebody takes advertising belongs into the set %q", belfry.DefaultPreferences)
			}
			return p.setting(v, at)
		case mutesKey:
			if p.level == belfry.TenantLevel || p.level == belfry.EnvironmentLevel {
				return invalid(at, "only recipients mute: in a default, set the workflow or category to false")
			}
			return p.mutes(v, at)
		case quietHoursKey:
			_, err := parseQuietHours(v, at)
			return err
		}
		return invalid(clipped(at), "a preference set has channelTypes, channels, workflows, categories, commercialSubscribed, mutes and quietHours")
	})
}

// clipped bounds a path of keys that nobody has checked.
func clipped(path string) string {
	if len(path) > 2*maxDetail {
		path = strings.ToValidUTF8(path[:2*maxDetail], "") + "…"
	}
	return path
}

// object is a map of limited size.
func object(v any, field string) (map[string]any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalid(field, "must be an object")
	}
	if len(m) > MaxPreferenceEntries {
		return nil, belfry.Beyond(field, MaxPreferenceEntries, "keys")
	}
	return m, nil
}

// settings checks channelTypes or channels; top is whether they are those of the set itself.
func (p *preferenceParser) settings(section string, v any, field string, top bool) error {
	m, err := object(v, field)
	if err != nil {
		return err
	}
	return each(m, field, func(key string, v any, at string) error {
		if _, isText := v.(string); key == strategyKey && isText && top {
			return p.strategy(v, at)
		}
		if section == channelTypesKey && !slices.Contains(belfry.ChannelTypes, belfry.ChannelType(key)) {
			return invalid(clipped(at), "channel types are in_app, email, sms, push, chat and webhook")
		}
		if section == channelsKey {
			if err := belfry.ValidateKey(key, clipped(at)); err != nil {
				return err
			}
		}
		if v == nil {
			return nil
		}
		return p.setting(v, at)
	})
}

func (p *preferenceParser) strategy(v any, field string) error {
	if p.level != belfry.TenantLevel {
		return invalid(field, "only the default of a tenant outranks what recipients prefer")
	}
	switch s, _ := v.(string); belfry.PreferenceStrategy(s) {
	case belfry.ReplacePreferences, belfry.MergePreferences:
		return nil
	}
	return invalid(field, "must be REPLACE or MERGE")
}

// setting checks true, false or a condition.
func (p *preferenceParser) setting(v any, field string) error {
	if _, ok := v.(bool); ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return invalid(field, "must be true, false, or an object with condition or conditions")
	}
	for key := range m {
		if key != conditionKey && key != conditionsKey {
			return invalid(field, "must be true, false, or an object with condition or conditions")
		}
	}
	if m[conditionKey] == nil && m[conditionsKey] == nil {
		return invalid(field, "a condition is missing: give condition, an expression, or conditions, a group; or true or false")
	}
	return p.condition(m, field)
}

// condition checks the condition of a node, if it has one.
func (p *preferenceParser) condition(node map[string]any, field string) error {
	if node[conditionKey] == nil && node[conditionsKey] == nil {
		return nil
	}
	if p.conditions++; p.conditions > MaxPreferenceConditions {
		return belfry.Beyond(field, MaxPreferenceConditions, "nodes with a condition in a preference set")
	}
	if _, ok := node[conditionKey].(string); !ok && node[conditionKey] != nil {
		return invalid(field+"."+conditionKey, "must be text: an expression")
	}
	if _, path, err := conditionOf(node); err != nil {
		return conditionError(err, field+"."+path)
	}
	return nil
}

// entries checks workflows or categories.
func (p *preferenceParser) entries(section string, v any, field string) error {
	m, err := object(v, field)
	if err != nil {
		return err
	}
	return each(m, field, func(key string, v any, at string) error {
		if err := entryName(section, key, clipped(at)); err != nil {
			return err
		}
		switch v := v.(type) {
		case nil, bool:
			return nil
		case map[string]any:
			return p.entry(v, at)
		}
		return invalid(at, "must be true, false, or an object")
	})
}

// entryName checks the key of a workflow or the name of a category.
func entryName(section, name, field string) error {
	switch {
	case section == workflowsKey:
		return belfry.ValidateKey(name, field)
	case strings.TrimSpace(name) == "":
		return invalid(field, "a category has a name")
	case utf8.RuneCountInString(name) > MaxPreferenceName:
		return belfry.Beyond(field, MaxPreferenceName, "characters in the name of a category")
	}
	return nil
}

func (p *preferenceParser) entry(m map[string]any, field string) error {
	if err := each(m, field, func(key string, v any, at string) error {
		switch {
		case v == nil, key == conditionKey, key == conditionsKey:
			return nil
		case key == channelTypesKey, key == channelsKey:
			return p.settings(key, v, at, false)
		case key == strategyKey:
			return p.strategy(v, at)
		case key != otherwiseKey:
			return invalid(clipped(at), "an entry has channelTypes, channels, otherwise, and condition or conditions")
		}
		if _, ok := v.(bool); !ok {
			return invalid(at, "must be true or false")
		}
		return nil
	}); err != nil {
		return err
	}
	return p.condition(m, field)
}

// mutes checks what somebody doesn't want to hear of, for a while or for good.
func (p *preferenceParser) mutes(v any, field string) error {
	m, err := object(v, field)
	if err != nil {
		return err
	}
	return each(m, field, func(section string, v any, at string) error {
		if v == nil {
			return nil
		}
		if section != workflowsKey && section != categoriesKey && section != objectsKey {
			return invalid(clipped(at), "workflows, categories and objects can be muted")
		}
		muted, err := object(v, at)
		if err != nil {
			return err
		}
		return each(muted, at, func(name string, v any, at string) error {
			err := entryName(section, name, clipped(at))
			if section == objectsKey {
				err = objectName(name, clipped(at))
			}
			if err != nil {
				return err
			}
			if _, ok := mutedUntil(v); v != nil && !ok {
				return invalid(at, "must be a timestamp such as 2026-05-04T09:00:00Z, or true: until null takes it back")
			}
			return nil
		})
	})
}

// objectName checks collection/id.
func objectName(name, field string) error {
	collection, id, ok := strings.Cut(name, "/")
	if !ok || collection == "" || len(collection) > belfry.MaxKeyLength {
		return invalid(field, "name an object by its collection and id, such as projects/p1")
	}
	return belfry.ValidateExternalID(id, field)
}

// mutedUntil reads until when something is muted: the zero time is for good. false if v says nothing of the kind.
func mutedUntil(v any) (time.Time, bool) {
	switch v := v.(type) {
	case bool:
		return time.Time{}, v
	case string:
		t, err := time.Parse(time.RFC3339, v)
		return t, err == nil
	}
	return time.Time{}, false
}

// HasConditions reports whether any node of a recipient's set has a condition.
func (s *PreferenceSet) HasConditions() bool {
	p := preferenceParser{level: belfry.RecipientLevel}
	_ = p.set(s.Map(), "") // it has been checked
	return p.conditions > 0
}
