// Package template renders the texts of notifications: Liquid, in plain text or
// with HTML escaping, and Markdown turned into sanitised HTML.
//
// It reads no files but time zones and no clock but for a "now" without a timestamp,
// and knows nothing about channels. It caches no templates: compile once per workflow
// version and keep the [Template]. What the dialect is, for authors, is in
// docs/liquid.md.
//
// # How it works
//
// Templates are cut into tokens and parsed into blocks here: scan.go, parse.go and
// the tags_ files. Constants, paths, ranges and conditions are evaluated here too,
// because their meaning differs from the Liquid library's: expr.go, condition.go,
// value.go. Expressions with filters are rewritten in the library's language, with
// everything they name as an entry of one variable, and parsed and evaluated by it:
// parse_expr.go, library.go. The filters are our own.
//
// Markdown is parsed and sanitised whole: markdown.go, sanitize.go. A message that
// differs from earlier ones only in plain words, such as a name, takes their HTML from
// a small cache of the process, with its own words in it: skeleton.go.
//
// # Guarantees
//
//   - Templates are safe to take from strangers. Source size, tokens, nesting and
//     tag length are bounded when compiling, together with those of partials.
//     Rendering is bounded by a work budget that nodes, loop rounds, filters and
//     comparisons are charged against, by the size of every value a filter makes
//     and of the output, and by the context, which is looked at before every block,
//     loop round and filter.
//   - Partials come from the caller, never from files. They can't include
//     themselves.
//   - Panics of the library, and of filters, become errors.
//   - The output is valid UTF-8 without NUL, at most [MaxOutput] bytes.
//   - The HTML of [Template.RenderMarkdown] is byte for byte what [Markdown] makes,
//     whatever was rendered before.
//   - A Template is immutable; Render may be called from many goroutines, as long
//     as nobody writes to the scope meanwhile. Render never changes the scope, and
//     looks only at those values that the template asks for.
//   - Errors carry line and column. Typos that Liquid would print or ignore are
//     errors: an unclosed {{ }}, an unknown tag or filter, a wrong number of
//     arguments, a partial that is missing.
//
// # Footguns
//
//   - An undefined variable prints nothing; {% if x != "" %} is true for it. Write
//     {% if x != blank %}.
//   - "and" and "or" have equal precedence and group from the right.
//   - "10" > 5 is false: texts and numbers don't compare.
//   - Objects are gone through sorted by key, whatever their order was in JSON.
//   - Numbers that JSON spelled as 3.0 print like that, if it was decoded with
//     UseNumber; a float64 of 3 prints 3.
//   - HTML escapes text, not URLs: href="{{ url }}" still needs [SafeURL] or
//     [Markdown]'s sanitiser. What is captured in HTML is HTML, until a filter makes
//     a text of it; safe must come last.
//   - Escaped values may still contain Markdown: a name of *x* becomes emphasis.
//   - Names of partials that are only known when rendering make every partial part
//     of the template, with a limit of its own.
package template
