package recipient

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow/condition"
)

// Limits of audiences.
const (
	MaxAudienceName    = 255 // characters
	MaxAudienceMembers = 100 // users that one call adds or removes
	MaxAudiencePage    = 100
	cachedConditions   = 1000
)

// Audience is a group of users: those that were added, or, if it has a condition, those who meet it.
type Audience struct {
	ID   int64
	Key  string
	Name string
	// Condition and Conditions say who belongs to a dynamic audience, in one of the two forms. Static ones have neither.
	Condition            string          // an expression
	Conditions           json.RawMessage // a condition.Group
	CreatedAt, UpdatedAt time.Time
}

// Dynamic says that a condition decides who belongs to it.
func (a *Audience) Dynamic() bool { return a.Condition != "" || a.Conditions != nil }

// stored is the condition as it is kept: JSON text for an expression, an object for a group; nil for none.
func (a *Audience) stored() ([]byte, error) {
	if a.Condition != "" {
		return json.Marshal(a.Condition)
	}
	return a.Conditions, nil
}

func (a *Audience) restore(stored []byte) error {
	if len(stored) > 0 && stored[0] == '"' {
		return json.Unmarshal(stored, &a.Condition)
	}
	a.Conditions = stored
	return nil
}

// UpsertAudience stores an audience by its key. A static one can't become dynamic, nor the other way round.
func (s *Service) UpsertAudience(ctx context.Context, env belfry.EnvironmentID, a Audience) (*Audience, error) {
	if err := belfry.ValidateKey(a.Key, "input.key"); err != nil {
		return nil, err
	}
	if len([]rune(a.Name)) > MaxAudienceName {
		return nil, belfry.Beyond("input.name", MaxAudienceName, "characters")
	}
	if err := belfry.ValidateText(a.Name, "input.name"); err != nil {
		return nil, err
	}
	if a.Condition != "" && a.Conditions != nil {
		return nil, belfry.Errorf(belfry.Invalid, "give either condition or conditions, not both").At("input.conditions")
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	stored, err := a.stored()
	if err != nil {
		return nil, err
	}
	var out *Audience
	err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, insertAudience, env, a.Key, a.Name, stored, s.now()); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, updateAudience, env, a.Key, a.Name, stored, s.now())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return belfry.Errorf(belfry.Conflict, "the audience %q exists with members that are added, or with a condition, and can't change that: use another key, or delete it first", a.Key).At("input.key")
		}
		out, err = readAudience(ctx, tx, env, a.Key)
		return err
	})
	return out, err
}

// check compiles the condition, and holds it to what is known of users.
func (a *Audience) check() error {
	field := "input.condition"
	if a.Conditions != nil {
		field = "input.conditions"
		var v any
		if err := json.Unmarshal(a.Conditions, &v); err != nil {
			return belfry.Errorf(belfry.Invalid, "conditions are not JSON").At("%s", field)
		}
		if err := belfry.ValidateJSON(v, field); err != nil {
			return err
		}
	} else if err := belfry.ValidateText(a.Condition, field); err != nil {
		return err
	}
	stored, err := a.stored()
	if err != nil || stored == nil {
		return err
	}
	c, err := compileStored(stored)
	if err != nil {
		return belfry.Errorf(belfry.Invalid, "%s", err.Error()).At("%s", field)
	}
	for _, root := range c.Roots() {
		if root != "recipient" {
			return belfry.Errorf(belfry.Invalid, "an audience is about users alone: recipient.… is there, %s isn't", root).At("%s", field)
		}
	}
	if len(c.Audiences()) > 0 {
		return belfry.Errorf(belfry.Invalid, "the condition of an audience can't ask for another audience").At("%s", field)
	}
	return nil
}

func compileStored(stored []byte) (*condition.Condition, error) {
	if stored[0] == '"' {
		var source string
		if err := json.Unmarshal(stored, &source); err != nil {
			return nil, err
		}
		return condition.Compile(source)
	}
	var g condition.Group
	if err := json.Unmarshal(stored, &g); err != nil {
		return nil, err
	}
	return condition.CompileGroup(g)
}

