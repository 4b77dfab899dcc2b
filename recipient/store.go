package recipient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/belfryhq/belfry"
)

// Known is a recipient with the times of its row.
type Known struct {
	belfry.Recipient
	IdentifiedAt time.Time // first
	UpdatedAt    time.Time
}

// CreatedAt is when the customer says that the recipient was created, or when it was first identified.
func (k *Known) CreatedAt() time.Time {
	if text, ok := k.Properties[createdAt].(string); ok {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return at.UTC()
		}
	}
	return k.IdentifiedAt
}

const columns = `id, collection, external_id, properties`

const selectID = `SELECT id FROM recipients WHERE environment_id = $1 AND collection = $2 AND external_id = $3`

// lookedUp finds recipients by their keys, one by one: OFFSET 0 keeps the planner from walking through the environment for each of
// them, as it does before anybody has counted how many there are in it.
const lookedUp = `unnest($2::text[], $3::text[]) AS t (collection, external_id)
 CROSS JOIN LATERAL (SELECT id, collection, external_id FROM recipients
                      WHERE environment_id = $1 AND collection = t.collection AND external_id = t.external_id OFFSET 0) r`

const selectIDs = `SELECT r.id, r.collection, r.external_id FROM ` + lookedUp

// lockIDs keeps those from being deleted who are about to be referred to.
const lockIDs = `SELECT id, collection, external_id FROM recipients WHERE id = ANY (ARRAY(SELECT r.id FROM ` + lookedUp + `))
 ORDER BY collection, external_id FOR KEY SHARE`

// insertMissing waits for whoever is creating the same recipient, so it inserts in a fixed order. It only inserts
// what seems to be missing: ids are not used up by each identification of a known recipient.
const insertMissing = `INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at)
SELECT $1, t.collection, t.external_id, $4, $4
  FROM unnest($2::text[], $3::text[]) AS t (collection, external_id)
 WHERE NOT EXISTS (SELECT FROM recipients r WHERE r.environment_id = $1 AND r.collection = t.collection AND r.external_id = t.external_id OFFSET 0)
 ORDER BY t.collection COLLATE "C", t.external_id COLLATE "C"
ON CONFLICT (environment_id, collection, external_id) DO NOTHING`

const selectProperties = `SELECT id, collection, external_id, properties FROM recipients WHERE id = ANY (ARRAY(SELECT r.id FROM ` + lookedUp + `))
 ORDER BY collection, external_id`

// lockProperties lets others refer to the rows meanwhile: foreign keys lock them in whatever order.
const lockProperties = selectProperties + ` FOR NO KEY UPDATE`

// lockRows is for those that delete them.
const lockRows = selectProperties + ` FOR UPDATE`

// updateProperties compares the environment in a way for which there is no index: see lookedUp.
const updateProperties = `UPDATE recipients r SET properties = t.properties, updated_at = $4
  FROM unnest($2::bigint[], $3::jsonb[]) AS t (id, properties)
 WHERE r.id = t.id AND r.environment_id IS NOT DISTINCT FROM $1 AND r.properties <> t.properties`

const selectKnown = `SELECT ` + columns + `, created_at, updated_at
  FROM recipients WHERE environment_id = $1 AND collection = $2 AND external_id = $3`

const selectKnownByID = `SELECT ` + columns + `, created_at, updated_at
  FROM recipients WHERE environment_id = $1 AND id = $2`

const selectKnownByIDs = `SELECT ` + columns + `, created_at, updated_at
  FROM recipients WHERE environment_id = $1 AND id = ANY ($2)`

const selectByIDs = `SELECT ` + columns + `, set_digests FROM recipients WHERE environment_id = ANY ($1) AND id = ANY ($2)`

