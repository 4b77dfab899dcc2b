// Package realtime carries publications from whoever publishes them to whoever is subscribed, across
// goroutines and across nodes. It knows topics, versions and bytes; it does not know notifications.
//
// A [Hub] holds the subscribers of this node. A [Bus] connects the hubs of all nodes: [MemoryBus] for one
// process, [RedisBus] for many. Publishing goes through the bus and comes back to every hub that wants the topic.
//
// # Guarantees
//
//   - At most once. A publication is a bell: the truth is in the database, and a lost bell costs latency only.
//   - Order: publications of one topic by one publisher arrive in the order in which they were published. Those that
//     failed may follow later, with their version and no payload.
//   - Loss is never silent within a node's reach: overflow and reconnects are reported to the subscriptions
//     concerned as a gap ([Subscription.Take]). What no node can see, such as a publisher that dies before it
//     publishes, is for a sweeper that compares versions and calls [Subscription.Nudge].
//   - [Hub.Subscribe] registers first and returns when the bus has confirmed, so that state read after it
//     returns, plus what Take yields, has no hole in between.
//   - A publisher never waits for a subscriber: buffers are bounded by count and bytes, and appending to one
//     takes a lock that nobody holds while doing anything slow.
//
// # Footguns
//
//   - Publications may arrive twice in effect (once in the state that was read, once as a publication):
//     compare versions, skip what is not newer.
//   - After a gap, read the state again; the publications that Take returned beside it may have holes.
//   - A payload is shared by all subscribers of a node and must not be modified after Publish, and what one of them puts
//     into its memo is shared likewise.
//   - While Redis is away, Subscribe lets its caller through after [ConfirmTimeout], with a gap reported at
//     once and another when the bus is back. Feeds keep working, live updates wait for the sweeper.
//   - All subscribers learn of a reconnect at the same moment. Callers that answer a gap with a query should
//     spread those queries over time.
package realtime
