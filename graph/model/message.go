package model

import (
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/delivery"
)

// Message is a message of the delivery as the API shows it.
type Message struct{ *delivery.Message }

// IsNode marks the message as fetchable by id.
func (Message) IsNode() {}

// ID is the message's global id.
func (m *Message) ID() string { return m.Message.ID().String() }

// Type is the channel's medium.
func (m *Message) Type() ChannelType { return ChannelType(strings.ToUpper(string(m.ChannelType))) }

// Recipient is the recipient's external id.
func (m *Message) Recipient() string { return m.UserID }

// Content is what it shows, as it is stored.
func (m *Message) Content() (out map[string]any, err error) {
	return out, convert(m.Message.Content, &out)
}

// Status is how far it came.
func (m *Message) Status() DeliveryStatus { return deliveryStatus(m.Message.Status) }

// SendAt is nil unless it was held back.
func (m *Message) SendAt() *time.Time {
	if m.Message.SendAt.IsZero() {
		return nil
	}
	return &m.Message.SendAt
}

// ProviderID is nil if the provider has no name for it.
func (m *Message) ProviderID() *string { return optional(m.Message.ProviderID) }

// FeedItem is nil unless it has become one.
func (m *Message) FeedItem() *string {
	if m.Moved == (belfry.MessageID{}) {
		return nil
	}
	return optional(m.Moved.String())
}

// Attempts is what was tried, oldest first.
func (m *Message) Attempts() []DeliveryAttempt {
	out := make([]DeliveryAttempt, len(m.Message.Attempts))
	for i, a := range m.Message.Attempts {
		out[i] = DeliveryAttempt{Number: a.Number, At: a.At, DurationSeconds: a.Duration.Seconds(), Outcome: deliveryStatus(a.Outcome),
			Provider: a.Provider, Error: optional(a.Error)}
	}
	return out
}

func deliveryStatus(s belfry.DeliveryStatus) DeliveryStatus {
	return DeliveryStatus(strings.ToUpper(string(s)))
}
