package engine

import (
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// Whoever accepts a trigger, it counts, once it is there.
func TestTriggersOfStepsCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("child", step("a", "", "x"))
	w.workflow("parent", workflow.Step{Ref: "start", TriggerWorkflow: &workflow.TriggerWorkflow{Workflow: "child"}})
	w.workflow("orphan", workflow.Step{Ref: "start", TriggerWorkflow: &workflow.TriggerWorkflow{Workflow: "nothing"}})
	w.trigger(Request{Workflow: "parent", Recipients: refer(0, 2)})
	w.trigger(Request{Workflow: "orphan", Recipients: refer(0, 2)})
	w.trigger(Request{Workflow: "child", Recipients: refer(0, 2), IdempotencyKey: "k"})
	w.trigger(Request{Workflow: "child", Recipients: refer(0, 2), IdempotencyKey: "k"})
	expect(t, "triggers before", w.Stats().Triggers, 3)
	w.drain()
	expect(t, "triggers", w.Stats().Triggers, 5)
	expect(t, "triggers that are stored", one[int](w, `SELECT count(*) FROM triggers`), 5)
}

// A run that somebody cancels counts like one that ends by itself, and whoever watches it is told at once.
func TestCancelCountsAndTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(3)
	w.workflow("w", workflow.Step{Ref: "wait", Delay: &workflow.Delay{Window: within(10)}})
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 2), CancellationKey: "k"})
	w.drain()
	w.trigger(Request{Workflow: "w", Recipients: refer(2, 1), CancellationKey: "k"}) // this one hasn't begun
	first := one[belfry.RecipientID](w, `SELECT id FROM recipients WHERE external_id = 'u0'`)
	ring, stop := w.watchers.Listen(runKey{first, a.Trigger.ID})
	defer stop()
	if _, err := w.Cancel(t.Context(), w.env, "w", "k", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ring:
	default:
		t.Error("who watches the run was not told")
	}
	expect(t, "cancelled runs", w.Stats().Cancelled, 2)
	w.drain()
	expect(t, "cancelled runs with the one that never began", w.Stats().Cancelled, 3)
}
