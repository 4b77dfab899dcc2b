package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
	"github.com/belfryhq/belfry/workflow/condition"
)

// course is one run on its way through its program, as far as it gets at an instant. It is pure: no I/O, no clock, no
// randomness. What it can't decide alone it asks for, and goes on with the answer.
type course struct {
	ctx     context.Context
	program *workflow.Program
	version *version // that it follows
	trigger *trigger // that it belongs to
	scope   Scope    // its own
	reach   reach    // of its recipient
	now     time.Time

	preferences recipient.PreferenceSets // what its recipient wants to be told
	decided     decisions                // that runs decided before which may want the same; nil: none, and none are remembered
	recipient   belfry.RecipientID
	links       *recipient.Links // makes those to its recipient's preferences; nil: they can't be made
	firstData   map[string]any   // of the batch that it carries; nil: there is none

	statuses map[belfry.MessageID]belfry.MessageStatus // of the messages that the run sent before, as far as they were asked for

	wake   *wake // why a waiting run goes on; nil: it doesn't wait, or its wait has been dealt with
	answer any   // to the question that it stopped with

	decision
}

// decision is what a run decided.
type decision struct {
	status  Status // empty while it asks
	state   State
	wait    *wait // Waiting: for what
	ask     any   // question to the database, one of the *…Question types
	effects []effect
	fetch   *belfry.Request // to be made while it waits
	log     []LogEntry
	size    int  // about how many bytes all that takes
	own     bool // it changed somebody in its scope: it no longer sees what all runs of its trigger see
}

// effect is a message to be sent.
type effect struct {
	step    string
	message *workflow.MessageTemplate
	content belfry.Content
	sendAt  time.Time
	entry   int // of the log
}

// wait says what a run waits for.
type wait struct {
	kind  string    // delay, batch, fetch, event
	due   time.Time // zero: something else wakes it
	event *workflow.WaitEvent
}

// wake says why a waiting run goes on.
type wake struct {
	signals []signal
	batch   *summary // the batch that closed
}

// flow says what comes after an operation.
type flow int

const (
	forward flow = iota // the next operation
	jumped              // state.PC has been set
	stopped             // the run waits, asks or has ended
)

// advance takes the run through its program. A panic fails it.
func (c *course) advance() {
	step := ""
	defer func() {
		if r := recover(); r != nil {
			c.fail(step, "panic", fmt.Sprint(r))
		}
	}()
	if c.state.PC == 0 && !c.state.Started && c.enter() == stopped {
		return
	}
	for c.state.PC < len(c.program.Ops) {
		op := &c.program.Ops[c.state.PC]
		step = op.Step
		if c.ctx.Err() != nil {
			c.fail(step, "timeout", c.ctx.Err().Error())
			return
		}
		switch c.do(op) {
		case forward:
			c.state.PC++
		case stopped:
			return
		}
	}
	c.status = Done
}

// do does one operation. Operations don't loop: jumps lead forward only.
func (c *course) do(op *workflow.Op) flow {
	switch op.Kind {
	case workflow.OpTest:
		return c.test(op)
	case workflow.OpSend:
		return c.send(op)
	case workflow.OpDelay:
		return c.delay(op)
	case workflow.OpBatch:
		return c.batch(op)
	case workflow.OpThrottle:
		return c.throttle(op)
	case workflow.OpBranch:
		return c.branch(op)
	case workflow.OpCohort:
		return c.cohort(op)
	case workflow.OpJump:
		return c.jump(op.To)
	case workflow.OpEnd:
		c.status = Done
		return stopped
	case workflow.OpFetch:
		return c.fetchStep(op)
	case workflow.OpWait:
		return c.waitForEvent(op)
	case workflow.OpStart:
		return c.triggerWorkflow(op)
	case workflow.OpUpdateData:
		return c.updateData(op)
	case workflow.OpUpdateRecipient:
		return c.updateRecipient(op)
	}
	return c.fail(op.Step, "unknown_operation", fmt.Sprintf("operation %d", op.Kind))
}

// enter decides whether there is a run at all: by the condition of the trigger and by how often the workflow may run.
func (c *course) enter() flow {
	first, answered := c.answer.(*firstAnswer)
	if !answered {
		if cond := c.program.Condition; cond != nil {
			if ok, entry := c.holds("", cond); !ok {
				return c.halt(entry)
			}
		}
		if f := c.program.Frequency; f == workflow.OncePerRecipient || f == workflow.OncePerRecipientAndTenant {
			return c.question(&firstQuestion{perTenant: f == workflow.OncePerRecipientAndTenant})
		}
	} else if c.answer = nil; !first.first {
		return c.halt(LogEntry{Outcome: OutcomeHalted, Reason: "frequency", Detail: "the recipient has had this workflow"})
	}
	c.state.Started = true
	return forward
}

