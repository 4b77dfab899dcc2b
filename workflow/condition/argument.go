package condition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// argument is the right side of a structured condition.
type argument struct {
	fixed   any
	written string     // the text of a string argument that was decoded as JSON
	dynamic path       // set when the value comes from the scope
	token   string     // $message.…, for message statuses
	ends    []argument // both ends of is_between and is_timestamp_between
}

func (a argument) in(scope Scope) argument {
	if a.dynamic == nil {
		return a
	}
	return argument{fixed: a.dynamic.value(scope)}
}

// paths are what the argument looks up.
func (a argument) paths() []path {
	var all []path
	if a.dynamic != nil {
		all = append(all, a.dynamic)
	}
	for _, end := range a.ends {
		all = append(all, end.paths()...)
	}
	return all
}

const tokenPrefix = "$message."

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
	if strings.HasPrefix(s, tokenPrefix) {
		return argument{token: s}, nil
	}
	return textArgument(s), nil
}

// parseEnds reads both ends of a range: texts follow the rules of arguments.
func parseEnds(where, name string, arg argument) ([]argument, *Error) {
	list, ok := arg.fixed.([]any)
	if !ok || len(list) != 2 {
		return nil, at(where, "%s needs a list of two values, [start, end]", name)
	}
	ends := make([]argument, 2)
	for i, v := range list {
		ends[i] = argument{fixed: v}
		if s, ok := v.(string); ok {
			ends[i] = textArgument(s)
		}
		_, isTime := timestamp(v)
		if name == "is_timestamp_between" && ends[i].dynamic == nil && !isTime {
			return nil, at(where, "%s needs timestamps (2006-01-02T15:04:05Z) or paths; relative ones are not possible here", name)
		}
	}
	return ends, nil
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
