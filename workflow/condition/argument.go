package condition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
)

// path is a variable, or an argument that is looked up when the condition runs.
type path []string

// parsePath accepts "root.key.key"; every segment is non-empty and free of spaces.
func parsePath(s string) (path, bool) {
	if len(s) > MaxVariable {
		return nil, false
	}
	segments := strings.Split(s, ".")
	if len(segments) < 2 || !slices.Contains(rootNames, segments[0]) {
		return nil, false
	}
	for _, segment := range segments {
		if segment == "" || strings.ContainsFunc(segment, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return nil, false
		}
	}
	return segments, true
}

// lookup finds a path and says whether it is set. A set null is (nil, true).
func (p path) lookup(scope Scope) (any, bool) {
	v, set := scope[p[0]]
	for _, key := range p[1:] {
		switch container := v.(type) {
		case map[string]any:
			v, set = container[key]
		case []any:
			v = step(container, key)
			set = v != nil
		default:
			return nil, false
		}
		if !set {
			return nil, false
		}
	}
	return normal(v), set
}

// value is what a path means to all operators but exists and not_exists: an unset
// one is the empty string.
func (p path) value(scope Scope) any {
	v, set := p.lookup(scope)
	if !set {
		return ""
	}
	return v
}

// argument is the right side of a structured condition.
type argument struct {
	fixed   any
	written string // the text of a string argument that was decoded as JSON
	dynamic path   // set when the value comes from the scope
}

func (a argument) in(scope Scope) argument {
	if a.dynamic == nil {
		return a
	}
	return argument{fixed: a.dynamic.value(scope)}
}

func parseArgument(where string, raw json.RawMessage) (argument, *Error) {
	if len(raw) > MaxArgument {
		return argument{}, at(where, "the argument is larger than %d bytes; shorten it", MaxArgument)
	}
	if raw == nil {
		return argument{}, nil
	}
	decoded, err := decode(raw)
	if err != nil {
		return argument{}, at(where, "the argument is not JSON; give a text, number, bool, null or a list of them")
	}
	s, ok := decoded.(string)
	if !ok {
		return argument{fixed: decoded}, nil
	}
	if strings.HasPrefix(s, "$message.") {
		return argument{}, at(where, "message status conditions are not available yet; remove this condition")
	}
	return textArgument(s), nil
}

// textArgument applies the rule for strings: JSON, else a path, else the text.
func textArgument(s string) argument {
	if inner, err := decode([]byte(s)); err == nil {
		return argument{fixed: inner, written: s}
	}
	if p, ok := parsePath(s); ok {
		return argument{dynamic: p}
	}
	return argument{fixed: s}
}

func decode(raw []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value")
	}
	return normalDeep(v), nil
}

func normalDeep(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = normalDeep(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = normalDeep(v[key])
		}
	}
	return normal(v)
}

// minRelative is the smallest relative timestamp; less is noise next to delivery.
const minRelative = 15 * time.Minute

var units = map[string]time.Duration{
	"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour,
}

// relative reads "7 days ago" and "15 minutes from now" as an offset. ok says that
// the text has the shape of one.
func relative(s string) (offset time.Duration, ok bool, err error) {
	words := strings.Fields(s)
	if len(words) < 3 {
		return 0, false, nil
	}
	var count int
	if _, scanErr := fmt.Sscanf(words[0], "%d", &count); scanErr != nil || fmt.Sprint(count) != words[0] {
		return 0, false, nil
	}
	unit, ok := units[strings.TrimSuffix(words[1], "s")]
	direction := strings.Join(words[2:], " ")
	if !ok || (direction != "ago" && direction != "from now") {
		return 0, false, nil
	}
	const century = 100 * 366 * 24 * time.Hour
	if count < 0 || time.Duration(count) > century/unit {
		return 0, true, fmt.Errorf("a relative timestamp reaches at most 100 years")
	}
	offset = time.Duration(count) * unit
	if offset < minRelative {
		return 0, true, fmt.Errorf("a relative timestamp is at least 15 minutes away; use is_timestamp_before_now or a larger value")
	}
	if direction == "ago" {
		offset = -offset
	}
	return offset, true, nil
}
