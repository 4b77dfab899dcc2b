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
//   - Poison hurts only its own run. One that panics or fails in Advance is written as failed; if the database refuses
//     what a batch decided, the batch is done again run by run, and the run that is refused is written as failed.
//
// Footguns
//   - Several runs share the decoded data of their trigger: nothing may write to a scope's maps.
//   - Wake is a hint. What no hint announced is found by polling, within PollInterval.
package engine
