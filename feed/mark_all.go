package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// MarkAll marks every item up to a position, archived ones too. It writes one watermark, whatever the number of items;
// only those that came after upTo are looked at.
//
// Without a position it means up to now. The zero Position, which whoever saw an empty feed holds, means nothing at all.
func (s *Service) MarkAll(ctx context.Context, ref Ref, m belfry.Mark, upTo *belfry.Position) (Marked, error) {
	return s.markUpTo(ctx, ref, m, nil, upTo)
}

// MarkWhere marks those items up to a position that a filter selects. It writes as little as MarkAll does. How many they
// are is known without looking at them if the filter is by status, archived, workflows, categories and tenant; one with
// data or a time reads every item of the feed, small columns of it; of a long one before the feed is locked, if it keeps still.
func (s *Service) MarkWhere(ctx context.Context, ref Ref, m belfry.Mark, f Filter, upTo *belfry.Position) (Marked, error) {
	return s.markUpTo(ctx, ref, m, &f, upTo)
}

func (s *Service) markUpTo(ctx context.Context, ref Ref, m belfry.Mark, f *Filter, upTo *belfry.Position) (Marked, error) {
	if m.Pins() {
		return Marked{}, errPinsByID
	}
	mark := markAll{mark: m, filter: f, upTo: upTo}
	if f != nil {
		var err error
		if err := f.onlyOfPages("input.filter"); err != nil {
			return Marked{}, err
		}
		if mark.selection, err = s.choose(ctx, ref.Environment, f, "input.filter"); err != nil {
			return Marked{}, err
		}
		long, err := s.prepare(ctx, ref, mark.selection)
		if err != nil {
			return Marked{}, err
		}
		if long {
			marked, err := s.markLong(ctx, ref, &mark)
			return s.orSettle(ctx, ref, marked, err)
		}
	}
	marked, err := s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		return s.applyAll(ctx, tx, h, ref, &mark, at)
	})
	if errors.Is(err, errLong) {
		marked, err = s.markLong(ctx, ref, &mark)
	}
	return s.orSettle(ctx, ref, marked, err)
}

// orSettle settles a piece of a feed that takes no mark, so that it will.
func (s *Service) orSettle(ctx context.Context, ref Ref, marked Marked, refused error) (Marked, error) {
	if belfry.CodeOf(refused) != belfry.TooLarge {
		return marked, refused
	}
	_, err := s.change(ctx, ref, func(tx *postgres.Tx, h *header, _ time.Time) (Marked, error) {
		if len(h.watermarks) == 0 { // somebody else has
			return Marked{}, nil
		}
		if err := settle(ctx, tx, h, settlePiece); err != nil {
			return Marked{}, fmt.Errorf("settle watermarks: %w", err)
		}
		return Marked{}, s.writeHeader(ctx, tx, h)
	})
	return Marked{}, cmp.Or(err, refused)
}

var (
	// errLong: more is to be counted than may be under the feed's lock.
	errLong = errors.New("too much is to be counted under a lock")
	// errLate: the feed has changed since it was counted.
	errLate = errors.New("the feed has changed since it was counted")
)

// markLong counts a long feed before it is locked, so that what comes to it needn't wait. If the feed has changed meanwhile
// it is counted again; the last time under the lock.
func (s *Service) markLong(ctx context.Context, ref Ref, mark *markAll) (Marked, error) {
	done, err := s.scans.turn(ctx, ref.Environment)
	if err != nil {
		return Marked{}, err
	}
	defer done()
	for range 3 {
		err := s.read(ctx, ref, func(tx pgx.Tx, h *header) error {
			last, err := mark.reach(h)
			if err != nil {
				return err
			}
			if _, err := mark.watermark(h, last, time.Time{}); err != nil {
				return err
			}
			counted, err := readCoverage(ctx, tx, h, mark.scope, last)
			mark.counted, mark.at, mark.groupedTo = &counted, h.position(), h.groupedTo
			return err
		})
		if err != nil {
			return Marked{}, err
		}
		marked, err := s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
			if h.position() != mark.at || h.groupedTo != mark.groupedTo {
				return Marked{}, errLate
			}
			return s.applyAll(ctx, tx, h, ref, mark, at)
		})
		if !errors.Is(err, errLate) {
			return marked, err
		}
	}
	mark.counted, mark.locked = nil, true
	return s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		return s.applyAll(ctx, tx, h, ref, mark, at)
	})
}

