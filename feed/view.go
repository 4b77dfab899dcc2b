package feed

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// MaxViews is how many filters one call may count.
const MaxViews = 20

// Counts are numbers of one instant.
type Counts struct {
	Views    []belfry.Badge // in the order of the filters: how many items each selects, and of those how many are unseen and unread
	Position belfry.Position
}

// Count says how many items each of some filters selects, exactly. Status and archived cost nothing; workflows, categories
// and tenant cost the same for a feed of any length, once it has been counted for the first time, unless it has more than
// 64 combinations of them. Data and times cost one look at small columns of every item of the feed, for all filters together.
func (s *Service) Count(ctx context.Context, ref Ref, views []Filter) (*Counts, error) {
	if len(views) > MaxViews {
		return nil, belfry.Beyond("views", MaxViews, "views")
	}
	filters := make([]*Filter, len(views))
	for i := range views {
		filters[i] = &views[i]
	}
	for i, f := range filters {
		if err := f.onlyOfPages(fmt.Sprintf("views[%d].filter", i)); err != nil {
			return nil, err
		}
	}
	selections, err := s.chooseEach(ctx, ref.Environment, filters, func(i int) string { return fmt.Sprintf("views[%d].filter", i) })
	if err != nil {
		return nil, err
	}
	long, err := s.prepare(ctx, ref, selections...)
	if err != nil {
		return nil, err
	}
	if long {
		done, err := s.scans.turn(ctx, ref.Environment)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	counts := &Counts{Views: make([]belfry.Badge, len(views))}
	err = s.read(ctx, ref, func(tx pgx.Tx, h *header) error {
		counts.Position = h.position()
		cells, err := countEach(ctx, tx, h, selections)
		for i, c := range cells {
			counts.Views[i] = c.sum()
		}
		return err
	})
	return counts, err
}

// countEach counts what each of some selections selects. Items are looked at once for all of them, if at all.
func countEach(ctx context.Context, tx pgx.Tx, h *header, selections []selection) ([]Cells, error) {
	cells := make([]Cells, len(selections))
	var scoped []int
	grouped, data := h.groupedTo > 0, false
	for i, sel := range selections {
		switch {
		case sel.nothing:
		case sel.scope == nil:
			cells[i] = h.cells.meeting(sel.Condition)
		default:
			scoped = append(scoped, i)
			grouped, data = grouped && sel.scope.grouped(), data || sel.scope.needsData()
		}
	}
	if len(scoped) == 0 {
		return cells, nil
	}
	var from int64
	if grouped {
		groups, err := readGroups(ctx, tx, h)
		if err != nil {
			return nil, err
		}
		for _, i := range scoped {
			cells[i] = groups.within(selections[i].scope).total().meeting(selections[i].Condition)
		}
		from = h.groupedTo
	}
	return cells, eachItem(ctx, tx, h, from, h.lastSeq, data, func(it *stored) {
		for _, i := range scoped {
			if selections[i].matches(&it.Attributes, it.State) {
				cells[i].Add(it.State, 1)
			}
		}
	})
}

// sum is what people see of the cells, archived or not.
func (c Cells) sum() belfry.Badge {
	all := Cells{}
	for level := range c.Active {
		all.Active[level] = c.Active[level] + c.Archived[level]
	}
	return all.Badge()
}
