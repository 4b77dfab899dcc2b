package feed

import (
	"context"
	"fmt"
	"time"

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
// data or a time reads every item of the feed, small columns of it, under the feed's lock.
func (s *Service) MarkWhere(ctx context.Context, ref Ref, m belfry.Mark, f Filter, upTo *belfry.Position) (Marked, error) {
	return s.markUpTo(ctx, ref, m, &f, upTo)
}

func (s *Service) markUpTo(ctx context.Context, ref Ref, m belfry.Mark, f *Filter, upTo *belfry.Position) (Marked, error) {
	var sel selection
	if f != nil {
		var err error
		if sel, err = s.choose(ctx, ref.Environment, f, "input.filter"); err != nil {
			return Marked{}, err
		}
		if err := s.group(ctx, ref, sel); err != nil {
			return Marked{}, err
		}
	}
	return s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		last := h.lastSeq
		if upTo != nil {
			if h.epoch != 0 && *upTo != (belfry.Position{}) && (upTo.Epoch != h.epoch || upTo.Version > h.version) {
				return Marked{}, belfry.Errorf(belfry.Invalid, "this position is not of this feed: read the feed again").At("input.upTo")
			}
			last = min(last, upTo.Version)
		}
		if sel.nothing {
			return Marked{}, nil
		}
		meant, err := readCoverage(ctx, tx, h, sel.scope, last)
		if err != nil {
			return Marked{}, err
		}
		after, changed, any := meant.cells.Mark(m, sel.Condition)
		if !any {
			return Marked{}, nil
		}
		h.cells = h.cells.minus(meant.cells).plus(after)
		if err := meant.markGroups(ctx, tx, h, m, sel.Condition); err != nil {
			return Marked{}, err
		}
		h.watermarks = h.watermarks.Push(Watermark{Mark: m, UpTo: last, Version: h.version + 1, At: at, Scope: sel.scope, Condition: sel.Condition})
		if h.watermarks.full() {
			if err := settle(ctx, tx, h); err != nil {
				return Marked{}, fmt.Errorf("settle watermarks: %w", err)
			}
		}
		all := []belfry.StatusChange{{Environment: h.env, Kind: m.Event(), At: at, Channel: h.channel, ChannelType: belfry.InApp,
			Messages: []belfry.MessageRef{{Recipient: h.recipient, UserID: ref.User, Seq: last}}, All: true, Some: f != nil, Count: changed}}
		if changed == 0 { // only archived items changed: nothing that a person did
			all = nil
		}
		e := Event{Kind: MarkedAll, Mark: m, UpTo: last, At: at}
		if f != nil {
			e.Kind, e.Filter = MarkedWhere, f
		}
		return Marked{Changed: changed}, s.record(ctx, tx, h, ref, e, all)
	})
}

// coverage is which items a mark means, whatever the condition on their state.
type coverage struct {
	cells  Cells
	groups *tally // feed_groups; nil if the feed has none
	part   *tally // those of cells that are counted there
}

// readCoverage counts the items of a scope up to a sequence number. The feed is locked.
func readCoverage(ctx context.Context, tx *postgres.Tx, h *header, sc *Scope, last int64) (c coverage, err error) {
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
		cells := c.groups.of(&Attributes{Workflow: g.Workflow, Categories: g.Categories, Tenant: g.Tenant})
		*cells = cells.minus(g.Cells).plus(after)
	}
	return writeGroups(ctx, tx, h, c.groups)
}
