package delivery

import (
	"context"
	"fmt"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Report records what a provider says of a message after it took it: Delivered, Undelivered or Bounced. It reports
// whether that was news: a status only moves forward, in this order. It may come before the outcome of the attempt is
// recorded; then it is the outcome, and the message leaves the queue.
//
// NotFound if this environment has no such message; Invalid if the status is none of the three.
func (s *Service) Report(ctx context.Context, env belfry.EnvironmentID, id belfry.MessageID, status belfry.DeliveryStatus) (news bool, err error) {
	if status != belfry.Delivered && status != belfry.Undelivered && status != belfry.Bounced {
		return false, belfry.Errorf(belfry.Invalid, "a provider may report delivered, undelivered or bounced").At("status")
	}
	err = postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
		now := s.now()
		// The queue first, as workers do: they would deadlock with us.
		left, err := tx.Exec(ctx, leaveQueue, id.Recipient, id.Seq, env)
		if err != nil {
			return fmt.Errorf("report on message %s: %w", id, err)
		}
		updated, err := readMessages(ctx, tx, env, id.Recipient, updateStatus, id.Recipient, id.Seq, env, id.Channel, status, now, below(status))
		if err != nil {
			return fmt.Errorf("report on message %s: %w", id, err)
		}
		if news = len(updated) > 0; !news {
			known, err := readMessages(ctx, tx, env, id.Recipient, selectMessage, id.Recipient, id.Seq, env, id.Channel)
			if err != nil {
				return fmt.Errorf("report on message %s: %w", id, err)
			}
			if len(known) == 0 || known[0].ChannelType == belfry.InApp {
				return notFound(id) // and nothing leaves the queue
			}
			return nil
		}
		kinds := eventsOf(status)
		if left.RowsAffected() == 0 { // it was sent before
			kinds = kinds[len(kinds)-1:]
		}
		var told changes
		for _, kind := range kinds {
			told.add(kind, &updated[0].Message)
		}
		return s.observe(ctx, tx, &told, now)
	})
	return news, err
}
