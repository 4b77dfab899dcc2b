package recipient

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// MergeUsers makes two users one, for good: what is known of from is added to into, which wins where both say something,
// channel data by channel; so are its subscriptions and memberships. Then from is deleted. Its messages of the last
// belfry.MergedHistory follow into soon, see Run; its links go on working, for into; whatever else belonged to it goes: runs, schedules. Errors: NotFound at
// "input.into" or "input.from", Invalid if they are the same, TooLarge if what both have is too much for one.
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
		primary, secondary, err := lockTwo(ctx, tx, env, into, from)
		if err != nil {
			return err
		}
		if err := s.absorb(ctx, tx, env, primary, secondary); err != nil {
			return err
		}
		if err := remember(ctx, tx, env, primary.id, secondary.id); err != nil {
			return err
		}
		if err := s.delete(ctx, tx, env, map[belfry.RecipientRef]*locked{belfry.User(from): secondary}); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, mergeForgotten, primary.id, secondary.id); err != nil {
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

// lockTwo locks the users that are to be merged.
func lockTwo(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, into, from string) (primary, secondary *locked, err error) {
	known, err := lockKnown(ctx, tx, env, []belfry.RecipientRef{belfry.User(into), belfry.User(from)})
	primary, secondary = known[belfry.User(into)], known[belfry.User(from)]
	switch {
	case err != nil:
		return nil, nil, err
	case primary == nil:
		return nil, nil, belfry.Errorf(belfry.NotFound, "no user has the id %q", into).At("input.into")
	case secondary == nil:
		return nil, nil, belfry.Errorf(belfry.NotFound, "no user has the id %q", from).At("input.from")
	}
	return primary, secondary, nil
}

// absorb adds what is said of one recipient, and kept beside it, to another, as far as that has nothing of its own there.
func (s *Service) absorb(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, primary, secondary *locked) error {
	properties, err := encode(Merge(secondary.properties, primary.properties), "input.from")
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(updateProperties, env, []int64{int64(primary.id)}, []string{string(properties)}, s.now())
	for _, sql := range []string{absorbChannelData, absorbSubscriptions, absorbMemberships} {
		batch.Queue(sql, env, primary.id, secondary.id)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if err := withinChannels(ctx, tx, env, primary.id, "input.from", "input.from"); err != nil {
		return err
	}
	return s.absorbPreferences(ctx, tx, env, primary.id, secondary.id)
}

// remember has links lead to the one who stays: those of the other one, and of whoever was merged into that one before.
func remember(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, into, from belfry.RecipientID) error {
	batch := &pgx.Batch{}
	batch.Queue(repointMerged, into, from)
	batch.Queue(insertMerged, from, env, into)
	return tx.SendBatch(ctx, batch).Close()
}

const repointMerged = `UPDATE merged SET into_id = $1 WHERE into_id = $2`

const insertMerged = `INSERT INTO merged (from_id, environment_id, into_id) VALUES ($1, $2, $3)`

// mergeForgotten leaves the messages of $2 to $1, and those that were to become its own, too.
const mergeForgotten = `UPDATE forgotten SET merged_into = $1 WHERE recipient_id = $2 OR merged_into = $2`

const absorbChannelData = `INSERT INTO channel_data (recipient_id, channel, environment_id, channel_type, destinations, data, updated_at)
SELECT $2, channel, environment_id, channel_type, destinations, data, updated_at FROM channel_data WHERE environment_id = $1 AND recipient_id = $3
    ON CONFLICT (recipient_id, channel) DO NOTHING`

// A subscription that is absorbed is a new one: a fan-out that is under way may not find it.
const absorbSubscriptions = `INSERT INTO subscriptions (object_id, recipient_id, environment_id, nested, properties, created_at, updated_at)
SELECT object_id, $2, environment_id, nested, properties, created_at, updated_at FROM subscriptions WHERE environment_id = $1 AND recipient_id = $3
    ON CONFLICT (object_id, recipient_id) DO NOTHING`

const absorbMemberships = `INSERT INTO audience_members (audience_id, tenant_id, recipient_id, environment_id, created_at)
SELECT audience_id, tenant_id, $2, environment_id, created_at FROM audience_members WHERE environment_id = $1 AND recipient_id = $3
    ON CONFLICT (audience_id, tenant_id, recipient_id) DO NOTHING`
