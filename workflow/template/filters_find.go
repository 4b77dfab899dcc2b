package template

import (
	"fmt"
	"math"
	"strings"
)

// These look for entries of a list by a property: {{ list | where: "plan", "pro" }}; without a value they look for those
// that have the property.
var findFilters = map[string]filter{
	"where":      {1, 2, nil, false, where(true)},
	"reject":     {1, 2, nil, false, where(false)},
	"find":       {1, 2, nil, false, find(func(entry any, _ int) any { return entry }, nil)},
	"find_index": {1, 2, nil, false, find(func(_ any, i int) any { return i }, nil)},
	"has":        {1, 2, nil, false, find(func(any, int) any { return true }, false)},
}

// selected is the property of an entry. Of a text it is the property's name, if the text contains it.
func selected(name string, entry, property any) any {
	switch v := entry.(type) {
	case nil:
		return nil
	case map[string]any:
		return item(v, property)
	case string:
		if key, ok := property.(string); ok && strings.Contains(v, key) {
			return key
		}
		if at, ok := floatOf(property); ok && int(math.Abs(at)) < len(v) {
			return v
		}
		return nil
	case int:
		if _, ok := floatOf(property); ok {
			return 0
		}
	}
	panic(limitError(fmt.Sprintf("%s can't select the property %q of something that is no object; check the data", name, clip(text(property)))))
}

// matches reports whether an entry is looked for, and false if that can't be told.
func matches(s *state, entry any, args []any) (match, known bool) {
	switch entry.(type) {
	case nil, bool, float64:
		return false, false
	}
	v := selected("the filter", entry, args[0])
	if target := optional(args, 1, nil); target != nil {
		return equal(v, target, &s.work), true
	}
	return truthy(v), true
}

func where(wanted bool) apply {
	return func(s *state, in any, args []any) (any, error) {
		list := listOf(in)
		out := make([]any, 0, len(list))
		for _, entry := range list {
			match, known := matches(s, element(entry), args)
			if !known {
				return nil, nil
			}
			if match == wanted {
				out = append(out, entry)
			}
		}
		return out, nil
	}
}

// find makes something of the first entry that matches.
func find(result func(entry any, i int) any, missing any) apply {
	return func(s *state, in any, args []any) (any, error) {
		for i, entry := range listOf(in) {
			entry = element(entry)
			match, known := matches(s, entry, args)
			if !known {
				return nil, nil
			}
			if match {
				return result(entry, i), nil
			}
		}
		return missing, nil
	}
}
