// Package template renders the texts of notifications: Liquid, in plain text or
// with HTML escaping, and Markdown turned into sanitised HTML.
//
// It reads no files and no clock but for the date filter's "now", has no includes,
// and knows nothing about channels. It holds no cache: compile once per workflow
// version and keep the [Template].
//
// # Guarantees
//
//   - Templates are safe to take from strangers. Source size, node count, nesting
//     and tag length are bounded by [Compile]. Rendering is bounded by a work budget
//     that loops, filters and comparisons are charged against, by the size of
//     every value and of the output, and by the context, which is looked at
//     before every block, loop round and filter.
//   - Panics of the Liquid library become errors.
//   - The output is valid UTF-8 without NUL, at most [MaxOutput] bytes.
//   - A Template is immutable; Render may be called from many goroutines, as long
//     as nobody writes to the scope meanwhile. Render never changes the scope.
//   - Errors carry line and column where they can be known. Typos that Liquid
//     would print or ignore are errors: an unclosed or multi-line {{ }}, an
//     unknown filter, the names blank and empty, which this dialect doesn't have.
//
// # The dialect
//
// Tags: assign capture case comment for if raw tablerow unless, with break,
// continue, else, elsif, when. There is no include, render, cycle, increment,
// decrement, echo or liquid tag. Filters: those of standard Liquid as listed at
// [Filters], with json. Whole numbers are integers, whichever way JSON spelled
// them, so that (1..data.count) and limit: work.
//
// Dates without a zone are UTC; a date with an offset prints in that offset.
// "now" is the scope's timestamp (RFC 3339) when it has one. A text that is no date
// passes through the date filter unchanged.
//
// # Footguns
//
//   - An undefined variable prints nothing; {% if x != "" %} is true for it.
//   - "and" and "or" have equal precedence and group from the left.
//   - "10" > 5 is false: texts and numbers don't compare.
//   - The else of a for runs for an empty list, not for a missing one.
//   - Iterating over an object has no fixed order; iterate over lists.
//   - HTML escapes text, not URLs: href="{{ url }}" still needs [SafeURL] or
//     [Markdown]'s sanitiser. A captured text is escaped again when printed
//     unless it goes through safe, which must come last.
//   - Escaped values may still contain Markdown: a name of *x* becomes emphasis.
package template
