package engine

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// runsOf counts runs of an environment.
func (w *world) runsOf(env belfry.EnvironmentID) int {
	w.t.Helper()
	return one[int](w, `SELECT count(*) FROM runs WHERE environment_id = $1`, env)
}

// A flood of one environment must not keep another waiting: it has its turn in the very next batch.
func TestAFloodDoesNotStarveOtherEnvironments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize = 40 })
	flood := w.env
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	for range 300 {
		w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	}
	worker := &worker{engine: w.Engine, rows: 40, bulkRows: 1}
	if _, err := worker.work(t.Context()); err != nil {
		t.Fatal(err)
	}
	quiet := w.environment("quiet")
	w.env = quiet
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	for range 30 {
		w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	}
	before := w.runsOf(flood)
	worker.floors = floors{} // the new environment is seen
	for range 2 {
		if _, err := worker.work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.runsOf(quiet); n != 30 {
		t.Errorf("after two batches the quiet environment has %d runs, want all 30", n)
	}
	if n := w.runsOf(flood) - before; n < 40 {
		t.Errorf("the flood went on by %d runs, want the rest of both batches", n)
	}
}

// A nimble worker has its hands free for single triggers as long as there are any; then it helps with the bulk.
func TestNimbleWorkersLeaveBulkToOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2 * bulkSize)
	w.workflow("w", step("a", "", "x"))
	bulk := w.trigger(Request{Workflow: "w", Recipients: refer(0, 2*bulkSize)})
	single := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	nimble := &worker{engine: w.Engine, rows: 10, bulkRows: 10, nimble: true}
	runs := func(id uuid.UUID) int { return one[int](w, `SELECT count(*) FROM runs WHERE trigger_id = $1`, id) }
	w.lastSmall.Store(time.Now().Add(time.Hour).UnixNano()) // there is, and will be, other work
	if n, err := nimble.work(t.Context()); err != nil || n != 1 || runs(single.Trigger.ID) != 1 {
		t.Errorf("beside other work: %d, %v", n, err)
	}
	if n, err := nimble.work(t.Context()); err != nil || n != 0 || runs(bulk.Trigger.ID) != 0 {
		t.Errorf("when that is done: %d, %v", n, err)
	}
	w.lastSmall.Store(0)
	if n, err := nimble.work(t.Context()); err != nil || n != 2*bulkSize {
		t.Errorf("a while later: %d, %v", n, err)
	}
}

// The same for what is due: an environment whose million delays end at once leaves room for another's.
func TestDueRunsOfEnvironmentsTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize = 40 })
	for _, key := range []string{"", "quiet"} {
		if key != "" {
			w.env = w.environment(key)
		}
		w.users(1)
		w.workflow("w", delayStep("d", 60), step("a", "", "x"))
		for range 100 {
			w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
		}
	}
	w.drain()
	w.clock.add(time.Hour)
	if _, err := (&worker{engine: w.Engine, rows: 1, bulkRows: 1}).work(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, "of the second environment", one[int](w, `SELECT count(*) FROM runs WHERE environment_id = $1 AND status = 'done'`, w.env), 10)
	expect(t, "of both", one[int](w, `SELECT count(*) FROM runs WHERE status = 'done'`), 20)
}

// While a trigger for a thousand is worked on, one for a single person, and one of high priority, go first.
func TestBulkWorkLetsOthersPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(MaxRecipients)
	w.workflow("w", step("a", "", "x"))
	bulk := w.trigger(Request{Workflow: "w", Recipients: refer(0, MaxRecipients)})
	w.clock.add(time.Second) // ids of the same instant have no order
	low := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1), Priority: Low})
	single := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	high := w.trigger(Request{Workflow: "w", Recipients: refer(0, MaxRecipients/10), Priority: High})
	if _, err := (&worker{engine: w.Engine, rows: 1, bulkRows: 1}).work(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		trigger *Accepted
		want    int
	}{"bulk, a little": {bulk, bulkBesideOthers}, "low": {low, 0}, "single": {single, 1}, "high": {high, MaxRecipients / 10}} {
		if n := len(w.runs(c.trigger.Trigger.ID)); n != c.want {
			t.Errorf("%s: %d runs in the first batch, want %d", name, n, c.want)
		}
	}
	w.drain()
	w.expectExactlyOnce(MaxRecipients+MaxRecipients/10+2, 1)
}

