// Package analytics keeps the log of what happened to messages and reports it to Segment.
//
// [Log] appends events in the transaction that caused them, so an event exists exactly when its cause does.
// [Destinations] holds where an environment reports to. [Segment] reads the log and delivers it.
//
// It is not a queue and not a general event bus: nothing is deleted on delivery, every destination has its own cursor
// into the one log, and a destination that is added later starts at the present.
//
// Guarantees:
//   - At least once, never less. A cursor moves only after Segment confirmed the batch, and no error makes it skip:
//     a wrong write key or an outage of a week delays events, it does not lose them. Only a message that can never be
//     sent (over Segment's size limit) is passed over, with a log line and a count.
//   - What is sent twice has the same Segment messageId, by which Segment drops the copy.
//   - In order within an environment: by (transaction id, event id), one batch at a time.
//   - One node sends to a destination at a time. A node that dies is replaced when its lease ends.
//   - Environments do not wait for each other, up to [SegmentConfig.Concurrency] slow ones at once.
//
// Footguns:
//   - The log is read below the oldest transaction that still runs anywhere in the PostgreSQL cluster. A transaction
//     left open for an hour delays every event by an hour; [Stats.Lag] shows it.
//   - Whatever deletes old events must stay behind every cursor: cursor_index counts into the event after the cursor.
//   - The lease is compared with the clocks of the nodes. Clocks that differ by more than the lease cost duplicates
//     (of equal messageId), never losses: a fence makes the slower sender's cursor update a no-op.
package analytics
