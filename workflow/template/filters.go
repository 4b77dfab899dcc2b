package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/osteele/liquid/filters"
	"github.com/osteele/liquid/values"
	"github.com/osteele/tuesday"
)

// ownFilters replace standard ones, or add to them.
var ownFilters = map[string]func(*state) any{
	"date": func(s *state) any {
		return func(v any, format func(string) string) (any, error) { return date(s, v, format("%a, %b %d, %y")) }
	},
	"json": func(*state) any { return toJSON },
	"replace": func(*state) any {
		return func(s, old, replacement string) (string, error) {
			// The product must be known before it is allocated.
			if strings.Count(s, old)*len(replacement)+len(s) > MaxValue {
				return "", tooLong
			}
			return strings.ReplaceAll(s, old, replacement), nil
		}
	},
}

// hidden standard filters: type prints Go's types.
var hidden = []string{"type"}

var (
	tooLong   = limitError(fmt.Sprintf("a filter gets or makes a text longer than %d bytes; shorten it first", MaxValue))
	tooLarge  = limitError(fmt.Sprintf("a filter gets or makes a list larger than %d bytes; use less data", MaxData))
	longRange = limitError(fmt.Sprintf("a range for a filter has at most %d entries; use a for loop", MaxRange))
)

// Filters lists the filters templates can use, sorted.
func Filters() []string { return slices.Clone(filterNames()) }

var filterNames = sync.OnceValue(func() []string {
	names := nameCollector{"safe"}
	filters.AddStandardFilters(&names)
	for name := range ownFilters {
		names.AddFilter(name, nil)
	}
	slices.Sort(names)
	return slices.Compact(names)
})

func isFilter(name string) bool {
	_, found := slices.BinarySearch(filterNames(), name)
	return found
}

type nameCollector []string

// AddFilter implements filters.FilterDictionary.
func (c *nameCollector) AddFilter(name string, _ any) {
	if !slices.Contains(hidden, name) {
		*c = append(*c, name)
	}
}

// guarded registers filters so that every call is charged and bounded.
type guarded struct{ m *machine }

func addFilters(m *machine) {
	g := guarded{m}
	filters.AddStandardFilters(g)
	for name, f := range ownFilters {
		g.AddFilter(name, f(&m.state))
	}
	if m.format == Text { // everything is safe already
		m.config.AddFilter("safe", func(v any) any { return v })
	}
}

// AddFilter implements filters.FilterDictionary.
func (g guarded) AddFilter(name string, f any) {
	if slices.Contains(hidden, name) {
		return
	}
	fn, s := reflect.ValueOf(f), &g.m.state
	g.m.config.AddFilter(name, func(args ...any) (out any, err error) {
		defer func() {
			if r := recover(); r != nil {
				out, err = nil, fmt.Errorf("%s can't work with these values (%s)", name, brief(r))
			}
		}()
		if err := admit(s, name, fn.Type(), args); err != nil {
			return nil, err
		}
		out, err = values.Call(fn, args)
		if parity, ok := err.(*values.CallParityError); ok {
			return nil, fmt.Errorf("%s takes at most %d arguments, not %d", name, parity.NumParams-1, parity.NumArgs-1)
		}
		if err != nil {
			return nil, err
		}
		return release(s, out)
	})
}

// admit charges for the arguments of a filter, before the library converts them:
// spelling out a range, or a list as a text, is what would exhaust the memory.
func admit(s *state, name string, fn reflect.Type, args []any) error {
	total := 0
	for i, arg := range args {
		switch v := arg.(type) {
		case values.SafeValue:
			args[i] = v.Value
		case values.Range:
			if v.Len() > MaxRange {
				return longRange
			}
			args[i] = []any{}
			if v.Len() > 0 {
				args[i] = v.AsArray()
			}
		}
		size := weight(args[i], MaxData)
		if size > MaxData {
			return tooLarge
		}
		if takesText(fn, i) && size > MaxValue+valueWeight {
			return tooLong
		}
		total += size
	}
	if name == "uniq" {
		total += quadratic(args[0])
	}
	return s.spend(1 + total/64)
}

func takesText(fn reflect.Type, i int) bool {
	if i >= fn.NumIn() {
		return false
	}
	in := fn.In(i)
	return in.Kind() == reflect.String || (in.Kind() == reflect.Func && in.NumOut() == 1 && in.Out(0).Kind() == reflect.String)
}

// quadratic is the extra cost of uniq, which compares objects with each other.
func quadratic(v any) int {
	list, ok := v.([]any)
	if !ok {
		return 0
	}
	objects := 0
	for _, item := range list {
		if t := reflect.TypeOf(item); t != nil && !t.Comparable() {
			objects++
		}
	}
	return objects * len(list) * valueWeight
}

// release charges for the result of a filter and makes it usable everywhere.
func release(s *state, out any) (any, error) {
	if text, ok := out.(string); ok && len(text) > MaxValue {
		return nil, tooLong
	}
	if n, ok := out.(int64); ok {
		return int(n), nil
	}
	size := weight(out, MaxData)
	if size > MaxData {
		return nil, tooLarge
	}
	return out, s.spend(size / 64)
}

func toJSON(v any) (string, error) {
	if weight(v, MaxData) > MaxValue {
		return "", tooLong
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return "", errors.New("json can't encode this value")
	}
	return string(encoded), nil
}

// dateLayouts are tried in turn; without a zone they mean UTC.
var dateLayouts = []string{
	time.RFC3339, "2006-01-02", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05 -0700",
	"2006-01-02 15:04:05 -07:00", "2006-01-02 15:04", "January 2, 2006", "Jan 2, 2006", "2 January 2006", "2 Jan 2006",
	time.RFC1123, time.RFC1123Z, time.ANSIC, time.UnixDate,
}

// wide finds padding widths that would make megabytes of a few characters.
var wide = regexp.MustCompile(`\d{3,}`)

// MaxDateFormat is the longest format of the date filter, in bytes.
const MaxDateFormat = 256

// date formats a date in its own zone. What is no date stays what it is.
func date(s *state, v any, format string) (any, error) {
	at, ok := moment(s, v)
	if !ok {
		return v, nil
	}
	if len(format) > MaxDateFormat || wide.MatchString(format) {
		return nil, fmt.Errorf("a date format has at most %d bytes and widths below 100", MaxDateFormat)
	}
	return tuesday.Strftime(format, at)
}

func moment(s *state, v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, true
	case int:
		return time.Unix(int64(v), 0).UTC(), true
	case float64:
		return time.UnixMilli(int64(v * 1000)).UTC(), true
	case string:
		if v == "now" || v == "today" {
			if at, ok := moment(s, s.timestamp); ok && s.timestamp != "now" && s.timestamp != "today" {
				return at, true
			}
			return time.Now().UTC(), true
		}
		for _, layout := range dateLayouts {
			if len(v) > 64 {
				break
			}
			if at, err := time.ParseInLocation(layout, v, time.UTC); err == nil {
				return at, true
			}
		}
	}
	return time.Time{}, false
}
