package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// summary is what a closed batch gathered.
type summary struct {
	total, totalActors int
	activities         []activity // the first or last ones, oldest first
	actors             []*belfry.Recipient
	unreadable         error // of the data of an activity
}

// activity is a trigger that joined a batch.
type activity struct {
	trigger uuid.UUID
	actorID belfry.RecipientID
	actor   *belfry.Recipient
	at      time.Time
	data    map[string]any
}

// maxActivityData bounds the data of the activities of one batch that a run gets to see, in bytes of JSON. What is beyond
// is left out: the activities are there, without data. Of all batches of a claim together maxClaimedData is read: the runs
// beyond are left for the next.
const maxActivityData = 2 << 20

// summarise makes a batch visible to conditions and templates.
func (s Scope) summarise(b *summary) {
	activities, actors := make([]any, len(b.activities)), make([]any, len(b.actors))
	for i, a := range b.activities {
		v := make(map[string]any, len(a.data)+5)
		for name, value := range a.data {
			v[name] = value
		}
		at := a.at.UTC().Format(time.RFC3339Nano)
		v["id"], v["data"], v["actor"], v["recipient"] = a.trigger.String(), a.data, party(a.actor), s["recipient"]
		v["inserted_at"], v["updated_at"] = at, at
		activities[i] = v
	}
	for i, a := range b.actors {
		actors[i] = party(a)
	}
	s["activities"], s["total_activities"], s["actors"], s["total_actors"] = activities, b.total, actors, b.totalActors
	run, _ := s["run"].(map[string]any)
	s["run"] = map[string]any{"trigger_id": run["trigger_id"], "total_activities": b.total, "total_actors": b.totalActors}
}

