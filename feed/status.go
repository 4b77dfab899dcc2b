package feed

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// Statuses reads what became of in-app messages of one environment: what is in a feed was sent, and marks, those on
// everything too, are the engagement. Ids of which there is no item (yet) are left out. q is the pool, or a transaction,
// whose own writes then count.
func Statuses(ctx context.Context, q querier, env belfry.EnvironmentID, ids []belfry.MessageID) (map[belfry.MessageID]belfry.MessageStatus, error) {
	statuses := make(map[belfry.MessageID]belfry.MessageStatus, len(ids))
	if len(ids) == 0 {
		return statuses, nil
	}
	recipients, channels, seqs := make([]int64, len(ids)), make([]string, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		recipients[i], channels[i], seqs[i] = int64(id.Recipient), id.Channel, id.Seq
	}
	rows, err := q.Query(ctx, selectStatuses, recipients, channels, seqs, env)
	if err != nil {
		return nil, fmt.Errorf("read the statuses of items: %w", err)
	}
	var (
		id         belfry.MessageID
		st         stored
		watermarks Watermarks
	)
	fields := append([]any{&id.Recipient, &id.Channel}, st.allFields()...)
	_, err = pgx.ForEachRow(rows, append(fields, &watermarks), func() error {
		id.Seq = st.seq
		state := watermarks.Effective(st.seq, &st.Attributes, st.State)
		statuses[id] = belfry.MessageStatus{Delivery: belfry.Sent, Seen: state.Level >= Seen, Read: state.Level == Read,
			Interacted: state.InteractedAt != nil, Archived: state.Archived}
		watermarks, st.Data = nil, nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the statuses of items: %w", err)
	}
	return statuses, nil
}
