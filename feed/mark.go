package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Marked is what marking did.
type Marked struct {
	Badge    belfry.Badge
	Position belfry.Position // includes the change
	Changed  int             // items that changed; MarkAll and MarkWhere count archived ones only if their being archived changed
	NotFound []belfry.MessageID
}

// Mark marks some items of a feed by id, at most MaxMarkIDs of them. Ids of other feeds are reported as not found. Items
// that are already so don't change; if none changes, nothing is recorded.
func (s *Service) Mark(ctx context.Context, ref Ref, m belfry.Mark, ids []belfry.MessageID) (Marked, error) {
	if len(ids) > MaxMarkIDs {
		return Marked{}, belfry.Beyond("input.ids", MaxMarkIDs, "ids")
	}
	return s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		if h.epoch == 0 {
			return Marked{NotFound: ids}, nil // no row means no lock: items that come from now on are not ours to mark
		}
		seqs := make([]int64, 0, len(ids))
		for _, id := range ids {
			if id.Recipient == h.recipient && id.Channel == h.channel {
				seqs = append(seqs, id.Seq)
			}
		}
		items, err := readMarkable(ctx, tx, h, seqs)
		if err != nil {
			return Marked{}, err
		}
		result := Marked{NotFound: missing(ids, h, items)}
		var done belfry.StatusChanges
		var states []stored
		moved := newTally()
		for _, it := range items {
			if !it.Changes(m) {
				continue
			}
			after := it.Apply(m, at)
			after.Version = h.version + 1
			h.cells.Add(it.State, -1)
			h.cells.Add(after, 1)
			states = append(states, stored{seq: it.seq, State: after})
			if it.seq <= h.groupedTo {
				moved.add(&it.Attributes, it.State, -1)
				moved.add(&it.Attributes, after, 1)
			}
			done.Add(&belfry.StatusChange{Environment: h.env, Kind: m.Event(), At: at, Channel: h.channel, ChannelType: belfry.InApp,
				Workflow: it.Workflow, StepRef: it.step}, belfry.MessageRef{Recipient: h.recipient, UserID: ref.User, Seq: it.seq})
		}
		result.Changed = len(states)
		if len(states) == 0 {
			return result, nil
		}
		if err := writeStates(ctx, tx, h.key, states); err != nil {
			return Marked{}, err
		}
		if err := moveGroups(ctx, tx, h, moved); err != nil {
			return Marked{}, err
		}
		changed := make([]int64, len(states))
		for i := range states {
			changed[i] = states[i].seq
		}
		return result, s.record(ctx, tx, h, ref, Event{Kind: Patched, Mark: m, Recipient: h.recipient, Seqs: changed, At: at}, done)
	})
}

// change runs fn in a transaction that holds the feed's lock, and completes its result.
func (s *Service) change(ctx context.Context, ref Ref, fn func(*postgres.Tx, *header, time.Time) (Marked, error)) (Marked, error) {
	recipient, err := s.UserID(ctx, ref.Environment, ref.User)
	if err != nil {
		return Marked{}, err
	}
	var result Marked
	err = postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
		h, err := readHeader(ctx, tx, lockHeader, key{ref.Environment, recipient, ref.Channel})
		if err != nil {
			return err
		}
		if result, err = fn(tx, h, s.now()); err != nil {
			return err
		}
		result.Badge, result.Position = h.cells.Badge(), h.position()
		return nil
	})
	return result, err
}

// record takes the next version, and writes the feed's row, the change and what happened to the messages.
func (s *Service) record(ctx context.Context, tx *postgres.Tx, h *header, ref Ref, e Event, done []belfry.StatusChange) error {
	h.version++
	e.Position, e.Badge = h.position(), h.cells.Badge()
	if err := writeHeader(ctx, tx, h); err != nil {
		return err
	}
	seqs, upTo := e.Seqs, (*int64)(nil)
	switch e.Kind {
	case MarkedAll:
		upTo = &e.UpTo
	case MarkedWhere: // a node that doesn't know of filters yet takes it for a mark on no items
		seqs, upTo = []int64{}, &e.UpTo
	}
	if _, err := tx.Exec(ctx, insertChange, h.recipient, h.channel, h.version, h.env, e.At, e.Mark, seqs, upTo, e.Filter); err != nil {
		return err
	}
	if len(done) > 0 {
		if err := s.Observe(ctx, tx, done); err != nil {
			return fmt.Errorf("observe marks: %w", err)
		}
	}
	tx.AfterCommit(func() {
		s.publish([]addressed{{ref.Environment, ref.Channel, ref.User, e.Position.Version, func() Event { return e }}})
	})
	return nil
}

// markable is what Mark needs to know of an item: its true state, and whom to tell.
type markable struct {
	stored
	step string
}

func readMarkable(ctx context.Context, tx pgx.Tx, h *header, seqs []int64) ([]markable, error) {
	rows, err := tx.Query(ctx, selectMarkable, h.recipient, h.channel, h.env, seqs, h.watermarks.needData())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m markable, err error) {
		err = row.Scan(append(m.allFields(), &m.step)...)
		m.State = h.watermarks.Effective(m.seq, &m.Attributes, m.State)
		return m, err
	})
}

// missing is those ids that are no items of the feed.
func missing(ids []belfry.MessageID, h *header, found []markable) []belfry.MessageID {
	here := make(map[int64]bool, len(found))
	for _, it := range found {
		here[it.seq] = true
	}
	var out []belfry.MessageID
	for _, id := range ids {
		if id.Recipient != h.recipient || id.Channel != h.channel || !here[id.Seq] {
			out = append(out, id)
		}
	}
	return out
}
