package recipient

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/condition"
)

// OpenAudiences opens audiences by key; those that there are not are missing.
func (s *Service) OpenAudiences(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, keys []string) (map[string]Source, error) {
	rows, err := tx.Query(ctx, selectAudienceExtents, env, keys)
	if err != nil {
		return nil, err
	}
	out := map[string]Source{}
	var key string
	x := Source{AtMost: SmallSource + 1}
	_, err = pgx.ForEachRow(rows, []any{&key, &x.Audience, &x.Dynamic, &x.Until}, func() error {
		out[key] = x
		return nil
	})
	return out, err
}

// scan looks at the next users of an environment for those who meet the condition of an audience. There is no index for
// what conditions may ask: every user is looked at.
func (s *Service) scan(ctx context.Context, tx pgx.Tx, x *Stretch, out *Chunk) error {
	var stored []byte
	rows, err := tx.Query(ctx, selectConditions, []int64{x.Audience})
	if err != nil {
		return err
	}
	if _, err := pgx.ForEachRow(rows, []any{&stored}, func() error { return nil }); err != nil {
		return err
	}
	out.Next, out.Over = x.From, true
	if stored == nil { // it has been deleted
		return nil
	}
	c, err := s.compiled(stored)
	if err != nil {
		return nil // it was stored by another version of the language: nobody meets it
	}
	if rows, err = tx.Query(ctx, scanUsers, x.Environment, belfry.Users, x.From.User, x.Until, x.Limit); err != nil {
		return err
	}
	defer rows.Close()
	seen, now := 0, s.now()
	for rows.Next() {
		user := belfry.Recipient{}
		if err := rows.Scan(&user.ID, &user.Collection, &user.ExternalID, &user.Properties); err != nil {
			return err
		}
		seen++
		out.Next = Cursor{User: user.ExternalID}
		if meets(c, user.Scope(), now) {
			out.Found = append(out.Found, Found{Recipient: user.ID, At: out.Next})
		}
	}
	out.Over = seen < x.Limit
	return rows.Err()
}

// Memberships says who belongs to which audiences, as far as that was asked.
type Memberships struct {
	audiences map[audienceKey]*loadedAudience
	members   map[membership]bool
}

type audienceKey struct {
	env belfry.EnvironmentID
	key string
}

type loadedAudience struct {
	id   int64
	cond *condition.Condition // nil: static
}

type membership struct {
	audience          int64
	recipient, tenant belfry.RecipientID
}

// LoadMemberships reads, in two queries, what is needed to say which of some recipients belong to which of some audiences.
func (s *Service) LoadMemberships(ctx context.Context, q querier, envs []belfry.EnvironmentID, keys []string, recipients []belfry.RecipientID) (*Memberships, error) {
	m := &Memberships{map[audienceKey]*loadedAudience{}, map[membership]bool{}}
	rows, err := q.Query(ctx, selectAudiencesByKey, envs, keys)
	if err != nil {
		return nil, fmt.Errorf("read audiences: %w", err)
	}
	var k audienceKey
	var id int64
	var stored []byte
	var static []int64
	if _, err := pgx.ForEachRow(rows, []any{&k.env, &k.key, &id, &stored}, func() error {
		a := &loadedAudience{id: id}
		if stored == nil {
			static = append(static, id)
		} else if a.cond, err = s.compiled(stored); err != nil {
			return nil // nobody meets it
		}
		m.audiences[k] = a
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read audiences: %w", err)
	}
	if len(static) == 0 || len(recipients) == 0 {
		return m, nil
	}
	if rows, err = q.Query(ctx, selectMemberships, static, recipients); err != nil {
		return nil, fmt.Errorf("read memberships: %w", err)
	}
	var x membership
	_, err = pgx.ForEachRow(rows, []any{&x.audience, &x.recipient, &x.tenant}, func() error {
		m.members[x] = true
		return nil
	})
	return m, err
}

// Has says whether a user, whose scope is given, belongs to an audience: by its condition now, or as a member in the tenant
// (0: without one).
func (m *Memberships) Has(env belfry.EnvironmentID, key string, user belfry.RecipientID, scope map[string]any, tenant belfry.RecipientID, now time.Time) bool {
	if m == nil {
		return false
	}
	a := m.audiences[audienceKey{env, key}]
	switch {
	case a == nil:
		return false
	case a.cond != nil:
		return meets(a.cond, scope, now)
	}
	return m.members[membership{a.id, user, tenant}]
}

const selectAudienceExtents = `SELECT key, id, condition IS NOT NULL,
       CASE WHEN condition IS NULL THEN (SELECT last_value FROM audience_members_seq_seq) ELSE (SELECT last_value FROM recipients_id_seq) END
  FROM audiences WHERE environment_id = $1 AND key = ANY ($2)`

const selectConditions = `SELECT condition FROM audiences WHERE id = ANY ($1)`

const scanUsers = `SELECT ` + columns + ` FROM recipients
 WHERE environment_id = $1 AND collection = $2 AND external_id > $3 AND id <= $4 ORDER BY external_id LIMIT $5`

const selectAudiencesByKey = `SELECT environment_id, key, id, condition FROM audiences WHERE environment_id = ANY ($1) AND key = ANY ($2)`

// selectMemberships goes by recipient: audiences may be large.
const selectMemberships = `SELECT m.audience_id, r.id, m.tenant_id FROM unnest($2::bigint[]) AS r (id)
 CROSS JOIN LATERAL (SELECT audience_id, tenant_id FROM audience_members WHERE recipient_id = r.id AND audience_id = ANY ($1) OFFSET 0) m`
