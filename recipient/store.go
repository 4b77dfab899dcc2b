package recipient

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// User is a recipient with the times of its row.
type User struct {
	belfry.Recipient
	CreatedAt, UpdatedAt time.Time
}

const columns = `id, collection, external_id, properties`

const selectID = `SELECT id FROM recipients WHERE environment_id = $1 AND collection = $2 AND external_id = $3`

const selectIDs = `SELECT r.id, r.collection, r.external_id
  FROM unnest($2::text[], $3::text[]) AS t (collection, external_id)
  JOIN recipients r ON r.environment_id = $1 AND r.collection = t.collection AND r.external_id = t.external_id`

// insertMissing waits for whoever is creating the same recipient, so it inserts in a fixed order. It only inserts
// what seems to be missing: ids are not used up by each identification of a known recipient.
const insertMissing = `INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at)
SELECT $1, t.collection, t.external_id, $4, $4
  FROM unnest($2::text[], $3::text[]) AS t (collection, external_id)
 WHERE NOT EXISTS (SELECT FROM recipients r WHERE r.environment_id = $1 AND r.collection = t.collection AND r.external_id = t.external_id)
 ORDER BY t.collection COLLATE "C", t.external_id COLLATE "C"
ON CONFLICT (environment_id, collection, external_id) DO NOTHING`

const lockProperties = `SELECT r.id, r.collection, r.external_id, r.properties
  FROM unnest($2::text[], $3::text[]) AS t (collection, external_id)
  JOIN recipients r ON r.environment_id = $1 AND r.collection = t.collection AND r.external_id = t.external_id
 ORDER BY r.collection, r.external_id
   FOR UPDATE OF r`

const updateProperties = `UPDATE recipients r SET properties = t.properties, updated_at = $4
  FROM unnest($2::bigint[], $3::jsonb[]) AS t (id, properties)
 WHERE r.environment_id = $1 AND r.id = t.id AND r.properties <> t.properties`

const selectUser = `SELECT ` + columns + `, created_at, updated_at
  FROM recipients WHERE environment_id = $1 AND collection = $2 AND external_id = $3`

const selectUserByID = `SELECT ` + columns + `, created_at, updated_at
  FROM recipients WHERE environment_id = $1 AND collection = $2 AND id = $3`

const selectUsersByIDs = `SELECT ` + columns + `, created_at, updated_at
  FROM recipients WHERE environment_id = $1 AND collection = $2 AND id = ANY ($3)`

const selectByIDs = `SELECT ` + columns + ` FROM recipients WHERE environment_id = ANY ($1) AND id = ANY ($2)`

var statements = map[string]string{
	"selectID": selectID, "selectIDs": selectIDs, "insertMissing": insertMissing, "lockProperties": lockProperties,
	"upsertSubscriptions": upsertSubscriptions, "deleteSubscriptions": deleteSubscriptions, "selectSubscribers": selectSubscribers,
	"selectSubscribedTo": selectSubscribedTo, "selectExtents": selectExtents, "selectDirect": selectDirect, "selectNested": selectNested, "selectChildren": selectChildren,
	"selectMembers": selectMembers, "scanUsers": scanUsers, "selectAudienceExtents": selectAudienceExtents, "insertAudience": insertAudience,
	"updateAudience": updateAudience, "deleteAudience": deleteAudience, "selectAudience": selectAudience, "selectAudiences": selectAudiences,
	"insertMembers": insertMembers, "deleteMembers": deleteMembers, "selectMemberPage": selectMemberPage, "selectConditions": selectConditions,
	"selectMemberships": selectMemberships, "selectAudiencesByKey": selectAudiencesByKey, "updateProperties": updateProperties, "selectUser": selectUser, "selectUserByID": selectUserByID, "selectByIDs": selectByIDs, "selectUsersByIDs": selectUsersByIDs,
}

// querier is what reads: the pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readUser(ctx context.Context, q querier, sql string, args ...any) (*User, error) {
	var u User
	err := q.QueryRow(ctx, sql, args...).Scan(&u.ID, &u.Collection, &u.ExternalID, &u.Properties, &u.CreatedAt, &u.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "no such user: identify the user first")
	}
	return &u, err
}

// UserByExternalID reads a user by the customer's id; NotFound if there is none.
func (s *Service) UserByExternalID(ctx context.Context, env belfry.EnvironmentID, externalID string) (*User, error) {
	return readUser(ctx, s.pool, selectUser, env, belfry.Users, externalID)
}

// UserByID reads a user by internal id; NotFound if there is none in the environment.
func (s *Service) UserByID(ctx context.Context, env belfry.EnvironmentID, id belfry.RecipientID) (*User, error) {
	return readUser(ctx, s.pool, selectUserByID, env, belfry.Users, id)
}

// Users reads users by internal id; those that are gone, or no users, are missing from the result.
func (s *Service) Users(ctx context.Context, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*User, error) {
	out := make(map[belfry.RecipientID]*User, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := s.pool.Query(ctx, selectUsersByIDs, env, belfry.Users, ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		u := &User{}
		if err := rows.Scan(&u.ID, &u.Collection, &u.ExternalID, &u.Properties, &u.CreatedAt, &u.UpdatedAt); err != nil {
			return nil, err
		}
		out[u.ID] = u
	}
	return out, rows.Err()
}

// Load reads recipients by internal id; those that are gone are missing from the result. Environments scope the read.
func Load(ctx context.Context, q querier, envs []belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error) {
	out := make(map[belfry.RecipientID]*belfry.Recipient, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := q.Query(ctx, selectByIDs, envs, ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r := &belfry.Recipient{}
		if err := rows.Scan(&r.ID, &r.Collection, &r.ExternalID, &r.Properties); err != nil {
			return nil, err
		}
		out[r.ID] = r
	}
	return out, rows.Err()
}

// Load reads recipients of one environment by internal id, outside of a transaction.
func (s *Service) Load(ctx context.Context, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error) {
	return Load(ctx, s.pool, []belfry.EnvironmentID{env}, ids)
}
