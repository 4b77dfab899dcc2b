package engine

import (
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// Event is something that happened to a recipient, as waiting runs learn of it and as conditions see it: event.data.total.
type Event struct {
	Type workflow.EventType `json:"type"`
	Name string             `json:"name"`
	At   time.Time          `json:"at"`
	// Messages: which one. All is set when everything up to Seq was marked at once, Some besides if a filter left out a part:
	// which, the status of the message tells.
	Channel  string         `json:"channel,omitempty"`
	Seq      int64          `json:"seq,omitempty"`
	All      bool           `json:"all,omitempty"`
	Some     bool           `json:"some,omitempty"`
	Workflow string         `json:"workflow,omitempty"` // key, for messages and workflows
	Step     string         `json:"step,omitempty"`     // ref, for messages
	Data     map[string]any `json:"data,omitempty"`     // of a custom event
}

// scope is what conditions see.
func (e *Event) scope() map[string]any {
	out := map[string]any{"type": string(e.Type), "name": e.Name, "timestamp": e.At.Format(time.RFC3339Nano), "data": e.Data}
	if e.Workflow != "" {
		out["workflow"] = e.Workflow
	}
	if e.Step != "" {
		out["step"] = e.Step
	}
	for k, v := range e.Data {
		if _, reserved := out[k]; !reserved {
			out[k] = v
		}
	}
	return out
}

// waitForEvent lets the run wait for the first event that matches, or for its deadline.
func (c *course) waitForEvent(op *workflow.Op) flow {
	spec, w := op.Wait, c.woken()
	if w == nil {
		due := spec.Deadline(c.now, c.zone()).UTC()
		c.state.Since, c.state.Until = c.now, due
		return c.waiting(&wait{kind: waitEvent, due: due, event: &spec.Event}, LogEntry{Step: op.Step, Detail: string(spec.Event.Type) + " " + spec.Event.Name})
	}
	for _, s := range w.signals {
		if s.Event != nil && c.matches(spec, s.Event) {
			yes := true
			c.refer(op.Step, &Ref{Matched: &yes, Signal: s.Event.scope()})
			entry := LogEntry{Step: op.Step, Outcome: OutcomeMatched}
			c.note(entry)
			if spec.HaltOnMatch {
				return c.halt(LogEntry{Step: op.Step, Reason: "matched"})
			}
			return forward
		}
	}
	if c.now.Before(c.state.Until) {
		return c.stayWaiting(&wait{kind: waitEvent, due: c.state.Until, event: &spec.Event})
	}
	no := false
	c.refer(op.Step, &Ref{Matched: &no})
	c.note(LogEntry{Step: op.Step, Outcome: OutcomeTimedOut})
	if spec.HaltOnTimeout {
		return c.halt(LogEntry{Step: op.Step, Reason: "timed_out"})
	}
	return forward
}

// isSo says whether what an event is called has happened to a message.
func (c *course) isSo(id belfry.MessageID, name string) bool {
	status, known := c.statuses[id]
	return known && changed(status, name) == status
}

// matches says whether an event is the one that is waited for. One that happened before the wait began, or after its
// deadline, is none.
func (c *course) matches(spec *workflow.WaitSpec, e *Event) bool {
	want := &spec.Event
	if e.Type != want.Type || e.Name != want.Name || e.At.Before(c.state.Since) || e.At.After(c.state.Until) {
		return false
	}
	if want.Workflow != "" && e.Workflow != want.Workflow {
		return false
	}
	if want.Step != "" {
		ref := c.state.Refs[want.Step]
		if ref == nil || ref.Seq == 0 || ref.Channel != e.Channel || ref.Seq != e.Seq && !(e.All && ref.Seq <= e.Seq) {
			return false
		}
		if id, _ := ref.message(c.recipient); e.Some && !c.isSo(id, e.Name) {
			return false
		}
	}
	if spec.Condition == nil {
		return true
	}
	c.scope["event"] = e.scope()
	ok, _ := c.holds("", spec.Condition)
	delete(c.scope, "event")
	return ok
}
