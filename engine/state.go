package engine

import (
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
)

// State is what a run has gathered. Waiting runs keep it as JSON in this shape.
type State struct {
	Subscription *subscription `json:"subscription,omitempty"` // that the run is for; nil: it is for whom the trigger named

	PC      int             `json:"pc"`                // operation to go on with
	Version int64           `json:"version,omitempty"` // 0: that of the trigger
	Started bool            `json:"started,omitempty"` // it passed the trigger's condition
	Data    map[string]any  `json:"data,omitempty"`    // nil: that of the trigger
	Refs    map[string]*Ref `json:"refs,omitempty"`    // by step
	Batch   *batchKey       `json:"batch,omitempty"`   // the batch that it carries, or carried
	Joined  *activityKey    `json:"joined,omitempty"`  // the activity that became of it
	Since   time.Time       `json:"since,omitzero"`    // when it began to wait for an event
	Until   time.Time       `json:"until,omitzero"`    // when its delay ends, or how long it waits for an event
}

// Ref is what became of a step.
type Ref struct {
	Channel string         `json:"channel,omitempty"` // of the message that it sent
	Seq     int64          `json:"seq,omitempty"`     // of that message
	Skipped bool           `json:"skipped,omitempty"`
	Matched *bool          `json:"matched,omitempty"` // waits
	Signal  map[string]any `json:"signal,omitempty"`  // waits: the event that matched
}

// batchKey names a batch of the run's recipient.
type batchKey struct {
	Opener uuid.UUID `json:"opener"` // the trigger that opened it
	Step   string    `json:"step"`
}

// activityKey names an activity of a batch.
type activityKey struct {
	batchKey
	N int `json:"n"`
}

// message is the id of the message that the step sent; false if it sent none.
func (r *Ref) message(recipient belfry.RecipientID) (belfry.MessageID, bool) {
	return belfry.MessageID{Recipient: recipient, Channel: r.Channel, Seq: r.Seq}, r.Channel != "" && r.Seq != 0
}

// scope is what conditions and templates see of the step. status is what became of its message, nil if that isn't known.
func (r *Ref) scope(status *belfry.MessageStatus) map[string]any {
	out := map[string]any{}
	if r.Matched != nil {
		out["matched"] = *r.Matched
		out["signal_variables"] = map[string]any{}
		if r.Signal != nil {
			out["signal_variables"] = r.Signal
		}
	}
	switch {
	case r.Skipped:
		out["delivery_status"], out["engagement_status"], out["status_known"] = "skipped", []any{}, true
	case status != nil:
		out["delivery_status"], out["status_known"] = string(status.Delivery), true
		engagement := []any{}
		for _, e := range []struct {
			name string
			is   bool
		}{{"seen", status.Seen}, {"read", status.Read}, {"interacted", status.Interacted}, {"link_clicked", status.LinkClicked}, {"archived", status.Archived}} {
			out[e.name] = e.is
			if e.is {
				engagement = append(engagement, e.name)
			}
		}
		out["engagement_status"] = engagement
	case r.Channel != "":
		out["status_known"] = false
	}
	return out
}
