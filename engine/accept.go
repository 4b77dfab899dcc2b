package engine

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// workflowKey names a workflow. Engine.currents has the version that a trigger found last: a guess, it can have been
// replaced since.
type workflowKey struct {
	env belfry.EnvironmentID
	key string
}

// acceptAtOnce accepts a request in a single statement, if it is like most are: for users, everybody is named by id and known, and
// the workflow's version is the one that was seen last. It returns nil if any of that is not so, and has then done
// nothing: the request takes the longer way, which also finds the words for what is wrong.
func (e *Engine) acceptAtOnce(ctx context.Context, env belfry.EnvironmentID, r *Request, data []byte) (*Accepted, error) {
	guess, ok := e.currents.Get(workflowKey{env, r.Workflow})
	if !ok || r.IdempotencyKey != "" || r.Actor != nil && r.Actor.Identify != nil {
		return nil, nil
	}
	v, ok := e.programs.Get(guess)
	if !ok || v.program == nil || v.program.Schema != nil {
		return nil, nil
	}
	who := make([]belfry.RecipientRef, 0, len(r.Recipients)+2) // each once; behind them actor and tenant
	seen := make(map[belfry.RecipientRef]bool, len(r.Recipients))
	for i := range r.Recipients {
		p := &r.Recipients[i]
		if p.Identify != nil || p.Data != nil || p.Audience != "" || p.Ref.Collection != belfry.Users || p.validate("") != nil {
			return nil, nil
		}
		if !seen[p.Ref] {
			seen[p.Ref] = true
			who = append(who, p.Ref)
		}
	}
	recipients, actor, tenant := len(who), 0, 0 // the places of the latter, from 1
	if r.Actor != nil {
		who = append(who, r.Actor.Ref)
		actor = len(who)
	}
	if r.Tenant != "" {
		who = append(who, tenantRef(r.Tenant))
		tenant = len(who)
	}
	now := e.now()
	id := newID(now)
	args := []any{[16]byte(id), env, r.Workflow, guess, recipients, actor, tenant, data,
		r.source, r.Priority, r.CancellationKey, r.Sandbox, r.SkipDelay, now, r.Priority.lane(recipients)}
	stored, err := e.insertAtOnce(ctx, env, who, args)
	if err != nil {
		return nil, unstorable(err, "input.data")
	}
	if !stored {
		return nil, nil
	}
	if r.Priority.lane(recipients) != laneBulk {
		e.beBusy()
	}
	e.Wake()
	return &Accepted{Trigger: r.accepted(id, guess, recipients, now)}, nil
}

// insertAtOnce stores a trigger with the ids that are remembered, if they can be relied on, or else with those that are looked up.
func (e *Engine) insertAtOnce(ctx context.Context, env belfry.EnvironmentID, who []belfry.RecipientRef, args []any) (stored bool, err error) {
	if ids, epoch := e.Recipients.Remembered(env, who); ids != nil {
		err := e.Pool.QueryRow(ctx, insertRemembered, append(args, ids, epoch.ID, epoch.Server)...).Scan(&stored)
		if !errors.Is(err, pgx.ErrNoRows) {
			return stored, err
		}
	}
	collections, externals := make([]string, len(who)), make([]string, len(who))
	for i, ref := range who {
		collections[i], externals[i] = ref.Collection, ref.ExternalID
	}
	var ids []belfry.RecipientID
	var epoch recipient.Epoch
	err = e.Pool.QueryRow(ctx, insertLookedUp, append(args, collections, externals)...).Scan(&ids, &epoch.ID, &epoch.Server)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	e.Recipients.Remember(env, epoch, who, ids)
	return true, nil
}

// insertRemembered stores a trigger and its fan-out for recipients $16, if the version is still current, the workflow active, and
// the epoch lasts in which those were found.
const insertRemembered = `WITH everybody AS (SELECT $16::bigint[] AS ids
  FROM (SELECT ` + recipient.CurrentEpoch + `) AS c (epoch, server) WHERE epoch IS NOT DISTINCT FROM $17::uuid AND server = $18::timestamptz),
` + insertForEverybody + ` RETURNING true`

// insertLookedUp looks everybody up in the same statement: $16 and $17 say who, and all have to be known. It returns who they are.
// OFFSET 0 has them looked up one by one, also before anybody has counted how many recipients the environment has.
const insertLookedUp = `WITH everybody AS MATERIALIZED (
  SELECT array_agg(p.id ORDER BY q.i) AS ids
    FROM unnest($16::text[], $17::text[]) WITH ORDINALITY AS q (collection, external_id, i)
   CROSS JOIN LATERAL (SELECT id FROM recipients WHERE environment_id = $2 AND collection = q.collection AND external_id = q.external_id OFFSET 0) p
  HAVING count(*) = cardinality($17::text[])),
` + insertForEverybody + ` RETURNING (SELECT ids FROM everybody), ` + recipient.CurrentEpoch

// insertForEverybody does it for those in everybody: $5 of them are recipients, number $6 is the actor and number $7 the tenant,
// of which there is none if that is 0.
const insertForEverybody = `t AS (
  INSERT INTO triggers (id, environment_id, workflow_id, version_id, actor_id, tenant_id, data, recipients, recipient_ids, source, priority,
         cancellation_key, sandbox, skip_delay, accepted_at)
  SELECT $1, $2, w.id, $4, ids[$6::int], ids[$7::int], $8, $5, ids[:$5::int], $9, $10, nullif($11, ''), $12, $13, $14
    FROM workflows w, everybody WHERE w.environment_id = $2 AND w.key = $3 AND w.version_id = $4 AND w.active
  RETURNING id)
INSERT INTO fan_outs (environment_id, lane, trigger_id) SELECT $2, $15, id FROM t`
