package engine

import (
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// What is stored in a way that nobody can read, by whatever magic, ends the one run that needs it. Everything else that
// falls due with it goes on.
func TestWhatCannotBeReadFailsItsRunAlone(t *testing.T) {
	t.Parallel()
	const ofU1 = ` WHERE recipient_id = (SELECT id FROM recipients WHERE external_id = 'u1')`
	wait := workflow.Step{Ref: "paid", WaitForEvent: &workflow.WaitForEvent{Event: workflow.WaitEvent{Type: workflow.CustomEvent, Name: "paid"}}}
	batch := workflow.Step{Ref: "gather", Batch: &workflow.Batch{Window: within(10)}}
	for name, c := range map[string]struct {
		step          workflow.Step
		spoil, reason string
	}{
		"the state behind a delay": {workflow.Step{Ref: "wait", Delay: &workflow.Delay{Window: within(10)}}, `UPDATE runs SET state = '{"pc": "one"}'` + ofU1, "state_unreadable"},
		"the state of a carrier":   {batch, `UPDATE runs SET state = '[]'` + ofU1, "state_unreadable"},
		"an activity":              {batch, `UPDATE batch_activities SET data = '[]'` + ofU1, "data_unreadable"},
		"an event":                 {wait, `UPDATE signals SET payload = '{"event": 7}'` + ofU1, "signal_unreadable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.users(3)
			w.workflow("w", c.step, step("a", "", "x"))
			a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 3)})
			w.drain()
			for _, user := range []string{"u0", "u1", "u2"} {
				if err := w.SendEvent(t.Context(), w.env, user, "paid", nil); err != nil {
					t.Fatal(err)
				}
			}
			w.exec(c.spoil)
			w.clock.add(10 * time.Second)
			w.drain()
			runs := w.runs(a.Trigger.ID)
			log := runs["u1"].Log
			if last := log[len(log)-1]; runs["u1"].Status != Failed || last.Reason != c.reason || last.Detail == "" {
				t.Errorf("u1: %+v", runs["u1"])
			}
			expect(t, "messages", w.bodies(a.Trigger.ID), map[string][]string{"u0": {"x"}, "u2": {"x"}})
			expect(t, "errors counted", w.Stats().Errors, 0)
			for _, table := range []string{"signals", "waits"} {
				expect(t, table, one[int](w, `SELECT count(*) FROM `+table), 0)
			}
			expect(t, "open batches", one[int](w, `SELECT count(*) FROM batches WHERE close_at IS NOT NULL`), 0)
		})
	}
}

// Nobody knows whom else such a trigger is for; the ones that it names are told, and other triggers go on.
func TestSourcesThatCannotBeReadHoldUpNobody(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"the sources":         `UPDATE triggers SET sources = '[{"until": "x"}]' WHERE id = $1`,
		"what isn't a list":   `UPDATE triggers SET sources = '{}' WHERE id = $1`,
		"how far it has read": `UPDATE fan_outs SET cursor = '[]' WHERE trigger_id = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.subscribers(3)
			w.workflow("w", step("a", "", "x"))
			bad, good := w.triggerProject("w", refer(0, 1)...), w.triggerProject("w")
			w.exec(spoil, bad)
			w.drain()
			expect(t, "told by the bad one", w.bodies(bad), map[string][]string{"u0": {"x"}})
			expect(t, "runs of the good one", len(w.runs(good)), 4)
			expect(t, "errors counted", w.Stats().Errors, 0)
			expect(t, "fan-outs", one[int](w, openFanOuts), 0)
			p, err := w.Progress(t.Context(), w.env, bad)
			if err != nil || *p != (Progress{Recipients: 2, Done: 2}) {
				t.Errorf("progress: %+v, %v", p, err)
			}
		})
	}
}

func TestARunWhoseStateCannotBeReadCanBeCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", workflow.Step{Ref: "wait", Delay: &workflow.Delay{Window: within(10)}})
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 2), CancellationKey: "k"})
	w.drain()
	w.exec(`UPDATE runs SET state = '[]' WHERE recipient_id = (SELECT min(recipient_id) FROM runs)`)
	out, err := w.Cancel(t.Context(), w.env, "w", "k", nil)
	if err != nil || out.Cancelled != 2 {
		t.Errorf("cancel = %+v, %v", out, err)
	}
}

func TestAScheduleThatCannotBeReadStopsAlone(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{"data": `UPDATE schedules SET data = '[]' WHERE id = $1`, "rules": `UPDATE schedules SET rules = '{}' WHERE id = $1`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newScheduleWorld(t)
			w.users(2)
			input := ScheduleInput{Workflow: "w", Recipient: Party{Ref: belfry.User("u0")}, Rules: []calendar.Rule{daily(9, 0)}}
			bad, good := w.schedule(input), w.schedule(input)
			w.exec(spoil, bad.ID)
			w.clock.set(*bad.NextAt)
			if n, err := w.fireDue(t.Context(), false); n != 2 || err != nil {
				t.Fatalf("fireDue = %d, %v", n, err)
			}
			if s := w.read(good.ID); s.NextAt == nil || s.LastAt == nil {
				t.Errorf("the other: %+v", s)
			}
			if s := w.read(bad.ID); s.NextAt != nil || s.LastAt != nil {
				t.Errorf("the one that can't be read: %+v", s)
			}
			expect(t, "due again", w.due(), 0)
		})
	}
}
