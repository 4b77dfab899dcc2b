// Package recipient keeps users, objects and tenants: whoever can be notified, act or own. It turns the ids of
// customers into internal ones, and identifies (creates, or merges what is new about) recipients on the way. It also keeps
// what they want to be told, and decides by that (Decide).
//
// What it is not: it sends nothing, and knows no workflow but by its key.
//
// Guarantees
//   - Internal ids never change and are never reused, so they may be kept.
//   - Two identifications of the same recipient at once both take effect: they are merged under the row's lock. Likewise two
//     writes of preferences.
//   - Rows are locked in the order of (collection, external id): no two calls deadlock.
//   - Decide is pure, and the only one who knows the rules: docs/preferences.md has them, and their order.
//
// Footguns
//   - Merging is deep for objects, and replaces arrays. A null clears a value; leaving it out keeps it. Preferences merge by
//     rules of their own (PreferenceSet.Merge).
package recipient