// compiled is the condition of an audience, compiled once.
func (s *Service) compiled(stored []byte) (*condition.Condition, error) {
	if c, ok := s.conditions.Get(string(stored)); ok {
		return c, nil
	}
	c, err := compileStored(stored)
	if err == nil {
		s.conditions.Add(string(stored), c)
	}
	return c, err
}

// meets decides whether a user belongs to an audience with a condition. One that can't be decided is false.
func meets(c *condition.Condition, user map[string]any, now time.Time) bool {
	if user["collection"] != belfry.Users {
		return false
	}
	ok, err := c.Eval(condition.Scope{"recipient": user}, now)
	return ok && err == nil
}

// DeleteAudience deletes an audience and its memberships; the users stay. NotFound if there is none.
func (s *Service) DeleteAudience(ctx context.Context, env belfry.EnvironmentID, key string) error {
	tag, err := s.pool.Exec(ctx, deleteAudience, env, key)
	if err == nil && tag.RowsAffected() == 0 {
		return noAudience(key, "input.key")
	}
	return err
}

func noAudience(key, field string) error {
	return belfry.Errorf(belfry.NotFound, "no audience has the key %.100q: store it with upsertAudience first", key).At("%s", field)
}

// Audience reads an audience; NotFound if there is none.
func (s *Service) Audience(ctx context.Context, env belfry.EnvironmentID, key string) (*Audience, error) {
	return readAudience(ctx, s.pool, env, key)
}

func readAudience(ctx context.Context, q querier, env belfry.EnvironmentID, key string) (*Audience, error) {
	rows, err := q.Query(ctx, selectAudience, env, key)
	if err != nil {
		return nil, err
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAudience)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, noAudience(key, "input.audience")
	}
	return &a, err
}

// Audiences reads up to limit audiences by key, behind a key.
func (s *Service) Audiences(ctx context.Context, env belfry.EnvironmentID, after string, limit int) ([]Audience, bool, error) {
	return page(ctx, s, MaxAudiencePage, limit, scanAudience, selectAudiences, env, after)
}

func scanAudience(row pgx.CollectableRow) (Audience, error) {
	var a Audience
	var stored []byte
	if err := row.Scan(&a.ID, &a.Key, &a.Name, &stored, &a.CreatedAt, &a.UpdatedAt); err != nil {
		return a, err
	}
	return a, a.restore(stored)
}

// AddMembers adds users to a static audience; the tenant, if there is one, becomes known if it isn't. Who is a member
// already stays one.
func (s *Service) AddMembers(ctx context.Context, env belfry.EnvironmentID, key string, who []Party, tenant string) ([]Result, error) {
	if err := usersAtOnce(who, tenant); err != nil {
		return nil, err
	}
	var results []Result
	err := again(func() error {
		return postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
			a, err := staticAudience(ctx, tx, env, key)
			if err != nil {
				return err
			}
			var besides []Identity
			ref := belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: tenant}
			if tenant != "" {
				besides = append(besides, Identity{RecipientRef: ref})
			}
			found, ids, err := s.parties(ctx, tx, env, who, fieldsOf("input.users", len(who)), besides...)
			if err != nil {
				return err
			}
			results = found
			members, _ := subscribersOf(results, ids)
			_, err = tx.Exec(ctx, insertMembers, a.ID, ids[ref], members, s.now(), env)
			return err
		})
	})
	return results, err
}

// RemoveMembers removes users from a static audience: their membership in the tenant, or the one without.
func (s *Service) RemoveMembers(ctx context.Context, env belfry.EnvironmentID, key string, who []belfry.RecipientRef, tenant string) ([]Result, error) {
	parties := make([]Party, len(who))
	for i, ref := range who {
		parties[i].Ref = ref
	}
	if err := usersAtOnce(parties, tenant); err != nil {
		return nil, err
	}
	results := make([]Result, len(who))
	err := postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		a, err := staticAudience(ctx, tx, env, key)
		if err != nil {
			return err
		}
		ref := belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: tenant}
		ids, err := s.Find(ctx, tx, env, append(slices.Clone(who), ref))
		if err != nil {
			return err
		}
		for i := range who {
			results[i].Ref = who[i]
		}
		members, _ := subscribersOf(results, ids)
		var gone []belfry.RecipientID
		if tenant == "" || ids[ref] != 0 {
			rows, err := tx.Query(ctx, deleteMembers, a.ID, ids[ref], members)
			if err != nil {
				return err
			}
			if gone, err = pgx.CollectRows(rows, pgx.RowTo[belfry.RecipientID]); err != nil {
				return err
			}
		}
		for i := range results {
			if id := ids[who[i]]; id == 0 || !slices.Contains(gone, id) {
				results[i].Err = belfry.Errorf(belfry.NotFound, "%q is no member", who[i].ExternalID).At("input.users[%d]", i)
			}
		}
		return nil
	})
	return results, err
}