// test goes on with the step if its condition is true.
func (c *course) test(op *workflow.Op) flow {
	ok, entry := c.holds(op.Step, op.Condition)
	if ok {
		return forward
	}
	c.skip(entry)
	return c.jump(op.To)
}

// holds evaluates a condition. One that can't be evaluated counts as false, and never fails a run. The entry says why it
// is false.
func (c *course) holds(step string, cond *condition.Condition) (bool, LogEntry) {
	ok, err := cond.Eval(c.scope, c.now)
	if err != nil {
		return false, LogEntry{Step: step, Outcome: OutcomeSkipped, Reason: "condition_error", Detail: clip(err.Error())}
	}
	if ok {
		return true, LogEntry{}
	}
	return false, LogEntry{Step: step, Outcome: OutcomeSkipped, Reason: "condition", Conditions: cond.Explain(c.scope, c.now)}
}

func (c *course) jump(to int) flow {
	c.state.PC = to
	return jumped
}

// note adds to the log.
func (c *course) note(e LogEntry) {
	e.Detail = clip(e.Detail)
	c.log = append(c.log, e)
	c.size += 64 + len(e.Detail) + 128*len(e.Preferences)
}

// skip notes that a step didn't happen. Its ref is known as skipped from then on.
func (c *course) skip(e LogEntry) flow {
	e.Outcome = OutcomeSkipped
	c.note(e)
	c.refer(e.Step, &Ref{Skipped: true})
	return forward
}

// halt ends the run as done, before the end of its program.
func (c *course) halt(e LogEntry) flow {
	e.Outcome = OutcomeHalted
	c.note(e)
	c.status = Done
	return stopped
}

// invalid deals with a window or key that makes no sense for this run, as the author chose.
func (c *course) invalid(step, reason string, err error, halt bool) flow {
	e := LogEntry{Step: step, Reason: reason, Detail: err.Error()}
	if halt {
		return c.halt(e)
	}
	return c.skip(e)
}

// question stops the run until the database has answered.
func (c *course) question(q any) flow {
	c.ask = q
	return stopped
}

// waiting stops the run until it is due, or something wakes it.
func (c *course) waiting(w *wait, e LogEntry) flow {
	if !w.due.IsZero() {
		e.Until = &w.due
	}
	e.Outcome = OutcomeWaiting
	c.note(e)
	c.status, c.wait = Waiting, w
	return stopped
}

// woken returns why the run goes on, once.
func (c *course) woken() *wake {
	w := c.wake
	c.wake = nil
	return w
}

// zone is the recipient's.
func (c *course) zone() *time.Location {
	person, _ := c.scope["recipient"].(map[string]any)
	name, _ := person["timezone"].(string)
	zone, _ := calendar.Zone(name)
	return zone
}

// refer remembers what became of a step, for conditions on refs.
func (c *course) refer(step string, r *Ref) {
	if step == "" || !c.program.SeesRefs {
		return
	}
	if c.state.Refs == nil {
		c.state.Refs = make(map[string]*Ref)
	}
	c.state.Refs[step] = r
	c.scope.refer(step, r.scope(nil))
}

// setData replaces the run's data. The trigger's stay as they are: other runs share them.
func (c *course) setData(data map[string]any) {
	c.state.Data = data
	c.scope["data"] = data
}

func (c *course) data() map[string]any {
	data, _ := c.scope["data"].(map[string]any)
	return data
}

// fail ends the run at a step. What it decided before stands.
func (c *course) fail(step, reason, detail string) flow {
	c.decision.fail(step, reason, detail)
	return stopped
}

func (d *decision) fail(step, reason, detail string) {
	d.status, d.ask, d.wait, d.fetch = Failed, nil, nil, nil
	d.log = append(d.log, LogEntry{Step: step, Outcome: OutcomeFailed, Reason: reason, Detail: clip(detail)})
}

// failed tells a template that failed by itself from one that was stopped.
func (c *course) failed(step string, err error) flow {
	if c.ctx.Err() != nil {
		return c.fail(step, "timeout", err.Error())
	}
	return c.fail(step, "template_error", err.Error())
}

// maxDetail bounds what the log says about a step, in bytes.
const maxDetail = 1024

// clip makes a detail storable: short, and without what PostgreSQL refuses.
func clip(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}
