package belfry

import (
	"encoding/base64"
	"encoding/binary"
	"time"
)

// MessageID is the opaque id of a message. It carries the routing key (whose it is, on which channel) so that no
// index but the primary key is needed to find a message. It is not a secret: every read checks the viewer.
type MessageID struct {
	Recipient RecipientID
	Channel   string
	Seq       int64 // position of the message within the recipient's channel, from 1
}

// messageTag tells message ids from other node ids once decoded.
const messageTag = 'm'

// String encodes the id in the form that the API shows: URL-safe base64 without padding.
func (id MessageID) String() string {
	b := make([]byte, 0, 24+len(id.Channel))
	b = append(b, messageTag)
	b = binary.AppendUvarint(b, uint64(id.Recipient))
	b = binary.AppendUvarint(b, uint64(id.Seq))
	b = append(b, id.Channel...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseMessageID decodes what String made. Anything else is NotFound: to a caller a forged id is an unknown one.
func ParseMessageID(s string) (MessageID, error) {
	unknown := Errorf(NotFound, "no message has the id %.64q", s)
	if len(s) > 512 {
		return MessageID{}, unknown
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 4 || b[0] != messageTag {
		return MessageID{}, unknown
	}
	recipient, n := binary.Uvarint(b[1:])
	if n <= 0 || int64(recipient) <= 0 {
		return MessageID{}, unknown
	}
	seq, m := binary.Uvarint(b[1+n:])
	if m <= 0 || int64(seq) <= 0 {
		return MessageID{}, unknown
	}
	id := MessageID{RecipientID(recipient), string(b[1+n+m:]), int64(seq)}
	if ValidateKey(id.Channel, "id") != nil || id.String() != s {
		return MessageID{}, unknown
	}
	return id, nil
}

// Message is one rendered notice on one channel to one recipient. It is immutable: what a person reads is what was
// decided and rendered when the run reached the step.
type Message struct {
	Environment EnvironmentID
	Recipient   RecipientID
	Seq         int64  // within the recipient's channel; set by who stores the message
	UserID      string // the recipient's external id, for whoever reports on the message
	Channel     string // key of the channel
	ChannelType ChannelType
	Trigger     [16]byte // the trigger (UUID) whose run made it
	Workflow    string   // key
	Version     int64    // id of the workflow version
	StepRef     string
	Categories  []string
	Actor       RecipientID // 0 if nobody
	// Actors are those of a batch, oldest first; Actor is the first of them. Nil if there is at most one.
	Actors          []RecipientID
	TotalActivities int         // how many triggers the message sums up; 0 and 1 mean the same
	Tenant          RecipientID // 0 if none
	Content         Content
	CreatedAt       time.Time
	SendAt          time.Time // not before this; zero: at once
	Sandbox         bool      // rendered and kept, but handed to nobody
}

// MaxActors is how many actors of a batch are remembered with a message: the oldest.
const MaxActors = 10

// RememberedActors is Actors as far as they are stored: at most MaxActors, and nil unless there are several.
func (m *Message) RememberedActors() []RecipientID {
	if len(m.Actors) < 2 {
		return nil
	}
	return m.Actors[:min(len(m.Actors), MaxActors)]
}

// ID is the message's id, once it is stored.
func (m *Message) ID() MessageID { return MessageID{m.Recipient, m.Channel, m.Seq} }

// Content is what a message shows. It is stored as JSON in exactly this shape. Body is for all channels but webhooks.
type Content struct {
	Body      Body              `json:"body,omitzero"`
	Subject   string            `json:"subject,omitempty"`   // email: the subject; push: the title
	To        string            `json:"to,omitempty"`        // email: the address; sms: the number; empty: the provider knows
	Headers   map[string]string `json:"headers,omitempty"`   // email: besides those that follow from the rest, such as List-Unsubscribe
	ActionURL string            `json:"actionUrl,omitempty"` // in-app, push
	Buttons   []Button          `json:"buttons,omitempty"`   // in-app
	Data      map[string]any    `json:"data,omitempty"`      // in-app, push, chat
	Request   *Request          `json:"request,omitempty"`   // webhook
	Item      *ItemOptions      `json:"item,omitempty"`      // in-app; nil: none
}

// ItemOptions say how an in-app message is kept in its feed.
type ItemOptions struct {
	ResourceKey  string   `json:"resourceKey,omitempty"`  // what it is about, such as invoice:17, so that all about that can be marked, resolved, retracted
	Priority     Priority `json:"priority,omitempty"`     // empty: normal
	Severity     Severity `json:"severity,omitempty"`     // empty: nobody said
	ExpiresAfter int64    `json:"expiresAfter,omitempty"` // seconds from when it comes into the feed until it is removed; 0: never
	Replaces     bool     `json:"replaces,omitempty"`     // older items of the same ResourceKey in the feed are archived when it comes
}

// Priority says how urgent an in-app message is. Spelled as in GraphQL.
type Priority string

const (
	LowPriority    Priority = "LOW"
	NormalPriority Priority = "NORMAL"
	HighPriority   Priority = "HIGH"
	UrgentPriority Priority = "URGENT"
)

// Severity says what kind of news an in-app message brings. Spelled as in GraphQL.
type Severity string

const (
	InfoSeverity    Severity = "INFO"
	SuccessSeverity Severity = "SUCCESS"
	WarningSeverity Severity = "WARNING"
	ErrorSeverity   Severity = "ERROR"
)

const (
	// MaxResourceKey is how long a resource key may be, in bytes.
	MaxResourceKey = 256
	// MaxExpiry is the longest time after which an item expires.
	MaxExpiry = 365 * 24 * time.Hour
)

// Request is the HTTP request that a webhook message is.
type Request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
}

// ValidateResourceKey checks the key of what items are about: 1 to MaxResourceKey bytes that PostgreSQL can store. field names
// the input for the error.
func ValidateResourceKey(key, field string) error {
	switch {
	case key == "":
		return Errorf(Invalid, "name the resource, 1 to %d bytes", MaxResourceKey).At("%s", field)
	case len(key) > MaxResourceKey:
		return Beyond(field, MaxResourceKey, "bytes")
	}
	return ValidateText(key, field)
}

// BodyFormat says what a body's rendered form is.
type BodyFormat string

const (
	TextBody     BodyFormat = "text"     // Rendered is plain text, to be shown as such
	MarkdownBody BodyFormat = "markdown" // Rendered is sanitised HTML
)

// Body is the text of a message: the filled-in template, and what it rendered to.
type Body struct {
	Format   BodyFormat `json:"format"`
	Content  string     `json:"content"`
	Rendered string     `json:"rendered"`
}

// Button is a call to action below a message.
type Button struct {
	Label  string `json:"label"`
	Action string `json:"action"` // a URL that passed template.SafeURL
}
