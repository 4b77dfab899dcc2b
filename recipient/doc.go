// Package recipient keeps users, objects and tenants: whoever can be notified, act or own; who is subscribed to what, and
// audiences, which are groups of users. It turns the ids of customers into internal ones, and identifies (creates, or merges
// what is new about) recipients on the way. It keeps where they are reached (channel data), what they want to be told, and
// decides by that (Decide); and it has everything forgotten about those who are deleted.
//
// What it is not: it sends nothing, doesn't know whether a token or a webhook works, and no workflow but by its key.
//
// Guarantees
//   - Internal ids never change and are never reused, so they may be kept.
//   - Two identifications of the same recipient at once both take effect: they are merged under the row's lock. Likewise two
//     writes of preferences.
//   - A deleted recipient's external id is free at once; whoever gets it inherits nothing. What other packages keep about
//     the deleted one is removed by Run.
//   - Each item of a bulk operation is done once, or refused, whenever nodes end: its outcome commits with it.
//   - Of a user who is merged into another one, what other packages keep of the last belfry.MergedHistory is handed over
//     before the rest is forgotten, to whoever has the other one's place by then.
//   - Identifying is never in the way of those who refer to the same recipients, and never the victim of a deadlock with
//     them: rows are locked in the order of (collection, external id), and not against foreign keys, which lock in another.
//     Deleting and merging lock against those, too: they, and subscribing, are done again if they are a victim.
//   - Decide is pure, and the only one who knows the rules: docs/preferences.md has them, and their order.
//   - Preference sets that LoadPreferences takes from memory are those that are stored: recipients' rows carry their digests, which
//     triggers of the database write with whatever statement changes a set.
//   - A Link opens what it was made for, of the recipient it was made for, and nothing else; it dies with the recipient, or with
//     whoever that one was merged into, and is only made by whoever has the environment's secret.
//   - A Source is read in chunks, in memory that doesn't depend on its size, and comes to an end however many join meanwhile.
//
// Footguns
//   - Merging is deep for objects, and replaces arrays. A null clears a value; leaving it out keeps it. What
//     Unset names is removed afterwards. Preferences merge by rules of their own (PreferenceSet.Merge).
//   - Other nodes take a deleted user for known for as long as a second: internal ids are remembered.
//   - Links don't expire. Whoever has one may use it: it belongs into messages to the recipient alone.
//   - Channel data holds secrets. Nothing that people see may show them.
package recipient
