package engine

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow/condition"
)

// Status is the state that a run reached. Waiting leads to one of the others, which are final.
type Status string

const (
	Waiting   Status = "waiting"   // for a time, an event, a response or the end of a batch
	Done      Status = "done"      // went through its program, or a step ended it
	Failed    Status = "failed"    // a step could not be done; the log says which and why
	Cancelled Status = "cancelled" // by its cancellation key, or because the workflow is inactive
)

// Outcome is what became of a step.
type Outcome string

const (
	OutcomeSent      Outcome = "sent"
	OutcomeQueued    Outcome = "queued"    // will be sent at Until
	OutcomeSkipped   Outcome = "skipped"   // the run went on without it
	OutcomeFailed    Outcome = "failed"    // the run ended with it
	OutcomeHalted    Outcome = "halted"    // it ended the run, as it is meant to
	OutcomeWaiting   Outcome = "waiting"   // at most until Until
	OutcomePassed    Outcome = "passed"    // a throttle let the run pass; a delay is over
	OutcomeOpened    Outcome = "opened"    // a batch, without waiting for it
	OutcomeJoined    Outcome = "joined"    // a batch that was open
	OutcomeClosed    Outcome = "closed"    // a batch
	OutcomeTook      Outcome = "took"      // a branch or cohort: Detail is its name
	OutcomeFetched   Outcome = "fetched"   // Detail is the status
	OutcomeMatched   Outcome = "matched"   // an event
	OutcomeTimedOut  Outcome = "timed_out" // no event
	OutcomeStarted   Outcome = "started"   // another workflow: Detail is the trigger
	OutcomeUpdated   Outcome = "updated"   // data or properties
	OutcomeCancelled Outcome = "cancelled"
)

// LogEntry says what happened at a step, and why. Runs store them as JSON in this shape.
type LogEntry struct {
	Step       string                `json:"step,omitempty"` // empty if it is about the run as a whole
	Outcome    Outcome               `json:"outcome"`
	Reason     string                `json:"reason,omitempty"` // a stable word: condition, template_error, invalid_window, …
	Detail     string                `json:"detail,omitempty"` // for people
	At         *time.Time            `json:"at,omitempty"`     // nil: when the run started
	Until      *time.Time            `json:"until,omitempty"`
	Message    string                `json:"message,omitempty"`    // id of the message that was sent
	Conditions []condition.Evaluated `json:"conditions,omitempty"` // the values that made a condition false
	// Preferences are the nodes that had a say in whether the message is sent: none if nobody said anything about it. They come
	// last: see logEncoder.
	Preferences recipient.PreferenceReasons `json:"preferences,omitempty"`
}

// logEncoder encodes the logs of a batch of runs. The zero value is ready.
type logEncoder struct {
	reasons map[*recipient.PreferenceReason][]byte // those of preferences that are encoded, by the first of them
	buffer  []byte
}

// encode is the JSON that is stored of a log, as json.Marshal would make it. Reasons that runs share are encoded once for all of
// them, and put behind the rest of the entry.
func (c *logEncoder) encode(log []LogEntry) (string, error) {
	out := append(c.buffer[:0], '[')
	for i, e := range log {
		if i > 0 {
			out = append(out, ',')
		}
		reasons := e.Preferences
		e.Preferences = nil
		b, err := json.Marshal(&e)
		if err != nil {
			return "", err
		}
		if out = append(out, b...); len(reasons) == 0 {
			continue
		}
		encoded := c.reasons[&reasons[0]]
		if encoded == nil {
			if encoded, err = json.Marshal(reasons); err != nil {
				return "", err
			}
			if c.reasons == nil {
				c.reasons = map[*recipient.PreferenceReason][]byte{}
			}
			c.reasons[&reasons[0]] = encoded
		}
		out = append(append(append(out[:len(out)-1], `,"preferences":`...), encoded...), '}')
	}
	c.buffer = append(out, ']')
	// A json column takes the character, and whoever looks into it with SQL then fails.
	return strings.ReplaceAll(string(c.buffer), `\u0000`, `\ufffd`), nil
}
