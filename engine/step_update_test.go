package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
)

// thing is a step that notes n of an object of the recipient's own.
var thing = workflow.Step{Ref: "note", UpdateObject: &workflow.UpdateRecipient{Collection: "things", ID: "of-{{ recipient.id }}", JSON: `{"n": {{ data.n }}}`}}

// An update that is refused makes nobody known, and neither does it undo those of other runs.
func TestARefusedUpdateLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(3)
	w.workflow("w", thing)
	people := refer(0, 3)
	people[1].Data = map[string]any{"n": "1e-20000"} // no jsonb is that small
	a := w.trigger(Request{Workflow: "w", Recipients: people, Data: map[string]any{"n": "1"}})
	w.drain()
	runs := w.runs(a.Trigger.ID)
	for user, want := range map[string]Status{"u0": Done, "u1": Failed, "u2": Done} {
		expect(t, user, runs[user].Status, want)
	}
	expect(t, "reason", runs["u1"].Log[0].Reason, "invalid_properties")
	expect(t, "things", one[string](w, `SELECT string_agg(external_id, ' ' ORDER BY external_id) FROM recipients WHERE collection = 'things'`), "of-u0 of-u2")
}

// Workers that update recipients of the same environments must not go in different orders.
func TestUpdatesLockEnvironmentsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const environments = 10
	for i := range environments {
		if i > 0 {
			w.env = w.environment(fmt.Sprint("e", i))
		}
		w.users(1)
		w.workflow("w", thing)
		w.trigger(Request{Workflow: "w", Recipients: refer(0, 1), Data: map[string]any{"n": "1"}})
	}
	var order []belfry.EnvironmentID
	w.Recipients.Observe = func(_ context.Context, _ *postgres.Tx, env belfry.EnvironmentID, _ []belfry.RecipientID) error {
		order = append(order, env)
		return nil
	}
	w.drain()
	if len(order) != environments || !slices.IsSorted(order) {
		t.Errorf("environments were updated in the order %v", order)
	}
	expect(t, "transactions", w.Stats().Batches, 1)
}
