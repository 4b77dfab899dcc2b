package engine

import (
	"testing"

	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// A worker looks for work from where it found the oldest a moment ago. A batch that fills up closes at once all the same,
// though when it looked the batch was to close later. (In scenarios workers look everywhere.)
func TestAFullBatchClosesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	hour := workflow.Window{For: &calendar.Duration{Unit: calendar.Hours, Value: 1}}
	w.workflow("w", workflow.Step{Ref: "gather", Batch: &workflow.Batch{Window: hour, MaxItems: 2}}, step("a", "", "{{ total_activities }}"))
	first := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain()
	worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
	if _, err := worker.floors.refresh(t.Context(), w.Engine, 0); err != nil {
		t.Fatal(err)
	}
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	if _, err := worker.work(t.Context()); err != nil { // the second joins
		t.Fatal(err)
	}
	if n, err := worker.batch(t.Context()); n == 0 || err != nil {
		t.Errorf("the batch was not found: %d, %v", n, err)
	}
	expect(t, "bodies", w.bodies(first.Trigger.ID), map[string][]string{"u0": {"2"}})
}
