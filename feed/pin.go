package feed

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// MaxPins is how many items of a feed may be pinned.
const MaxPins = 20

// Pin is an item that is kept on top.
type Pin struct {
	Seq int64     `json:"s"`
	At  time.Time `json:"t"`
}

// Pins are a feed's, oldest first. They are in the feed's row, so reading them costs nothing, and pinning writes no item.
type Pins []Pin

func (p Pins) at(seq int64) *time.Time {
	for i := range p {
		if p[i].Seq == seq {
			return &p[i].At
		}
	}
	return nil
}

var errPinsByID = belfry.Errorf(belfry.Invalid, "items are pinned by id, and at most %d of them", MaxPins).At("input.as")

// pin pins items, or unpins them. It changes no counter.
func (s *Service) pin(ctx context.Context, ref Ref, m belfry.Mark, ids []belfry.MessageID) (Marked, error) {
	return s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		if h.epoch == 0 {
			return Marked{NotFound: ids}, nil
		}
		items, err := readMarkable(ctx, tx, h, h.own(ids))
		if err != nil {
			return Marked{}, err
		}
		result := Marked{NotFound: missing(ids, h, items)}
		var changed []int64
		for _, it := range items {
			pinned := h.pins.at(it.seq) != nil
			switch {
			case pinned == (m == belfry.Pinned):
				continue
			case pinned:
				h.pins = slices.DeleteFunc(h.pins, func(p Pin) bool { return p.Seq == it.seq })
			default:
				h.pins = append(h.pins, Pin{it.seq, at})
			}
			changed = append(changed, it.seq)
		}
		if len(h.pins) > MaxPins {
			return Marked{}, belfry.Beyond("input.ids", MaxPins, "pinned items of a feed")
		}
		if result.Changed = len(changed); result.Changed == 0 {
			return result, nil
		}
		return result, s.record(ctx, tx, h, ref, Event{Kind: Patched, Mark: m, Recipient: h.recipient, Seqs: changed, At: at}, nil)
	})
}

// Pinned reads the pinned items of a feed that are neither archived nor snoozed, the one pinned last first.
func (s *Service) Pinned(ctx context.Context, ref Ref) (items []*Item, err error) {
	err = s.read(ctx, ref, func(tx pgx.Tx, h *header) error {
		items, err = readThese(ctx, tx, h, h.pins.seqs())
		items = slices.DeleteFunc(items, func(i *Item) bool { return i.State.Archived || i.State.SnoozedUntil != nil })
		slices.SortStableFunc(items, func(a, b *Item) int { return b.PinnedAt.Compare(*a.PinnedAt) })
		return err
	})
	return items, err
}

func (p Pins) seqs() []int64 {
	out := make([]int64, len(p))
	for i := range p {
		out[i] = p[i].Seq
	}
	return out
}

// PinnedScope says whether pinned items are meant. Spelled as in GraphQL; empty is ANY.
type PinnedScope string

const (
	PinnedAny     PinnedScope = "ANY"
	PinnedOnly    PinnedScope = "ONLY"
	PinnedExclude PinnedScope = "EXCLUDE"
)

// covers reports whether the scope means an item that is pinned, or isn't.
func (scope PinnedScope) covers(pinned bool) bool {
	return (scope != PinnedOnly || pinned) && (scope != PinnedExclude || !pinned)
}

// isFew reports whether the selection can only match items that are known by their ids: those that are pinned, or snoozed.
func (sel *selection) isFew() bool { return sel.pinned == PinnedOnly || sel.snoozed == SnoozedOnly }

// pick fills the page from those.
func (p *Page) pick(ctx context.Context, tx pgx.Tx, h *header, sel *selection, first int, before int64) error {
	seqs := h.pins.seqs()
	if sel.pinned != PinnedOnly {
		var err error
		if seqs, err = readReturns(ctx, tx, h); err != nil {
			return err
		}
	}
	items, err := readThese(ctx, tx, h, seqs)
	if err != nil {
		return err
	}
	for _, it := range items {
		if it.ID.Seq >= before || !sel.wants(it) {
			continue
		}
		if len(p.Items) == first {
			p.HasMore = true
			return nil
		}
		p.Items, p.Next = append(p.Items, it), it.ID.Seq
	}
	return nil
}
