package belfry

import "time"

// Mark is what a person, or a backend for them, does to in-app messages. Spelled as in GraphQL.
type Mark string

const (
	Seen       Mark = "SEEN"
	Unseen     Mark = "UNSEEN"
	Read       Mark = "READ" // implies Seen
	Unread     Mark = "UNREAD"
	Interacted Mark = "INTERACTED" // implies Read
	Archived   Mark = "ARCHIVED"
	Unarchived Mark = "UNARCHIVED"
	Pinned     Mark = "PINNED" // kept on top; no event: it says nothing of what a reader did with the message
	Unpinned   Mark = "UNPINNED"
)

// Pins reports whether the mark is about being pinned, which doesn't change an item's state.
func (m Mark) Pins() bool { return m == Pinned || m == Unpinned }

// EventKind names something that happened to messages, as analytics and (later) webhooks call it.
type EventKind string

// What happens to a message on its way. The others are EventKind of a Mark.
const (
	MessageSent        EventKind = "message.sent"        // once: it is in the feed, or the provider took it
	MessageDelivered   EventKind = "message.delivered"   // the provider says that it arrived
	MessageUndelivered EventKind = "message.undelivered" // for good
	MessageBounced     EventKind = "message.bounced"     // the address doesn't exist
	MessageNotSent     EventKind = "message.not_sent"    // kept back on purpose: sandbox
)

// DeliveryStatus is how far a message came, apart from what its reader did.
type DeliveryStatus string

const (
	Queued            DeliveryStatus = "queued"             // waits to be sent
	DeliveryAttempted DeliveryStatus = "delivery_attempted" // failed, is tried again
	NotSent           DeliveryStatus = "not_sent"           // sandbox
	Sent              DeliveryStatus = "sent"
	Delivered         DeliveryStatus = "delivered"
	Undelivered       DeliveryStatus = "undelivered"
	Bounced           DeliveryStatus = "bounced"
)

// MessageStatus is what became of a message.
type MessageStatus struct {
	Delivery DeliveryStatus
	// Item is the Seq that an in-app message has in its feed if it was held back before, and has another id; 0 otherwise.
	Item int64
	// Engagement: what its reader did.
	Seen, Read, Interacted, LinkClicked, Archived bool
}

// Event is the kind of event that a mark causes.
func (m Mark) Event() EventKind {
	switch m {
	case Seen:
		return "message.seen"
	case Unseen:
		return "message.unseen"
	case Read:
		return "message.read"
	case Unread:
		return "message.unread"
	case Interacted:
		return "message.interacted"
	case Archived:
		return "message.archived"
	case Unarchived:
		return "message.unarchived"
	}
	return ""
}

// StatusChange says that the same thing happened, at the same time, to one or many messages of one workflow step.
// It is raised in the transaction that caused it, so whoever records it records it exactly once.
type StatusChange struct {
	Environment EnvironmentID
	Kind        EventKind
	At          time.Time
	Channel     string
	ChannelType ChannelType
	Workflow    string // empty when All
	StepRef     string // empty when All
	Messages    []MessageRef
	// All is set when one mark covered every message of one feed up to a position. Such a change names no single
	// message (its cost must not grow with the feed): Messages holds one entry, whose Seq is the last one covered,
	// and Count says how many messages changed.
	All bool
	// Some is set besides when the mark covered only what a filter selected of them.
	Some bool
	// Each is set besides when what it did to each of the messages is told too, at the same time or later: this change is for
	// those who have to know at once.
	Each  bool
	Count int
}

// StatusChanges gathers what happens to messages, one change for each kind and workflow step. The zero value is ready.
type StatusChanges []StatusChange

// Add adds a message to the change of its group, which says all but Messages and Count.
func (c *StatusChanges) Add(group *StatusChange, m MessageRef) {
	for i := range *c { // few: one a step and kind that is dealt with at the same time
		g := &(*c)[i]
		if g.Kind == group.Kind && g.Environment == group.Environment && g.Channel == group.Channel && g.ChannelType == group.ChannelType &&
			g.Workflow == group.Workflow && g.StepRef == group.StepRef {
			g.Messages = append(g.Messages, m)
			g.Count++
			return
		}
	}
	change := *group
	change.Messages, change.Count = []MessageRef{m}, 1
	*c = append(*c, change)
}

// MessageRef is one message within a StatusChange.
type MessageRef struct {
	Recipient RecipientID
	UserID    string // the recipient's external id
	Seq       int64
}
