package recipient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/belfryhq/belfry"
)

// Identity is what a caller says about a recipient.
type Identity struct {
	belfry.RecipientRef
	// Properties are merged into what is known: reserved names beside the customer's own. nil makes the recipient
	// known and changes nothing.
	Properties map[string]any
	// Preferences are merged into the sets with these ids: the default one, or those for tenants.
	Preferences map[string]map[string]any `json:",omitempty"` // digests of requests without any stay as they were
	// Repeated is the place, in the caller's list of preferences, of a set that an earlier place names already; 0: there is
	// none. Such an identity isn't valid.
	Repeated int `json:"-"`
	// Unset names properties to remove once the others are merged: paths such as "plan" or "address.street". What isn't
	// there is no error.
	Unset []string
}

// apply returns what is known once the identity has been merged into it. It doesn't change known.
func (i *Identity) apply(known map[string]any) map[string]any {
	out := Merge(known, i.Properties)
	for _, path := range i.Unset {
		out = without(out, path)
	}
	return out
}

// without returns properties without the one at a path. A key that holds a "." is found by its whole name.
func without(properties map[string]any, path string) map[string]any {
	key, rest, deeper := strings.Cut(path, ".")
	if _, whole := properties[path]; whole {
		key, deeper = path, false
	}
	inner, isMap := properties[key].(map[string]any)
	if deeper && !isMap {
		return properties
	}
	out := maps.Clone(properties)
	if deeper {
		out[key] = without(inner, rest)
	} else {
		delete(out, key)
	}
	return out
}

// encode returns the JSON to store, and refuses too much of it.
func encode(properties map[string]any, field string) (json.RawMessage, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // or the size would be more than what the caller sees
	if err := encoder.Encode(properties); err != nil {
		return nil, fmt.Errorf("encode properties: %w", err)
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(out) > MaxPropertiesSize {
		return nil, belfry.Beyond(field+".properties", MaxPropertiesSize, "bytes of JSON in all")
	}
	if countKeys(properties) > MaxPropertyKeys {
		return nil, belfry.Beyond(field+".properties", MaxPropertyKeys, "keys in all, at every level")
	}
	return out, nil
}

// decode reads stored properties for merging: numbers stay as they are, for what isn't mentioned must not change, not
// even in its last digit.
func decode(stored []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(stored))
	decoder.UseNumber()
	var properties map[string]any
	err := decoder.Decode(&properties)
	return properties, err
}

// Merge lays properties that are new over those that are known, as identifying somebody does: objects are merged at every
// level, null removes. It changes neither.
func Merge(known, news map[string]any) map[string]any {
	out := make(map[string]any, len(known)+len(news))
	for k, v := range known {
		out[k] = v
	}
	for k, v := range news {
		old, wasMap := out[k].(map[string]any)
		m, isMap := v.(map[string]any)
		switch {
		case v == nil:
			delete(out, k)
		case isMap && wasMap:
			out[k] = Merge(old, m)
		case isMap:
			out[k] = Merge(nil, m) // so that nulls inside don't stay
		default:
			out[k] = v
		}
	}
	return out
}

// Overlay lays what a caller says in one way over what it says in another: as Merge does, but nulls stay, for they are to
// clear what is known. It changes neither.
func Overlay(said, also map[string]any) map[string]any {
	out := make(map[string]any, len(said)+len(also))
	maps.Copy(out, said)
	for k, v := range also {
		old, wasMap := out[k].(map[string]any)
		if m, isMap := v.(map[string]any); isMap && wasMap {
			v = Overlay(old, m)
		}
		out[k] = v
	}
	return out
}
