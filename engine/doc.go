// Package engine runs workflows: it accepts triggers, turns each recipient of a trigger into a run, and takes every run
// through its workflow's program.
//
// What it is not: it sends nothing and knows no feed. What a run decides to tell goes to the Enqueue port, in the
// engine's own transaction. There is no job library: the queue is the domain's rows.
//
// Life of a trigger
//   - Trigger stores the request and a fan-out (the list of recipients) in one transaction. From then on nothing is lost.
//   - A worker claims fan-outs with FOR UPDATE SKIP LOCKED, up to a batch of runs; advances all those runs in memory;
//     writes everything that they decided, set-based; moves or deletes the fan-outs; commits.
//   - A run is written once, with the state that it reached. Its key is (recipient, trigger).
//
// Guarantees
//   - Each accepted recipient gets exactly one run of a trigger, and each message of it exists exactly once, whatever
//     crashes: claiming a recipient and all that its run decided are one transaction.
//   - Advance is pure: no I/O, no clock, no randomness. The same program, scope and instant decide the same.
//   - Poison hurts only its own run. One that panics or fails in Advance is written as failed, and so are the runs of a
//     workflow version that can't be run any more. If the database refuses what a batch decided, the batch is done again
//     in halves, and the run that is refused is written as failed.
//   - A transaction is bounded by runs, by the size of what it read and decided, and by time.
//
// Footguns
//   - An error of Enqueue that isn't a data exception of PostgreSQL is taken to be temporary: the batch is tried again
//     until it succeeds, and what was accepted later waits behind it.
//   - A run that takes longer than 10 seconds fails, however idle or busy the machine is.
//   - Several runs share the decoded data of their trigger: nothing may write to a scope's maps.
//   - Wake is a hint. What no hint announced is found by polling, within PollInterval.
package engine
