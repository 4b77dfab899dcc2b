package recipient

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// SetChannelData says where a recipient is reached on a channel, whatever was said before. Somebody unknown is made known,
// or NotFound if mustBeKnown. Errors name the input below "input". It returns what is stored.
func (s *Service) SetChannelData(ctx context.Context, env belfry.EnvironmentID, ref belfry.RecipientRef, data belfry.ChannelData, mustBeKnown bool) (*belfry.ChannelData, error) {
	if err := validateRef(ref, "input.recipient"); err != nil {
		return nil, err
	}
	if err := checkChannelData(&data, "input"); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode channel data: %w", err)
	}
	data.UpdatedAt = s.now()
	err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		known, err := lockToChange(ctx, tx, env, []belfry.RecipientRef{ref})
		if err == nil && len(known) == 0 && !mustBeKnown {
			known, err = s.lock(ctx, tx, env, []belfry.RecipientRef{ref})
		}
		if err != nil {
			return err
		}
		if known[ref] == nil {
			return errUnknown
		}
		if _, err := tx.Exec(ctx, upsertChannelData, known[ref].id, data.Channel, env, data.Type(), data.Destinations(), encoded, data.UpdatedAt); err != nil {
			return err
		}
		return withinChannels(ctx, tx, env, known[ref].id, "input.channel", "input")
	})
	if err != nil {
		return nil, err
	}
	return &data, nil
}

// withinChannels refuses more channels than a recipient may have data of, or more data.
func withinChannels(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, id belfry.RecipientID, numberField, sizeField string) error {
	var channels, size int
	if err := tx.QueryRow(ctx, countChannels, env, id).Scan(&channels, &size); err != nil {
		return err
	}
	switch {
	case channels > MaxChannels:
		return belfry.Beyond(numberField, MaxChannels, "channels with data of one recipient: unset one first")
	case size > MaxChannelDataSize:
		return belfry.Beyond(sizeField, MaxChannelDataSize, "bytes of channel data of one recipient: unset a channel first")
	}
	return nil
}

// UnsetChannelData forgets where a recipient is reached on a channel, and reports whether there was anything to forget.
func (s *Service) UnsetChannelData(ctx context.Context, env belfry.EnvironmentID, ref belfry.RecipientRef, channel string) (removed bool, err error) {
	if err := validateRef(ref, "input.recipient"); err != nil {
		return false, err
	}
	if err := belfry.ValidateKey(channel, "input.channel"); err != nil {
		return false, err
	}
	tag, err := s.pool.Exec(ctx, deleteChannelData, env, ref.Collection, ref.ExternalID, channel)
	return tag.RowsAffected() > 0, err
}

// ChannelData reads where recipients are reached, in the order of channels' keys.
func (s *Service) ChannelData(ctx context.Context, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID][]belfry.ChannelData, error) {
	return LoadChannelData(ctx, s.pool, []belfry.EnvironmentID{env}, ids)
}

// LoadChannelData reads where recipients of some environments are reached, in the order of channels' keys. Whoever is
// reached nowhere is missing from the result.
func LoadChannelData(ctx context.Context, q querier, envs []belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID][]belfry.ChannelData, error) {
	out := map[belfry.RecipientID][]belfry.ChannelData{}
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := q.Query(ctx, selectChannelData, envs, ids)
	if err != nil {
		return nil, err
	}
	var id belfry.RecipientID
	var encoded []byte
	var data belfry.ChannelData
	_, err = pgx.ForEachRow(rows, []any{&id, &data.Channel, &encoded, &data.UpdatedAt}, func() error {
		one := belfry.ChannelData{Channel: data.Channel, UpdatedAt: data.UpdatedAt.UTC()}
		if err := json.Unmarshal(encoded, &one); err != nil {
			return fmt.Errorf("channel data of recipient %d on %s: %w", id, data.Channel, err)
		}
		out[id] = append(out[id], one)
		return nil
	})
	return out, err
}

// LoadReach reads on which channels recipients of some environments have devices or connections, and of which type those
// are. Whoever has none is missing from the result.
func LoadReach(ctx context.Context, q querier, envs []belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]map[string]belfry.ChannelType, error) {
	out := map[belfry.RecipientID]map[string]belfry.ChannelType{}
	rows, err := q.Query(ctx, selectReach, envs, ids)
	if err != nil {
		return nil, err
	}
	var id belfry.RecipientID
	var channel string
	var medium belfry.ChannelType
	_, err = pgx.ForEachRow(rows, []any{&id, &channel, &medium}, func() error {
		if out[id] == nil {
			out[id] = map[string]belfry.ChannelType{}
		}
		out[id][channel] = medium
		return nil
	})
	return out, err
}

// Reach reads on which channels recipients of an environment have devices or connections, outside of a transaction.
func (s *Service) Reach(ctx context.Context, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]map[string]belfry.ChannelType, error) {
	return LoadReach(ctx, s.pool, []belfry.EnvironmentID{env}, ids)
}

const upsertChannelData = `INSERT INTO channel_data (recipient_id, channel, environment_id, channel_type, destinations, data, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (recipient_id, channel) DO UPDATE
   SET channel_type = excluded.channel_type, destinations = excluded.destinations, data = excluded.data, updated_at = excluded.updated_at`

const selectReach = `SELECT recipient_id, channel, channel_type FROM channel_data
 WHERE environment_id = ANY ($1) AND recipient_id = ANY ($2) AND destinations > 0`

const countChannels = `SELECT count(*), coalesce(sum(octet_length(data::text)), 0) FROM channel_data WHERE environment_id = $1 AND recipient_id = $2`

const deleteChannelData = `DELETE FROM channel_data d USING recipients r
 WHERE r.environment_id = $1 AND r.collection = $2 AND r.external_id = $3 AND d.recipient_id = r.id AND d.environment_id = $1 AND d.channel = $4`

const selectChannelData = `SELECT recipient_id, channel, data, updated_at FROM channel_data
 WHERE environment_id = ANY ($1) AND recipient_id = ANY ($2) ORDER BY recipient_id, channel`
