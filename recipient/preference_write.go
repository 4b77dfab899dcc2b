package recipient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// MaxPreferenceSets is how many sets a recipient may have: one for each tenant, and the default one.
const MaxPreferenceSets = 1000

// MaxInlinePreferences is how many sets one identification may carry.
const MaxInlinePreferences = 20

// LevelOf is whose a recipient's set is, by its id.
func LevelOf(set string) belfry.PreferenceLevel {
	if set == belfry.DefaultPreferences {
		return belfry.RecipientLevel
	}
	return belfry.RecipientTenantLevel
}

// validatePreferences checks what an identity brings inline. field is that of the identity.
func (i *Identity) validatePreferences(field string) error {
	if i.Repeated > 0 {
		return belfry.Errorf(belfry.Invalid, "the set is given already: say everything about it in one place").At("%s.preferences[%d].set", field, i.Repeated)
	}
	if len(i.Preferences) > MaxInlinePreferences {
		return belfry.Beyond(field+".preferences", MaxInlinePreferences, "preference sets")
	}
	for _, set := range slices.Sorted(maps.Keys(i.Preferences)) {
		if err := belfry.ValidateExternalID(set, field+".preferences.set"); err != nil {
			return err
		}
		if _, err := ParsePreferences(i.Preferences[set], LevelOf(set), field+".preferences."+set); err != nil {
			return err
		}
	}
	return nil
}

// setKey names a set of somebody.
type setKey struct {
	recipient belfry.RecipientID
	set       string
}

// preferenceWrite is a change of a set. The recipient's row is locked.
type preferenceWrite struct {
	setKey
	news     *PreferenceSet
	strategy belfry.PreferenceStrategy
	field    string
}

// apply is the set that becomes of a stored one.
func (w *preferenceWrite) apply(known *PreferenceSet, level belfry.PreferenceLevel, now time.Time) (*PreferenceSet, error) {
	if w.strategy != belfry.MergePreferences {
		known = nil
	}
	return ParsePreferences(known.Merge(w.news).current(now).Map(), level, w.field) // together it may be too much
}

// mergeInline merges the preferences of identities, in order.
func (s *Service) mergeInline(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, identities []Identity, ids map[belfry.RecipientRef]belfry.RecipientID, fields []string) error {
	var writes []preferenceWrite
	for n := range identities {
		i := &identities[n]
		for _, set := range slices.Sorted(maps.Keys(i.Preferences)) {
			writes = append(writes, preferenceWrite{setKey{ids[i.RecipientRef], set}, &PreferenceSet{content: i.Preferences[set]}, belfry.MergePreferences, fields[n] + ".preferences"})
		}
	}
	_, err := s.writePreferences(ctx, tx, env, writes)
	return err
}

// writePreferences changes sets of recipients whose rows are locked.
func (s *Service) writePreferences(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, writes []preferenceWrite) (map[setKey]*PreferenceSet, error) {
	if len(writes) == 0 {
		return nil, nil
	}
	var recipients []int64
	var names []string
	for _, w := range writes {
		recipients, names = append(recipients, int64(w.recipient)), append(names, w.set)
	}
	sets, err := collectSets(ctx, tx, env, recipients, names)
	if err != nil {
		return nil, err
	}
	before, changed := len(sets), map[setKey]string{}
	for i := range writes {
		w := &writes[i]
		if sets[w.setKey], err = w.apply(sets[w.setKey], LevelOf(w.set), s.now()); err != nil {
			return nil, err
		}
		if changed[w.setKey], err = sets[w.setKey].encode(w.field); err != nil {
			return nil, err
		}
	}
	var values []string
	recipients, names = nil, nil
	for key, value := range changed {
		recipients, names, values = append(recipients, int64(key.recipient)), append(names, key.set), append(values, value)
	}
	if _, err := tx.Exec(ctx, upsertPreferences, env, recipients, names, values, s.now()); err != nil {
		return nil, fmt.Errorf("write preferences: %w", err)
	}
	if len(sets) > before {
		err = notCrowded(ctx, tx, recipients, writes[0].field)
	}
	return sets, err
}

// collectSets reads sets by recipient and name, side by side. Those that there are not are missing.
func collectSets(ctx context.Context, q querier, env belfry.EnvironmentID, recipients []int64, names []string) (map[setKey]*PreferenceSet, error) {
	rows, err := q.Query(ctx, selectPreferencesOf, env, recipients, names)
	if err != nil {
		return nil, fmt.Errorf("read preferences: %w", err)
	}
	sets := map[setKey]*PreferenceSet{}
	var key setKey
	var stored []byte
	if _, err := pgx.ForEachRow(rows, []any{&key.recipient, &key.set, &stored}, func() (err error) {
		sets[key], err = decodePreferences(stored)
		return err
	}); err != nil {
		return nil, fmt.Errorf("read preferences: %w", err)
	}
	return sets, nil
}

