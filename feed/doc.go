// Package feed keeps the in-app messages of every person: items, exact counts, marks, and the history that lets a
// device come back and miss nothing.
//
// What it is not: it doesn't decide who gets what (engine), and doesn't know connections (realtime).
//
// Guarantees
//
//   - An item, the counters it changes and the feed's version are written in one transaction, under the lock of the
//     feed's row. So counters are exact at every version, and versions are gap-free and in commit order.
//
//   - Reading a page returns items, badge and position of one snapshot. Subscribing from that position tells
//     everything that came later, once, in order; what can't be told is a Reset, never silence.
//
//   - What is removed leaves a change at its own version, so a history without holes stays one.
//
//   - Marking everything, or what a filter selects, costs a row and a change, however many items there are (see Watermarks).
//     Of what has to be written to the items later no mark writes more than a piece; beyond that, marks are refused.
//
//   - Whoever counts engagement is told of each message that such a mark changed, once, in the order in which things happened to it;
//     where marks come too fast, of their number (see expand.go).
//
//   - Pages, counts, marks and subscriptions know one kind of Filter, and mean the same by it.
//
//   - Items of a merged user come at the end of the feed that gets them, at new positions: no position or id of before
//     changes its meaning.
//
//   - A feed's counters are recounted in turn (Audit). What differs is healed and counted: that number must stay 0.
//
// Footguns
//   - A snoozed item counts nowhere and watermarks pass it by: State.SnoozedUntil says so to Cells, Watermarks and Filter alike.
//   - Lock first, look second: whoever changes items locks the feeds row in a statement of its own before reading
//     them. A single statement that waits for the lock still sees the items of before, and the counters drift.
//   - The columns of feed_items that say whether an item is seen, read or archived are not the whole truth: a
//     watermark may have overtaken them. Read them through Watermarks.Effective only.
//   - Whoever writes the state of an item, or removes it, tells first what marks on everything did to it (header.tell).
//   - Whoever changes items that are there keeps the feed's groups true, or drops them (see groups in group.go).
//   - An event that was published, with its item and data, is shared by all who are told of it: nobody may change it,
//     nor the message that it was made of.
//   - Append locks feeds in the order of their keys; a transaction that appends out of order may deadlock with another.
package feed