var statements = map[string]string{
	"selectID": selectID, "selectIDs": selectIDs, "lockIDs": lockIDs, "insertMissing": insertMissing, "lockProperties": lockProperties, "lockRows": lockRows,
	"updateProperties": updateProperties, "selectKnown": selectKnown, "selectKnownByID": selectKnownByID, "selectByIDs": selectByIDs, "selectKnownByIDs": selectKnownByIDs,
	"insertForgotten": insertForgotten, "deleteRecipients": deleteRecipients, "selectForgotten": selectForgotten, "claimForgotten": claimForgotten,
	"deleteForgotten": deleteForgotten, "postponeForgotten": postponeForgotten, "mergeForgotten": mergeForgotten, "lockTenantPreferences": lockTenantPreferences, "deleteTenantPreferences": deleteTenantPreferences, "settleForgotten": settleForgotten, "deleteAllChannelData": deleteAllChannelData,
	"insertBulk": insertBulk, "deleteOldBulks": deleteOldBulks, "selectBulk": selectBulk, "claimBulk": claimBulk, "postponeBulk": postponeBulk, "moveBulk": moveBulk,
	"upsertChannelData": upsertChannelData, "selectReach": selectReach, "countChannels": countChannels, "deleteChannelData": deleteChannelData, "selectChannelData": selectChannelData,
	"absorbChannelData": absorbChannelData, "selectSetsOfBoth": selectSetsOfBoth, "selectPage": selectPage, "selectByEmail": selectByEmail, "selectByPhone": selectByPhone,
	"selectNamed": selectNamed, "selectScanned": selectScanned, "selectProfileFields": selectProfileFields, "updateProfileFields": updateProfileFields,
	"lockRecipient": lockRecipient, "lockEnvironment": lockEnvironment, "selectPreferences": selectPreferences, "selectPreferencesOf": selectPreferencesOf,
	"upsertPreferences": upsertPreferences, "deletePreferences": deletePreferences, "selectCrowded": selectCrowded, "selectDefaults": selectDefaults,
	"upsertDefaults": upsertDefaults, "deleteDefaults": deleteDefaults,
	"upsertSubscriptions": upsertSubscriptions, "deleteSubscriptions": deleteSubscriptions, "selectSubscribers": selectSubscribers,
	"selectSubscribedTo": selectSubscribedTo, "selectExtents": selectExtents, "selectDirect": selectDirect, "selectNested": selectNested, "selectChildren": selectChildren,
	"selectMembers": selectMembers, "scanUsers": scanUsers, "selectAudienceExtents": selectAudienceExtents, "insertAudience": insertAudience,
	"updateAudience": updateAudience, "deleteAudience": deleteAudience, "selectAudience": selectAudience, "selectAudiences": selectAudiences,
	"insertMembers": insertMembers, "deleteMembers": deleteMembers, "selectMemberPage": selectMemberPage, "selectConditions": selectConditions,
	"selectLinkSecret": selectLinkSecret, "selectLinkSecrets": selectLinkSecrets, "rotateLinkSecret": rotateLinkSecret, "revokeLinkSecrets": revokeLinkSecrets,
	"selectMerged": selectMerged, "insertMerged": insertMerged, "repointMerged": repointMerged, "lockRecipientByID": lockRecipientByID, "selectMemberships": selectMemberships, "selectAudiencesByKey": selectAudiencesByKey,
}

// querier is what reads: the pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

var errUnknown = belfry.Errorf(belfry.NotFound, "nobody is known by that id: identify them first")

func readKnown(ctx context.Context, q querier, sql string, args ...any) (*Known, error) {
	var u Known
	err := q.QueryRow(ctx, sql, args...).Scan(&u.ID, &u.Collection, &u.ExternalID, &u.Properties, &u.IdentifiedAt, &u.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errUnknown
	}
	return &u, err
}

// ByRef reads a recipient by the customer's name for it; NotFound if there is none.
func (s *Service) ByRef(ctx context.Context, env belfry.EnvironmentID, ref belfry.RecipientRef) (*Known, error) {
	return readKnown(ctx, s.pool, selectKnown, env, ref.Collection, ref.ExternalID)
}

