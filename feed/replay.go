package feed

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// replay makes the events of the versions after one, up to another, as far as they are kept: items from feed_items by
// their seq, everything else from feed_changes. An item that is gone has left a change at its own version.
func replay(ctx context.Context, tx pgx.Tx, h *header, after, upTo int64) ([]Event, error) {
	items, _, err := readItems(ctx, tx, h, upTo+1, after, &everything, replayChunk)
	if err != nil {
		return nil, err
	}
	events := make([]Event, 0, len(items))
	for _, it := range items {
		e := h.present(it.ID.Seq, it)
		e.Position = it.Position()
		events = append(events, e)
	}
	rows, err := tx.Query(ctx, selectChanges, h.recipient, h.channel, h.env, after, upTo)
	if err != nil {
		return nil, err
	}
	changes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c feedChange, err error) {
		return c, row.Scan(&c.version, &c.at, &c.what, &c.seqs, &c.upTo, &c.filter)
	})
	if err != nil {
		return nil, err
	}
	told, err := tellChanges(ctx, tx, h, changes)
	if err != nil {
		return nil, err
	}
	events = append(events, told...)
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.Position.Version, b.Position.Version) })
	for i := range events {
		events[i].Badge = h.cells.Badge()
	}
	return events, nil
}

// feedChange is a row of feed_changes.
type feedChange struct {
	version int64
	at      time.Time
	what    string
	seqs    []int64
	upTo    int64
	filter  *Filter
}

// tellChanges makes the events of changes. Of what changed as a whole, the present state is read and told.
func tellChanges(ctx context.Context, tx pgx.Tx, h *header, changes []feedChange) ([]Event, error) {
	var whole []int64
	for _, c := range changes {
		if c.what == updated {
			whole = append(whole, c.seqs...)
		}
	}
	items, err := readThese(ctx, tx, h, whole)
	if err != nil {
		return nil, err
	}
	now := make(map[int64]*Item, len(items))
	for _, it := range items {
		now[it.ID.Seq] = it
	}
	events := make([]Event, len(changes))
	for i, c := range changes {
		e := Event{Kind: Patched, Mark: belfry.Mark(c.what), Seqs: c.seqs, UpTo: c.upTo, Recipient: h.recipient, At: c.at}
		switch Removal(c.what) {
		case Retracted, Expired, Retention, Snoozed:
			e.Kind, e.Mark, e.Removal = Removed, "", Removal(c.what)
		case updated:
			e = h.present(c.seqs[0], now[c.seqs[0]])
		default:
			switch {
			case c.filter != nil:
				e.Kind, e.Recipient, e.Seqs, e.Filter = MarkedWhere, 0, nil, c.filter
			case c.seqs == nil:
				e.Kind, e.Recipient = MarkedAll, 0
			}
		}
		e.Position = belfry.Position{Epoch: h.epoch, Version: c.version}
		events[i] = e
	}
	return events, nil
}

// present is the event that brings a client's view of an item up to date. item is nil if it is gone.
func (h *header) present(seq int64, item *Item) Event {
	gone := Event{Kind: Removed, Removal: Retracted, Seqs: []int64{seq}, Recipient: h.recipient}
	switch {
	case item == nil:
		return gone
	case item.State.SnoozedUntil != nil:
		gone.Removal = Snoozed
		return gone
	}
	return Event{Kind: Upserted, Item: item, AsOf: h.version}
}
