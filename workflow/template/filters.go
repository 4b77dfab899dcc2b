package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/osteele/liquid/values"

	"github.com/belfryhq/belfry"
)

// filter is one filter. Its arguments are counted when compiling: apply gets between min and max positional ones, or
// all of them followed by those with a name, nil where they are missing, if there is one with a name.
type filter struct {
	min, max int
	named    []string
	// shallow filters look at their input only from outside, and are not charged for its size.
	shallow bool
	apply   apply
}

// apply may panic with a limitError.
type apply func(s *state, in any, args []any) (any, error)

// filterTable has every filter. It is only read after it is built.
var filterTable = sync.OnceValue(func() map[string]filter {
	all := map[string]filter{}
	for _, group := range []map[string]filter{
		textFilters, numberFilters, listFilters, findFilters, dateFilters, codeFilters, localeFilters,
	} {
		maps.Copy(all, group)
	}
	return all
})

// Filters lists the filters templates can use, sorted.
func Filters() []string { return slices.Sorted(maps.Keys(filterTable())) }

// arity says how many arguments a filter takes, for its errors.
func (f filter) arity() string {
	switch {
	case f.max == 0:
		return "no arguments"
	case f.min == f.max && f.max == 1:
		return "1 argument"
	case f.min == f.max:
		return fmt.Sprintf("%d arguments", f.max)
	}
	return fmt.Sprintf("%d to %d arguments", f.min, f.max)
}

func (f filter) options() string {
	if len(f.named) == 0 {
		return "; it has none"
	}
	return "; it has " + strings.Join(f.named, ", ")
}

var (
	tooLong   = limitError(fmt.Sprintf("a filter gets or makes a text longer than %d bytes; shorten it first", MaxValue))
	tooLarge  = limitError(fmt.Sprintf("a filter gets or makes a list larger than %d bytes; use less data", MaxData))
	tooDeep   = limitError(fmt.Sprintf("a filter gets or makes a value that nests deeper than %d; flatten it", MaxDataDepth))
	longRange = limitError(fmt.Sprintf("a range for a filter has at most %d entries; use a for loop", MaxRange))
)

// takesMarkup are the filters that treat HTML otherwise than text. To all others it is text, and what they make of it is
// escaped when printed.
var takesMarkup = map[string]bool{"safe": true, "newline_to_br": true}

// plain is a value that is not marked as HTML.
func plain(v any) any {
	if safe, ok := v.(values.SafeValue); ok {
		return safe.Value
	}
	return v
}

// filterCost is what a call costs besides the size of its values, in units of work.
const filterCost = 4

// guarded is the filter as the library calls it: every call is charged and bounded, and panics become errors.
func (f filter) guarded(name string) any {
	return func(in any, s *state, args ...any) (out any, err error) {
		defer func() {
			if r := recover(); r != nil {
				if limit, ok := r.(limitError); ok {
					out, err = nil, limit
				} else {
					out, err = nil, fmt.Errorf("%s can't work with these values (%s)", name, brief(r))
				}
			}
		}()
		if !takesMarkup[name] {
			in = plain(in)
		}
		cost := filterCost
		if _, isText := in.(string); isText || !f.shallow {
			cost += weigh(in) / 64
		}
		for i, arg := range args {
			args[i] = plain(arg)
			cost += weigh(args[i]) / 64
		}
		if err := s.spend(cost); err != nil {
			return nil, err
		}
		if out, err = f.apply(s, in, args); err != nil {
			if e, ok := errors.AsType[*belfry.Error](err); ok { // of package locale
				err = limitError(name + ": " + e.Message)
			}
			return nil, err
		}
		if text, ok := out.(string); ok && len(text) > MaxValue {
			return nil, tooLong
		}
		if f.shallow {
			return out, s.spend(0)
		}
		return out, s.spend(weigh(out) / 64)
	}
}

// weigh measures a value, in bytes of text plus valueWeight per value. It panics when the value is too large.
func weigh(v any) int {
	size := weight(v, MaxData, MaxDataDepth)
	if size > MaxData {
		panic(tooLarge)
	}
	return size
}

func weight(v any, limit, depth int) int {
	if depth < 1 {
		panic(tooDeep)
	}
	total := valueWeight
	switch v := v.(type) {
	case string:
		return len(v) + valueWeight
	case json.Number:
		return len(v) + valueWeight
	case values.SafeValue:
		return weight(v.Value, limit, depth)
	case values.Range:
		if n := v.Len(); n > MaxRange {
			panic(longRange)
		} else if n > 0 {
			total += n * valueWeight
		}
	case []any:
		for _, entry := range v {
			if total += weight(entry, limit-total, depth-1); total > limit {
				break
			}
		}
	case map[string]any:
		for key, entry := range v {
			if total += len(key) + weight(entry, limit-total, depth-1); total > limit {
				break
			}
		}
	}
	return total
}

// bounded is the text that a filter works on, no longer than MaxValue. Lists are written like those within objects.
func bounded(v any) string {
	if list, ok := v.([]any); ok {
		out, ok := appendInspected(nil, list, MaxValue, MaxDataDepth)
		if !ok {
			panic(tooLong)
		}
		return string(out)
	}
	t := text(v)
	if len(t) > MaxValue {
		panic(tooLong)
	}
	return t
}

// listOf is what list filters go over: nested lists are flattened, an object or any other value is a list of itself.
func listOf(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		flat := true
		for _, entry := range v {
			if _, nested := entry.([]any); nested {
				flat = false
				break
			}
		}
		if flat {
			return v
		}
		return flatten(nil, v, MaxDataDepth)
	case values.Range:
		return spelledOut(v)
	case float64: // which element would take for a whole number
		return []any{json.Number(appendFloat(nil, v))}
	}
	return []any{v}
}

func flatten(to []any, list []any, depth int) []any {
	if depth < 0 {
		panic(tooDeep)
	}
	for _, entry := range list {
		if nested, ok := entry.([]any); ok {
			to = flatten(to, nested, depth-1)
		} else {
			to = append(to, entry)
		}
	}
	return to
}

func spelledOut(r values.Range) []any {
	if r.Len() > MaxRange {
		panic(longRange)
	}
	list := make([]any, 0, max(r.Len(), 0))
	for i := range max(r.Len(), 0) {
		list = append(list, r.Index(i))
	}
	return list
}

// argument is an argument that may be missing.
func optional(args []any, i int, missing any) any {
	if i < len(args) {
		return args[i]
	}
	return missing
}

// jsonable is a value that encoding/json encodes as a template means it.
func jsonable(v any, depth int) any {
	if depth < 0 {
		panic(tooDeep)
	}
	switch v := element(v).(type) {
	case []any:
		list := make([]any, len(v))
		for i, entry := range v {
			list[i] = jsonable(entry, depth-1)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, entry := range v {
			object[key] = jsonable(entry, depth-1)
		}
		return object
	case values.Range:
		return spelledOut(v)
	case values.SafeValue:
		return v.Value
	case time.Time:
		return v.Format(time.RFC3339)
	case *loop, blankValue, emptyValue:
		return nil
	default:
		return v
	}
}