// markAll is a mark on everything, or on what a filter selects.
type markAll struct {
	mark   belfry.Mark
	filter *Filter // nil: everything
	selection
	upTo *belfry.Position // nil: up to now

	counted   *coverage // what it means, as of a position of the feed and its groups; nil: to be counted
	at        belfry.Position
	groupedTo int64
	locked    bool // it may be counted under the lock, however much that is
}

// reach is the last item that is meant.
func (a *markAll) reach(h *header) (int64, error) {
	if a.upTo == nil {
		return h.lastSeq, nil
	}
	if h.epoch != 0 && *a.upTo != (belfry.Position{}) && (a.upTo.Epoch != h.epoch || a.upTo.Version > h.version) {
		return 0, belfry.Errorf(belfry.Invalid, "this position is not of this feed: read the feed again").At("input.upTo")
	}
	return min(h.lastSeq, a.upTo.Version), nil
}

// watermark is the mark as one of the feed's watermarks, or TOO_LARGE if they have become too many. Marks on everything up to
// now are always taken: of those never more than five remain.
func (a *markAll) watermark(h *header, last int64, at time.Time) (Watermark, error) {
	w := Watermark{Mark: a.mark, UpTo: last, Version: h.version + 1, At: at, Scope: a.scope, Condition: a.Condition}
	pushed := h.watermarks.Push(w)
	simple := w.Scope == nil && w.Condition == Condition{} && last == h.lastSeq
	if simple || len(pushed) <= len(h.watermarks) || !h.watermarks.overfull() {
		return w, nil
	}
	e := belfry.Errorf(belfry.TooLarge, "this feed is still busy with %d other marks: use one of their filters, mark everything up to now, or try again", len(h.watermarks))
	if e.Limit = maxOpenWatermarks; a.filter != nil {
		return w, e.At("input.filter")
	}
	return w, e.At("input.upTo")
}

// applyAll makes the mark. The feed is locked.
func (s *Service) applyAll(ctx context.Context, tx *postgres.Tx, h *header, ref Ref, a *markAll, at time.Time) (Marked, error) {
	last, err := a.reach(h)
	if err != nil || a.nothing {
		return Marked{}, err
	}
	if h.watermarks.waiting() >= maxUnexpanded {
		h.tellRest()
	}
	mark, err := a.watermark(h, last, at)
	if err != nil {
		return Marked{}, err
	}
	meant := a.counted
	if meant == nil {
		if !a.locked && toRead(h, a.scope, last) > longFeed {
			return Marked{}, errLong
		}
		counted, err := readCoverage(ctx, tx, h, a.scope, last)
		if err != nil {
			return Marked{}, err
		}
		meant = &counted
	}
	after, changed, any := meant.cells.Mark(a.mark, a.Condition)
	if !any {
		return Marked{}, nil
	}
	h.cells = h.cells.minus(meant.cells).plus(after)
	if err := meant.markGroups(ctx, tx, h, a.mark, a.Condition); err != nil {
		return Marked{}, err
	}
	if mark.Unexpanded, mark.User = changed, ref.User; changed > 0 {
		if err := s.expandNew(ctx, tx, h, &mark); err != nil {
			return Marked{}, fmt.Errorf("expand a mark: %w", err)
		}
	}
	mark.forget()
	if h.watermarks = h.watermarks.Push(mark); h.watermarks.full() {
		h.tellRest() // so no list that is full has marks that wait, and refuses others because of them
	}
	if h.watermarks.full() {
		if err := settle(ctx, tx, h, settlePiece); err != nil {
			return Marked{}, fmt.Errorf("settle watermarks: %w", err)
		}
	}
	var all []belfry.StatusChange
	if changed > 0 { // otherwise only archived items changed: nothing that a person did
		whole := h.whole(&mark, ref.User, last, changed)
		whole.Each = true
		all = append(all, whole)
	}
	e := Event{Kind: MarkedAll, Mark: a.mark, UpTo: last, At: at}
	if a.filter != nil {
		e.Kind, e.Filter = MarkedWhere, a.filter
	}
	return Marked{Changed: changed}, s.record(ctx, tx, h, ref, e, all)
}

