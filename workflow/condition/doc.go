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
// [Expression] and [Structured] turn one form into the other; [Condition.Explain] says
// what a condition saw. The package does no I/O, knows nothing about where values come
// from, and holds no cache: compile once per workflow version and keep the [Condition].
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
// Roots: data, recipient, actor, tenant, workflow, run, refs, vars; and event in the
// match conditions of a step that waits for an event. Operators: and or not == != < <= > >=
// in contains startsWith endsWith matches ?? ?: + - * / % and slices. Functions: len
// lower upper trim get int float string abs round date duration now, and over lists any all
// none one count find, which can't be nested. Dates without a zone are UTC. The pattern
// of matches is a literal. refs is followed by the ref of a step, as in refs.inbox.seen.
//
// Every operator of the structured form is a function too, and means exactly the same:
//
//	equal_to(recipient.plan, "pro") and not_empty(data.total)
//	is_between(data.total, [data.low, 100]) or is_timestamp_before(data.due, "7 days ago")
//
// Its name is that of the operator, but for contains, a word that stands between two
// values here: the function is contains_any. It takes a path and, unless the operator
// takes no argument, a literal or another path. A list holds literals, and paths only
// in is_between and is_timestamp_between. A text means what it does as a structured
// argument, except that one that looks like a path is refused: without quotes it is
// looked up, and quoted twice ("\"data.x\"") it is the text.
//
// # The structured form
//
// All of "all" must hold, or one of "any"; an entry of "any" may itself be an "all".
// Conditions are decided from left to right until the outcome is clear.
//
//	equal_to, not_equal_to                      the same value, or a number or bool and its spelling
//	greater_than, greater_than_or_equal_to,
//	less_than, less_than_or_equal_to            ordered
//	is_between                                  [start, end], both included
//	contains, not_contains                      a list and an entry; two lists that share an entry; a text
//	                                            in a text; a text that is an entry of the argument
//	contains_all, not_contains_all              a list that has every entry of the argument
//	empty, not_empty                            "", null, [], {} or unset
//	exists, not_exists                          set and not null
//	is_timestamp, is_not_timestamp              a text that can be read as a timestamp
//	is_timestamp_before,
//	is_timestamp_on_or_after                    absolute, relative, or a path
//	is_timestamp_before_date,
//	is_timestamp_on_or_after_date               the same by the day, in UTC
//	is_timestamp_between                        [start, end], both included, not relative
//	is_timestamp_before_now,
//	is_timestamp_on_or_after_now                no argument
//	is_audience_member, is_not_audience_member  recipient.id, and the key of an audience
//
// Rules common to them:
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
//   - Nothing contains an empty argument. not_ operators are exact negations, but
//     for message statuses that are unknown.
//   - Timestamps are RFC 3339 or YYYY-MM-DD strings; anything else makes every
//     timestamp comparison false. Relative arguments ("7 days ago", "15 minutes from
//     now"; minutes, hours, days or weeks) are exact: a day is 24 hours.
//
// # Message statuses
//
// refs.<ref>.delivery_status and refs.<ref>.engagement_status say what became of the
// message of an earlier step, at this moment; they wait for nothing. As structured
// conditions they go with reserved arguments only:
//
//	delivery_status    equal_to, not_equal_to                $message.skipped $message.undelivered $message.bounced
//	delivery_status    greater_than_or_equal_to, less_than   $message.sent $message.delivered
//	engagement_status  contains, not_contains                $message.seen $message.seen_not_read
//	                                                         $message.read $message.read_not_link_clicked
//	                                                         $message.interacted $message.link_clicked $message.archived
//
// greater_than_or_equal_to is "so far, or further", less_than "not so far", in the order of
// [StatusRank]. A message that somebody engaged with has been delivered, whatever its
// delivery status. A step that was skipped, or has not run, got nowhere. When the message
// is older than the retention period all of these are false, not_ and less_than included.
//
// # Footguns
//
//   - data.n == "2" is false when n is the number 2; the structured form says true.
//   - data.missing > 1 is a run-time error, so it counts as false, and so does
//     not (data.missing > 1). Give a default: (data.missing ?? 0) > 1.
//   - not refs.inbox.seen is true for a message that is too old to know about, and for a
//     step that never ran; not_contains(refs.inbox.engagement_status, "$message.seen") is
//     false for the former.
//   - Two expressions that decide the same can differ in what they cost: of data so big
//     that one of them runs into [MaxWork], nothing follows for the other.
//   - Values with Go methods must not be put in the scope: keep it to what JSON
//     can hold.
//   - date(text, layout, zone) needs the time zone database: programs for bare
//     machines import time/tzdata.
package condition
