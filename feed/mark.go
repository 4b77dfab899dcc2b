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
	Changed  int             // items that changed; MarkAll counts archived ones only if their being archived changed
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
	for _, it := range items {
		if !it.Changes(m) {
			continue
		}
		after := it.Apply(m, at)
		after.Version = h.version + 1
		h.cells.Add(it.State, -1)
		h.cells.Add(after, 1)
		states, changed = append(states, stored{it.seq, after}), append(changed, it.seq)
		done.Add(&belfry.StatusChange{Environment: h.env, Kind: m.Event(), At: at, Channel: h.channel, ChannelType: belfry.InApp,
			Workflow: it.workflow, StepRef: it.step}, belfry.MessageRef{Recipient: h.recipient, UserID: ref.User, Seq: it.seq})
	}
	if len(states) == 0 {
		return 0, nil
	}
	if err := writeStates(ctx, tx, h.key, states); err != nil {
		return 0, err
	}
	return len(states), s.record(ctx, tx, h, ref, Event{Kind: Patched, Mark: m, Recipient: h.recipient, Seqs: changed, At: at}, done)
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

// MarkAll marks every item up to a position, archived ones too. It writes one watermark, whatever the number of items;
// only those that came after upTo are looked at.
//
// Without a position it means up to now. The zero Position, which whoever saw an empty feed holds, means nothing at all.
func (s *Service) MarkAll(ctx context.Context, ref Ref, m belfry.Mark, upTo *belfry.Position) (Marked, error) {
	if m.Pins() {
		return Marked{}, errPinsByID
	}
	return s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		last := h.lastSeq
		if upTo != nil {
			if h.epoch != 0 && *upTo != (belfry.Position{}) && (upTo.Epoch != h.epoch || upTo.Version > h.version) {
				return Marked{}, belfry.Errorf(belfry.Invalid, "this position is not of this feed: read the feed again").At("input.upTo")
			}
			last = min(last, upTo.Version)
		}
		newer, err := countAfter(ctx, tx, h, last)
		if err != nil {
			return Marked{}, err
		}
		covered, changed, any := h.cells.minus(newer).Mark(m)
		if !any {
			return Marked{}, nil
		}
		h.cells = covered.plus(newer)
		h.watermarks = h.watermarks.Push(Watermark{Mark: m, UpTo: last, Version: h.version + 1, At: at})
		if len(h.watermarks) > maxWatermarks {
			if err := settle(ctx, tx, h); err != nil {
				return Marked{}, fmt.Errorf("settle watermarks: %w", err)
			}
		}
		all := []belfry.StatusChange{{Environment: h.env, Kind: m.Event(), At: at, Channel: h.channel, ChannelType: belfry.InApp,
			Messages: []belfry.MessageRef{{Recipient: h.recipient, UserID: ref.User, Seq: last}}, All: true, Count: changed}}
		if changed == 0 { // only archived items changed: nothing that a person did
			all = nil
		}
		return Marked{Changed: changed}, s.record(ctx, tx, h, ref, Event{Kind: MarkedAll, Mark: m, UpTo: last, At: at}, all)
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
	what, seqs, upTo := e.change()
	if _, err := tx.Exec(ctx, insertChange, h.recipient, h.channel, h.version, h.env, e.At, what, seqs, upTo); err != nil {
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
	workflow, step string
}

func readMarkable(ctx context.Context, tx pgx.Tx, h *header, seqs []int64) ([]markable, error) {
	rows, err := tx.Query(ctx, selectMarkable, h.recipient, h.channel, h.env, seqs)
	if err != nil {
		return nil, err
	}
	return collectMarkable(rows, h)
}

func collectMarkable(rows pgx.Rows, h *header) ([]markable, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m markable, err error) {
		err = row.Scan(append(m.fields(), &m.workflow, &m.step)...)
		m.State = h.watermarks.Effective(m.seq, m.State)
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

// scanStates calls fn with the stored states of the items between two sequence numbers (the first excluded), a chunk
// at a time, oldest first.
func scanStates(ctx context.Context, tx pgx.Tx, h *header, after, upTo int64, fn func([]stored) error) error {
	for after < upTo {
		rows, err := tx.Query(ctx, selectStates, h.recipient, h.channel, h.env, after, upTo, scanChunk)
		if err != nil {
			return err
		}
		chunk, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s stored, err error) {
			return s, row.Scan(s.fields()...)
		})
		if err != nil || len(chunk) == 0 {
			return err
		}
		after = chunk[len(chunk)-1].seq
		if err := fn(chunk); err != nil {
			return err
		}
	}
	return nil
}

// countAfter counts the items that came after a sequence number, by state.
func countAfter(ctx context.Context, tx pgx.Tx, h *header, seq int64) (c Cells, err error) {
	err = scanStates(ctx, tx, h, seq, h.lastSeq, func(chunk []stored) error {
		for _, it := range chunk {
			c.Add(h.watermarks.Effective(it.seq, it.State), 1)
		}
		return nil
	})
	return c, err
}

// settle writes what the watermarks say to the items, and empties the list. It costs what marking each item would
// have; see maxWatermarks for when it comes to that.
func settle(ctx context.Context, tx pgx.Tx, h *header) error {
	var reach int64
	for _, w := range h.watermarks {
		reach = max(reach, w.UpTo)
	}
	err := scanStates(ctx, tx, h, 0, reach, func(chunk []stored) error {
		for i := range chunk {
			chunk[i].State = h.watermarks.Effective(chunk[i].seq, chunk[i].State)
			chunk[i].Version = h.version + 1
		}
		return writeStates(ctx, tx, h.key, chunk)
	})
	h.watermarks = Watermarks{}
	return err
}
