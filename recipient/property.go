package recipient

import (
	"errors"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/belfryhq/belfry"
)

// What may be known of one recipient, beside belfry.MaxJSONDepth.
const (
	MaxPropertiesSize    = 256 << 10 // bytes of JSON
	MaxPropertyKeys      = 2000      // of objects, at every level, within arrays too
	MaxPropertyKeyLength = 256       // characters of one key
	MaxUnset             = 100       // properties removed in one identification
)

const (
	maxReservedLength = 2048 // bytes of a property with a reserved name
	maxEmailLength    = 254  // bytes: what mail servers take
)

// createdAt is the reserved name of when the customer created the recipient.
const createdAt = "created_at"

// reserved names of properties mean the same everywhere, and are text (or null, to clear) that passes a check.
var reserved = map[string]func(string) string{
	"name": nil, "avatar": nil,
	"email": checkEmail, "phone_number": checkPhone, "locale": checkLocale, "timezone": checkTimezone, createdAt: checkTime,
}

// computed names are the recipient's own facts: a property of that name would never be seen.
var computed = []string{"id", "collection"}

// Validate checks an identity before anything is written. field names the input for errors.
func (i *Identity) Validate(field string) error {
	if err := validateRef(i.RecipientRef, field); err != nil {
		return err
	}
	if err := belfry.ValidateJSON(i.Properties, field+".properties"); err != nil {
		return err
	}
	for name, check := range reserved {
		if err := validateReserved(i.Properties[name], check, name, field); err != nil {
			return err
		}
	}
	for _, name := range computed {
		if _, ok := i.Properties[name]; ok {
			return belfry.Errorf(belfry.Invalid, "%q is a reserved name: it is always the recipient's own", name).At("%s.properties.%s", field, name)
		}
	}
	if err := validateKeys(i.Properties, field+".properties"); err != nil {
		return err
	}
	if i.Collection == belfry.Tenants {
		if err := validateBranding(i.Properties, field); err != nil {
			return err
		}
	}
	if err := i.validatePreferences(field); err != nil {
		return err
	}
	return validateUnset(i.Unset, field)
}

// validateRef checks the name of a recipient who may be unknown so far.
func validateRef(ref belfry.RecipientRef, field string) error {
	if ref.Collection != belfry.Users && ref.Collection != belfry.Tenants {
		if err := belfry.ValidateExternalID(ref.Collection, field+".collection"); err != nil {
			return err
		}
		if strings.HasPrefix(ref.Collection, "$") {
			return belfry.Errorf(belfry.Invalid, "collections that begin with '$' are Belfry's own").At("%s.collection", field)
		}
	}
	return belfry.ValidateExternalID(ref.ExternalID, field+".id")
}

func validateReserved(v any, check func(string) string, name, field string) error {
	text, ok := v.(string)
	switch {
	case v == nil:
	case !ok:
		return belfry.Errorf(belfry.Invalid, "%s must be text", name).At("%s.%s", field, name)
	case len(text) > maxReservedLength:
		return belfry.Beyond(field+"."+name, maxReservedLength, "bytes")
	case name == "email" && len(text) > maxEmailLength:
		return belfry.Beyond(field+"."+name, maxEmailLength, "bytes")
	case check != nil && text != "":
		if wrong := check(text); wrong != "" {
			return belfry.Errorf(belfry.Invalid, "%.64q is not %s", text, wrong).At("%s.%s", field, name)
		}
	}
	return nil
}

// The checks say what a text isn't; empty: it is.

func checkEmail(s string) string {
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || strings.ContainsAny(s, "\r\n") {
		return "an e-mail address such as ada@example.com"
	}
	return ""
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)

func checkPhone(s string) string {
	if !e164.MatchString(s) {
		return "a phone number in E.164 form: '+', the country and the number without spaces, such as +4930123456"
	}
	return ""
}

// checkLocale takes every well-formed tag: which ones mean something grows.
func checkLocale(s string) string {
	if _, err := language.Parse(s); err != nil {
		if _, unknown := errors.AsType[language.ValueError](err); !unknown {
			return "a language tag such as de-CH"
		}
	}
	return ""
}

func checkTimezone(s string) string {
	if _, err := time.LoadLocation(s); err != nil || s == "Local" {
		return "a time zone: use an IANA name such as Europe/Berlin"
	}
	return ""
}

func checkTime(s string) string {
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return "an instant in RFC 3339 such as 2026-05-04T09:30:00Z"
	}
	return ""
}

// validateKeys bounds each key. How many there may be depends on what is known already: see encode.
func validateKeys(v any, field string) error {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if utf8.RuneCountInString(k) > MaxPropertyKeyLength {
				return belfry.Beyond(field, MaxPropertyKeyLength, "characters of a key")
			}
			if err := validateKeys(e, field); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := validateKeys(e, field); err != nil {
				return err
			}
		}
	}
	return nil
}

// countKeys counts the keys of objects at every level.
func countKeys(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		n = len(v)
		for _, e := range v {
			n += countKeys(e)
		}
	case []any:
		for _, e := range v {
			n += countKeys(e)
		}
	}
	return n
}

func validateUnset(paths []string, field string) error {
	if len(paths) > MaxUnset {
		return belfry.Beyond(field+".unset", MaxUnset, "properties to remove")
	}
	for _, path := range paths {
		if err := belfry.ValidateText(path, field+".unset"); err != nil {
			return err
		}
		if path == "" || slices.Contains(strings.Split(path, "."), "") {
			return belfry.Errorf(belfry.Invalid, "%.64q is not the path of a property: such as plan, or address.street", path).At("%s.unset", field)
		}
		if len(path) > maxReservedLength {
			return belfry.Beyond(field+".unset", maxReservedLength, "bytes of a path")
		}
	}
	return nil
}