// whole is the change that a mark made to so many messages, up to one, none of which it names.
func (h *header) whole(w *Watermark, user string, last int64, changed int) belfry.StatusChange {
	return belfry.StatusChange{Environment: h.env, Kind: w.Mark.Event(), At: w.At, Channel: h.channel, ChannelType: belfry.InApp,
		Messages: []belfry.MessageRef{{Recipient: h.recipient, UserID: user, Seq: last}}, All: true, Some: w.Scope != nil || w.Condition != Condition{}, Count: changed}
}

// coverage is which items a mark means, whatever the condition on their state.
type coverage struct {
	cells  Cells
	groups *tally // feed_groups; nil if the feed has none
	part   *tally // those of cells that are counted there
}

// toRead is how many versions readCoverage looks at, about.
func toRead(h *header, sc *Scope, last int64) int64 {
	switch {
	case sc == nil:
		return h.lastSeq - last
	case sc.grouped() && h.groupedTo > 0:
		return max(h.groupedTo-last, last-h.groupedTo)
	default:
		return last
	}
}

// readCoverage counts the items of a scope up to a sequence number, of a feed that is locked or in a snapshot.
func readCoverage(ctx context.Context, tx pgx.Tx, h *header, sc *Scope, last int64) (c coverage, err error) {
	if h.groupedTo > 0 {
		if c.groups, err = readGroups(ctx, tx, h); err != nil {
			return c, err
		}
	}
	switch {
	case h.groupedTo <= 0:
		c.groups = nil
	case sc.grouped():
		c.part = c.groups.within(sc)
		err := eachItem(ctx, tx, h, last, h.groupedTo, false, func(it *stored) {
			if sc.Matches(&it.Attributes) {
				c.part.add(&it.Attributes, it.State, -1)
			}
		})
		if err != nil {
			return c, err
		}
	}
	switch {
	case sc == nil:
		newer, err := countAfter(ctx, tx, h, last)
		c.cells = h.cells.minus(newer)
		return c, err
	case c.part != nil:
		c.cells = c.part.total()
		return c, eachItem(ctx, tx, h, h.groupedTo, last, false, func(it *stored) {
			if sc.Matches(&it.Attributes) {
				c.cells.Add(it.State, 1)
			}
		})
	}
	c.part = newTally()
	return c, eachItem(ctx, tx, h, 0, last, sc.needsData(), func(it *stored) {
		if sc.Matches(&it.Attributes) {
			c.cells.Add(it.State, 1)
			if it.seq <= h.groupedTo {
				c.part.add(&it.Attributes, it.State, 1)
			}
		}
	})
}

// markGroups does to the feed's groups, if it has any, what a mark does to the items of the coverage.
func (c *coverage) markGroups(ctx context.Context, tx *postgres.Tx, h *header, m belfry.Mark, where Condition) error {
	if c.groups == nil {
		return nil
	}
	for _, g := range c.part.groups {
		after, _, _ := g.Cells.Mark(m, where)
		cells := c.groups.of(g.attributes())
		*cells = cells.minus(g.Cells).plus(after)
	}
	return writeGroups(ctx, tx, h, c.groups)
}
