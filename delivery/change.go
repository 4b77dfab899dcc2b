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

// changes gathers what happened by kind and workflow step, which is how a StatusChange tells of it.
type changes struct{ list []belfry.StatusChange }

func (c *changes) add(kind belfry.EventKind, m *belfry.Message) {
	ref := belfry.MessageRef{Recipient: m.Recipient, UserID: m.UserID, Seq: m.Seq}
	for i := range c.list { // few: one a step and kind
		g := &c.list[i]
		if g.Kind == kind && g.Environment == m.Environment && g.Channel == m.Channel && g.ChannelType == m.ChannelType &&
			g.Workflow == m.Workflow && g.StepRef == m.StepRef {
			g.Messages = append(g.Messages, ref)
			return
		}
	}
	c.list = append(c.list, belfry.StatusChange{Environment: m.Environment, Kind: kind, Channel: m.Channel, ChannelType: m.ChannelType,
		Workflow: m.Workflow, StepRef: m.StepRef, Messages: []belfry.MessageRef{ref}})
}

// observe raises what was gathered.
func (s *Service) observe(ctx context.Context, tx *postgres.Tx, c *changes, at time.Time) error {
	if len(c.list) == 0 {
		return nil
	}
	for i := range c.list {
		c.list[i].At, c.list[i].Count = at, len(c.list[i].Messages)
	}
	if err := s.Observe(ctx, tx, c.list); err != nil {
		return fmt.Errorf("observe messages: %w", err)
	}
	return nil
}
