package engine

import (
	"fmt"

	"github.com/belfryhq/belfry/workflow"
)

// updateData merges values into the run's data.
func (c *course) updateData(op *workflow.Op) flow {
	object, err := op.Data.Render(c.ctx, c.scope)
	if err != nil {
		return c.failed(op.Step, err)
	}
	return c.mergeData(op.Step, workflow.MergeAt(c.data(), nil, object), LogEntry{Step: op.Step, Outcome: OutcomeUpdated})
}

// mergeData replaces the run's data, as long as they don't grow too large.
func (c *course) mergeData(step string, data map[string]any, done LogEntry) flow {
	b, err := encode(data)
	if err == nil && len(b) > MaxDataSize {
		err = fmt.Errorf("the data would be larger than %d bytes of JSON", MaxDataSize)
	}
	if err != nil {
		return c.fail(step, "data_too_large", err.Error())
	}
	c.size += len(b)
	c.setData(data)
	c.note(done)
	return forward
}