func usersAtOnce(who []Party, tenant string) error {
	if len(who) == 0 {
		return belfry.Errorf(belfry.Invalid, "name 1 to %d users", MaxAudienceMembers).At("input.users")
	}
	if len(who) > MaxAudienceMembers {
		return belfry.Beyond("input.users", MaxAudienceMembers, "users a call")
	}
	for i := range who {
		if who[i].ref().Collection != belfry.Users {
			return belfry.Errorf(belfry.Invalid, "audiences are made of users").At("input.users[%d]", i)
		}
	}
	if tenant == "" {
		return nil
	}
	return belfry.ValidateExternalID(tenant, "input.tenant")
}

func staticAudience(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, key string) (*Audience, error) {
	a, err := readAudience(ctx, tx, env, key)
	if err == nil && a.Dynamic() {
		err = belfry.Errorf(belfry.Invalid, "a condition decides who belongs to %q: nobody can be added or removed", key).At("input.audience")
	}
	return a, err
}

// Member is a user in a static audience.
type Member struct {
	User             belfry.RecipientID
	Tenant           belfry.RecipientID // 0: without
	UserID, TenantID string             // external ids
	Since            time.Time
}

// Members reads up to limit members of a static audience, by tenant and user, behind one of them (nil: from the beginning).
// The audience is one that was read.
func (s *Service) Members(ctx context.Context, audience int64, after *Member, limit int) (list []Member, more bool, err error) {
	if after == nil {
		after = &Member{Tenant: -1}
	}
	return page(ctx, s, MaxAudiencePage, limit, pgx.RowToStructByPos[Member], selectMemberPage, audience, after.Tenant, after.User)
}

const insertAudience = `INSERT INTO audiences (environment_id, key, name, condition, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (environment_id, key) DO NOTHING`

const updateAudience = `UPDATE audiences SET name = $3, condition = $4, updated_at = $5
 WHERE environment_id = $1 AND key = $2 AND (condition IS NULL) = ($4::jsonb IS NULL)`

const deleteAudience = `DELETE FROM audiences WHERE environment_id = $1 AND key = $2`

const audienceColumns = `id, key, name, condition, created_at, updated_at`

const selectAudience = `SELECT ` + audienceColumns + ` FROM audiences WHERE environment_id = $1 AND key = $2`

const selectAudiences = `SELECT ` + audienceColumns + ` FROM audiences WHERE environment_id = $1 AND key > $2 ORDER BY key LIMIT $3`

const insertMembers = `INSERT INTO audience_members (audience_id, tenant_id, recipient_id, environment_id, created_at)
SELECT $1, $2, q.id, $5, $4 FROM unnest($3::bigint[]) WITH ORDINALITY AS q (id, i) ORDER BY q.i
    ON CONFLICT DO NOTHING`

const deleteMembers = `DELETE FROM audience_members WHERE audience_id = $1 AND tenant_id = $2 AND recipient_id = ANY ($3) RETURNING recipient_id`

const selectMemberPage = `SELECT m.recipient_id, m.tenant_id, u.external_id, coalesce(t.external_id, ''), m.created_at
  FROM (SELECT * FROM audience_members WHERE audience_id = $1 AND (tenant_id, recipient_id) > ($2, $3) ORDER BY tenant_id, recipient_id LIMIT $4) m
  JOIN recipients u ON u.id = m.recipient_id LEFT JOIN recipients t ON t.id = m.tenant_id
 ORDER BY m.tenant_id, m.recipient_id`
