package locale

import (
	"strings"

	"golang.org/x/text/feature/plural"

	"github.com/belfryhq/belfry"
)

// Category is a plural category of CLDR. Every language has Other; English also has One.
type Category string

// The categories.
const (
	Zero  Category = "zero"
	One   Category = "one"
	Two   Category = "two"
	Few   Category = "few"
	Many  Category = "many"
	Other Category = "other"
)

var categories = map[plural.Form]Category{
	plural.Zero: Zero, plural.One: One, plural.Two: Two, plural.Few: Few, plural.Many: Many, plural.Other: Other,
}

// PluralCategory returns the category of a count in the language of a tag: 1 is One and 1.5
// is Other in en, 3 is Few in ru. count is as in [FormatNumber]; zeros after the decimal
// point of a text matter: "1.0" is Other in en. Errors are *belfry.Error.
func PluralCategory(count any, tag string) (Category, error) {
	d, err := parseDecimal(count)
	if err != nil {
		return "", err
	}
	c, _ := find(tag)
	if category, ok := newer(c.language(), d); ok {
		return category, nil
	}
	// The library takes all numbers from a million for round ones. No rule of our languages
	// looks at more than the last digits, and at whether the number is a small one.
	whole := d.whole
	if len(whole) > 6 {
		whole = "1" + whole[len(whole)-5:]
	}
	digits := []byte(whole + d.fraction)
	for i := range digits {
		digits[i] -= '0'
	}
	return categories[plural.Cardinal.MatchDigits(c.tag, digits, len(whole), len(d.fraction))], nil
}

// newer decides where CLDR has changed since the library was made.
func newer(language string, d decimal) (Category, bool) {
	isWhole := d.fraction == ""
	switch language {
	case "ca", "es", "fr", "it", "pt": // 2 millones de mensajes
		return Many, isWhole && strings.HasSuffix(d.whole, "000000")
	case "he":
		switch {
		case isWhole && d.whole == "1", !isWhole && d.whole == "0":
			return One, true
		case isWhole && d.whole == "2":
			return Two, true
		}
		return Other, true
	}
	return "", false
}

// Pluralize picks the form for a count. A form that isn't given is Other's, which must be
// there: singular and plural are {One: "item", Other: "items"}. The form of Zero also
// serves a count of 0 in languages that have no such category.
func Pluralize(count any, tag string, forms map[Category]string) (string, error) {
	other, ok := forms[Other]
	if !ok {
		return "", belfry.Errorf(belfry.Invalid, "there must be a form for other")
	}
	category, err := PluralCategory(count, tag)
	if err != nil {
		return "", err
	}
	if d, err := parseDecimal(count); err == nil && d.whole == "0" && d.fraction == "" {
		if form, ok := forms[Zero]; ok {
			return form, nil
		}
	}
	if form, ok := forms[category]; ok {
		return form, nil
	}
	return other, nil
}