// notCrowded refuses more sets than a recipient may have.
func notCrowded(ctx context.Context, tx *postgres.Tx, recipients []int64, field string) error {
	var crowded belfry.RecipientID
	err := tx.QueryRow(ctx, selectCrowded, recipients, MaxPreferenceSets).Scan(&crowded)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = belfry.Beyond(field, MaxPreferenceSets, "preference sets of one recipient")
	}
	return err
}

// SetPreferences writes a set of a recipient, which is NotFound if nobody knows it, unless make says that it becomes known
// by this. field names the set's input for errors; news has been parsed with the level of the set.
func (s *Service) SetPreferences(ctx context.Context, env belfry.EnvironmentID, who belfry.RecipientRef, set string, news *PreferenceSet, strategy belfry.PreferenceStrategy, make bool, field string) (*PreferenceSet, error) {
	if err := belfry.ValidateExternalID(set, field+".set"); err != nil {
		return nil, err
	}
	var out *PreferenceSet
	err := postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		id, err := s.lockOne(ctx, tx, env, who, make)
		if err != nil {
			return err
		}
		sets, err := s.writePreferences(ctx, tx, env, []preferenceWrite{{setKey{id, set}, news, strategy, field}})
		out = sets[setKey{id, set}]
		return err
	})
	return out, err
}

// DeletePreferences unsets a set of a recipient. It reports whether there was one.
func (s *Service) DeletePreferences(ctx context.Context, env belfry.EnvironmentID, who belfry.RecipientRef, set string) (existed bool, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		id, err := s.lockOne(ctx, tx, env, who, false)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, deletePreferences, env, id, set)
		existed = tag.RowsAffected() > 0
		return err
	})
	return existed, err
}

// lockOne locks the row of a recipient.
func (s *Service) lockOne(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, who belfry.RecipientRef, make bool) (id belfry.RecipientID, err error) {
	if make {
		rows, err := s.lock(ctx, tx, env, []belfry.RecipientRef{who})
		if err != nil || rows[who] == nil {
			return 0, fmt.Errorf("lock recipient: %w", err)
		}
		return rows[who].id, nil
	}
	err = tx.QueryRow(ctx, lockRecipient, env, who.Collection, who.ExternalID).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, notIdentified(who.ExternalID)
	}
	return id, err
}

func notIdentified(id string) *belfry.Error {
	return belfry.Errorf(belfry.NotFound, "nobody has the id %.100q: identify the recipient first", id)
}

// SetDefaults writes the default of a tenant, which becomes known by this, or of the environment if tenant is empty.
func (s *Service) SetDefaults(ctx context.Context, env belfry.EnvironmentID, tenant string, news *PreferenceSet, strategy belfry.PreferenceStrategy, field string) (*PreferenceSet, error) {
	var out *PreferenceSet
	err := postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		id, err := s.lockOwner(ctx, tx, env, tenant, true)
		if err != nil {
			return err
		}
		known, err := readDefaults(ctx, tx, env, id)
		if err != nil {
			return err
		}
		w := preferenceWrite{news: news, strategy: strategy, field: field}
		if out, err = w.apply(known, defaultsLevel(tenant), s.now()); err != nil {
			return err
		}
		value, err := out.encode(field)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, upsertDefaults, env, id, value, s.now())
		return err
	})
	return out, err
}

// DeleteDefaults unsets the default of a tenant, or of the environment if tenant is empty. It reports whether there was one.
func (s *Service) DeleteDefaults(ctx context.Context, env belfry.EnvironmentID, tenant string) (existed bool, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		id, err := s.lockOwner(ctx, tx, env, tenant, false)
		if belfry.CodeOf(err) == belfry.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, deleteDefaults, env, id)
		existed = tag.RowsAffected() > 0
		return err
	})
	return existed, err
}

func defaultsLevel(tenant string) belfry.PreferenceLevel {
	if tenant == "" {
		return belfry.EnvironmentLevel
	}
	return belfry.TenantLevel
}

// lockOwner locks the row of whose default it is: a tenant, or the environment, which has the id 0.
func (s *Service) lockOwner(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, tenant string, make bool) (belfry.RecipientID, error) {
	if tenant == "" {
		_, err := tx.Exec(ctx, lockEnvironment, env)
		return 0, err
	}
	return s.lockOne(ctx, tx, env, belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: tenant}, make)
}

func readDefaults(ctx context.Context, q querier, env belfry.EnvironmentID, tenant belfry.RecipientID) (*PreferenceSet, error) {
	var stored []byte
	err := q.QueryRow(ctx, selectDefaults, env, tenant).Scan(&stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read default preferences: %w", err)
	}
	return decodePreferences(stored)
}

// Defaults reads the default of a tenant, or of the environment if tenant is empty; nil if there is none.
func (s *Service) Defaults(ctx context.Context, env belfry.EnvironmentID, tenant string) (*PreferenceSet, error) {
	var id belfry.RecipientID
	if tenant != "" {
		var err error
		if id, err = s.ID(ctx, env, belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: tenant}); err != nil || id == 0 {
			return nil, err
		}
	}
	return readDefaults(ctx, s.pool, env, id)
}
