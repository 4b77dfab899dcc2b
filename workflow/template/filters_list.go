package template

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/osteele/liquid/values"
)

var listFilters = map[string]filter{
	"size":         {shallow: true, apply: size},
	"first":        {shallow: true, apply: func(s *state, in any, _ []any) (any, error) { return s.first(in), nil }},
	"last":         {shallow: true, apply: func(_ *state, in any, _ []any) (any, error) { return last(in), nil }},
	"default":      {0, 1, []string{"allow_false"}, true, defaulted},
	"join":         {0, 1, nil, false, join},
	"reverse":      {apply: reverse},
	"sort":         {0, 1, nil, false, sorted(compareValues)},
	"sort_natural": {0, 1, nil, false, sorted(compareNaturally)},
	"uniq":         {0, 1, nil, false, uniq},
	"compact":      {0, 1, nil, false, compact},
	"map":          {1, 1, nil, false, mapped},
	"concat":       {1, 1, nil, false, concat},
	"intersect":    {1, 1, nil, false, intersect},
	"sum":          {0, 1, nil, false, sum},
}

func size(_ *state, in any, _ []any) (any, error) {
	switch v := in.(type) {
	case string:
		return utf8.RuneCountInString(v), nil
	case []any:
		return len(v), nil
	case map[string]any:
		return len(v), nil
	case values.Range:
		return max(v.Len(), 0), nil
	}
	return 0, nil
}

func defaulted(_ *state, in any, args []any) (any, error) {
	missing, allowed := optional(args, 0, ""), truthy(optional(args, 1, nil))
	if in == nil || (in == false && !allowed) || isEmpty(in) || isWord(in) {
		return missing, nil
	}
	return in, nil
}

func join(_ *state, in any, args []any) (any, error) {
	separator := bounded(optional(args, 0, " "))
	list := listOf(in)
	var b strings.Builder
	for i, entry := range list {
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(text(element(entry)))
		if b.Len() > MaxValue {
			return nil, tooLong
		}
	}
	return b.String(), nil
}

func reverse(_ *state, in any, _ []any) (any, error) {
	list := slices.Clone(listOf(in))
	slices.Reverse(list)
	return list, nil
}

func concat(_ *state, in any, args []any) (any, error) {
	switch args[0].(type) {
	case []any, values.Range:
		return slices.Concat(listOf(in), listOf(args[0])), nil
	}
	return nil, limitError("concat needs a list; make one with split")
}

func intersect(s *state, in any, args []any) (any, error) {
	other := listOf(args[0])
	var both []any
	for _, entry := range listOf(in) {
		entry = element(entry)
		if holds(other, entry, &s.work) && !holds(both, entry, &s.work) {
			both = append(both, entry)
		}
	}
	return slices.Clip(both), nil
}

func holds(list []any, v any, work *int) bool {
	return slices.ContainsFunc(list, func(entry any) bool { return equal(element(entry), v, work) })
}

// keyed is what an entry sorts or groups by: itself, or its property.
func keyed(name string, entry any, args []any) any {
	entry = element(entry)
	if len(args) == 0 || args[0] == nil {
		return entry
	}
	return selected(name, entry, args[0])
}

func compact(_ *state, in any, args []any) (any, error) {
	list := slices.DeleteFunc(slices.Clone(listOf(in)), func(entry any) bool { return keyed("compact", entry, args) == nil })
	return list, nil
}

func mapped(_ *state, in any, args []any) (any, error) {
	list := listOf(in)
	out := make([]any, len(list))
	for i, entry := range list {
		out[i] = selected("map", element(entry), args[0])
	}
	return out, nil
}

// uniq compares like ==, but 1 and 1.0 differ.
func uniq(s *state, in any, args []any) (any, error) {
	list := listOf(in)
	seen := map[any]bool{}
	var containers, out []any
	for _, entry := range list {
		key := keyed("uniq", entry, args)
		switch key.(type) {
		case []any, map[string]any:
			if holds(containers, key, &s.work) {
				continue
			}
			containers = append(containers, key)
		default:
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		out = append(out, entry)
	}
	return slices.Clip(out), nil
}

func sum(_ *state, in any, args []any) (any, error) {
	var total any = 0
	for _, entry := range listOf(in) {
		var err error
		if total, err = arithmetic('+', total, keyed("sum", entry, args)); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// sorted orders entries, or their properties; nothing comes last.
func sorted(compare func(a, b any) int) apply {
	return func(s *state, in any, args []any) (any, error) {
		type pair struct{ key, entry any }
		list := listOf(in)
		pairs := make([]pair, len(list))
		for i, entry := range list {
			pairs[i] = pair{keyed("sort", entry, args), entry}
		}
		slices.SortStableFunc(pairs, func(a, b pair) int {
			if s.work--; s.work < 0 {
				panic(errWork)
			}
			switch {
			case a.key == nil && b.key == nil:
				return 0
			case a.key == nil:
				return 1
			case b.key == nil:
				return -1
			}
			return compare(a.key, b.key)
		})
		out := make([]any, len(pairs))
		for i, p := range pairs {
			out[i] = p.entry
		}
		return out, nil
	}
}

func compareValues(a, b any) int {
	order, ok := compared(a, b)
	if _, isBool := a.(bool); !ok && !(isBool && a == scalar(b)) {
		panic(limitError("sort can't compare values of different kinds; give it the name of a property that all entries have"))
	}
	return order
}

func compareNaturally(a, b any) int {
	return strings.Compare(strings.ToLower(text(a)), strings.ToLower(text(b)))
}