// loadSummaries reads what the batches gathered that runs carry: those that just closed, and those that closed before the
// run came to wait for something else. It returns the runs that there is no room for.
func (e *Engine) loadSummaries(ctx context.Context, tx *postgres.Tx, runs []*run) (left []*run, err error) {
	var carrying []*run
	var recipients []int64
	var openers [][16]byte
	var steps []string
	var limits []int32
	var last []bool
	for _, r := range runs {
		key := r.state.Batch
		if key == nil || r.version.program == nil {
			continue
		}
		spec := &workflow.BatchSpec{RenderLimit: workflow.DefaultRenderLimit}
		if i, ok := r.version.program.Find(workflow.OpBatch, key.Step); ok {
			spec = r.version.program.Ops[i].Batch
		}
		carrying, recipients = append(carrying, r), append(recipients, int64(r.recipient))
		openers, steps = append(openers, key.Opener), append(steps, key.Step)
		limits, last = append(limits, int32(spec.RenderLimit)), append(last, spec.Last)
	}
	if len(carrying) == 0 {
		return nil, nil
	}
	found := make([]*summary, len(carrying))
	rows, err := tx.Query(ctx, selectTotals, recipients, openers, steps)
	if err != nil {
		return nil, fmt.Errorf("count activities: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		s, i := &summary{}, 0
		if err := rows.Scan(&i, &s.total, &s.totalActors); err != nil {
			return nil, err
		}
		found[i-1] = s
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count activities: %w", err)
	}
	if rows, err = tx.Query(ctx, selectActivities, recipients, openers, steps, limits, last, maxActivityData); err != nil {
		return nil, fmt.Errorf("read activities: %w", err)
	}
	actors, fit, err := readActivities(rows, found)
	if err != nil {
		return nil, fmt.Errorf("read activities: %w", err)
	}
	people, err := recipient.Load(ctx, tx, environmentsOf(carrying), actors)
	if err != nil {
		return nil, fmt.Errorf("load actors: %w", err)
	}
	for i, r := range carrying[:fit] {
		r.summary = found[i]
		r.summary.introduce(people)
		r.cannotRead("data_unreadable", found[i].unreadable)
	}
	return carrying[fit:], nil
}

// readActivities fills in the activities of batches, as many batches as there is room for; fit is how many. It returns the
// actors, too.
func readActivities(rows pgx.Rows, found []*summary) (actors []belfry.RecipientID, fit int, err error) {
	defer rows.Close()
	batch, size := 0, 0
	for rows.Next() {
		a, i := activity{}, 0
		var data []byte
		if err := rows.Scan(&i, &a.trigger, &a.actorID, &a.at, &data); err != nil {
			return nil, 0, err
		}
		if i != batch && size >= maxClaimedData {
			return actors, i - 1, nil
		}
		batch, size = i, size+len(data)
		s := found[i-1]
		if data != nil {
			if a.data, err = decodeObject(data); err != nil {
				s.unreadable = err
			}
		}
		actors = append(actors, a.actorID)
		s.activities = append(s.activities, a)
	}
	return actors, len(found), rows.Err()
}

// renew lets the run behind a batch go on in the newest version of its workflow that still has the step, unless the batch
// is pinned.
func (e *Engine) renew(ctx context.Context, tx *postgres.Tx, r *run) error {
	if r.version.program == nil || r.trigger.current == r.version.ID || r.loaded.Batch == nil {
		return nil
	}
	i, ok := r.version.program.Find(workflow.OpBatch, r.loaded.Batch.Step)
	if !ok || r.version.program.Ops[i].Batch.Pinned {
		return nil
	}
	newest, err := e.version(ctx, tx, r.trigger.current)
	if err != nil {
		return fmt.Errorf("read workflow version %d: %w", r.trigger.current, err)
	}
	if newest.program == nil {
		return nil
	}
	if i, ok := newest.program.Find(workflow.OpBatch, r.loaded.Batch.Step); ok && !newest.program.Ops[i].Batch.Pinned {
		r.version, r.loaded.PC, r.loaded.Version = newest, i, newest.ID
	}
	return nil
}

// maxActors is how many of a batch's actors are shown.
const maxActors = 10

// introduce fills in who the actors are.
func (s *summary) introduce(people map[belfry.RecipientID]*belfry.Recipient) {
	for i := range s.activities {
		a := &s.activities[i]
		a.actor = people[a.actorID]
		if a.actor != nil && len(s.actors) < maxActors && !slices.Contains(s.actors, a.actor) {
			s.actors = append(s.actors, a.actor)
		}
	}
}

const selectTotals = `SELECT q.i, count(a.n), count(DISTINCT a.actor_id)
  FROM unnest($1::bigint[], $2::uuid[], $3::text[]) WITH ORDINALITY AS q (recipient_id, opener_id, step_ref, i)
  LEFT JOIN batch_activities a USING (recipient_id, opener_id, step_ref)
 GROUP BY q.i`

const selectActivities = `SELECT i, trigger_id, coalesce(actor_id, 0), at, CASE WHEN size <= $6::bigint THEN data END
  FROM (
    SELECT q.i, a.n, a.trigger_id, a.actor_id, a.at, coalesce(a.data, t.data) AS data,
           sum(octet_length(coalesce(a.data, t.data)::text)) OVER (PARTITION BY q.i ORDER BY a.n) AS size
      FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::int[], $5::boolean[]) WITH ORDINALITY
        AS q (recipient_id, opener_id, step_ref, lim, last, i)
     CROSS JOIN LATERAL (
       (SELECT * FROM batch_activities b
         WHERE NOT q.last AND b.recipient_id = q.recipient_id AND b.opener_id = q.opener_id AND b.step_ref = q.step_ref
         ORDER BY b.n LIMIT q.lim)
       UNION ALL
       (SELECT * FROM batch_activities b
         WHERE q.last AND b.recipient_id = q.recipient_id AND b.opener_id = q.opener_id AND b.step_ref = q.step_ref
         ORDER BY b.n DESC LIMIT q.lim)) a
      JOIN triggers t ON t.id = a.trigger_id) s
 ORDER BY i, n`
