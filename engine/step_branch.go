package engine

import "github.com/belfryhq/belfry/workflow"

// branch takes a branch if its condition is true; the default has none.
func (c *course) branch(op *workflow.Op) flow {
	if op.Condition != nil {
		ok, entry := c.holds(op.Step, op.Condition)
		if !ok {
			entry.Detail = op.Name + ": " + entry.Detail
			c.note(entry)
			return c.jump(op.To)
		}
	}
	c.note(LogEntry{Step: op.Step, Outcome: OutcomeTook, Detail: op.Name})
	return forward
}

// cohort goes on in the recipient's cohort.
func (c *course) cohort(op *workflow.Op) flow {
	key, err := op.Cohort.Key.Of(c.ctx, c.scope)
	entry := LogEntry{Step: op.Step, Outcome: OutcomeTook}
	if err != nil { // somebody without a key still is in a cohort: that of everybody who has none
		entry.Reason = "invalid_key"
	}
	name, to := op.Cohort.Choose(key)
	entry.Detail = name
	c.note(entry)
	return c.jump(to)
}
