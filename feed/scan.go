package feed

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const (
	// longFeed is how many versions a feed has that isn't read as a whole under its lock, or by many at a time.
	longFeed = 5000
	// maxScans is how many long feeds a node reads at a time: the others wait, and leave the database to shorter questions.
	maxScans = 2
)

// turn waits until a long feed may be read. done ends that.
func (s *Service) turn(ctx context.Context) (done func(), err error) {
	s.mu.Lock()
	if s.scans == nil {
		s.scans = make(chan struct{}, maxScans)
	}
	s.mu.Unlock()
	select {
	case s.scans <- struct{}{}:
		return func() { <-s.scans }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// eachItem calls fn with the items between two sequence numbers (the first excluded), in their true state, oldest first.
// What it is given is good until it returns. Their data is there only if it is asked for.
func eachItem(ctx context.Context, tx pgx.Tx, h *header, after, upTo int64, data bool, fn func(*stored)) error {
	if after >= upTo {
		return nil
	}
	var limit *int64 // none: rows are read as they come
	rows, err := tx.Query(ctx, selectStates, h.recipient, h.channel, h.env, max(after, 0), upTo, limit, data || h.watermarks.needData())
	if err != nil {
		return err
	}
	var it stored
	_, err = pgx.ForEachRow(rows, it.allFields(), func() error {
		it.State = h.watermarks.Effective(it.seq, &it.Attributes, it.State)
		fn(&it)
		it.Data = nil
		return nil
	})
	return err
}

// countAfter counts the items that came after a sequence number, by state.
func countAfter(ctx context.Context, tx pgx.Tx, h *header, seq int64) (c Cells, err error) {
	err = eachItem(ctx, tx, h, seq, h.lastSeq, false, func(it *stored) { c.Add(it.State, 1) })
	return c, err
}

// settlePiece is how many items one mark settles at most.
const settlePiece = 2000

// settle writes what the watermarks say to the next n items, at most, and drops the watermarks that are done with. The first is
// done with when all the items that it reaches were written since it was made; what was made in between takes part in the next
// round, and is written along in this one, for it comes after.
func settle(ctx context.Context, tx pgx.Tx, h *header, n int) error {
	if len(h.watermarks) == 0 {
		return nil
	}
	from, reach := h.watermarks[0].Settled, int64(0)
	for _, w := range h.watermarks {
		reach = max(reach, w.UpTo)
	}
	after := from
	for n > 0 && after < reach {
		size := min(n, scanChunk)
		rows, err := tx.Query(ctx, selectStates, h.recipient, h.channel, h.env, after, reach, size, h.watermarks.needData())
		if err != nil {
			return err
		}
		chunk, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s stored, err error) {
			return s, row.Scan(s.allFields()...)
		})
		if err != nil {
			return err
		}
		if after = reach; len(chunk) == size {
			after = chunk[size-1].seq
		}
		n -= size
		if err := writeStates(ctx, tx, h.key, settled(h, chunk)); err != nil {
			return err
		}
	}
	h.watermarks = h.watermarks.settled(from, after)
	return nil
}

// settled is those of some items to which the watermarks did anything, as they are.
func settled(h *header, items []stored) []stored {
	changed := items[:0]
	for _, it := range items {
		if !h.watermarks.changes(it.seq, &it.Attributes, it.State) {
			continue
		}
		after := h.watermarks.Effective(it.seq, &it.Attributes, it.State)
		after.Version = h.watermarks[len(h.watermarks)-1].Version
		changed = append(changed, stored{seq: it.seq, State: after})
	}
	return changed
}
