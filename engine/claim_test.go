package engine

import (
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
)

// A worker that claims signals and another one that claims runs whose time is over: who came in time is heard.
func TestRunsDoNotTimeOutWhileTheirEventIsClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", workflow.Step{Ref: "paid", WaitForEvent: &workflow.WaitForEvent{
		Event: workflow.WaitEvent{Type: workflow.CustomEvent, Name: "paid"}, Timeout: within(30).For}}, step("thanks", "", "Thank you"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain()
	w.clock.add(10 * time.Second)
	if err := w.SendEvent(t.Context(), w.env, "u0", "paid", nil); err != nil {
		t.Fatal(err)
	}
	if err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		_, err := tx.Exec(t.Context(), `SELECT FROM signals FOR UPDATE`)
		w.clock.add(time.Minute)
		w.drain()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	expect(t, "status while somebody else holds the event", w.runs(a.Trigger.ID)["u0"].Status, Waiting)
	w.drain()
	expect(t, "messages", w.bodies(a.Trigger.ID), map[string][]string{"u0": {"Thank you"}})
}

// A batch that is due closes with the activities that its summary counts. Who comes in the same moment opens the next.
func TestNobodyJoinsABatchThatCloses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", workflow.Step{Ref: "batch", Batch: &workflow.Batch{Window: within(30)}},
		step("sum", "", "{{ total_activities }}: {% for a in activities %}{{ a.n }} {% endfor %}"))
	trigger := func(n int) *Accepted {
		return w.trigger(Request{Workflow: "w", Recipients: refer(0, 1), Data: map[string]any{"n": n}})
	}
	first := trigger(1)
	w.drain()
	w.clock.add(time.Minute)
	second := trigger(2)
	w.drain()
	w.clock.add(time.Minute)
	w.drain()
	expect(t, "first batch", w.bodies(first.Trigger.ID), map[string][]string{"u0": {"1: 1 "}})
	expect(t, "second batch", w.bodies(second.Trigger.ID), map[string][]string{"u0": {"1: 2 "}})
}

// Two triggers whose delays end before the engine gets to it: a batch has them in the order of acceptance.
func TestWhatFallsDueTogetherKeepsItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", workflow.Step{Ref: "delay", Delay: &workflow.Delay{Window: within(10)}},
		workflow.Step{Ref: "batch", Batch: &workflow.Batch{Window: within(30), RenderLimit: 20}},
		step("sum", "", "{% for a in activities %}{{ a.n }} {% endfor %}"))
	var first *Accepted
	for n := range 20 {
		w.clock.add(time.Millisecond)
		if a := w.trigger(Request{Workflow: "w", Recipients: []Party{{Ref: belfry.User("u0")}}, Data: map[string]any{"n": n}}); n == 0 {
			first = a
		}
	}
	for range 3 {
		w.drain()
		w.clock.add(time.Minute)
	}
	expect(t, "activities", w.bodies(first.Trigger.ID), map[string][]string{"u0": {"0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 "}})
}

// Cancel locks batches while a worker holds the one and wants the other: that is no error for whoever cancels.
func TestCancelGoesOnAfterADeadlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", workflow.Step{Ref: "batch", Batch: &workflow.Batch{Window: within(30)}}, step("sum", "", "x"))
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 2), CancellationKey: "k"})
	w.drain()
	type result struct {
		*CancelResult
		error
	}
	cancelled := make(chan result, 1)
	if err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		lock := func(order string) {
			if _, err := tx.Exec(t.Context(), `SELECT FROM batches ORDER BY recipient_id `+order+` LIMIT 1 FOR UPDATE`); err != nil {
				t.Error(err)
			}
		}
		if _, err := tx.Exec(t.Context(), `SET LOCAL deadlock_timeout = '1min'`); err != nil { // the other one gives in
			return err
		}
		lock("DESC")
		go func() {
			out, err := w.Cancel(t.Context(), w.env, "w", "k", nil)
			cancelled <- result{out, err}
		}()
		w.eventuallyZero(`SELECT 1 - count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
		lock("ASC")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r := receive(t, cancelled)
	expect(t, "error", r.error, nil)
	expect(t, "result", *r.CancelResult, CancelResult{Cancelled: 2})
}
