package analytics

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// MaxMessagesPerEvent is how many messages one row of the log covers. Record splits longer changes: readers load
// whole rows, so this bounds their memory.
const MaxMessagesPerEvent = 1000

// Log is the append-only record of what happened to messages. The zero value is ready to use.
type Log struct{}

// Record appends one event per change in the caller's transaction, in one round trip. Changes that touched nothing
// (no message, or All with a Count of 0) leave no event, nor do those whose messages are told of one by one (Each).
func (*Log) Record(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
	var batch pgx.Batch
	for i := range changes {
		c := &changes[i]
		if c.Each {
			continue
		}
		if c.All {
			if len(c.Messages) != 1 {
				return fmt.Errorf("record %s: a change with All set must hold 1 message, not %d", c.Kind, len(c.Messages))
			}
			if c.Count > 0 {
				queueEvent(&batch, c, c.Messages, c.Count)
			}
			continue
		}
		for messages := range slices.Chunk(c.Messages, MaxMessagesPerEvent) {
			queueEvent(&batch, c, messages, len(messages))
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("record %d analytics events: %w", batch.Len(), err)
	}
	return nil
}

func queueEvent(batch *pgx.Batch, c *belfry.StatusChange, messages []belfry.MessageRef, count int) {
	// Plain slices of basic types: pgx encodes those without reflection.
	numbers := make([]int64, 2*len(messages))
	recipients, seqs := numbers[:len(messages)], numbers[len(messages):]
	users := make([]string, len(messages))
	for i, m := range messages {
		recipients[i], users[i], seqs[i] = int64(m.Recipient), m.UserID, m.Seq
	}
	batch.Queue(insertEvent, int64(c.Environment), string(c.Kind), c.At, c.Channel, string(c.ChannelType),
		c.Workflow, c.StepRef, c.All, count, recipients, users, seqs)
}
