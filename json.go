package belfry

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// MaxJSONDepth is how deep JSON from outside may nest.
const MaxJSONDepth = 32

// ValidateJSON checks a decoded JSON value from outside before it is stored: no deeper than MaxJSONDepth, strings and
// keys without NUL (PostgreSQL cannot store it) and valid UTF-8, numbers that can be read back. field names the input for
// the error.
func ValidateJSON(v any, field string) error {
	if err := validateJSON(v, 0); err != nil {
		return err.At("%s", strings.TrimPrefix(field+err.Field, "."))
	}
	return nil
}

// validateJSON returns an error whose field is the path below v. It is built on the way back, so that good input, which
// is nearly all, pays nothing for it.
func validateJSON(v any, depth int) *Error {
	switch v.(type) {
	case map[string]any, []any:
		if depth == MaxJSONDepth {
			return Beyond("", MaxJSONDepth, "levels of nesting")
		}
	}
	switch v := v.(type) {
	case string:
		return validateText(v)
	case json.Number:
		if _, err := v.Float64(); err != nil {
			return Errorf(Invalid, "numbers must be between ±1.8e308")
		}
	case map[string]any:
		for k, e := range v {
			if err := validateText(k); err != nil {
				return err
			}
			if err := validateJSON(e, depth+1); err != nil {
				return err.At(".%s%s", k, err.Field)
			}
		}
	case []any:
		for i, e := range v {
			if err := validateJSON(e, depth+1); err != nil {
				return err.At("[%d]%s", i, err.Field)
			}
		}
	}
	return nil
}

// ValidateText refuses what PostgreSQL cannot store: NUL characters and invalid UTF-8. field names the input for the
// error.
func ValidateText(s, field string) error {
	if err := validateText(s); err != nil {
		return err.At("%s", field)
	}
	return nil
}

func validateText(s string) *Error {
	if strings.ContainsRune(s, 0) {
		return Errorf(Invalid, "NUL characters cannot be stored")
	}
	if !utf8.ValidString(s) {
		return Errorf(Invalid, "text must be valid UTF-8")
	}
	return nil
}
