// Package logging is the provider that sends nothing: it writes to the log that it would have. It is for development, and
// for media that nobody has configured yet.
//
// Bodies, addresses and requests stay out of the log: they are personal, and may hold secrets. Only their length, or
// whether there is one, is logged. Headers are shown: whoever finds a link to unsubscribe there can do nothing else with it.
//
// Footgun: it always succeeds, so messages count as sent.
package logging

import (
	"context"
	"log/slog"
	"unicode/utf8"

	"github.com/belfryhq/belfry/delivery"
)

// maxSubject is how many characters of a subject are logged.
const maxSubject = 80

// Provider logs messages. It is safe for concurrent use.
type Provider struct{ log *slog.Logger }

// New makes a Provider.
func New(log *slog.Logger) *Provider { return &Provider{log} }

// String is the provider's name in attempts.
func (*Provider) String() string { return "logging" }

// Send logs a message. It never fails. The receipt's id is the idempotency key.
func (p *Provider) Send(ctx context.Context, m *delivery.Outgoing) (delivery.Receipt, error) {
	p.log.InfoContext(ctx, "a message would have been sent",
		"environment", m.Environment, "recipient", m.UserID, "channel", m.Channel, "medium", m.ChannelType,
		"workflow", m.Workflow, "step", m.StepRef, "message", m.ID().String(), "attempt", m.Attempt,
		"subject", beginning(m.Content.Subject), "body_bytes", len(m.Content.Body.Rendered), "addressed", m.Content.To != "", "headers", m.Content.Headers)
	return delivery.Receipt{ID: m.IdempotencyKey}, nil
}

// beginning is the first maxSubject characters.
func beginning(s string) string {
	if utf8.RuneCountInString(s) <= maxSubject {
		return s
	}
	return string([]rune(s)[:maxSubject]) + "…"
}
