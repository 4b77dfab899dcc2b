package engine

import (
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
)

// These tests hold one transaction in the middle of something, and look at what another one does meanwhile.

const sessionsThatWait = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`

// untilLocked waits until somebody waits for a lock, or until done is closed: then nobody does.
func (w *world) untilLocked(done <-chan struct{}) (locked bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); one[int](w, sessionsThatWait) == 0; {
		select {
		case <-done:
			return false
		default:
		}
		if time.Now().After(deadline) {
			w.t.Fatal("nobody waits, and nobody is done")
		}
	}
	return true
}

// beside does something in a transaction of its own, beside whatever goes on.
func (w *world) beside(do func(tx *postgres.Tx) error) (done <-chan struct{}) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := postgres.InTx(w.t.Context(), w.pool, do); err != nil {
			w.t.Error(err)
		}
	}()
	return ended
}

// asking returns a run of a new trigger for u0 that has come to ask something, and is in no queue.
func (w *world) asking() *run {
	w.t.Helper()
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.exec(`DELETE FROM fan_outs WHERE trigger_id = $1`, a.Trigger.ID)
	v, err := w.version(w.t.Context(), w.pool, a.Trigger.VersionID)
	if err != nil {
		w.t.Fatal(err)
	}
	t := &trigger{id: a.Trigger.ID, env: w.env, workflow: v.Workflow, versionID: v.ID, active: true, acceptedAt: w.now(), version: v, data: map[string]any{}}
	r := &run{trigger: t, fanOut: &fanOut{}, version: v, scope: Scope{"recipient": somebody, "data": t.data}}
	r.recipient = one[belfry.RecipientID](w, `SELECT id FROM recipients WHERE external_id = 'u0'`)
	if r.advance(w.t.Context(), &course{}, w.now()); r.ask == nil {
		w.t.Fatalf("the run doesn't ask: %s %+v", r.status, r.log)
	}
	return r
}

// Two workers have a run each that wants to pass the same throttle. The second one reads what the first one wrote.
func TestAThrottleIsReadUnderItsLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", workflow.Step{Ref: "limit", Throttle: &workflow.Throttle{Window: within(3600), Limit: 2}})
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain() // one of the two has passed
	first, second := w.asking(), w.asking()
	key := throttleKey{first.recipient, first.trigger.workflow, "limit", ""}
	var done <-chan struct{}
	if err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		rows, err := lockThrottles(t.Context(), tx, []throttleKey{key}, map[throttleKey]belfry.EnvironmentID{key: w.env})
		if err != nil {
			return err
		}
		done = w.beside(func(tx *postgres.Tx) error { return throttles(t.Context(), tx, []*run{second}, w.now()) })
		if !w.untilLocked(done) {
			t.Error("the throttle was read while another worker had it")
		}
		first.reply(rows[key].admit(first.ask.(*throttleQuestion), w.now()))
		return writeThrottles(t.Context(), tx, []throttleKey{key}, rows)
	}); err != nil {
		t.Fatal(err)
	}
	receive(t, done)
	expect(t, "who passed", [2]bool{first.answer.(*throttleAnswer).passed, second.answer.(*throttleAnswer).passed}, [2]bool{true, false})
}

// Two workers have a run each that wants to join the same batch. The second one comes behind the first.
func TestABatchIsReadUnderItsLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", workflow.Step{Ref: "gather", Batch: &workflow.Batch{Window: within(3600)}})
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain() // it is open
	first, second := w.asking(), w.asking()
	var done <-chan struct{}
	if err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		open, err := lockBatches(t.Context(), tx, []*run{first}, w.now())
		if err != nil {
			return err
		}
		done = w.beside(func(tx *postgres.Tx) error {
			return joinBatches(t.Context(), tx, []*run{second}, w.now(), func() {})
		})
		if !w.untilLocked(done) {
			t.Error("the batch was read while another worker had it")
		}
		q := first.ask.(*joinQuestion)
		first.reply(open[q.of(first)].join(first, q, w.now()))
		return writeBatches(t.Context(), tx, open, []*run{first})
	}); err != nil {
		t.Fatal(err)
	}
	receive(t, done)
	expect(t, "places", [2]int{first.answer.(*joinAnswer).key.N, second.answer.(*joinAnswer).key.N}, [2]int{2, 3})
	expect(t, "items", one[int](w, `SELECT items FROM batches`), 3)
}

// A worker turns a trigger into runs while somebody cancels it: what comes of it is cancelled, too.
func TestCancelWaitsForFanOutsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", workflow.Step{Ref: "wait", Delay: &workflow.Delay{Window: within(10)}}, step("a", "", "x"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 2), CancellationKey: "k"})
	worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
	if _, err := worker.floors.refresh(t.Context(), w.Engine, 0); err != nil {
		t.Fatal(err)
	}
	var cancelled *CancelResult
	done := make(chan struct{})
	if err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		c, err := w.claim(t.Context(), tx, worker)
		if err != nil {
			return err
		}
		s, err := w.load(t.Context(), tx, c)
		if err != nil {
			return err
		}
		if n, err := w.carry(t.Context(), tx, c.runs, s, c); n != 2 || err != nil {
			t.Error(n, err)
		}
		go func() {
			defer close(done)
			var err error
			if cancelled, err = w.Cancel(t.Context(), w.env, "w", "k", nil); err != nil {
				t.Error(err)
			}
		}()
		if !w.untilLocked(done) {
			t.Error("it was cancelled while a worker had it")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	receive(t, done)
	expect(t, "result", cancelled, &CancelResult{Cancelled: 2})
	w.clock.add(time.Minute)
	w.drain()
	expect(t, "messages", w.bodies(a.Trigger.ID), map[string][]string{})
}

// A signal whose run somebody holds is not one whose run is over: it stays for when the run is free again.
func TestASignalOutlivesWhoeverHoldsItsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", workflow.Step{Ref: "paid", WaitForEvent: &workflow.WaitForEvent{
		Event: workflow.WaitEvent{Type: workflow.CustomEvent, Name: "paid"}}}, step("thanks", "", "Thank you"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain()
	if err := w.SendEvent(t.Context(), w.env, "u0", "paid", nil); err != nil {
		t.Fatal(err)
	}
	if err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		_, err := tx.Exec(t.Context(), `SELECT FROM runs FOR UPDATE`)
		w.drain()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	expect(t, "signals", one[int](w, `SELECT count(*) FROM signals`), 1)
	w.drain()
	expect(t, "messages", w.bodies(a.Trigger.ID), map[string][]string{"u0": {"Thank you"}})
	expect(t, "signals in the end", one[int](w, `SELECT count(*) FROM signals`), 0)
}
