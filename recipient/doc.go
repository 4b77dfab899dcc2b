// Package recipient keeps users, objects and tenants: whoever can be notified, act or own; who is subscribed to what, and
// audiences, which are groups of users. It turns the ids of
// customers into internal ones, and identifies (creates, or merges what is new about) recipients on the way.
//
// What it is not: it doesn't decide whether somebody wants to be told, and knows no channel.
//
// Guarantees
//   - Internal ids never change and are never reused, so they may be kept.
//   - Two identifications of the same recipient at once both take effect: they are merged under the row's lock.
//   - Rows are locked in the order of (collection, external id): no two calls deadlock.
//   - A Source is read in chunks, in memory that doesn't depend on its size, and comes to an end however many join meanwhile.
//
// Footguns
//   - Merging is deep for objects, and replaces arrays. A null clears a value; leaving it out keeps it.
package recipient
