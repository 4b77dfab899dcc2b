// Package condition decides whether a step runs. A condition is written in one
// of two equal forms: an expression,
//
//	recipient.plan == "pro" and (data.total ?? 0) > 100
//
// or a structured group, which is what a visual editor stores:
//
//	{"all": [{"variable": "recipient.plan", "operator": "equal_to", "argument": "pro"}]}
//
// Both compile to a program of the same virtual machine and see the same [Scope].
// The package does no I/O, knows nothing about where values come from, and holds
// no cache: compile once per workflow version and keep the [Condition].
//
// # Guarantees
//
//   - Conditions are safe to take from strangers. Source size, nesting, node count
//     and everything that could allocate or loop without bound is refused by
//     [Compile]; what depends on the data is charged against [MaxWork] while it
//     runs. Eval does no I/O but for date() reading a named time zone, and never panics.
//   - A missing path is nil, at any depth, with or without "?.".
//   - now() is the time given to Eval, in UTC, so a replay decides the same.
//   - A run-time error means false, and says where it happened. It is deterministic:
//     retrying with the same scope fails the same way.
//   - A Condition is immutable; Eval may be called from many goroutines, as long as
//     nobody writes to the scope meanwhile.
//
// # The expression form
//
// Roots: data, recipient, actor, tenant, workflow, run, refs, vars. Operators: and or
// not == != < <= > >= in contains startsWith endsWith matches ?? ?: + - * / % and
// slices. Functions: len lower upper trim get int float string abs round date duration
// now, and over lists any all none one count find, which can't be nested. Dates
// without a zone are UTC. The pattern of matches is a literal.
//
// # The structured form
//
// All of "all" must hold, or one of "any"; an entry of "any" may itself be an "all".
// The operators are listed at [Operators]. Rules common to them:
//
//   - An unset path is the empty string, except for exists and not_exists; an
//     explicit null stays null, and equals only null.
//   - A string argument that is itself JSON is decoded: "5" is 5, "true" is true.
//     Otherwise, if it looks like a path below a root ("recipient.plan"), it is
//     looked up when the condition runs. Quote it as JSON ("\"data.x\"") to mean
//     the text.
//   - A number equals a string that spells the same number, a bool the string
//     true or false. Two strings are equal only when they are the same text.
//   - Ordering compares numbers (and numeric strings), else two timestamps, else two
//     non-empty texts; anything else is false both ways.
//   - Nothing contains an empty argument. not_ operators are exact negations.
//   - Timestamps are RFC 3339 or YYYY-MM-DD strings; anything else makes every
//     timestamp comparison false. is_between and is_timestamp_between include
//     both ends. Relative arguments ("7 days ago", "15 minutes from now") are exact:
//     a day is 24 hours.
//
// # Footguns
//
//   - data.n == "2" is false when n is the number 2; the structured form says true.
//   - data.missing > 1 is a run-time error, so it counts as false, and so does
//     not (data.missing > 1). Give a default: (data.missing ?? 0) > 1.
//   - Values with Go methods must not be put in the scope: keep it to what JSON
//     can hold.
//   - date(text, layout, zone) needs the time zone database: programs for bare
//     machines import time/tzdata.
package condition
