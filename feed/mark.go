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
	if m.Pins() {
		return s.pin(ctx, ref, m, ids)
	}
	return s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		if h.epoch == 0 {
			return Marked{NotFound: ids}, nil // no row means no lock: items that come from now on are not ours to mark
		}
		items, err := readMarkable(ctx, tx, h, h.own(ids))
		if err != nil {
			return Marked{}, err
		}
		changed, err := s.markThese(ctx, tx, h, ref, m, items, at)
		return Marked{NotFound: missing(ids, h, items), Changed: changed}, err
	})
}

// markThese marks items, and returns how many it changed.
func (s *Service) markThese(ctx context.Context, tx *postgres.Tx, h *header, ref Ref, m belfry.Mark, items []markable, at time.Time) (int, error) {
	var done belfry.StatusChanges
	var states []stored
	var changed []int64
	moved := newTally()
	for _, it := range items {
		if !it.Changes(m) {
			continue
		}
		after := it.Apply(m, at)
		after.Version = h.version + 1
		h.recount(moved, &it.stored, after)
		h.tell(&it)
		states, changed = append(states, stored{seq: it.seq, State: after}), append(changed, it.seq)
		h.addTo(&done, m, at, ref.User, &it)
	}
	if len(states) == 0 {
		return 0, nil
	}
	if err := writeStates(ctx, tx, h.key, states); err != nil {
		return 0, err
	}
	if err := moveGroups(ctx, tx, h, moved); err != nil {
		return 0, err
	}
	return len(states), s.record(ctx, tx, h, ref, Event{Kind: Patched, Mark: m, Recipient: h.recipient, Seqs: changed, At: at}, done)
}

// addTo adds an item to the changes that a mark made.
func (h *header) addTo(done *belfry.StatusChanges, m belfry.Mark, at time.Time, user string, it *markable) {
	done.Add(&belfry.StatusChange{Environment: h.env, Kind: m.Event(), At: at, Channel: h.channel, ChannelType: belfry.InApp,
		Workflow: it.Workflow, StepRef: it.step}, belfry.MessageRef{Recipient: h.recipient, UserID: user, Seq: it.seq})
}

// own is the sequence numbers of those ids that are of this feed.
func (h *header) own(ids []belfry.MessageID) []int64 {
	seqs := make([]int64, 0, len(ids))
	for _, id := range ids {
		if id.Recipient == h.recipient && id.Channel == h.channel {
			seqs = append(seqs, id.Seq)
		}
	}
	return seqs
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
	if err := s.writeHeader(ctx, tx, h); err != nil {
		return err
	}
	what, seqs, upTo := e.change()
	if _, err := tx.Exec(ctx, insertChange, h.recipient, h.channel, h.version, h.env, e.At, what, seqs, upTo, e.Filter); err != nil {
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

// markable is what whoever changes an item needs to know of it: its true state, and what to tell.
type markable struct {
	stored
	step       string
	unexpanded []int // those of the feed's watermarks that changed it, of which nobody has been told; see header.tell
}

// allFields is where the columns of selectMarkable and its like go.
func (m *markable) allFields() []any { return append(m.stored.allFields(), &m.step) }

// overtake gives it its true state.
func (m *markable) overtake(by Watermarks) {
	m.unexpanded = by.unexpanded(&m.stored)
	m.State = by.Effective(m.seq, &m.Attributes, m.State)
}

func readMarkable(ctx context.Context, tx pgx.Tx, h *header, seqs []int64) ([]markable, error) {
	rows, err := tx.Query(ctx, selectMarkable, h.recipient, h.channel, h.env, seqs, h.watermarks.needData())
	if err != nil {
		return nil, err
	}
	return collectMarkable(rows, h)
}

func collectMarkable(rows pgx.Rows, h *header) ([]markable, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m markable, err error) {
		err = row.Scan(m.allFields()...)
		m.overtake(h.watermarks)
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
