package feed

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// A mark on everything writes one watermark, and yet ObserveEach is told of each message that it changed. Of the newest at
// once: as a rule those are all. Otherwise the watermark says how many are left, and a row of feed_expansions has them looked
// for in the background, newest first, until as many are found.
//
// What a mark did to an item follows from the item as it is stored and from the watermarks before that one. So nothing of
// those is dropped before the mark is expanded (see Watermarks.compact), and whoever writes to an item, or removes it, tells
// first what marks did to it (see header.tell): an item that was written since has been told.
const (
	expandAtOnce  = 100         // items that a mark looks at
	expandPiece   = 1000        // of a feed that are looked at in one transaction later
	expandData    = 50          // of those, if that takes a look at their data, which may be long
	expandPace    = time.Second // from one piece of a feed to the next: nobody fills the log, marking a long feed to and fro
	maxUnexpanded = 8           // marks of a feed that wait; when there are more, what is left of those is told as numbers
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

// told is what one mark did, of which ObserveEach is to be told.
type told struct {
	version int64
	belfry.StatusChanges
}

// of is what is to be told of a mark. Marks are told in their order.
func (h *header) of(w *Watermark) *belfry.StatusChanges {
	i, found := slices.BinarySearchFunc(h.told, w.Version, func(t told, v int64) int { return cmp.Compare(t.version, v) })
	if !found {
		h.told = slices.Insert(h.told, i, told{version: w.Version})
	}
	return &h.told[i].StatusChanges
}

// tell has ObserveEach told, when the feed's row is written, what marks did to an item of which it doesn't know.
func (h *header) tell(it *markable) {
	for _, i := range it.unexpanded {
		h.tellOf(&h.watermarks[i], it)
	}
}

func (h *header) tellOf(w *Watermark, it *markable) {
	h.addTo(h.of(w), w.Mark, w.At, w.User, it)
	w.Unexpanded--
	w.forget()
}

// tellRest tells as numbers what marks did, as far as it isn't told yet. So they don't wait for being expanded any more.
func (h *header) tellRest() {
	for i := range h.watermarks {
		if w := &h.watermarks[i]; w.Unexpanded > 0 {
			rest := h.of(w)
			*rest = append(*rest, h.whole(w, w.User, cmp.Or(w.Expanded, w.UpTo+1)-1, w.Unexpanded))
			w.Unexpanded = 0
			w.forget()
		}
	}
	h.watermarks = h.watermarks.compact()
}

// forget drops what only those marks need that wait.
func (w *Watermark) forget() {
	if w.Unexpanded == 0 {
		w.User, w.Expanded = "", 0
	}
}

// observeTold tells what is to be told.
func (s *Service) observeTold(ctx context.Context, tx *postgres.Tx, h *header) error {
	var all []belfry.StatusChange
	for _, t := range h.told {
		all = append(all, t.StatusChanges...)
	}
	if h.told = nil; len(all) == 0 {
		return nil
	}
	if err := s.ObserveEach(ctx, tx, all); err != nil {
		return fmt.Errorf("observe what marks on everything did: %w", err)
	}
	return nil
}

// expandNew tells what a new mark did to the newest items, and has the others looked for if they are more. It isn't among the
// feed's watermarks yet; elder ones that wait come first.
func (s *Service) expandNew(ctx context.Context, tx *postgres.Tx, h *header, w *Watermark) error {
	if all := append(slices.Clone(h.watermarks), *w); h.watermarks.waiting() == 0 && !all.needData() {
		if _, err := s.expand(ctx, tx, h, all, len(all)-1, cmp.Or(s.lookAtOnce, expandAtOnce)); err != nil {
			return err
		}
		*w = all[len(all)-1]
	}
	if w.Unexpanded == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, insertExpansion, h.recipient, h.channel, h.env, w.At)
	return err
}

// ExpandMarks tells of the next messages that marks on everything changed, a piece of each feed that has such marks. Run calls
// it; nodes find nothing to do where another was faster. A feed that fails holds up no other, and is tried again after a while.
func (s *Service) ExpandMarks(ctx context.Context) error {
	return s.eachDue(ctx, selectExpansions, s.expandNext, func(ctx context.Context, k key) error {
		_, err := s.Pool.Exec(ctx, postponeExpansion, k.recipient, k.channel, s.now().Add(timerRetry))
		return err
	})
}

// expandNext tells of the next items of a feed, as far as they fit into a transaction: what the eldest mark did first, so that
// what happened to an item is told in its order.
func (s *Service) expandNext(ctx context.Context, tx *postgres.Tx, k key) error {
	h, err := readHeader(ctx, tx, lockHeader, k)
	if err != nil {
		return err
	}
	now := s.now()
	tag, err := tx.Exec(ctx, takeExpansion, k.recipient, k.channel, now, now.Add(expandPace))
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	for n, i := cmp.Or(s.lookLater, expandPiece), 0; i < len(h.watermarks) && n > 0; i++ {
		if h.watermarks[i].Unexpanded == 0 {
			continue
		}
		if h.watermarks[:i+1].needData() {
			n = min(n, expandData)
		}
		looked, err := s.expand(ctx, tx, h, h.watermarks, i, n)
		if err != nil {
			return err
		}
		n -= looked
	}
	if h.watermarks.waiting() == 0 {
		if _, err := tx.Exec(ctx, deleteExpansion, k.recipient, k.channel); err != nil {
			return err
		}
	}
	h.watermarks = h.watermarks.compact()
	return s.writeHeader(ctx, tx, h)
}

// expand tells what one of some marks did to the next n items, at most, and returns how many it looked at. If there are no more
// there is nothing left to tell.
func (s *Service) expand(ctx context.Context, tx *postgres.Tx, h *header, ws Watermarks, i, n int) (looked int, err error) {
	w := &ws[i]
	rows, err := tx.Query(ctx, selectBefore, h.recipient, h.channel, h.env, cmp.Or(w.Expanded, w.UpTo+1), n, ws[:i+1].needData())
	if err != nil {
		return 0, err
	}
	items, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m markable, err error) {
		return m, row.Scan(m.allFields()...)
	})
	if err != nil {
		return 0, err
	}
	for j := range items {
		if w.Unexpanded == 0 { // those were all
			break
		}
		if w.Expanded = items[j].seq; ws.did(i, &items[j].stored) {
			h.tellOf(w, &items[j])
		}
	}
	if len(items) < n {
		w.Unexpanded = 0
		w.forget()
	}
	return len(items), nil
}

const (
	selectBefore = `SELECT ` + stateColumns + `, ` + attributeColumns + `, CASE WHEN $6 THEN content->'data' END, step_ref
  FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq < $4 ORDER BY seq DESC LIMIT $5`

	insertExpansion = `INSERT INTO feed_expansions (recipient_id, channel, environment_id, due_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (recipient_id, channel) DO NOTHING`

	selectExpansions = `SELECT environment_id, recipient_id, channel FROM feed_expansions WHERE due_at <= $1 ORDER BY due_at LIMIT $2`

	// takeExpansion takes the turn of a feed that is locked, and says when the next one is.
	takeExpansion = `UPDATE feed_expansions SET due_at = $4 WHERE recipient_id = $1 AND channel = $2 AND due_at <= $3`

	postponeExpansion = `UPDATE feed_expansions SET due_at = $3 WHERE recipient_id = $1 AND channel = $2`

	deleteExpansion = `DELETE FROM feed_expansions WHERE recipient_id = $1 AND channel = $2`
)
