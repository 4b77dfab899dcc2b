package workflow

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
	"github.com/belfryhq/belfry/workflow/condition"
)

// WaitForEvent lets a run wait until something happens to its recipient, or until it has waited long enough.
type WaitForEvent struct {
	Event WaitEvent `json:"event"`
	// The event counts only if its condition is true; it sees event besides the scope of the run.
	Condition  string             `json:"condition,omitempty"`
	Conditions json.RawMessage    `json:"conditions,omitempty"`
	Timeout    *calendar.Duration `json:"timeout,omitempty"`   // default 15 minutes
	OnMatch    OnEvent            `json:"onMatch,omitempty"`   // default CONTINUE
	OnTimeout  OnEvent            `json:"onTimeout,omitempty"` // default HALT
}

// WaitEvent says what to wait for.
type WaitEvent struct {
	Type EventType `json:"type"`
	// Name is, by type: what happened to the message (seen, read, interacted, archived, sent, delivered, …); started or
	// completed; updated; the name of a custom event.
	Name string `json:"name"`
	// Step is the ref of the step of this run whose message is meant; empty: any message, for type MESSAGE.
	Step     string `json:"step,omitempty"`
	Workflow string `json:"workflow,omitempty"` // key; for types MESSAGE and WORKFLOW
}

// EventType is what kind of thing an event happens to. Spelled as in GraphQL.
type EventType string

const (
	MessageEvent   EventType = "MESSAGE"
	WorkflowEvent  EventType = "WORKFLOW"
	RecipientEvent EventType = "RECIPIENT"
	CustomEvent    EventType = "CUSTOM"
)

// OnEvent says how a run goes on behind a wait. Spelled as in GraphQL.
type OnEvent string

const (
	Continue OnEvent = "CONTINUE"
	Stop     OnEvent = "HALT"
)

// MaxEventName bounds the name of a custom event, in characters.
const MaxEventName = 255

// defaultTimeout is how long a run waits if nobody says how long.
var defaultTimeout = calendar.Duration{Unit: calendar.Minutes, Value: 15}

// messageEvents are what can happen to a message, without the "message." of belfry.EventKind.
var messageEvents = func() []string {
	var names []string
	for _, kind := range []belfry.EventKind{belfry.MessageSent, belfry.MessageDelivered, belfry.MessageUndelivered, belfry.MessageBounced,
		belfry.MessageNotSent, belfry.Seen.Event(), belfry.Unseen.Event(), belfry.Read.Event(), belfry.Unread.Event(),
		belfry.Interacted.Event(), belfry.Archived.Event(), belfry.Unarchived.Event()} {
		names = append(names, strings.TrimPrefix(string(kind), "message."))
	}
	return names
}()

// WaitSpec is a compiled WaitForEvent.
type WaitSpec struct {
	Event         WaitEvent
	Condition     *condition.Condition // nil: any
	Timeout       calendar.Duration
	HaltOnMatch   bool
	HaltOnTimeout bool
}

func (c *compiler) wait(path string, s *Step) {
	w, path := s.WaitForEvent, path+".waitForEvent"
	spec := &WaitSpec{Event: w.Event, Timeout: defaultTimeout, HaltOnMatch: w.OnMatch == Stop, HaltOnTimeout: w.OnTimeout != Continue}
	c.event(path+".event", &w.Event)
	c.oneOf(path+".onMatch", string(w.OnMatch), "", string(Continue), string(Stop))
	c.oneOf(path+".onTimeout", string(w.OnTimeout), "", string(Continue), string(Stop))
	if w.Timeout != nil {
		c.duration(path+".timeout", w.Timeout, MaxWait)
		spec.Timeout = *w.Timeout
	}
	c.seesEvent = true
	spec.Condition = c.condition(path, w.Condition, w.Conditions)
	c.seesEvent = false
	required := w.Event.Type == WorkflowEvent && w.Event.Workflow == "" || w.Event.Type == MessageEvent && w.Event.Step == "" && w.Event.Workflow == ""
	if required && w.Condition == "" && !given(w.Conditions) {
		c.problemf(path, "say which one is meant: give a step or workflow of the event, or a condition")
	}
	c.emit(Op{Kind: OpWait, Step: s.Ref, Wait: spec})
}

func (c *compiler) event(path string, e *WaitEvent) {
	names := map[EventType][]string{MessageEvent: messageEvents, WorkflowEvent: {"started", "completed"}, RecipientEvent: {"updated"}}
	switch e.Type {
	case MessageEvent, WorkflowEvent, RecipientEvent:
		if !slices.Contains(names[e.Type], e.Name) {
			c.problemf(path+".name", "must be one of %s", strings.Join(names[e.Type], ", "))
		}
	case CustomEvent:
		c.name(path+".name", e.Name)
	default:
		c.problemf(path+".type", "must be MESSAGE, WORKFLOW, RECIPIENT or CUSTOM")
	}
	if e.Step != "" {
		if e.Type != MessageEvent || e.Workflow != "" {
			c.problemf(path+".step", "a step says which message of this run is meant: only for type MESSAGE, without workflow")
		}
		c.program.Refs, c.program.SeesRefs = append(c.program.Refs, e.Step), true // a message that was held back is known by two ids
		c.later = append(c.later, func() {
			if !c.sends[e.Step] {
				c.problemf(path+".step", "no channel step has the ref %q", e.Step)
			}
		})
	}
	if e.Workflow != "" {
		if e.Type != MessageEvent && e.Type != WorkflowEvent {
			c.problemf(path+".workflow", "only for types MESSAGE and WORKFLOW")
		}
		if err := belfry.ValidateKey(e.Workflow, "workflow"); err != nil {
			c.problem(path+".workflow", err)
		}
	}
}

// Deadline is until when a run waits that begins now.
func (w *WaitSpec) Deadline(now time.Time, zone *time.Location) time.Time {
	return w.Timeout.After(now, zone)
}