// UserByExternalID reads a user by the customer's id; NotFound if there is none.
func (s *Service) UserByExternalID(ctx context.Context, env belfry.EnvironmentID, externalID string) (*Known, error) {
	return s.ByRef(ctx, env, belfry.User(externalID))
}

// ByID reads a recipient of whichever collection by internal id; NotFound if there is none in the environment.
func (s *Service) ByID(ctx context.Context, env belfry.EnvironmentID, id belfry.RecipientID) (*Known, error) {
	return readKnown(ctx, s.pool, selectKnownByID, env, id)
}

// UserByID reads a user by internal id; NotFound if there is none in the environment.
func (s *Service) UserByID(ctx context.Context, env belfry.EnvironmentID, id belfry.RecipientID) (*Known, error) {
	found, err := s.ByID(ctx, env, id)
	if err == nil && found.Collection != belfry.Users {
		return nil, errUnknown
	}
	return found, err
}

// Recipients reads recipients by internal id; those that are gone are missing from the result.
func (s *Service) Recipients(ctx context.Context, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*Known, error) {
	out := make(map[belfry.RecipientID]*Known, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := s.pool.Query(ctx, selectKnownByIDs, env, ids)
	if err != nil {
		return nil, err
	}
	found, err := collectKnown(rows)
	for i := range found {
		out[found[i].ID] = &found[i]
	}
	return out, err
}

// Users reads users by internal id; those that are gone, or no users, are missing from the result.
func (s *Service) Users(ctx context.Context, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*Known, error) {
	out, err := s.Recipients(ctx, env, ids)
	maps.DeleteFunc(out, func(_ belfry.RecipientID, k *Known) bool { return k.Collection != belfry.Users })
	return out, err
}

func collectKnown(rows pgx.Rows) ([]Known, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k Known, err error) {
		err = row.Scan(&k.ID, &k.Collection, &k.ExternalID, &k.Properties, &k.IdentifiedAt, &k.UpdatedAt)
		return k, err
	})
}

// Load reads recipients by internal id; those that are gone are missing from the result. Environments scope the read.
func Load(ctx context.Context, q querier, envs []belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error) {
	people, _, err := LoadWithDigests(ctx, q, envs, ids)
	return people, err
}

// LoadWithDigests is Load for whoever asks for their preferences, too: see LoadPreferences.
func LoadWithDigests(ctx context.Context, q querier, envs []belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, SetDigests, error) {
	people, digests := make(map[belfry.RecipientID]*belfry.Recipient, len(ids)), SetDigests{}
	if len(ids) == 0 {
		return people, digests, nil
	}
	rows, err := q.Query(ctx, selectByIDs, envs, ids)
	if err != nil {
		return nil, nil, err
	}
	var row belfry.Recipient
	var properties string
	var sets []byte // as long as the row is there
	var kept []byte // sets of many, which share an allocation
	found := make([]belfry.Recipient, 0, len(ids))
	_, err = pgx.ForEachRow(rows, []any{&row.ID, &row.Collection, &row.ExternalID, &properties, (*pgtype.DriverBytes)(&sets)}, func() (err error) {
		if row.Properties, err = decodeProperties(properties); err != nil {
			return fmt.Errorf("properties of recipient %d: %w", row.ID, err)
		}
		if row.Collection == belfry.Users {
			row.Collection = belfry.Users // one text for all of them
		}
		found = append(found, row)
		if people[row.ID] = &found[len(found)-1]; sets == nil {
			return nil
		}
		if len(digests) == 0 { // whoever has sets is rarely alone
			digests, kept = make(SetDigests, len(ids)), make([]byte, 0, min(len(ids)*len(sets), 64<<10))
		}
		kept = append(kept, sets...)
		digests[row.ID] = setDigests(slices.Clip(kept[len(kept)-len(sets):]))
		return nil
	})
	return people, digests, err
}

// Load reads recipients of one environment by internal id, outside of a transaction.
func (s *Service) Load(ctx context.Context, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error) {
	return Load(ctx, s.pool, []belfry.EnvironmentID{env}, ids)
}
