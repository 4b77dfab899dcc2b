package feed

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Append puts messages into their recipients' feeds, in the caller's transaction, and tells listeners once that has
// committed. It sets each message's Seq; leave the messages alone until the transaction has ended. Messages for one feed
// get consecutive positions, in the order in which they are given. When they are to be sent is not looked at.
//
// A message that is for a feed of another environment is refused as a Conflict, and what the database will never take as a
// data exception (see postgres.IsDataException); any other error is nobody's fault, and may not come again.
//
// Feeds are locked in the order of their keys: call it again in the same transaction only with recipients that come after
// those of before, and mark nothing in it, or two transactions may deadlock.
func (s *Service) Append(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
	if len(messages) == 0 {
		return nil
	}
	at := s.now()
	sorted := sortByFeed(messages)
	behind := countBehind(sorted)
	heads, err := bump(ctx, tx, sorted, behind, at)
	if err != nil {
		return fmt.Errorf("append to feeds: %w", err)
	}

	var sent belfry.StatusChanges
	events := make([]addressed, len(sorted))
	feed := -1
	for i, m := range sorted {
		if i == 0 || behind[i-1] == 0 {
			feed++
		}
		h := &heads[feed]
		if h.key != feedOf(m) {
			refusal := belfry.Errorf(belfry.Conflict, "the feed of recipient %d on %q is of another environment than %d", m.Recipient, m.Channel, m.Environment)
			return fmt.Errorf("append to feeds: %w", refusal)
		}
		m.Seq = h.version - int64(behind[i])
		sent.Add(&belfry.StatusChange{Environment: m.Environment, Kind: belfry.MessageSent, At: at, Channel: m.Channel, ChannelType: belfry.InApp,
			Workflow: m.Workflow, StepRef: m.StepRef}, belfry.MessageRef{Recipient: m.Recipient, UserID: m.UserID, Seq: m.Seq})
		events[i] = addressed{m.Environment, m.Channel, m.UserID, m.Seq, func() Event { return upserted(m, h, at) }}
	}
	if err := insert(ctx, tx, sorted, at); err != nil {
		return fmt.Errorf("append to feeds: %w", err)
	}
	if err := setTimers(ctx, tx, sorted, at); err != nil {
		return fmt.Errorf("append to feeds: %w", err)
	}
	if err := s.Observe(ctx, tx, sent); err != nil {
		return fmt.Errorf("observe new messages: %w", err)
	}
	tx.AfterCommit(func() { s.publish(events) })
	if err := s.replace(ctx, tx, sorted, at); err != nil {
		return fmt.Errorf("archive what new items replace: %w", err)
	}
	return nil
}

// sortByFeed returns the messages in the order in which their feeds are locked, those of one feed in the order given.
func sortByFeed(messages []belfry.Message) []*belfry.Message {
	sorted := make([]*belfry.Message, len(messages))
	for i := range messages {
		sorted[i] = &messages[i]
	}
	slices.SortStableFunc(sorted, func(a, b *belfry.Message) int {
		return cmp.Or(cmp.Compare(a.Recipient, b.Recipient), cmp.Compare(a.Channel, b.Channel))
	})
	return sorted
}

// feedOf is the feed that a message goes to.
func feedOf(m *belfry.Message) key { return key{m.Environment, m.Recipient, m.Channel} }

// countBehind says of each message, sorted by feed, how many newer ones of the same feed follow.
func countBehind(sorted []*belfry.Message) []int32 {
	behind := make([]int32, len(sorted))
	for i := len(sorted) - 2; i >= 0; i-- {
		if feedOf(sorted[i]) == feedOf(sorted[i+1]) {
			behind[i] = behind[i+1] + 1
		}
	}
	return behind
}

// bump makes room for the messages in their feeds, locking those, and returns the feeds as they are now, in the order of the
// messages. Those that belong to another environment are left out: they are zero.
func bump(ctx context.Context, tx *postgres.Tx, sorted []*belfry.Message, behind []int32, at time.Time) ([]header, error) {
	n := len(sorted)
	recipients, envs, channels, counts := make([]int64, 0, n), make([]int64, 0, n), make([]string, 0, n), make([]int32, 0, n)
	for i, m := range sorted {
		if i == 0 || behind[i-1] == 0 { // the first of its feed
			recipients, envs = append(recipients, int64(m.Recipient)), append(envs, int64(m.Environment))
			channels, counts = append(channels, m.Channel), append(counts, behind[i]+1)
		}
	}
	rows, err := tx.Query(ctx, bumpFeeds, recipients, channels, envs, counts, at.UnixMicro())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	heads, next := make([]header, len(recipients)), 0
	var h header
	for rows.Next() {
		if err := rows.Scan(&h.env, &h.recipient, &h.channel, &h.epoch, &h.version,
			&h.cells.Active[Unseen], &h.cells.Active[Seen], &h.cells.Active[Read]); err != nil {
			return nil, err
		}
		// They come in the order in which they were asked for, as a rule without a gap.
		for next < len(heads) && (recipients[next] != int64(h.recipient) || channels[next] != h.channel) {
			next++
		}
		if next == len(heads) {
			return nil, fmt.Errorf("the feed of recipient %d on %q came out of order", h.recipient, h.channel)
		}
		heads[next] = h
		next++
	}
	return heads, rows.Err()
}

// upserted is the event of a new message.
func upserted(m *belfry.Message, h *header, at time.Time) Event {
	return Event{
		Kind:     Upserted,
		Position: belfry.Position{Epoch: h.epoch, Version: m.Seq},
		Badge:    h.cells.Badge(),
		Item: &Item{
			ID: m.ID(), Epoch: h.epoch, Actor: m.Actor, Actors: m.RememberedActors(), TotalActivities: max(1, m.TotalActivities),
			Tenant: m.Tenant, Workflow: m.Workflow, StepRef: m.StepRef,
			Categories: m.Categories, Content: m.Content, CreatedAt: at, State: State{Version: m.Seq},
		},
	}
}
