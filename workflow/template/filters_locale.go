package template

import (
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry/workflow/locale"
)

// localeFilters write for a language and a region: the one they are given, or else the recipient's, or else English.
var localeFilters = map[string]filter{
	"format_date_in_locale":     {0, 3, nil, false, dateInLocale(locale.FormatDate)},
	"format_datetime_in_locale": {0, 3, nil, false, dateInLocale(locale.FormatDateTime)},
	"format_number":             {0, 1, []string{"min_fraction", "max_fraction"}, false, formatNumber},
	"currency":                  {1, 2, nil, false, money(locale.Currency)},
	"rounded_currency":          {1, 2, nil, false, money(locale.RoundedCurrency)},
	"pluralize":                 {2, 2, []string{"zero", "two", "few", "many", "locale"}, false, pluralize},
	"titlecase":                 {apply: titlecase},
	"compare_versions":          {1, 1, nil, false, compareVersions},
}

// usesLocale reports whether a filter looks at the recipient's locale when it is given none.
func usesLocale(name string) bool {
	_, ok := localeFilters[name]
	return ok && name != "pluralize" && name != "titlecase" && name != "compare_versions"
}

// localeOf is the locale of an argument, or the recipient's.
func (s *state) localeOf(args []any, i int) string {
	if tag := optional(args, i, nil); tag != nil && tag != "" {
		return text(tag)
	}
	recipient, _ := s.recipient.(map[string]any)
	tag, _ := recipient["locale"].(string)
	return tag
}

// dateInLocale takes a style, a locale and a time zone. The style may come second: no locale is called like one. What
// is no date stays what it is.
func dateInLocale(format func(time.Time, *time.Location, string, string) (string, error)) apply {
	return func(s *state, in any, args []any) (any, error) {
		at, ok := moment(s, in)
		if !ok {
			return in, nil
		}
		if style := optional(args, 1, ""); slices.Contains([]any{"short", "medium", "long", "full"}, style) {
			args = slices.Clone(args)
			args[0], args[1] = args[1], args[0]
		}
		style, zone := text(optional(args, 0, "medium")), at.Location()
		if name := optional(args, 2, nil); name != nil {
			var err error
			if zone, err = zoneOf(name); err != nil {
				return nil, err
			}
		}
		return format(at, zone, s.localeOf(args, 1), style)
	}
}

// quantity is a number as package locale takes it, and whether the value is one.
func quantity(v any) (any, bool) {
	switch v := v.(type) {
	case int, float64:
		return v, true
	case string:
		v = strings.Trim(v, spaces)
		sign := btoi(strings.HasPrefix(v, "-"))
		if v = v[min(sign, len(v)):]; v != "" && isDigit(v[0]) && numberLength(v) == len(v) && len(v) < locale.MaxNumberLength {
			return strings.Repeat("-", sign) + v, true
		}
	}
	return nil, false
}

// formatNumber writes what is a number, and leaves the rest as it is.
func formatNumber(s *state, in any, args []any) (any, error) {
	n, ok := quantity(in)
	if !ok {
		return in, nil
	}
	least := integer(optional(args, 1, 0))
	most := max(least, 3)
	if given := optional(args, 2, nil); given != nil {
		most = integer(given)
	}
	return locale.FormatNumber(n, s.localeOf(args, 0), least, most)
}

func money(format func(v any, code, tag string) (string, error)) apply {
	return func(s *state, in any, args []any) (any, error) {
		n, ok := quantity(in)
		if !ok {
			return in, nil
		}
		return format(n, text(args[0]), s.localeOf(args, 1))
	}
}

// pluralize picks a form by the rules of English, or of the locale it is given: the words are in the language of the
// template, not in the recipient's.
func pluralize(_ *state, in any, args []any) (any, error) {
	n, ok := quantity(in)
	if !ok {
		n = numeric(in)
	}
	forms := map[locale.Category]string{locale.One: bounded(args[0]), locale.Other: bounded(args[1])}
	for i, category := range []locale.Category{locale.Zero, locale.Two, locale.Few, locale.Many} {
		if form := optional(args, i+2, nil); form != nil {
			forms[category] = bounded(form)
		}
	}
	return locale.Pluralize(n, text(optional(args, 6, "en")), forms)
}

func titlecase(_ *state, in any, _ []any) (any, error) { return locale.Titlecase(bounded(in)) }

// compareVersions makes -1, 0 or 1; of nothing it makes nothing.
func compareVersions(_ *state, in any, args []any) (any, error) {
	if in == nil || args[0] == nil {
		return nil, nil
	}
	return locale.CompareVersions(text(in), text(args[0]))
}
