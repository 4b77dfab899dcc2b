package recipient

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// mergeTogether is how many sets of each of two users are in memory at once.
const mergeTogether = 50

// setOfBoth names a set that one of two users has, or both.
type setOfBoth struct {
	name string
	// inherits is whether somebody without the set goes by their default one: it is a tenant's that has no default.
	inherits bool
}

// absorbPreferences completes what one user wants by what another one does, node by node: what the first says stands, and
// an opt-out about which it says nothing is never lost. Both rows are locked.
func (s *Service) absorbPreferences(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, into, from belfry.RecipientID) error {
	rows, err := tx.Query(ctx, selectSetsOfBoth, env, into, from, belfry.Tenants)
	if err != nil {
		return fmt.Errorf("read preferences: %w", err)
	}
	both, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b setOfBoth, err error) {
		return b, row.Scan(&b.name, &b.inherits)
	})
	if err != nil {
		return fmt.Errorf("read preferences: %w", err)
	}
	defaults, err := readSets(ctx, tx, env, []belfry.RecipientID{into, from}, []string{belfry.DefaultPreferences})
	if err != nil {
		return err
	}
	for len(both) > 0 {
		part := both[:min(len(both), mergeTogether)]
		both = both[len(part):]
		names := make([]string, len(part))
		for i := range part {
			names[i] = part[i].name
		}
		sets, err := readSets(ctx, tx, env, []belfry.RecipientID{into, from}, names)
		if err != nil {
			return err
		}
		var writes []preferenceWrite
		for _, b := range part {
			gives := says(sets, defaults, from, b)
			if _, own := sets[setKey{from, b.name}]; own || len(gives.Map()) > 0 {
				writes = append(writes, preferenceWrite{setKey{into, b.name}, gives.Merge(says(sets, defaults, into, b)), belfry.ReplacePreferences, "input.from"})
			}
		}
		if _, err := s.writePreferences(ctx, tx, env, writes); err != nil {
			if tooMuch, ok := errors.AsType[*belfry.Error](err); ok { // not in a field of the set: nobody gave it
				return tooMuch.At("input.from")
			}
			return err
		}
	}
	return nil
}

// says is what somebody says where a set counts: that is their default one, without what is about the person, if they don't have it
// and would be asked for that.
func says(sets, defaults map[setKey]*PreferenceSet, who belfry.RecipientID, b setOfBoth) *PreferenceSet {
	set := sets[setKey{who, b.name}]
	if set == nil && b.inherits {
		return defaults[setKey{who, belfry.DefaultPreferences}].aboutTopics()
	}
	return set
}

// readSets reads sets by their names, of each of several recipients.
func readSets(ctx context.Context, q querier, env belfry.EnvironmentID, whose []belfry.RecipientID, named []string) (map[setKey]*PreferenceSet, error) {
	var recipients []int64
	var names []string
	for _, id := range whose {
		for _, name := range named {
			recipients, names = append(recipients, int64(id)), append(names, name)
		}
	}
	return collectSets(ctx, q, env, recipients, names)
}

const selectSetsOfBoth = `SELECT s.set, s.set <> 'default' AND NOT EXISTS (
         SELECT FROM recipients t JOIN preference_defaults d ON d.environment_id = t.environment_id AND d.tenant_id = t.id
          WHERE t.environment_id = $1 AND t.collection = $4 AND t.external_id = s.set)
  FROM (SELECT DISTINCT set FROM preference_sets WHERE environment_id = $1 AND recipient_id IN ($2, $3)) s ORDER BY s.set`
