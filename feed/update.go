package feed

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// MaxContent is how large the content of an item may be that Update makes, in bytes of JSON.
const MaxContent = 512 << 10

// ContentChange says what an item shows from now on. What is nil stays.
type ContentChange struct {
	Body      *belfry.Body
	ActionURL *string         // empty: none
	Buttons   []belfry.Button // empty: none
	Data      map[string]any
}

var errNoSuchItem = belfry.Errorf(belfry.NotFound, "no such item in this feed").At("input")

// Update changes what an item shows: the one with an id, or else the newest about a resource. Its state, its place and the
// counters stay as they are; every device is told.
func (s *Service) Update(ctx context.Context, ref Ref, id *belfry.MessageID, resourceKey string, c ContentChange) (item *Item, at belfry.Position, err error) {
	if id == nil {
		if err := belfry.ValidateResourceKey(resourceKey, "input.resourceKey"); err != nil {
			return nil, at, err
		}
	}
	marked, err := s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		if h.epoch == 0 {
			return Marked{}, errNoSuchItem // no row means no lock
		}
		seqs, err := target(ctx, tx, h, id, resourceKey)
		if err != nil {
			return Marked{}, err
		}
		items, err := readThese(ctx, tx, h, seqs)
		if err != nil {
			return Marked{}, err
		}
		if len(items) == 0 {
			return Marked{}, errNoSuchItem
		}
		item = items[0]
		if c.Data != nil && h.watermarks.needData() { // they looked at the data that it had until now
			if err := writeDown(ctx, tx, h, seqs); err != nil {
				return Marked{}, err
			}
		}
		c.apply(&item.Content)
		if err := c.write(ctx, tx, h, item); err != nil {
			return Marked{}, err
		}
		e := h.present(item.ID.Seq, item)
		e.At = at
		return Marked{Changed: 1}, s.record(ctx, tx, h, ref, e, nil)
	})
	return item, marked.Position, err
}

// writeDown writes to items what watermarks say of them.
func writeDown(ctx context.Context, tx *postgres.Tx, h *header, seqs []int64) error {
	items, err := readMarkable(ctx, tx, h, seqs)
	if err != nil {
		return err
	}
	states := make([]stored, len(items))
	for i, it := range items {
		h.tell(&it)
		it.Version = h.version + 1
		states[i] = it.stored
	}
	return writeStates(ctx, tx, h.key, states)
}

// target is which item an update means.
func target(ctx context.Context, tx *postgres.Tx, h *header, id *belfry.MessageID, resourceKey string) (seqs []int64, err error) {
	if id != nil {
		return h.own([]belfry.MessageID{*id}), nil
	}
	found, err := readOfResource(ctx, tx, h, resourceKey, math.MaxInt64) // newest first
	if len(found) > 0 {
		seqs = []int64{found[0].seq}
	}
	return seqs, err
}

func (c *ContentChange) apply(to *belfry.Content) {
	if c.Body != nil {
		to.Body = *c.Body
	}
	if c.ActionURL != nil {
		to.ActionURL = *c.ActionURL
	}
	if c.Buttons != nil {
		to.Buttons = c.Buttons
	}
	if c.Data != nil {
		to.Data = c.Data
	}
}

// write stores what an item shows now. What isn't changed keeps the text that it has: items hold numbers as float64s, and there are
// more digits in what backends send.
func (c *ContentChange) write(ctx context.Context, tx *postgres.Tx, h *header, item *Item) error {
	var encoder postgres.JSONEncoder
	text, err := encoder.Encode(ctx, tx, item.Content)
	if err != nil {
		return err
	}
	var now, stored map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &now); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, selectContent, h.recipient, h.channel, h.env, item.ID.Seq).Scan(&stored); err != nil {
		return err
	}
	for key, changed := range map[string]bool{"body": c.Body != nil, "actionUrl": c.ActionURL != nil, "buttons": c.Buttons != nil, "data": c.Data != nil} {
		switch value, ok := now[key]; {
		case !changed:
		case ok:
			stored[key] = value
		default: // it shows none
			delete(stored, key)
		}
	}
	if text, err = encoder.Encode(ctx, tx, stored); err != nil {
		return err
	}
	if len(text) > MaxContent {
		return belfry.Beyond("input", MaxContent, "bytes of content")
	}
	_, err = tx.Exec(ctx, updateContent, h.recipient, h.channel, h.env, item.ID.Seq, text)
	return err
}

const selectContent = `SELECT content FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq = $4`

const updateContent = `UPDATE feed_items SET content = $5 WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq = $4`
