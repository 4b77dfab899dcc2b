package feed

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

const (
	// MaxSnoozed is how many items of a feed may be snoozed.
	MaxSnoozed = 200
	// MaxSnooze is for how long at most.
	MaxSnooze = 365 * 24 * time.Hour
)

// SnoozedScope says whether snoozed items are meant. Spelled as in GraphQL; empty is EXCLUDE.
type SnoozedScope string

const (
	SnoozedExclude SnoozedScope = "EXCLUDE"
	SnoozedInclude SnoozedScope = "INCLUDE"
	SnoozedOnly    SnoozedScope = "ONLY"
)

// covers reports whether the scope means an item in a state.
func (scope SnoozedScope) covers(s State) bool {
	if scope == SnoozedInclude {
		return true
	}
	return (scope == SnoozedOnly) == (s.SnoozedUntil != nil)
}

// any reports whether the scope covers items that no counter counts.
func (scope SnoozedScope) any() bool { return scope == SnoozedInclude || scope == SnoozedOnly }

// Snooze takes items out of a feed until an instant, or brings those back that were taken out, if that is nil. Meanwhile
// they count nowhere, and marks on everything pass them by; those by id reach them. They come back unseen, each in its place
// and with its id.
func (s *Service) Snooze(ctx context.Context, ref Ref, ids []belfry.MessageID, until *time.Time) (Marked, error) {
	if len(ids) > MaxMarkIDs {
		return Marked{}, belfry.Beyond("input.ids", MaxMarkIDs, "ids")
	}
	return s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		if until != nil && !until.After(at) {
			return Marked{}, belfry.Errorf(belfry.Invalid, "this is in the past: say when they come back, or null for at once").At("input.until")
		}
		if until != nil && until.Sub(at) > MaxSnooze {
			return Marked{}, belfry.Beyond("input.until", int(MaxSnooze/(24*time.Hour)), "days")
		}
		if h.epoch == 0 {
			return Marked{NotFound: ids}, nil
		}
		items, err := readMarkable(ctx, tx, h, h.own(ids))
		if err != nil {
			return Marked{}, err
		}
		result := Marked{NotFound: missing(ids, h, items)}
		if until == nil {
			result.Changed, err = s.bringBack(ctx, tx, h, ref, items, at)
		} else {
			result.Changed, err = s.putAway(ctx, tx, h, ref, items, until.UTC().Truncate(time.Microsecond), at)
		}
		return result, err
	})
}

// putAway snoozes items. What watermarks say of them so far is written to them: those that come later pass them by.
func (s *Service) putAway(ctx context.Context, tx *postgres.Tx, h *header, ref Ref, items []markable, until, at time.Time) (int, error) {
	var states []stored
	var seqs []int64
	moved := newTally()
	for _, it := range items {
		if it.SnoozedUntil != nil && it.SnoozedUntil.Equal(until) {
			continue
		}
		h.uncount(moved, &it.stored)
		h.tell(&it)
		it.Version = h.version + 1
		states, seqs = append(states, it.stored), append(seqs, it.seq)
	}
	if len(seqs) == 0 {
		return 0, nil
	}
	if err := writeStates(ctx, tx, h.key, states); err != nil {
		return 0, err
	}
	if err := moveGroups(ctx, tx, h, moved); err != nil {
		return 0, err
	}
	n := len(seqs)
	recipients, envs, channels, due := make([]int64, n), make([]int64, n), make([]string, n), make([]time.Time, n)
	for i := range seqs {
		recipients[i], envs[i], channels[i], due[i] = int64(h.recipient), int64(h.env), h.channel, until
	}
	batch := &pgx.Batch{}
	batch.Queue(snoozeItems, h.recipient, h.channel, h.env, seqs, until)
	batch.Queue(insertTimers, recipients, channels, envs, seqs, due, returnTimer)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return 0, err
	}
	away, err := readReturns(ctx, tx, h)
	if err != nil {
		return 0, err
	}
	if len(away) > MaxSnoozed {
		return 0, belfry.Beyond("input.ids", MaxSnoozed, "snoozed items of a feed")
	}
	return n, s.record(ctx, tx, h, ref, Event{Kind: Removed, Removal: Snoozed, Recipient: h.recipient, Seqs: seqs, At: at}, nil)
}

// bringBack ends the snooze of those items that are snoozed: a change for each, because each is told as a whole.
func (s *Service) bringBack(ctx context.Context, tx *postgres.Tx, h *header, ref Ref, items []markable, at time.Time) (int, error) {
	var states []stored
	var seqs []int64
	moved := newTally()
	for _, it := range items {
		if it.SnoozedUntil == nil {
			continue
		}
		after := it.Apply(belfry.Unseen, at)
		after.SnoozedUntil, after.Version = nil, h.version+1
		h.recount(moved, &it.stored, after)
		it.State = after
		states, seqs = append(states, it.stored), append(seqs, it.seq)
	}
	if len(seqs) == 0 {
		return 0, nil
	}
	if err := writeStates(ctx, tx, h.key, states); err != nil {
		return 0, err
	}
	if err := moveGroups(ctx, tx, h, moved); err != nil {
		return 0, err
	}
	batch := &pgx.Batch{}
	batch.Queue(snoozeItems, h.recipient, h.channel, h.env, seqs, nil)
	batch.Queue(deleteReturns, h.recipient, h.channel, seqs)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return 0, err
	}
	returned, err := readThese(ctx, tx, h, seqs)
	if err != nil {
		return 0, err
	}
	for _, it := range returned {
		if err := s.record(ctx, tx, h, ref, Event{Kind: Upserted, Item: it, At: at}, nil); err != nil {
			return 0, err
		}
	}
	return len(seqs), nil
}

// readReturns reads which items of a feed are snoozed.
func readReturns(ctx context.Context, tx pgx.Tx, h *header) ([]int64, error) {
	rows, err := tx.Query(ctx, selectReturns, h.recipient, h.channel)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

const (
	snoozeItems = `UPDATE feed_items AS i SET snoozed_until = $5
  FROM unnest($4::bigint[]) AS t (seq)
 CROSS JOIN LATERAL (SELECT ctid AS place FROM feed_items
   WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq = t.seq OFFSET 0) k
 WHERE i.ctid = k.place`

	deleteReturns = `DELETE FROM feed_timers WHERE recipient_id = $1 AND channel = $2 AND kind = 'return' AND seq = ANY ($3)`

	selectReturns = `SELECT seq FROM feed_timers WHERE recipient_id = $1 AND channel = $2 AND kind = 'return'`
)
