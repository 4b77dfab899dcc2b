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
)

// EventKind names something that happened to messages, as analytics and (later) webhooks call it.
type EventKind string

// MessageSent happens once to each message; the others are EventKind of a Mark.
const MessageSent EventKind = "message.sent"

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
	All   bool
	Count int
}

// MessageRef is one message within a StatusChange.
type MessageRef struct {
	Recipient RecipientID
	UserID    string // the recipient's external id
	Seq       int64
}
