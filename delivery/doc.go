// Package delivery takes messages over from the engine and brings them to people: it hands in-app messages to the feed,
// and sends the others through providers, again and again if need be.
//
// What it is not: it doesn't decide whom to tell what (engine), knows no vendor (delivery/provider/...), and doesn't know
// feeds: those are the InApp port.
//
// Life of a message
//   - Enqueue runs in the transaction that decided to send. An in-app message that may be shown at once goes straight to
//     InApp, and delivery forgets it. Any other is a row of messages, and one of deliveries if there is something to wait for.
//   - A worker leases due deliveries, sends each outside of any transaction, and records the outcome in one: a failure
//     is tried again up to MaxAttempts times within about half an hour; then the message is undelivered.
//   - An in-app message that waits for its time is claimed, handed to InApp and marked in one transaction. From then on
//     it is a feed item with an id of its own; its first id leads there (Message.Moved, Statuses).
//   - What the provider answers is the last word: sent, or delivered if it says so; undelivered or bounced.
//
// Guarantees
//   - A message exists exactly if the transaction that enqueued it committed.
//   - It is sent at least once, or recorded as undelivered. Twice only if the worker died, or lost its lease or the
//     database, between sending and recording, or if the provider was silent until the node had to end: both attempts
//     then carry the same Outgoing.IdempotencyKey.
//   - An attempt counts when it begins, so a message that kills its worker isn't tried for ever. One that is cut off
//     because the node ends is given back and doesn't count.
//   - The worker of an outdated lease can't record anything (fence). What is recorded is raised through Observe in the same
//     transaction, so observers hear of each change exactly once.
//   - A message that is given to another user keeps its number, its attempts, its place in the queue and its key.
//   - A flood in one environment doesn't hold up the others: they take turns.
//   - Nothing a provider does (error, panic, silence for longer than the timeout) ends a worker. But it must heed its context:
//     one that never returns keeps a slot of Config.Workers.
//
// Footguns
//   - Ids from 1<<40 on are of this package, smaller ones are feed items (see Owns). Both are belfry.MessageIDs.
//   - Enqueue calls InApp, which locks feeds in the order of recipients: the same rules hold for it.
//   - A worker begins to send only while its lease lasts for SendTimeout at least, by the injected clock. A lease lasts
//     for twice that: clocks of nodes that differ by more than half a minute can make messages be sent twice.
package delivery
