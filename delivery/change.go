package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// eventsOf is what is raised when the queue is done with a message, which happens once to each.
func eventsOf(s belfry.DeliveryStatus) []belfry.EventKind {
	switch s {
	case belfry.Sent:
		return []belfry.EventKind{belfry.MessageSent}
	case belfry.Delivered: // a message that arrived was sent, though nobody said so
		return []belfry.EventKind{belfry.MessageSent, belfry.MessageDelivered}
	case belfry.Undelivered:
		return []belfry.EventKind{belfry.MessageUndelivered}
	case belfry.Bounced:
		return []belfry.EventKind{belfry.MessageBounced}
	}
	return nil
}

// note adds what happened to a message.
func note(told *belfry.StatusChanges, kind belfry.EventKind, m *belfry.Message, at time.Time) {
	told.Add(&belfry.StatusChange{Environment: m.Environment, Kind: kind, At: at, Channel: m.Channel, ChannelType: m.ChannelType,
		Workflow: m.Workflow, StepRef: m.StepRef}, belfry.MessageRef{Recipient: m.Recipient, UserID: m.UserID, Seq: m.Seq})
}

// observe raises what was gathered.
func (s *Service) observe(ctx context.Context, tx *postgres.Tx, told belfry.StatusChanges) error {
	if len(told) == 0 {
		return nil
	}
	if err := s.Observe(ctx, tx, told); err != nil {
		return fmt.Errorf("observe messages: %w", err)
	}
	return nil
}
