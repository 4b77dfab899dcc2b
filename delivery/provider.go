package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/belfryhq/belfry"
)

// Provider hands messages of one medium to whoever transports them. It must be safe for concurrent use, and return
// soon after ctx ends. If it is a fmt.Stringer, that is its name in attempts.
type Provider interface {
	// Send makes one attempt. An error means a temporary failure, and another attempt later, unless it is wrapped in
	// Permanent or Bounced. Its text is stored and shown to whoever may see the message: no secrets.
	Send(ctx context.Context, m *Outgoing) (Receipt, error)
}

// Outgoing is a message on its way. It must not be changed.
type Outgoing struct {
	belfry.Message
	Attempt int // from 1
	// IdempotencyKey is the same at each attempt to send a message, and another for every other message of any
	// installation: 32 hexadecimal digits.
	IdempotencyKey string
}

// Receipt is what the provider says of a message that it took.
type Receipt struct {
	ID        string // how the provider calls the message; may be empty
	Delivered bool   // it is known to have arrived already
}

// idempotencyKey is derived from what never changes: whose a message is does, when users are merged. Numbers are unique in an
// installation, and another one that has the same doesn't have the same triggers.
func idempotencyKey(m *belfry.Message) string {
	sum := sha256.Sum256(strconv.AppendInt(m.Trigger[:], m.Seq, 10))
	return hex.EncodeToString(sum[:16])
}

// sendError is an error that says what becomes of the message.
type sendError struct {
	error
	status     belfry.DeliveryStatus // DeliveryAttempted: another attempt
	retryAfter time.Duration
}

func (e *sendError) Unwrap() error { return e.error }

// Permanent says that no further attempt would succeed: the message is undelivered.
func Permanent(err error) error { return &sendError{err, belfry.Undelivered, 0} }

// Bounced says that the address doesn't exist, or takes no messages.
func Bounced(err error) error { return &sendError{err, belfry.Bounced, 0} }

// RetryAfter says that the provider asks to be left alone for some time. More than half an hour counts as that.
func RetryAfter(err error, d time.Duration) error {
	return &sendError{err, belfry.DeliveryAttempted, d}
}

// classify says what an error means for the message.
func classify(err error) (status belfry.DeliveryStatus, retryAfter time.Duration) {
	if e, ok := errors.AsType[*sendError](err); ok {
		return e.status, e.retryAfter
	}
	return belfry.DeliveryAttempted, 0
}

// nameOf is what attempts call a provider.
func nameOf(p Provider) string {
	if s, ok := p.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", p)
}
