package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry/workflow"
)

// oracle says what a workflow does, in the simplest way that there is: it walks the tree of steps as it is written, in
// memory, knowing neither programs nor transactions nor rows. It knows in-app steps, delays, batches, throttles and
// branches, durations in seconds, and the few conditions of the model check.
//
// Only in one thing it follows the engine: everything there is to do at an instant is done together. Batches that are due
// close first. Then the runs go on, older triggers first and new runs behind those that waited; a run that needs what it
// shares with others stops for that, and all who stopped are answered together, throttles before batches.
type oracle struct {
	now       time.Time
	versions  []*workflow.Definition // by number, from 1
	inactive  bool
	runs      []*oracleRun // in the order of acceptance
	batches   []*oracleBatch
	throttles map[string]*oracleThrottle
	had       map[string]bool // the workflow, by user
	sent      []string
}

// oracleRun is what becomes of a trigger for one user.
type oracleRun struct {
	trigger   int
	user      string
	key       string // cancellation
	skipDelay bool
	low       bool // priority

	status    Status // empty: not begun
	tombstone bool
	version   int
	frames    []oracleFrame
	data      map[string]any
	gathered  []map[string]any // the activities that templates see; nil: there was no batch
	total     int
	due       time.Time // of a delay
	batch     *oracleBatch
	activity  *oracleActivity // that it is, in a batch
	closing   bool
	asks      bool // at a throttle or batch, or whether it is the first
	entered   bool
}

// oracleFrame is a place in a list of steps. The frames of branches lie above that of the list that they are in.
type oracleFrame struct {
	steps      []workflow.Step
	next       int
	terminates bool
}

type oracleBatch struct {
	user, step, key string
	version         int // 0: any
	carrier         *oracleRun
	activities      []*oracleActivity
	items           int
	closes, last    time.Time
	length          time.Duration
	full, closed    bool
}

type oracleActivity struct {
	batch *oracleBatch
	data  map[string]any
}

type oracleThrottle struct {
	passed int
	closes time.Time
}

// trigger accepts a trigger for users, with the newest version.
func (o *oracle) trigger(n int, users []string, r *Request) {
	for _, user := range users {
		o.runs = append(o.runs, &oracleRun{trigger: n, user: user, key: r.CancellationKey, skipDelay: r.SkipDelay, low: r.Priority == Low,
			version: len(o.versions), data: r.Data})
	}
}

// cancel returns what Cancel should.
func (o *oracle) cancel(key string, users []string) (out CancelResult) {
	for _, r := range o.runs {
		if r.key != key || users != nil && !slices.Contains(users, r.user) {
			continue
		}
		a := r.activity
		there := a != nil && !a.batch.closed && slices.Contains(a.batch.activities, a)
		switch {
		case r.status == "":
			if !r.tombstone {
				r.tombstone = true
				out.Cancelled++
			}
		case there:
			a.batch.activities = slices.DeleteFunc(a.batch.activities, func(b *oracleActivity) bool { return a == b })
			out.Cancelled++
		case r.status != Waiting:
			out.AlreadyFinished++
		case a == nil || a.batch.closed:
			r.status = Cancelled
			out.Cancelled++
		}
	}
	return out
}

// drain does everything there is to do now.
func (o *oracle) drain() {
	for o.turn() {
	}
}

// turn does what can be done together. It reports whether there was anything.
func (o *oracle) turn() (worked bool) {
	for _, b := range o.batches {
		if !b.closed && !b.closes.After(o.now) {
			b.closed, worked = true, true
			if b.carrier != nil {
				b.carrier.closing = true
			}
		}
	}
	var going []*oracleRun
	for _, r := range o.runs {
		if r.closing || r.status == Waiting && !r.due.IsZero() && !r.due.After(o.now) {
			going = append(going, r)
		}
	}
	for _, low := range []bool{false, true} {
		for _, r := range o.runs {
			if r.status == "" && r.low == low {
				r.frames = []oracleFrame{{steps: o.versions[r.version-1].Steps}}
				going = append(going, r)
			}
		}
	}
	worked = worked || len(going) > 0
	going = slices.DeleteFunc(going, func(r *oracleRun) bool { return !o.wake(r) })
	for len(going) > 0 {
		for _, r := range going {
			o.walk(r)
		}
		going = slices.DeleteFunc(going, func(r *oracleRun) bool { return !r.asks })
		o.answer(going)
		going = slices.DeleteFunc(going, func(r *oracleRun) bool { return r.status == Waiting })
	}
	return worked
}

// wake lets a run begin or go on, unless that makes no sense any more.
func (o *oracle) wake(r *oracleRun) bool {
	closing := r.closing
	r.due, r.closing = time.Time{}, false
	if r.tombstone || o.inactive {
		r.status = Cancelled
		return false
	}
	if closing {
		return o.close(r)
	}
	return true
}

