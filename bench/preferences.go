package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// preferredTenant is the tenant that triggers name on both sides: with one, a recipient has most levels of preferences.
const preferredTenant = "tenant-1"

// Everybody of the side with preferences has five such sets, of which there are 64, and so have the environment and the tenant theirs. All of
// them allow the message, so both sides do the same.
const (
	recipientSet = `{"channelTypes": {"email": false, "in_app": true}, "workflows": {"order-shipped": true, "digest": {"channelTypes": {"email": false}}}, "categories": {"marketing": false, "orders": {"channelTypes": {"in_app": true}}}}`
	defaultSet   = `{"channelTypes": {"in_app": true, "sms": false}, "categories": {"orders": true}}`

	insertSets = `INSERT INTO preference_sets (recipient_id, set, environment_id, preferences, updated_at)
SELECT p.id, s, p.environment_id, replace($3::text, 'digest', 'digest-' || p.id % 64)::json, now()
  FROM recipients p, unnest(ARRAY['default', 'tenant-1', 'tenant-2', 'tenant-3', 'tenant-4']) s WHERE p.environment_id = $1 AND p.collection = $2`

	insertDefaults = `INSERT INTO preference_defaults (environment_id, tenant_id, preferences, updated_at)
SELECT $1::bigint, 0, $3::json, now() UNION ALL SELECT $1, id, $3, now() FROM recipients WHERE environment_id = $1 AND collection = '$tenants' AND external_id = $2`
)

// preferences has a Belfry whose users have preferences take turns with one whose users have none.
func (o options) preferences(ctx context.Context, s *server, progress io.Writer) (*comparison, error) {
	out := &comparison{load: o.preferred}
	var sides [2]*belfrySide
	for i, title := range []string{"Belfry with preferences", "Belfry without"} {
		fmt.Fprintf(progress, "Identifying %d users: %s …\n", o.users, title)
		side, err := newBelfrySide(ctx, s, "preferences_"+[]string{"with", "without"}[i], o.users)
		if err != nil {
			return nil, err
		}
		side.title, side.tenant = title, preferredTenant
		if err := side.prefer(ctx, i == 0); err != nil {
			return nil, err
		}
		sides[i] = side
	}
	for round := range o.rounds {
		pair := [2]sample{}
		for turn := range sides {
			i := (turn + round) % 2 // neither is always the first
			var err error
			if pair[i], err = measure(ctx, s, sides[i], &o.preferred); err != nil {
				return nil, err
			}
			fmt.Fprintf(progress, "round %d/%d, %s: %.0f/s\n", round+1, o.rounds, sides[i].title, pair[i].rate())
		}
		out.pairs = append(out.pairs, pair)
	}
	return out, nil
}

// prefer makes the tenant known, and gives everybody their preferences, or nobody any.
func (b *belfrySide) prefer(ctx context.Context, sets bool) (err error) {
	if b.node, err = openNode(ctx, b.url, nil); err != nil {
		return err
	}
	defer b.node.pool.Close()
	statements := []string{`INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at) VALUES ($1, '$tenants', $2, now(), now())`}
	args := [][]any{{b.env, preferredTenant}}
	if sets {
		statements = append(statements, insertSets, insertDefaults)
		args = append(args, []any{b.env, "$users", recipientSet}, []any{b.env, preferredTenant, defaultSet})
	}
	for i, sql := range append(statements, "VACUUM ANALYZE recipients, preference_sets, preference_defaults") {
		if i == len(args) {
			args = append(args, nil)
		}
		if _, err := b.node.pool.Exec(ctx, sql, args[i]...); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(sql)[2], err)
		}
	}
	return nil
}
