package recipient

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/belfryhq/belfry"
)

// PreferenceOwner is somebody in whose name of a tenant's it happens.
type PreferenceOwner struct {
	Environment belfry.EnvironmentID
	Recipient   belfry.RecipientID
	Tenant      belfry.RecipientID // 0: none
	TenantID    string             // external id of the tenant
}

// Preferences are the sets of many recipients, with the defaults that count for them.
type Preferences struct {
	sets         map[setKey]*PreferenceSet
	tenants      map[belfry.RecipientID]*PreferenceSet
	environments map[belfry.EnvironmentID]*PreferenceSet
	audiences    map[*PreferenceSet][]string // that conditions ask for; of sets that do
	// Variables is whether a condition may look at the environment's variables.
	Variables bool
}

// Of is the sets that count for a recipient.
func (p *Preferences) Of(o PreferenceOwner) PreferenceSets {
	if p == nil {
		return PreferenceSets{}
	}
	out := PreferenceSets{Recipient: p.sets[setKey{o.Recipient, belfry.DefaultPreferences}], Environment: p.environments[o.Environment]}
	if o.Tenant != 0 {
		out.RecipientTenant, out.Tenant = p.sets[setKey{o.Recipient, o.TenantID}], p.tenants[o.Tenant]
	}
	return out
}