// close goes on with what a batch gathered, in the newest version that still has it.
func (o *oracle) close(r *oracleRun) bool {
	b := r.batch
	newest := len(o.versions)
	if frames := findStep(o.versions[newest-1].Steps, b.step); frames != nil && r.step().Batch.VersionMode != workflow.Pinned {
		place := &frames[len(frames)-1]
		if s := place.steps[place.next]; s.Batch != nil && s.Batch.VersionMode != workflow.Pinned {
			r.version, r.frames = newest, frames
		}
	}
	r.activity = nil
	if r.total = len(b.activities); r.total == 0 {
		r.status = Cancelled
		return false
	}
	spec := r.step().Batch
	shown, most := b.activities, spec.RenderLimit
	if most == 0 {
		most = 10
	}
	if len(shown) > most {
		if spec.Order == workflow.LastActivities {
			shown = shown[len(shown)-most:]
		} else {
			shown = shown[:most]
		}
	}
	r.data, r.gathered = map[string]any{}, []map[string]any{}
	for _, a := range shown {
		r.gathered = append(r.gathered, a.data)
		for k, v := range a.data {
			r.data[k] = v
		}
	}
	r.top().next++
	return true
}

// findStep is the way to a step; nil if there is none.
func findStep(steps []workflow.Step, ref string) []oracleFrame {
	for i := range steps {
		if steps[i].Ref == ref {
			return []oracleFrame{{steps: steps, next: i}}
		}
		for _, p := range paths(&steps[i]) {
			if inner := findStep(p.Steps, ref); inner != nil {
				inner[0].terminates = p.Terminates
				return append([]oracleFrame{{steps: steps, next: i + 1}}, inner...)
			}
		}
	}
	return nil
}

func paths(s *workflow.Step) []workflow.BranchPath {
	if s.Branch == nil {
		return nil
	}
	return append(slices.Clone(s.Branch.Branches), s.Branch.Default)
}

func (r *oracleRun) top() *oracleFrame { return &r.frames[len(r.frames)-1] }

func (r *oracleRun) step() *workflow.Step { return &r.top().steps[r.top().next] }

// walk goes from step to step, until the run waits, has ended, or asks.
func (o *oracle) walk(r *oracleRun) {
	r.status, r.asks = Done, false
	if !r.entered {
		d := o.versions[r.version-1]
		if !r.holds(d.Condition) {
			return
		}
		if d.Frequency == workflow.OncePerRecipient {
			r.asks = true
			return
		}
		r.entered = true
	}
	for len(r.frames) > 0 {
		if f := r.top(); f.next == len(f.steps) {
			if r.frames = r.frames[:len(r.frames)-1]; f.terminates {
				return
			}
			continue
		}
		s := r.step()
		if s.Branch == nil && !r.holds(s.Condition) {
			r.top().next++
			continue
		}
		switch {
		case s.Batch != nil || s.Throttle != nil:
			r.asks = true
			return
		case s.InApp != nil:
			o.send(r, s)
		case s.Branch != nil:
			r.top().next++
			for _, p := range paths(s) {
				if r.holds(p.Condition) {
					r.frames = append(r.frames, oracleFrame{steps: p.Steps, terminates: p.Terminates})
					break
				}
			}
			continue
		case s.Delay != nil && !r.skipDelay:
			r.status, r.due = Waiting, o.now.Add(seconds(s.Delay.For))
			r.top().next++
			return
		}
		r.top().next++
	}
}

// holds knows conditions that compare two numbers.
func (r *oracleRun) holds(condition string) bool {
	if condition == "" {
		return true
	}
	variable, operator, argument := "", "", 0
	if _, err := fmt.Sscan(condition, &variable, &operator, &argument); err != nil {
		panic(err)
	}
	value, _ := r.data[strings.TrimPrefix(variable, "data.")].(int)
	if variable == "run.total_activities" {
		value = r.sum()
	}
	return operator == ">" && value > argument || operator == "==" && value == argument
}

func (r *oracleRun) sum() int {
	if r.gathered == nil {
		return 1
	}
	return r.total
}

// send writes down what modelBody says.
func (o *oracle) send(r *oracleRun, s *workflow.Step) {
	gathered := r.gathered
	if gathered == nil {
		gathered = []map[string]any{r.data}
	}
	list := ""
	for _, a := range gathered {
		list += fmt.Sprintf("%v ", a["n"])
	}
	o.sent = append(o.sent, fmt.Sprintf("sent %d %s %s at %d: v%d k%v n%v of %d: %s", r.trigger, r.user, s.Ref, o.now.Sub(epoch).Milliseconds(),
		r.version, r.data["k"], r.data["n"], r.sum(), list))
}

// answer answers the runs that share something with others.
func (o *oracle) answer(asking []*oracleRun) {
	for _, r := range asking {
		if !r.entered {
			if r.entered = !o.had[r.user]; !r.entered {
				r.status, r.asks, r.frames = Done, false, nil
				r.entered = true
			}
			o.had[r.user] = true
			r.asks = false
		}
	}
	for _, r := range asking {
		if len(r.frames) > 0 && r.asks && r.step().Throttle != nil {
			o.throttle(r)
		}
	}
	for _, r := range asking {
		if len(r.frames) > 0 && r.asks && r.step().Batch != nil {
			o.join(r)
		}
	}
}
