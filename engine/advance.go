package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// Status is the state that a run reached.
type Status string

const (
	Done   Status = "done"   // went through its program
	Failed Status = "failed" // a step could not be done; the log says which and why
)

// Outcome is what became of a step.
type Outcome string

const (
	OutcomeSent    Outcome = "sent"
	OutcomeSkipped Outcome = "skipped"
	OutcomeFailed  Outcome = "failed"
)

// LogEntry says what happened at a step, and why. Runs store them as JSON in this shape.
type LogEntry struct {
	Step    string  `json:"step,omitempty"` // empty if it is about the run as a whole
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // a stable word: condition, condition_error, template_error, …
	Detail  string  `json:"detail,omitempty"` // for people
}

// effect is what a run wants done: a message, so far.
type effect struct {
	step    string
	channel string
	content belfry.Content
}

// decision is what a run decided.
type decision struct {
	status  Status
	effects []effect
	size    int // about how many bytes the effects take
	log     []LogEntry
}

// advance takes a run through its program, as far as it gets at an instant. It is pure, except that the run fails when
// ctx ends. A panic fails the run.
func advance(ctx context.Context, p *workflow.Program, scope Scope, now time.Time) (d decision) {
	step := ""
	defer func() {
		if r := recover(); r != nil {
			d.fail(step, "panic", fmt.Sprint(r))
		}
	}()
	for pc := 0; pc < len(p.Ops); pc++ {
		op := &p.Ops[pc]
		step = op.Step
		if ctx.Err() != nil {
			d.fail(step, reasonOf(ctx), ctx.Err().Error())
			return d
		}
		switch op.Kind {
		case workflow.Test:
			ok, err := op.Condition.Eval(scope, now)
			if err != nil { // counts as false, and never fails a run
				d.log = append(d.log, LogEntry{step, OutcomeSkipped, "condition_error", clip(err.Error())})
			} else if !ok {
				d.log = append(d.log, LogEntry{Step: step, Outcome: OutcomeSkipped, Reason: "condition"})
			}
			if !ok {
				pc = op.Else - 1
			}
		case workflow.SendInApp:
			rendered, err := op.InApp.Render(ctx, scope)
			if err != nil {
				d.fail(step, reasonOf(ctx), err.Error())
				return d
			}
			d.effects = append(d.effects, effect{step, op.InApp.Channel, rendered.Content})
			d.size += rendered.Size
			entry := LogEntry{Step: step, Outcome: OutcomeSent}
			if len(rendered.Warnings) > 0 {
				entry.Reason, entry.Detail = "warning", clip(strings.Join(rendered.Warnings, "; "))
			}
			d.log = append(d.log, entry)
		default:
			d.fail(step, "unknown_operation", fmt.Sprintf("operation %d", op.Kind))
			return d
		}
	}
	d.status = Done
	return d
}

// reasonOf tells a step that failed by itself from one that was stopped.
func reasonOf(ctx context.Context) string {
	if ctx.Err() != nil {
		return "timeout"
	}
	return "template_error"
}

// fail stops the run at a step. What it decided before stands.
func (d *decision) fail(step, reason, detail string) {
	d.status = Failed
	d.log = append(d.log, LogEntry{step, OutcomeFailed, reason, clip(detail)})
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
