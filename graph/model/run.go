package model

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/delivery"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/recipient"
)

// Run is a run as the API shows it.
type Run struct {
	*engine.Run
	Page *RunPage // that it is on
}

// RunPage loads what the runs of a page refer to when the first of them is asked for it, once for all.
type RunPage struct {
	People   func() (map[belfry.RecipientID]*recipient.Known, error)
	Triggers map[uuid.UUID]func() (*engine.Trigger, error)
	Versions map[int64]func() (*engine.Version, error)
	Messages func() (map[belfry.MessageID]*delivery.Message, error) // those of the delivery
}

// IsNode marks the run as fetchable by id.
func (Run) IsNode() {}

// ID is the run's global id. It carries the keys: who it is for, and which trigger.
func (r *Run) ID() string { return globalID(RunTag, runKey(r.Recipient, r.Run.Trigger)) }

// Status is the state that it reached.
func (r *Run) Status() RunStatus { return RunStatus(strings.ToUpper(string(r.Run.Status))) }

// WaitingFor is nil unless it waits.
func (r *Run) WaitingFor() *RunWait {
	if r.Run.WaitingFor == "" {
		return nil
	}
	w := RunWait(strings.ToUpper(r.Run.WaitingFor))
	return &w
}

// Steps is what happened, in order.
func (r *Run) Steps() ([]RunStep, error) { return newSteps(r.Log, r.Page) }

// RunStep is what happened at a step of a run, as the API shows it.
type RunStep struct {
	Ref        *string
	Outcome    StepOutcome
	Reason     *string
	Detail     *string
	At         time.Time
	Until      *time.Time
	Message    *string
	Conditions []map[string]any
	// Preferences are the nodes that had a say.
	Preferences []DecisionReason

	page *RunPage // nil: of a test, which sends nothing
}

// Delivery is the message that the step made, unless it is a feed item, or there is none.
func (s *RunStep) Delivery() (*Message, error) {
	if s.Message == nil || s.page == nil {
		return nil, nil
	}
	id, err := belfry.ParseMessageID(*s.Message)
	if err != nil || !delivery.Owns(id) {
		return nil, nil
	}
	messages, err := s.page.Messages()
	if err != nil || messages[id] == nil {
		return nil, err
	}
	return &Message{messages[id]}, nil
}

// newSteps makes the API's form of a run's log, in which every entry has its time.
func newSteps(log []engine.LogEntry, page *RunPage) ([]RunStep, error) {
	out := make([]RunStep, len(log))
	for i, e := range log {
		out[i] = RunStep{
			Ref: optional(e.Step), Outcome: StepOutcome(strings.ToUpper(string(e.Outcome))), Reason: optional(e.Reason),
			Detail: optional(e.Detail), At: instant(e.At), Until: e.Until, Message: optional(e.Message), Conditions: []map[string]any{},
			page: page,
		}
		for _, c := range e.Conditions {
			var object map[string]any
			if err := convert(c, &object); err != nil {
				return nil, err
			}
			out[i].Conditions = append(out[i].Conditions, object)
		}
		var err error
		if out[i].Preferences, err = newReasons(e.Preferences); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// NewRunConnection makes the API's form of a page of runs.
func NewRunConnection(page *engine.RunPage, shared *RunPage, continued bool) *RunConnection {
	out := &RunConnection{Edges: make([]RunEdge, len(page.Runs)), PageInfo: PageInfo{HasNextPage: page.More, HasPreviousPage: continued}}
	for i := range page.Runs {
		r := &page.Runs[i]
		cursor := runCursor(engine.RunCursor{Trigger: r.Trigger, Recipient: r.Recipient})
		out.Edges[i] = RunEdge{Cursor: cursor, Node: Run{r, shared}}
		if i == 0 {
			out.PageInfo.StartCursor = &cursor
		}
	}
	if page.End != (engine.RunCursor{}) { // the last that was looked at: behind the last edge, if a filter left others out
		end := runCursor(page.End)
		out.PageInfo.EndCursor = &end
	}
	return out
}

// runCursor is a run's place in a list.
func runCursor(c engine.RunCursor) string { return globalID(RunTag, runKey(c.Recipient, c.Trigger)) }

// ParseRunCursor reads a cursor; false for what is none.
func ParseRunCursor(cursor string) (engine.RunCursor, bool) {
	tag, key, ok := ParseID(cursor)
	if !ok || tag != RunTag {
		return engine.RunCursor{}, false
	}
	who, trigger, err := ParseRunKey(key)
	return engine.RunCursor{Trigger: trigger, Recipient: who}, err == nil
}

// Engine is what the filter asks for, but for the user, who has to be found first.
func (f *RunFilter) Engine() engine.RunFilter {
	return engine.RunFilter{Workflow: given(f.Workflow), Statuses: statuses(f.Statuses), HasErrors: f.HasErrors,
		AcceptedFrom: instant(f.AcceptedFrom), AcceptedBefore: instant(f.AcceptedBefore)}
}

// Engine is what the filter asks for, but for the user, who has to be found first.
func (f *TriggerRunFilter) Engine(trigger uuid.UUID) engine.RunFilter {
	return engine.RunFilter{Trigger: trigger, Statuses: statuses(f.Statuses), HasErrors: f.HasErrors}
}

func statuses(in []RunStatus) []engine.Status {
	out := make([]engine.Status, len(in))
	for i, s := range in {
		out[i] = engine.Status(strings.ToLower(string(s)))
	}
	return out
}
