// Package locale writes dates, numbers and amounts of money the way people of a language
// and a region do, and picks plural forms. It also has what templates need besides:
// titlecase and the comparison of versions.
//
// It translates nothing, parses nothing that people wrote, and knows nothing about
// templates. Which locale and time zone somebody has is decided elsewhere.
//
// # Guarantees
//
//   - Pure functions without I/O, safe for concurrent use. Lengths of input are bounded;
//     nothing panics. Errors are *belfry.Error without a field, for the caller to place.
//   - A locale is never an error: what is unknown is written in the nearest locale of the
//     same language, else in English. See [Match].
//   - Amounts are rounded as decimals, half away from zero: "1.005" is 1.01.
//   - Outputs equal those of ECMAScript's Intl on the same data, which the tests compare
//     for every locale, with the exceptions under Footguns.
//
// # The data
//
// cldr.json holds 58 locales, taken from the Unicode CLDR, whose licence is in
// LICENSE-UNICODE. It is decoded once, when first used. To renew it, or to add a locale,
// edit cldr.mjs and run go generate, which needs a node with full ICU data; the tests'
// expectations change with it, and git shows what.
//
// # Footguns
//
//   - Spaces in numbers, amounts and some dates aren't plain (U+00A0, U+202F, U+2009); texts in
//     scripts that run from right to left hold marks of direction: don't compare outputs
//     with what you typed.
//   - The calendar is Gregorian everywhere, also in fa and th.
//   - Zones are written as offsets, GMT+2, not by name: abbreviations are ambiguous.
//   - Digits after the decimal point of money are those of ISO 4217, not of the till: CHF
//     isn't rounded to 0.05, and HUF has 2.
//   - Counts are taken as written: "1.0" is plural in English. Icelandic fractions follow
//     the rule of an older CLDR.
package locale
