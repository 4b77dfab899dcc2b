package engine

import "github.com/belfryhq/belfry/workflow"

// delay lets the run wait.
func (c *course) delay(op *workflow.Op) flow {
	if c.woken() != nil {
		if c.now.Before(c.state.Until) {
			return c.stayWaiting(&wait{kind: waitDelay, due: c.state.Until})
		}
		c.note(LogEntry{Step: op.Step, Outcome: OutcomePassed})
		return forward
	}
	if c.trigger.skipDelay {
		return c.skip(LogEntry{Step: op.Step, Reason: "skip_delay"})
	}
	end, err := op.Span.End(c.scope, c.now, c.zone())
	if err != nil {
		return c.invalid(op.Step, "invalid_window", err, op.Span.Halt)
	}
	c.state.Until = storable(end)
	return c.waiting(&wait{kind: waitDelay, due: c.state.Until}, LogEntry{Step: op.Step})
}

// What runs wait for, as in runs.waiting_for.
const (
	waitDelay = "delay"
	waitBatch = "batch"
	waitFetch = "fetch"
	waitEvent = "event"
)
