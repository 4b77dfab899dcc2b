package feed

import (
	"context"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// maxOfResource is how many items of one resource a feed is asked for: the newest. One change names them all.
const maxOfResource = 1000

// MarkResource marks the items of a feed that are about a resource: the newest thousand, should there be more.
func (s *Service) MarkResource(ctx context.Context, ref Ref, m belfry.Mark, resourceKey string) (Marked, error) {
	if err := belfry.ValidateResourceKey(resourceKey, "input.where.resourceKey"); err != nil {
		return Marked{}, err
	}
	return s.change(ctx, ref, func(tx *postgres.Tx, h *header, at time.Time) (Marked, error) {
		items, err := readOfResource(ctx, tx, h, resourceKey)
		if err != nil {
			return Marked{}, err
		}
		changed, err := s.markThese(ctx, tx, h, ref, m, items, at)
		return Marked{Changed: changed}, err
	})
}

// readOfResource reads what marking the items of a resource needs.
func readOfResource(ctx context.Context, tx *postgres.Tx, h *header, resourceKey string) ([]markable, error) {
	if h.epoch == 0 {
		return nil, nil // no row means no lock
	}
	rows, err := tx.Query(ctx, selectOfResource, h.recipient, h.channel, h.env, resourceKey, maxOfResource)
	if err != nil {
		return nil, err
	}
	return collectMarkable(rows, h)
}

const selectOfResource = `SELECT ` + stateColumns + `, workflow, step_ref
  FROM feed_items WHERE environment_id = $3 AND resource_key = $4 AND recipient_id = $1 AND channel = $2 ORDER BY seq DESC LIMIT $5`
