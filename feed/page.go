package feed

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Page is a stretch of a feed, newest first. Items, badge and position are of one instant.
type Page struct {
	Items    []*Item
	HasMore  bool  // older items may match
	Next     int64 // where the next page begins: pass it as before
	Badge    belfry.Badge
	Position belfry.Position
}

// Page reads up to first items (1 to MaxPageSize) that match, older than the sequence number before (0: from the
// newest on). A filter that few items match may give a short page with HasMore: go on from Next.
func (s *Service) Page(ctx context.Context, ref Ref, f Filter, first int, before int64) (*Page, error) {
	switch {
	case first < 1:
		return nil, belfry.Errorf(belfry.Invalid, "ask for 1 to %d items", MaxPageSize).At("first")
	case first > MaxPageSize:
		return nil, belfry.Beyond("first", MaxPageSize, "items a page")
	}
	sel, err := s.choose(ctx, ref.Environment, &f, "filter")
	if err != nil {
		return nil, err
	}
	if before == 0 {
		before = math.MaxInt64
	}
	page := &Page{}
	err = s.read(ctx, ref, func(tx pgx.Tx, h *header) error {
		page.Badge, page.Position = h.cells.Badge(), h.position()
		if sel.isFew() {
			return page.pick(ctx, tx, h, &sel, first, before)
		}
		// No page with that filter holds more than this, which is known without looking at an item.
		if sel.nothing || !sel.snoozed.any() && h.cells.meeting(sel.Condition).Count() == 0 {
			return nil
		}
		return page.fill(ctx, tx, h, &sel, first, before)
	})
	return page, err
}

// fill scans the feed from before on until the page is full and it is known whether there is more.
func (p *Page) fill(ctx context.Context, tx pgx.Tx, h *header, sel *selection, first int, before int64) error {
	limit := min(first+1, scanChunk)
	for scanned := 0; ; limit = scanChunk {
		items, at, err := readItems(ctx, tx, h, before, 0, sel, limit)
		if err != nil {
			return err
		}
		for _, it := range items {
			if len(p.Items) == first {
				p.HasMore = true
				return nil
			}
			p.Items = append(p.Items, it)
			p.Next = it.ID.Seq
		}
		if at.rows < limit {
			return nil
		}
		before = at.last
		if scanned += at.rows; scanned >= maxScan {
			p.HasMore, p.Next = true, before
			return nil
		}
	}
}

// Badge reads the badge alone, from one row.
func (s *Service) Badge(ctx context.Context, ref Ref) (belfry.Badge, error) {
	recipient, err := s.UserID(ctx, ref.Environment, ref.User)
	if err != nil {
		return belfry.Badge{}, err
	}
	h, err := readHeader(ctx, s.Pool, selectHeader, key{ref.Environment, recipient, ref.Channel})
	if err != nil {
		return belfry.Badge{}, err
	}
	return h.cells.Badge(), nil
}

// Item reads one item of a feed.
func (s *Service) Item(ctx context.Context, ref Ref, id belfry.MessageID) (item *Item, err error) {
	err = s.read(ctx, ref, func(tx pgx.Tx, h *header) error {
		if id.Recipient == h.recipient && id.Channel == h.channel {
			items, _, err := readItems(ctx, tx, h, id.Seq+1, id.Seq-1, &everything, 1)
			if err != nil {
				return err
			}
			if len(items) == 1 {
				item = items[0]
				return nil
			}
		}
		return belfry.Errorf(belfry.NotFound, "no item has the id %s", id)
	})
	return item, err
}

// read runs fn in a snapshot, with the feed's row as of then.
func (s *Service) read(ctx context.Context, ref Ref, fn func(pgx.Tx, *header) error) error {
	recipient, err := s.UserID(ctx, ref.Environment, ref.User)
	if err != nil {
		return err
	}
	return postgres.InSnapshot(ctx, s.Pool, func(tx pgx.Tx) error {
		h, err := readHeader(ctx, tx, selectHeader, key{ref.Environment, recipient, ref.Channel})
		if err != nil {
			return err
		}
		return fn(tx, h)
	})
}
