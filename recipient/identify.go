package recipient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/belfryhq/belfry"
)

// MaxPropertiesSize is how many bytes of JSON may be known of one recipient.
const MaxPropertiesSize = 256 << 10

// reserved names of properties mean the same everywhere, and are text (or null, to clear).
var reserved = []string{"name", "email", "phone_number", "avatar", "locale", "timezone"}

// computed names are the recipient's own facts: a property of that name would never be seen.
var computed = []string{"id", "collection"}

// maxReservedLength bounds a reserved property, in bytes.
const maxReservedLength = 2048

// Identity is what a caller says about a recipient.
type Identity struct {
	belfry.RecipientRef
	// Properties are merged into what is known: reserved names beside the customer's own. nil makes the recipient
	// known and changes nothing.
	Properties map[string]any
	// Preferences are merged into the sets with these ids: the default one, or those for tenants.
	Preferences map[string]map[string]any `json:",omitempty"` // digests of requests without any stay as they were
}

// Validate checks an identity before anything is written. field names the input for errors.
func (i *Identity) Validate(field string) error {
	if err := belfry.ValidateExternalID(i.ExternalID, field+".id"); err != nil {
		return err
	}
	if err := belfry.ValidateJSON(i.Properties, field+".properties"); err != nil {
		return err
	}
	for _, name := range reserved {
		switch v := i.Properties[name].(type) {
		case nil:
		case string:
			if len(v) > maxReservedLength {
				return belfry.Beyond(field+"."+name, maxReservedLength, "bytes")
			}
		default:
			return belfry.Errorf(belfry.Invalid, "%s must be text", name).At("%s.%s", field, name)
		}
	}
	if zone, _ := i.Properties["timezone"].(string); zone != "" {
		if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
			return belfry.Errorf(belfry.Invalid, "%.64q is not a time zone: use an IANA name such as Europe/Berlin", zone).At("%s.timezone", field)
		}
	}
	for _, name := range computed {
		if _, ok := i.Properties[name]; ok {
			return belfry.Errorf(belfry.Invalid, "%q is a reserved name: it is always the recipient's own", name).At("%s.properties.%s", field, name)
		}
	}
	return i.validatePreferences(field)
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
