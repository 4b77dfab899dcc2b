package recipient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// profileFields are the properties that an environment may let people change themselves.
var profileFields = []string{"name", "email", "phone_number", "avatar", "locale", "timezone"}

// ProfileFields returns the properties that users of an environment may change with their own token: at first name, avatar,
// locale and timezone.
func (s *Service) ProfileFields(ctx context.Context, env belfry.EnvironmentID) (fields []string, err error) {
	err = s.pool.QueryRow(ctx, selectProfileFields, env).Scan(&fields)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "there is no such environment")
	}
	return fields, err
}

// SetProfileFields says which properties users may change with their own token; none is fine. Letting them change an
// address means that messages go wherever they say. Errors: Invalid at field.
func (s *Service) SetProfileFields(ctx context.Context, env belfry.EnvironmentID, fields []string, field string) error {
	fields = slices.Compact(slices.Sorted(slices.Values(fields)))
	for _, name := range fields {
		if !slices.Contains(profileFields, name) {
			return belfry.Errorf(belfry.Invalid, "%.64q is not a field that people may change: use some of %v", name, profileFields).At("%s", field)
		}
	}
	if fields == nil {
		fields = []string{}
	}
	_, err := s.pool.Exec(ctx, updateProfileFields, env, fields)
	return err
}

// ChangeOwn merges what a user says of themself, who must be known. Errors: Forbidden at what the environment doesn't let
// them change, NotFound if the user is not known.
func (s *Service) ChangeOwn(ctx context.Context, env belfry.EnvironmentID, identity Identity) (*Known, error) {
	identity.Collection = belfry.Users
	if len(identity.Unset) > 0 {
		return nil, belfry.Errorf(belfry.Forbidden, "a user token can't remove properties").At("input.unset")
	}
	if len(identity.Preferences) > 0 {
		return nil, belfry.Errorf(belfry.Forbidden, "with a user token, use setPreferences").At("input.preferences")
	}
	fields, err := s.ProfileFields(ctx, env)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(identity.Properties)) {
		if !slices.Contains(fields, name) {
			return nil, belfry.Errorf(belfry.Forbidden, "a user token can't change %.64q: it can change %v", name, fields).At("input")
		}
	}
	if err := identity.Validate("input"); err != nil {
		return nil, err
	}
	var changed *Known
	err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		known, err := lockToChange(ctx, tx, env, []belfry.RecipientRef{identity.RecipientRef})
		if err != nil {
			return err
		}
		if len(known) == 0 {
			return errUnknown
		}
		if _, err := s.Identify(ctx, tx, env, []Identity{identity}, []string{"input"}); err != nil {
			return err
		}
		changed, err = readKnown(ctx, tx, selectKnown, env, belfry.Users, identity.ExternalID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("change profile: %w", err)
	}
	return changed, nil
}

const selectProfileFields = `SELECT profile_fields FROM environments WHERE id = $1`

const updateProfileFields = `UPDATE environments SET profile_fields = $2 WHERE id = $1`
