// Package engine runs workflows: it accepts triggers, turns each recipient of a trigger into a run, and takes every run
// through its workflow's program, however long that takes.
//
// What it is not: it sends nothing and knows no feed. What a run decides to tell goes to the Enqueue port, in the
// engine's own transaction. There is no job library: the queue is the domain's rows. No timer in memory matters.
//
// Life of a trigger
//   - Trigger stores the request and a fan-out (recipients that aren't runs yet). From then on nothing is lost.
//   - A worker claims work with FOR UPDATE SKIP LOCKED, up to a batch of runs: fan-outs, runs that are due, batches that
//     are to close, signals. Lanes and environments take turns (lane.go).
//   - Each run advances in memory as far as it gets (advance.go, one step_*.go for each kind of step). What it asks of the
//     database is answered for all of them together, and they advance again (carry.go).
//   - Everything that was decided is written set-based (write.go), with what was claimed; commit.
//   - A run that never waits is one INSERT of a finished row. One that waits keeps its State, and is woken by its time, by
//     the end of its batch, or by a signal: an event (event.go) or the response to a request (fetcher.go).
//
// Guarantees
//   - Each accepted recipient gets exactly one run of a trigger, which ends in exactly one of the states done, failed and
//     cancelled; and each message of it exists exactly once, whatever crashes: claiming and all that was decided are one
//     transaction.
//   - advance is pure: no I/O, no clock, no randomness. The same program, scope, answers and instant decide the same.
//   - For a key there is at most one open batch. Its window is the opener's.
//   - Who is reached by a trigger in several ways (named, subscribed, in an audience) gets one run. Nobody is left out who was
//     subscribed when it was accepted and still is when their turn comes; nobody is told who came later.
//   - A cancellation touches what was accepted before it, and never what is accepted later.
//   - A request of a fetch step is leased with a fence: it is made at least once, its response counts once. A server that is
//     slow has its own slot, and holds up nobody else's.
//   - A run goes on only for what it waits for. A signal that comes late is dropped.
//   - Poison hurts only its own run. One that panics or fails in advance is written as failed, and so are the runs of a
//     workflow version that can't be run any more, or of data, a state or a signal that can't be read. If the database
//     refuses what a batch decided, the batch is done again in halves, and the run that is refused is written as failed.
//   - A transaction is bounded by runs, by the size of what it read and decided, and by time.
//
// Footguns
//   - An error of Enqueue that isn't a data exception of PostgreSQL is taken to be temporary: the batch is tried again
//     until it succeeds, and what was accepted later waits behind it.
//   - A run that takes longer than 10 seconds in one go fails, however idle or busy the machine is.
//   - Several runs share the decoded data of their trigger: nothing may write to it. A Scope's top level is the run's own.
//   - Wake is a hint. What no hint announced is found by polling, within PollInterval; work of an environment that is new,
//     or that appears below the floors, within a few seconds.
package engine