// Whatever is claimed: no more than the limit is taken, nothing twice, nothing out of the order of its own fan-out; as
// long as there is work the batch is full; and of two environments with enough work in a lane neither gets more than the
// other.
func TestShareIsFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var found []*fanOut
		for l := range lane(lanes) {
			for range rapid.IntRange(0, 6).Draw(t, "fan-outs") {
				n := rapid.IntRange(1, 40).Draw(t, "recipients")
				f := &fanOut{lane: l, remaining: n, trigger: &trigger{id: uuid.New(), env: belfry.EnvironmentID(rapid.IntRange(1, 3).Draw(t, "environment"))}}
				for i := range n {
					f.recipients = append(f.recipients, belfry.RecipientID(i))
				}
				found = append(found, f)
			}
		}
		limit, busy := rapid.IntRange(1, 120).Draw(t, "limit"), rapid.Bool().Draw(t, "busy")
		total, wanted := 0, map[lane]map[belfry.EnvironmentID]int{}
		for _, f := range found {
			total += f.remaining
			if wanted[f.lane] == nil {
				wanted[f.lane] = map[belfry.EnvironmentID]int{}
			}
			wanted[f.lane][f.trigger.env] += f.remaining
		}
		c := &claim{}
		more := c.share(found, limit, busy)
		taken, got := 0, map[lane]map[belfry.EnvironmentID]int{}
		for _, f := range c.fanOuts {
			for i, id := range f.recipients[:f.planned] {
				if int(id) != i {
					t.Fatalf("recipient %d at %d", id, i)
				}
			}
			taken += f.planned
			if got[f.lane] == nil {
				got[f.lane] = map[belfry.EnvironmentID]int{}
			}
			got[f.lane][f.trigger.env] += f.planned
		}
		if taken > limit || taken != len(c.runs) {
			t.Fatalf("took %d, %d runs, of at most %d", taken, len(c.runs), limit)
		}
		if taken < min(limit, total) && !busy && len(wanted[laneBulk]) == 0 {
			t.Fatalf("took %d of %d, though %d were allowed", taken, total, limit)
		}
		if more != (taken < total) {
			t.Fatalf("more = %v after %d of %d", more, taken, total)
		}
		for l, envs := range wanted {
			for a := range envs {
				for b := range envs {
					if got[l][a] > got[l][b]+1 && got[l][b] < wanted[l][b] && got[l][a]-got[l][b] > len(envs) {
						t.Fatalf("lane %d: %v of %v", l, got[l], envs)
					}
				}
			}
		}
	})
}

// Floors begin where work is, and are found anew when the clock goes back.
func TestFloorsFollowTheOldestWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", delayStep("d", 600), step("a", "", "x"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	var f floors
	refresh := func() {
		t.Helper()
		f = floors{}
		if _, err := f.refresh(t.Context(), w.Engine, 0); err != nil {
			t.Fatal(err)
		}
	}
	refresh()
	expect(t, "a trigger that is new: others that are about as old may still be committed", f.lanes[laneNormal][0], firstID(epoch.Add(-floorsMargin)))
	w.clock.add(time.Minute)
	refresh()
	expect(t, "a trigger that is old", f.lanes[laneNormal][0], a.Trigger.ID)
	w.drain()
	refresh()
	expect(t, "nothing is due", f.due[0].UTC(), w.now().Add(-floorsMargin))
	expect(t, "no trigger", f.lanes[laneNormal][0], firstID(w.now().Add(-floorsMargin)))
	due := w.now().Add(600 * time.Second)
	w.clock.add(time.Hour)
	refresh()
	expect(t, "overdue", f.due[0].UTC(), due)
	w.clock.add(-2 * time.Hour)
	if fresh, err := f.refresh(t.Context(), w.Engine, time.Hour); err != nil || !fresh {
		t.Errorf("refresh after the clock went back: %v, %v", fresh, err)
	}
}

// delayStep waits for so many seconds.
func delayStep(ref string, seconds int) workflow.Step {
	return workflow.Step{Ref: ref, Delay: &workflow.Delay{Window: workflow.Window{For: &calendar.Duration{Unit: calendar.Seconds, Value: seconds}}}}
}
