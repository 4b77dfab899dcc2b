package feed

import (
	"context"
	"math"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// maxOfResource is how many items of one resource a feed is asked for at a time, the newest first. One change names them all.
const maxOfResource = 1000

// MarkResource marks the items of a feed that are about a resource: the newest thousand, should there be more.
func (s *Service) MarkResource(ctx context.Context, ref Ref, m belfry.Mark, resourceKey string) (Marked, error) {
	if err := belfry.ValidateResourceKey(resourceKey, "input.where.resourceKey"); err != nil {
		return Marked{}, err
	}
	if m.Pins() {
		return Marked{}, errPinsByID
	}
	return s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		items, err := readOfResource(ctx, tx, h, resourceKey, math.MaxInt64)
		if err != nil {
			return Marked{}, err
		}
		changed, err := s.markThese(ctx, tx, h, ref, m, items, at)
		return Marked{Changed: changed}, err
	})
}

// replace archives what new items replace: older ones about the same, of the same call too. Nothing to do is found out without a
// look at the database.
func (s *Service) replace(ctx context.Context, tx *postgres.Tx, sorted []*belfry.Message, at time.Time) error {
	type target struct {
		key
		resource string
	}
	newest := map[target]*belfry.Message{} // the items of a feed are in their order
	var order []target
	for _, m := range sorted {
		if o := m.Content.Item; o != nil && o.Replaces && o.ResourceKey != "" {
			t := target{feedOf(m), o.ResourceKey}
			if newest[t] == nil {
				order = append(order, t)
			}
			newest[t] = m
		}
	}
	for _, t := range order {
		m := newest[t]
		h, err := readHeader(ctx, tx, selectHeader, t.key) // it is locked
		if err != nil {
			return err
		}
		items, err := readOfResource(ctx, tx, h, t.resource, m.Seq)
		if err != nil {
			return err
		}
		if _, err := s.markThese(ctx, tx, h, Ref{m.Environment, m.UserID, m.Channel}, belfry.Archived, items, at); err != nil {
			return err
		}
	}
	return nil
}

// readOfResource reads what marking the items of a resource needs: of those before a sequence number the newest, maxOfResource
// at most, newest first.
func readOfResource(ctx context.Context, tx *postgres.Tx, h *header, resourceKey string, before int64) ([]markable, error) {
	if h.epoch == 0 {
		return nil, nil // no row means no lock
	}
	rows, err := tx.Query(ctx, selectOfResource, h.recipient, h.channel, h.env, resourceKey, maxOfResource, h.watermarks.needData(), before)
	if err != nil {
		return nil, err
	}
	return collectMarkable(rows, h)
}

const selectOfResource = `SELECT ` + stateColumns + `, ` + attributeColumns + `, CASE WHEN $6 THEN content->'data' END, step_ref
  FROM feed_items WHERE environment_id = $3 AND resource_key = $4 AND recipient_id = $1 AND channel = $2 AND seq < $7 ORDER BY seq DESC LIMIT $5`
