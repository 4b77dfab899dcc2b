package belfry

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxJSONDepth is how deep JSON from outside may nest.
const MaxJSONDepth = 32

// ValidateJSON checks a decoded JSON value from outside before it is stored: no deeper than MaxJSONDepth, strings and
// keys without NUL (PostgreSQL cannot store it) and valid UTF-8. field names the input for the error.
func ValidateJSON(v any, field string) error { return validateJSON(v, field, 0) }

func validateJSON(v any, field string, depth int) error {
	if depth > MaxJSONDepth {
		return Beyond(field, MaxJSONDepth, "levels of nesting")
	}
	switch v := v.(type) {
	case string:
		return ValidateText(v, field)
	case map[string]any:
		for k, e := range v {
			if err := ValidateText(k, field); err != nil {
				return err
			}
			if err := validateJSON(e, field+"."+k, depth+1); err != nil {
				return err
			}
		}
	case []any:
		for i, e := range v {
			if err := validateJSON(e, fmt.Sprintf("%s[%d]", field, i), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// ValidateText refuses what PostgreSQL cannot store: NUL characters and invalid UTF-8.
func ValidateText(s, field string) error {
	if strings.ContainsRune(s, 0) {
		return Errorf(Invalid, "NUL characters cannot be stored").At("%s", field)
	}
	if !utf8.ValidString(s) {
		return Errorf(Invalid, "text must be valid UTF-8").At("%s", field)
	}
	return nil
}
