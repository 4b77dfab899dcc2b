package engine

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
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
	collections, ids := make([]string, 0, len(r.Recipients)+2), make([]string, 0, len(r.Recipients)+2)
	add := func(ref belfry.RecipientRef) int {
		collections, ids = append(collections, ref.Collection), append(ids, ref.ExternalID)
		return len(ids)
	}
	seen := make(map[belfry.RecipientRef]bool, len(r.Recipients))
	for i := range r.Recipients {
		p := &r.Recipients[i]
		if p.Identify != nil || p.Data != nil || p.Audience != "" || p.Ref.Collection != belfry.Users || p.validate("") != nil {
			return nil, nil
		}
		if !seen[p.Ref] {
			seen[p.Ref] = true
			add(p.Ref)
		}
	}
	recipients, actor, tenant := len(ids), 0, 0 // the places of the latter, from 1
	if r.Actor != nil {
		actor = add(r.Actor.Ref)
	}
	if r.Tenant != "" {
		tenant = add(tenantRef(r.Tenant))
	}
	now := e.now()
	id := newID(now)
	var stored bool
	err := e.Pool.QueryRow(ctx, insertAtOnce, [16]byte(id), env, r.Workflow, guess, collections, ids, recipients, actor, tenant, data,
		r.source, r.Priority, r.CancellationKey, r.Sandbox, r.SkipDelay, now, r.Priority.lane(recipients)).Scan(&stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, unstorable(err, "input.data")
	}
	if r.Priority.lane(recipients) != laneBulk {
		e.beBusy()
	}
	e.Wake()
	return &Accepted{Trigger: r.accepted(id, guess, recipients, now)}, nil
}

// insertAtOnce stores a trigger and its fan-out, if the version is still current, the workflow active, and everybody known. OFFSET 0
// has them looked up one by one, also before anybody has counted how many recipients the environment has.
const insertAtOnce = `WITH w AS MATERIALIZED (SELECT id FROM workflows WHERE environment_id = $2 AND key = $3 AND version_id = $4 AND active),
who AS MATERIALIZED (
  SELECT q.i, p.id
    FROM unnest($5::text[], $6::text[]) WITH ORDINALITY AS q (collection, external_id, i)
   CROSS JOIN LATERAL (SELECT id FROM recipients WHERE environment_id = $2 AND collection = q.collection AND external_id = q.external_id OFFSET 0) p),
everybody AS (SELECT array_agg(id ORDER BY i) FILTER (WHERE i <= $7::int) AS ids, count(*) AS n FROM who),
t AS (
  INSERT INTO triggers (id, environment_id, workflow_id, version_id, actor_id, tenant_id, data, recipients, recipient_ids, source, priority,
         cancellation_key, sandbox, skip_delay, accepted_at)
  SELECT $1, $2, w.id, $4, (SELECT id FROM who WHERE i = $8::int), (SELECT id FROM who WHERE i = $9::int), $10, $7, ids, $11, $12,
         nullif($13, ''), $14, $15, $16
    FROM w, everybody WHERE n = cardinality($6::text[])
  RETURNING id)
INSERT INTO fan_outs (environment_id, lane, trigger_id) SELECT $2, $17, id FROM t RETURNING true`
