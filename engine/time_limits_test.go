package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// slow is a value that takes its time when somebody wants it as JSON.
type slow time.Duration

func (s slow) MarshalJSON() ([]byte, error) {
	time.Sleep(time.Duration(s)) // in a bubble: no time passes
	return []byte("1"), nil
}

func TestRunsAreBoundedInTime(t *testing.T) {
	t.Parallel()
	p := compile(t, workflow.Step{Ref: "set", UpdateData: &workflow.UpdateData{Data: map[string]any{"y": 1}}}, step("a", "", "x"))
	for took, want := range map[time.Duration]Status{maxRunTime - 1: Done, maxRunTime + 1: Failed} {
		synctest.Test(t, func(t *testing.T) {
			data := map[string]any{"x": slow(took)}
			r := &run{trigger: &trigger{active: true, data: data}, version: &version{program: p}, scope: Scope{"data": data, "recipient": somebody}}
			r.advanceFor(t.Context(), maxRunTime, epoch)
			if r.status != want || want == Failed && r.log[len(r.log)-1].Reason != "timeout" {
				t.Errorf("after %v: %s %+v", took, r.status, r.log)
			}
		})
	}
}

func TestTestRunsAreBoundedInTime(t *testing.T) {
	t.Parallel()
	for took, late := range map[time.Duration]bool{maxTestTime - 1: false, maxTestTime: true, maxTestTime + 1: true} {
		synctest.Test(t, func(t *testing.T) {
			err := inTestTime(t.Context(), func(ctx context.Context) error {
				time.Sleep(took)
				synctest.Wait() // for the timer of the same instant
				return ctx.Err()
			})
			if late {
				expectError(t, err, belfry.Invalid, "", 0)
			} else if err != nil {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
}

func TestActorsOfABatchAtTheirLimit(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{maxActors: maxActors, maxActors + 1: maxActors} {
		s, people := &summary{}, map[belfry.RecipientID]*belfry.Recipient{}
		for id := range belfry.RecipientID(n) {
			people[id+1] = &belfry.Recipient{ID: id + 1}
			for range 2 { // each once, however often
				s.activities = append(s.activities, activity{actorID: id + 1})
			}
		}
		s.introduce(people)
		if len(s.actors) != want || s.actors[0].ID != 1 {
			t.Errorf("of %d actors %d are shown, want %d", n, len(s.actors), want)
		}
		for i := range s.activities {
			if s.activities[i].actor == nil {
				t.Errorf("activity %d has no actor: that of each is shown with it", i)
			}
		}
	}
}

// However a run is woken, its delay is over when it is over.
func TestADelayIsNotCutShort(t *testing.T) {
	t.Parallel()
	p := compile(t, workflow.Step{Ref: "wait", Delay: &workflow.Delay{Window: within(30)}}, step("a", "", "x"))
	d := advance(t.Context(), p, Scope{"recipient": somebody}, epoch)
	for after, want := range map[time.Duration]Status{30*time.Second - 1: Waiting, 30 * time.Second: Done} {
		c := course{ctx: t.Context(), program: p, version: &version{}, trigger: &trigger{}, scope: Scope{"recipient": somebody}, now: epoch.Add(after), wake: &wake{}, decision: decision{state: d.state}}
		if c.advance(); c.status != want || want == Waiting && (len(c.log) != 0 || !c.wait.due.Equal(epoch.Add(30*time.Second))) {
			t.Errorf("after %v: %s %+v", after, c.status, c.log)
		}
	}
}
