package recipient

import (
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

// LoadPreferences reads what counts for each of some recipients, side by side, with one query for all of them. If digests aren't nil
// they are those of the recipients, as LoadWithDigests has read them: sets of which this process knows what is in them aren't read.
func LoadPreferences(ctx context.Context, q querier, owners []PreferenceOwner, digests SetDigests) ([]PreferenceSets, error) {
	out := make([]PreferenceSets, len(owners))
	if len(owners) == 0 {
		return out, nil
	}
	r := preferenceReading{digests: digests, names: map[string]nameDigest{}, known: map[contentDigest]*PreferenceSet{}, defaults: map[defaultKey]*PreferenceSet{}}
	for i := range owners {
		if r.want(&owners[i], &out[i]); i == 0 || !owners[i].sharesDefaults(&owners[i-1]) {
			r.wantDefaults(&owners[i])
		}
	}
	rows, err := q.Query(ctx, selectPreferences, r.recipients, r.sets, r.recipientEnvs, r.envs, r.tenants)
	if err != nil {
		return nil, fmt.Errorf("read preferences: %w", err)
	}
	var i int64 // the place among the sets asked for, from 1; of defaults it is negative
	var stored []byte
	if _, err := pgx.ForEachRow(rows, []any{&i, (*pgtype.DriverBytes)(&stored)}, func() error {
		set, err := decodePreferences(stored)
		if i > 0 {
			*r.slots[i-1] = set
		} else {
			r.defaults[defaultKey{belfry.EnvironmentID(r.envs[-i-1]), belfry.RecipientID(r.tenants[-i-1])}] = set
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("read preferences: %w", err)
	}
	for i := range owners {
		o := &owners[i]
		if i > 0 && o.sharesDefaults(&owners[i-1]) {
			out[i].Environment, out[i].Tenant = out[i-1].Environment, out[i-1].Tenant
			continue
		}
		if out[i].Environment = r.defaults[defaultKey{o.Environment, 0}]; o.Tenant != 0 {
			out[i].Tenant = r.defaults[defaultKey{o.Environment, o.Tenant}]
		}
	}
	return out, nil
}

// sharesDefaults reports whether the same defaults count for both, as they do for all whom a trigger is for.
func (o *PreferenceOwner) sharesDefaults(other *PreferenceOwner) bool {
	return o.Environment == other.Environment && o.Tenant == other.Tenant
}

// preferenceReading is what is to be read: sets of recipients, with where they go, and defaults, each of them once.
type preferenceReading struct {
	digests SetDigests
	names   map[string]nameDigest
	known   map[contentDigest]*PreferenceSet // of those that are remembered, what has been asked for

	recipients, recipientEnvs []int64
	sets                      []string
	slots                     []**PreferenceSet

	envs, tenants []int64
	defaults      map[defaultKey]*PreferenceSet // nil: there is none, or it is yet to be read
}

// defaultKey names a default: of the environment if tenant is 0.
type defaultKey struct {
	env    belfry.EnvironmentID
	tenant belfry.RecipientID
}

func (r *preferenceReading) want(o *PreferenceOwner, out *PreferenceSets) {
	digests := r.digests[o.Recipient]
	r.wantSet(o, digests, belfry.DefaultPreferences, &out.Recipient)
	if o.Tenant != 0 {
		r.wantSet(o, digests, o.TenantID, &out.RecipientTenant)
	}
}

// wantSet fills a slot with a set of a recipient, at once if it is known what is in it.
func (r *preferenceReading) wantSet(o *PreferenceOwner, digests setDigests, name string, slot **PreferenceSet) {
	if r.digests != nil {
		digest, ok := r.names[name]
		if !ok {
			digest = digestName(name)
			r.names[name] = digest
		}
		content, ok := digests.find(digest)
		if !ok {
			return
		}
		if set, ok := r.remembered(content); ok {
			*slot = set
			return
		}
	}
	r.recipients, r.recipientEnvs, r.sets = append(r.recipients, int64(o.Recipient)), append(r.recipientEnvs, int64(o.Environment)), append(r.sets, name)
	r.slots = append(r.slots, slot)
}

// remembered asks decodedSets, which has a lock and an order, once for each text.
func (r *preferenceReading) remembered(content contentDigest) (set *PreferenceSet, ok bool) {
	if set, ok = r.known[content]; !ok {
		if set, ok = decodedSets.Get(content); ok {
			r.known[content] = set
		}
	}
	return set, ok
}

func (r *preferenceReading) wantDefaults(o *PreferenceOwner) {
	if r.wantDefault(defaultKey{o.Environment, 0}); o.Tenant != 0 {
		r.wantDefault(defaultKey{o.Environment, o.Tenant})
	}
}

func (r *preferenceReading) wantDefault(k defaultKey) {
	if _, ok := r.defaults[k]; !ok {
		r.defaults[k] = nil
		r.envs, r.tenants = append(r.envs, int64(k.env)), append(r.tenants, int64(k.tenant))
	}
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
	loaded, err := LoadPreferences(ctx, q, []PreferenceOwner{o}, nil)
	if err != nil {
		return PreferenceSets{}, err
	}
	return loaded[0], nil
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