// LoadPreferences reads what counts for recipients, with one query for all of them.
func LoadPreferences(ctx context.Context, q querier, owners []PreferenceOwner) (*Preferences, error) {
	out := &Preferences{sets: map[setKey]*PreferenceSet{}, tenants: map[belfry.RecipientID]*PreferenceSet{}, environments: map[belfry.EnvironmentID]*PreferenceSet{},
		audiences: map[*PreferenceSet][]string{}}
	if len(owners) == 0 {
		return out, nil
	}
	a := preferenceArguments{seen: make(map[setKey]struct{}, 2*len(owners)), seenDefaults: map[tenantKey]struct{}{}}
	for _, o := range owners {
		a.add(o)
	}
	rows, err := q.Query(ctx, selectPreferences, a.recipients, a.sets, a.recipientEnvs, a.envs, a.tenants)
	if err != nil {
		return nil, fmt.Errorf("read preferences: %w", err)
	}
	var i int64 // the place among the sets asked for, from 1; of defaults it is negative
	var stored []byte
	if _, err := pgx.ForEachRow(rows, []any{&i, (*pgtype.DriverBytes)(&stored)}, func() error {
		set, err := decodePreferences(stored)
		out.Variables = out.Variables || bytes.Contains(stored, []byte("vars"))
		if bytes.Contains(stored, []byte(audienceOperator)) && out.audiences[set] == nil {
			out.audiences[set] = set.audiences()
		}
		switch {
		case i > 0:
			out.sets[setKey{belfry.RecipientID(a.recipients[i-1]), a.sets[i-1]}] = set
		case a.tenants[-i-1] == 0:
			out.environments[belfry.EnvironmentID(a.envs[-i-1])] = set
		default:
			out.tenants[belfry.RecipientID(a.tenants[-i-1])] = set
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("read preferences: %w", err)
	}
	return out, nil
}

// preferenceArguments are the keys of what is to be read, each once.
type preferenceArguments struct {
	recipients, recipientEnvs []int64
	sets                      []string
	envs, tenants             []int64
	seen                      map[setKey]struct{}
	seenDefaults              map[tenantKey]struct{}
}

// tenantKey names a default.
type tenantKey struct {
	env    belfry.EnvironmentID
	tenant belfry.RecipientID
}

func (a *preferenceArguments) add(o PreferenceOwner) {
	a.addSet(o, belfry.DefaultPreferences)
	a.addDefault(tenantKey{o.Environment, 0})
	if o.Tenant != 0 {
		a.addSet(o, o.TenantID)
		a.addDefault(tenantKey{o.Environment, o.Tenant})
	}
}

func (a *preferenceArguments) addSet(o PreferenceOwner, name string) {
	k := setKey{o.Recipient, name}
	if _, ok := a.seen[k]; ok {
		return
	}
	a.seen[k] = struct{}{}
	a.recipients, a.recipientEnvs, a.sets = append(a.recipients, int64(o.Recipient)), append(a.recipientEnvs, int64(o.Environment)), append(a.sets, name)
}

func (a *preferenceArguments) addDefault(k tenantKey) {
	if _, ok := a.seenDefaults[k]; ok {
		return
	}
	a.seenDefaults[k] = struct{}{}
	a.envs, a.tenants = append(a.envs, int64(k.env)), append(a.tenants, int64(k.tenant))
}

// PreferenceSetsOf reads what counts for a recipient in the name of a tenant; without one if tenant is empty. A recipient
// or tenant that nobody knows has said nothing.
func (s *Service) PreferenceSetsOf(ctx context.Context, env belfry.EnvironmentID, who belfry.RecipientRef, tenant string) (PreferenceSets, error) {
	o := PreferenceOwner{Environment: env, TenantID: tenant}
	var err error
	if o.Recipient, err = s.ID(ctx, env, who); err != nil {
		return PreferenceSets{}, err
	}
	if tenant != "" {
		if o.Tenant, err = s.ID(ctx, env, belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: tenant}); err != nil {
			return PreferenceSets{}, err
		}
		if o.Tenant == 0 {
			o.Tenant = -1 // nobody knows it, and still somebody may have said something for it
		}
	}
	return readPreferences(ctx, s.pool, o)
}

func readPreferences(ctx context.Context, q querier, o PreferenceOwner) (PreferenceSets, error) {
	loaded, err := LoadPreferences(ctx, q, []PreferenceOwner{o})
	return loaded.Of(o), err
}

const lockRecipient = `SELECT id FROM recipients WHERE environment_id = $1 AND collection = $2 AND external_id = $3 FOR NO KEY UPDATE`

const lockEnvironment = `SELECT FROM environments WHERE id = $1 FOR NO KEY UPDATE`

const selectPreferencesOf = `SELECT p.recipient_id, p.set, p.preferences
  FROM unnest($2::bigint[], $3::text[]) AS k (recipient_id, set)
  JOIN preference_sets p USING (recipient_id, set)
 WHERE p.environment_id = $1`

// selectPreferences reads sets of recipients and defaults together: it is asked for every batch of runs.
const selectPreferences = `SELECT k.i, p.preferences
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) WITH ORDINALITY AS k (recipient_id, set, environment_id, i)
  JOIN preference_sets p USING (recipient_id, set, environment_id)
 UNION ALL
SELECT -k.i, d.preferences
  FROM unnest($4::bigint[], $5::bigint[]) WITH ORDINALITY AS k (environment_id, tenant_id, i)
  JOIN preference_defaults d USING (environment_id, tenant_id)`

const upsertPreferences = `INSERT INTO preference_sets (recipient_id, set, environment_id, preferences, updated_at)
SELECT t.recipient_id, t.set, $1, t.preferences, $5
  FROM unnest($2::bigint[], $3::text[], $4::json[]) AS t (recipient_id, set, preferences)
ON CONFLICT (recipient_id, set) DO UPDATE SET preferences = excluded.preferences, updated_at = excluded.updated_at`

const deletePreferences = `DELETE FROM preference_sets WHERE environment_id = $1 AND recipient_id = $2 AND set = $3`

const selectCrowded = `SELECT recipient_id FROM preference_sets WHERE recipient_id = ANY ($1) GROUP BY recipient_id HAVING count(*) > $2 LIMIT 1`

const selectDefaults = `SELECT preferences FROM preference_defaults WHERE environment_id = $1 AND tenant_id = $2`

const upsertDefaults = `INSERT INTO preference_defaults (environment_id, tenant_id, preferences, updated_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (environment_id, tenant_id) DO UPDATE SET preferences = excluded.preferences, updated_at = excluded.updated_at`

const deleteDefaults = `DELETE FROM preference_defaults WHERE environment_id = $1 AND tenant_id = $2`
