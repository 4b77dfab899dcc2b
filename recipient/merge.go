package recipient

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// MergeUsers makes two users one, for good: what is known of from is added to into, which wins where both say something,
// channel data by channel. Then from is deleted, with its feed, its messages and its runs. Errors: NotFound at
// "input.into" or "input.from", Invalid if they are the same, TooLarge if what both say is too much for one.
func (s *Service) MergeUsers(ctx context.Context, env belfry.EnvironmentID, into, from string) (*Known, error) {
	if err := belfry.ValidateExternalID(into, "input.into"); err != nil {
		return nil, err
	}
	if err := belfry.ValidateExternalID(from, "input.from"); err != nil {
		return nil, err
	}
	if into == from {
		return nil, belfry.Errorf(belfry.Invalid, "a user can't be merged into itself").At("input.from")
	}
	var merged *Known
	err := s.inTxAgain(ctx, func(tx *postgres.Tx) error {
		known, err := lockKnown(ctx, tx, env, []belfry.RecipientRef{belfry.User(into), belfry.User(from)})
		if err != nil {
			return err
		}
		primary, secondary := known[belfry.User(into)], known[belfry.User(from)]
		if primary == nil {
			return belfry.Errorf(belfry.NotFound, "no user has the id %q", into).At("input.into")
		}
		if secondary == nil {
			return belfry.Errorf(belfry.NotFound, "no user has the id %q", from).At("input.from")
		}
		properties, err := encode(Merge(secondary.properties, primary.properties), "input")
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(updateProperties, env, []int64{int64(primary.id)}, []string{string(properties)}, s.now())
		for _, sql := range absorb {
			batch.Queue(sql, env, primary.id, secondary.id)
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		if err := s.delete(ctx, tx, env, map[belfry.RecipientRef]*locked{belfry.User(from): secondary}); err != nil {
			return err
		}
		if s.Observe != nil {
			if err := s.Observe(ctx, tx, env, []belfry.RecipientID{primary.id}); err != nil {
				return err
			}
		}
		merged, err = readKnown(ctx, tx, selectKnown, env, belfry.Users, into)
		return err
	})
	return merged, err
}

// absorb adds what is kept beside one recipient ($3) to another ($2), as far as that has nothing of its own there.
var absorb = []string{absorbChannelData, absorbPreferences}

const absorbChannelData = `INSERT INTO channel_data (recipient_id, channel, environment_id, channel_type, destinations, data, updated_at)
SELECT $2, channel, environment_id, channel_type, destinations, data, updated_at FROM channel_data WHERE environment_id = $1 AND recipient_id = $3
    ON CONFLICT (recipient_id, channel) DO NOTHING`

const absorbPreferences = `INSERT INTO preference_sets (recipient_id, set, environment_id, preferences, updated_at)
SELECT $2, set, environment_id, preferences, updated_at FROM preference_sets WHERE environment_id = $1 AND recipient_id = $3
    ON CONFLICT (recipient_id, set) DO NOTHING`
