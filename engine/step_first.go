package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// firstQuestion asks whether the run is the recipient's first of its workflow.
type firstQuestion struct{ perTenant bool }

type firstAnswer struct{ first bool }

// firstKey is what happens once.
type firstKey struct {
	recipient belfry.RecipientID
	workflow  int64
	tenant    belfry.RecipientID
}

// firsts answers the runs that may only run once.
func firsts(ctx context.Context, tx *postgres.Tx, runs []*run) error {
	type claim struct {
		firstKey
		trigger uuid.UUID
	}
	var claims []claim
	keyOf := func(r *run, q *firstQuestion) firstKey {
		k := firstKey{recipient: r.recipient, workflow: r.trigger.workflow}
		if q.perTenant {
			k.tenant = r.trigger.tenant
		}
		return k
	}
	for _, r := range runs {
		if q, ok := r.ask.(*firstQuestion); ok {
			claims = append(claims, claim{keyOf(r, q), r.trigger.id})
		}
	}
	if len(claims) == 0 {
		return nil
	}
	// Whoever inserts the same key waits for us: everybody goes by the same order. Stable: the first run gets it.
	slices.SortStableFunc(claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.recipient, b.recipient), cmp.Compare(a.workflow, b.workflow), cmp.Compare(a.tenant, b.tenant))
	})
	var recipients, workflows, tenants []int64
	var triggers [][16]byte
	for _, c := range claims {
		recipients, workflows = append(recipients, int64(c.recipient)), append(workflows, c.workflow)
		tenants, triggers = append(tenants, int64(c.tenant)), append(triggers, c.trigger)
	}
	rows, err := tx.Query(ctx, insertFirstRuns, recipients, workflows, tenants, triggers)
	if err != nil {
		return fmt.Errorf("note first runs: %w", err)
	}
	defer rows.Close()
	won := make(map[claim]bool, len(claims))
	for rows.Next() {
		var c claim
		if err := rows.Scan(&c.recipient, &c.workflow, &c.tenant, &c.trigger); err != nil {
			return err
		}
		won[c] = true
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("note first runs: %w", err)
	}
	for _, r := range runs {
		if q, ok := r.ask.(*firstQuestion); ok {
			r.reply(&firstAnswer{won[claim{keyOf(r, q), r.trigger.id}]})
		}
	}
	return nil
}

const insertFirstRuns = `INSERT INTO first_runs (recipient_id, workflow_id, tenant_id, trigger_id)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[])
    ON CONFLICT DO NOTHING
RETURNING recipient_id, workflow_id, tenant_id, trigger_id`
