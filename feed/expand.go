package feed

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/belfryhq/belfry/postgres"
)

// A mark on everything writes one watermark, and yet ObserveEach is told of each message that it changed. Of the newest at
// once: as a rule those are all. Otherwise the watermark says how many are left, and a timer has them looked for in the
// background, newest first, until as many are found.
//
// What a mark did to an item follows from the item as it is stored and from the watermarks before that one. So nothing of
// those is dropped before the mark is expanded (see Watermarks.compact), and whoever writes to an item, or removes it, tells
// first what marks did to it (see header.tell): an item that was written since has been told.
const (
	expandAtOnce  = 100  // items that a mark looks at
	expandPiece   = 5000 // that are looked at in one transaction later
	maxUnexpanded = 8    // marks of a feed that wait for it; when there are more, what is left of those is told as numbers
)

// did reports whether one of the marks changed an item, as it was stored, in a way that people count.
func (ws Watermarks) did(i int, it *stored) bool {
	w := &ws[i]
	if it.SnoozedUntil != nil || w.Version <= it.Version || it.seq > w.UpTo {
		return false
	}
	s := ws[:i].Effective(it.seq, &it.Attributes, it.State)
	return w.Condition.matches(s) && w.Scope.Matches(&it.Attributes) && s.Changes(w.Mark) && !(s.Archived && s.Apply(w.Mark, w.At).Archived)
}

// unexpanded is which marks changed an item, as it was stored, of which nobody has been told.
func (ws Watermarks) unexpanded(it *stored) (found []int) {
	for i := range ws {
		if w := &ws[i]; w.Unexpanded > 0 && (w.Expanded == 0 || it.seq < w.Expanded) && ws.did(i, it) {
			found = append(found, i)
		}
	}
	return found
}

// waiting is how many marks are to be expanded.
func (ws Watermarks) waiting() (n int) {
	for i := range ws {
		if ws[i].Unexpanded > 0 {
			n++
		}
	}
	return n
}

// tell has ObserveEach told, when the feed's row is written, what marks did to an item of which it doesn't know.
func (h *header) tell(user string, it *markable) {
	for _, i := range it.unexpanded {
		w := &h.watermarks[i]
		w.Unexpanded--
		h.addTo(&h.told, w.Mark, w.At, user, it)
	}
}

// tellRest tells as numbers what marks did, as far as it isn't told yet. So they don't wait for being expanded any more.
func (h *header) tellRest(user string) {
	for i := range h.watermarks {
		w := &h.watermarks[i]
		if w.Unexpanded > 0 && user != "" {
			h.told = append(h.told, h.whole(w, user, cmp.Or(w.Expanded, w.UpTo+1)-1, w.Unexpanded))
		}
		w.Unexpanded = 0
	}
	h.watermarks = h.watermarks.compact()
}

// expandNew tells what a new mark did to the newest items, and has the others looked for if they are more. It changed so many,
// and isn't among the feed's watermarks yet; elder ones that wait come first.
func (s *Service) expandNew(ctx context.Context, tx *postgres.Tx, h *header, user string, w *Watermark, changed int, at time.Time) error {
	w.Unexpanded = changed
	if changed == 0 {
		return nil
	}
	if h.watermarks.waiting() == 0 {
		all := append(slices.Clone(h.watermarks), *w)
		if _, err := s.expand(ctx, tx, h, all, len(all)-1, user, cmp.Or(s.expandAtOnce, expandAtOnce)); err != nil {
			return err
		}
		*w = all[len(all)-1]
	}
	if w.Unexpanded == 0 {
		return nil
	}
	return expandLater(ctx, tx, h, at)
}

// expandLater has what is left looked for in the background.
func expandLater(ctx context.Context, tx *postgres.Tx, h *header, at time.Time) error {
	_, err := tx.Exec(ctx, insertTimers, []int64{int64(h.recipient)}, []string{h.channel}, []int64{int64(h.env)}, []int64{0}, []time.Time{at}, expandTimer)
	return err
}

// expandNext tells what is next, of as many items as fit into a transaction: the eldest mark first, so that what happened to
// an item is told in its order.
func (s *Service) expandNext(ctx context.Context, tx *postgres.Tx, h *header, user string, at time.Time) error {
	for n, i := cmp.Or(s.expandPiece, expandPiece), 0; i < len(h.watermarks) && n > 0; i++ {
		if h.watermarks[i].Unexpanded == 0 {
			continue
		}
		read, err := s.expand(ctx, tx, h, h.watermarks, i, user, n)
		if err != nil {
			return err
		}
		n -= read
	}
	if h.watermarks.waiting() > 0 {
		if err := expandLater(ctx, tx, h, at); err != nil {
			return err
		}
	}
	h.watermarks = h.watermarks.compact()
	return s.writeHeader(ctx, tx, h)
}

// expand tells what one of some marks did to the next n items, at most, and returns how many it looked at. If there are no more
// there is nothing left to tell.
func (s *Service) expand(ctx context.Context, tx *postgres.Tx, h *header, ws Watermarks, i int, user string, n int) (read int, err error) {
	w := &ws[i]
	rows, err := tx.Query(ctx, selectBefore, h.recipient, h.channel, h.env, cmp.Or(w.Expanded, w.UpTo+1), n, ws.needData())
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() && w.Unexpanded > 0 {
		var it markable
		if err := rows.Scan(it.allFields()...); err != nil {
			return read, err
		}
		if ws.did(i, &it.stored) {
			w.Unexpanded--
			h.addTo(&h.told, w.Mark, w.At, user, &it)
		}
		read, w.Expanded = read+1, it.seq
	}
	if rows.Close(); rows.Err() == nil && read < n {
		w.Unexpanded = 0
	}
	return read, rows.Err()
}

const selectBefore = `SELECT ` + stateColumns + `, ` + attributeColumns + `, CASE WHEN $6 THEN content->'data' END, step_ref
  FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq < $4 ORDER BY seq DESC LIMIT $5`
