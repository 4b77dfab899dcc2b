// Package encoder encodes the events of feeds as a subscription has selected them, into the very bytes that gqlgen would
// answer, without executing the selection for each event.
//
// A selection is compiled once, when somebody subscribes: fragments, conditions and variables are resolved by gqlgen's
// own collector of fields, and what remains is a list of members to append for each type of event. Selections that come
// to the same members are one [Selection], so that subscribers share it, and what is encoded with it.
//
// What it is not: it doesn't make errors. Whatever can't be encoded, a field that isn't in its tables or a value that
// fails, is left to gqlgen: kind by kind of event when compiling, event by event when encoding. So errors, their paths
// and the nulls that they cause are gqlgen's own.
//
// # Footguns
//
//   - A new field of the schema is answered by gqlgen, and with it all events of its kind, until it is in the tables of
//     feed.go. A test compares the tables with the schema.
//   - Field interceptors of gqlgen (AroundFields, directives on fields) don't see fields that are encoded here.
package encoder
