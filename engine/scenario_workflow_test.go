package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/belfryhq/belfry/workflow"
)

// readDefinition reads the indented lines of a workflow.
func readDefinition(key string, lines []statement) (*workflow.Definition, error) {
	d := map[string]any{"name": key}
	var steps []any
	for _, l := range lines {
		keyword, rest, _ := strings.Cut(l.whole(), " ")
		var err error
		switch keyword {
		case "if", "when":
			err = readCondition(d, l.whole())
		case "set":
			var more map[string]any
			if more, err = decodeObject([]byte(rest)); err == nil {
				maps.Copy(d, more)
			}
		case "step":
			var step map[string]any
			if step, err = readStep(rest); err == nil {
				steps = append(steps, step)
			}
		default:
			err = fmt.Errorf("a workflow has lines that begin with if, when, set or step, not %q", keyword)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.line, err)
		}
	}
	d["steps"] = steps
	full, err := expand("", d)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(full)
	if err != nil {
		return nil, err
	}
	return decodeDefinition(b)
}

// decodeDefinition refuses fields that a definition doesn't have.
func decodeDefinition(b []byte) (*workflow.Definition, error) {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	out := &workflow.Definition{}
	return out, decoder.Decode(out)
}

var conditionPattern = regexp.MustCompile(`[}"]\s+(?:if|when)\s`)

// readStep reads: REF "text", REF kind {fields}, or REF {a whole step}; with if or when behind it.
func readStep(text string) (map[string]any, error) {
	condition := ""
	for _, at := range conditionPattern.FindAllStringIndex(text, -1) {
		if _, err := splitWords(text[:at[0]+1]); err == nil { // not within a text
			text, condition = text[:at[0]+1], strings.TrimSpace(text[at[0]+1:])
			break
		}
	}
	w, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	step := map[string]any{"ref": w.text()}
	body, ok := w.next()
	switch {
	case !ok:
		return nil, fmt.Errorf("step %s does nothing", step["ref"])
	case body.quoted:
		step["inApp"] = map[string]any{"body": body.text}
	case body.json == nil:
		fields := map[string]any{}
		if given, ok := w.next(); ok {
			if fields, err = given.object(); err != nil {
				return nil, err
			}
		}
		step[body.text] = fields
	default:
		w = append(w, body)
	}
	for {
		more, ok := w.next()
		if !ok {
			break
		}
		object, err := more.object()
		if err != nil {
			return nil, err
		}
		maps.Copy(step, object)
	}
	if condition != "" {
		err = readCondition(step, condition)
	}
	return step, err
}

// readCondition reads: if EXPRESSION, or: when VARIABLE OPERATOR ARGUMENT [and|or VARIABLE …].
func readCondition(into map[string]any, text string) error {
	keyword, rest, _ := strings.Cut(text, " ")
	if keyword == "if" {
		into["condition"] = strings.TrimSpace(rest)
		return nil
	}
	w, err := splitWords(rest)
	if err != nil {
		return err
	}
	var list []any
	combined := "all"
	for len(w) > 0 {
		node := map[string]any{"variable": w.text(), "operator": w.text()}
		if len(w) > 0 && (w[0].quoted || w[0].text != "and" && w[0].text != "or") {
			node["argument"] = w[0].anything()
			w = w[1:]
		}
		list = append(list, node)
		if len(w) > 0 {
			if w.text() == "or" {
				combined = "any"
			}
		}
	}
	into["conditions"] = map[string]any{combined: list}
	return nil
}

// channels are what channel steps have if a script doesn't say.
var channels = map[string]map[string]any{
	"inApp": {"channel": "in-app", "format": "TEXT"}, "email": {"channel": "email", "format": "TEXT"}, "sms": {"channel": "sms"},
	"push": {"channel": "push"}, "chat": {"channel": "chat"}, "webhook": {"channel": "webhook"},
}

var durationFields = []string{"for", "offset", "extensionLimit", "timeout"}

// expand writes out what scripts may write shorter: durations as text, send windows as days and hours, steps of branches as
// "ref: text".
func expand(field string, v any) (any, error) {
	switch v := v.(type) {
	case string:
		if slices.Contains(durationFields, field) {
			return expandDuration(v)
		}
		if field == "sendWindows" {
			return expandWindows(v)
		}
	case []any:
		for i := range v {
			if line, ok := v[i].(string); ok && field == "steps" {
				ref, body, _ := strings.Cut(line, ": ")
				v[i] = map[string]any{"ref": ref, "inApp": map[string]any{"body": body}}
			}
			var err error
			if v[i], err = expand("", v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name, value := range v {
			if name == "data" || name == "properties" || name == "dataSchema" {
				continue // theirs are the customer's own words
			}
			var err error
			if v[name], err = expand(name, value); err != nil {
				return nil, err
			}
			if fields, ok := v[name].(map[string]any); ok {
				for k, missing := range channels[name] {
					if _, given := fields[k]; !given {
						fields[k] = missing
					}
				}
			}
		}
	}
	return v, nil
}

func expandDuration(text string) (any, error) {
	value, unit, ok := strings.Cut(text, " ")
	n, err := strconv.Atoi(value)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q is no duration such as 2 hours", text)
	}
	return map[string]any{"unit": strings.TrimSuffix(unit, "s") + "s", "value": n}, nil
}

// expandWindows reads: weekdays 09:00-17:00, everyday 09:00-17:00, monday 09:00-12:00, never.
func expandWindows(text string) (any, error) {
	days, hours, _ := strings.Cut(text, " ")
	from, until, _ := strings.Cut(hours, "-")
	all := []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
	var out []any
	for i, day := range all {
		open := days == "everyday" || days == "weekdays" && i < 5 || days == day
		w := map[string]any{"day": day, "type": "do_not_send"}
		if open {
			w["type"] = "send"
			if hours != "" {
				w["from"], w["until"] = from, until
			}
		}
		out = append(out, w)
	}
	if days != "never" && days != "everyday" && days != "weekdays" && !slices.Contains(all, days) {
		return nil, fmt.Errorf("%q are no windows", text)
	}
	return out, nil
}
