package engine

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// ScheduleFilter says which schedules. Everything that is given must hold.
type ScheduleFilter struct {
	Workflow  string             // key
	Recipient belfry.RecipientID // 0: any
}

// SchedulePage is a page of schedules, the newest first.
type SchedulePage struct {
	Schedules []Schedule
	More      bool // there are more behind the last one
}

// Schedules reads a page of schedules: those behind the one with an id, or the first ones if that is nil.
func (e *Engine) Schedules(ctx context.Context, env belfry.EnvironmentID, f ScheduleFilter, after *uuid.UUID, limit int) (*SchedulePage, error) {
	if limit < 1 || limit > MaxSchedulePage {
		return nil, belfry.Beyond("first", MaxSchedulePage, "schedules on a page")
	}
	var rows pgx.Rows
	var err error
	switch {
	case f.Recipient != 0:
		rows, err = e.Pool.Query(ctx, selectSchedulesOfRecipient, env, after, limit+1, f.Recipient, f.Workflow)
	case f.Workflow != "":
		rows, err = e.Pool.Query(ctx, selectSchedulesOfWorkflow, env, after, limit+1, f.Workflow)
	default:
		rows, err = e.Pool.Query(ctx, selectSchedules, env, after, limit+1)
	}
	schedules, err := collectSchedules(rows, err)
	if err != nil {
		return nil, err
	}
	n := min(len(schedules), limit)
	return &SchedulePage{schedules[:n], n < len(schedules)}, nil
}

// ScheduleByID reads a schedule; NotFound if it is not in the environment.
func (e *Engine) ScheduleByID(ctx context.Context, env belfry.EnvironmentID, id uuid.UUID) (*Schedule, error) {
	rows, err := e.Pool.Query(ctx, selectSchedule, env, id)
	if err != nil {
		return nil, err
	}
	s, err := pgx.CollectExactlyOneRow(rows, scanSchedule)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "no schedule has the id %s", id)
	}
	return &s, err
}

func collectSchedules(rows pgx.Rows, err error) ([]Schedule, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanSchedule)
}

// scanSchedule reads scheduleColumns.
func scanSchedule(row pgx.CollectableRow) (Schedule, error) {
	var s Schedule
	var data, rules []byte
	err := row.Scan(&s.env, &s.ID, &s.workflowID, &s.Workflow, &s.version, &s.Recipient, &s.Actor, &s.Tenant, &data, &rules,
		&s.StartsAt, &s.EndsAt, &s.Paused, &s.NextAt, &s.LastAt, &s.timezone, &s.CreatedAt)
	if err != nil {
		return s, err
	}
	for _, t := range []*time.Time{&s.StartsAt, s.EndsAt, s.NextAt, s.LastAt, &s.CreatedAt} {
		if t != nil {
			*t = t.UTC()
		}
	}
	if s.Data, s.unreadable = decodeObject(data); s.unreadable == nil {
		s.unreadable = decode(rules, &s.Rules)
	}
	return s, nil
}

// scheduleColumns are those that scanSchedule reads, of schedules s and workflows w.
const scheduleColumns = `s.environment_id, s.id, s.workflow_id, coalesce(w.key, ''), coalesce(w.version_id, 0), s.recipient_id,
       coalesce(s.actor_id, 0), coalesce(s.tenant_id, 0), s.data, s.rules, s.starts_at, s.ends_at, s.paused, s.next_at, s.last_at, s.timezone, s.created_at`

const scheduleTables = ` FROM schedules s LEFT JOIN workflows w ON w.id = s.workflow_id WHERE s.environment_id = $1`

const behindSchedule = ` AND ($2::uuid IS NULL OR s.id < $2)`

const newestSchedules = ` ORDER BY s.id DESC LIMIT $3`

const ofWorkflow = ` AND s.workflow_id = (SELECT id FROM workflows WHERE environment_id = $1 AND key = $4)`

const selectSchedule = `SELECT ` + scheduleColumns + scheduleTables + ` AND s.id = $2`

const selectSchedules = `SELECT ` + scheduleColumns + scheduleTables + behindSchedule + newestSchedules

const selectSchedulesOfWorkflow = `SELECT ` + scheduleColumns + scheduleTables + behindSchedule + ofWorkflow + newestSchedules

const selectSchedulesOfRecipient = `SELECT ` + scheduleColumns + scheduleTables + behindSchedule +
	` AND s.recipient_id = $4 AND ($5 = '' OR w.key = $5)` + newestSchedules

const selectWorkflowsByKey = `SELECT key, id, version_id FROM workflows WHERE environment_id = $1 AND key = ANY($2) AND version_id <> 0`

const insertSchedules = `INSERT INTO schedules (environment_id, id, workflow_id, recipient_id, actor_id, tenant_id, data, rules, starts_at, ends_at,
       next_at, timezone, created_at)
SELECT $1, id, workflow_id, recipient_id, nullif(actor_id, 0), nullif(tenant_id, 0), data, rules, starts_at, ends_at, next_at, timezone, created_at
  FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::jsonb[], $8::jsonb[], $9::timestamptz[], $10::timestamptz[],
       $11::timestamptz[], $12::text[], $13::timestamptz[])
    AS q (id, workflow_id, recipient_id, actor_id, tenant_id, data, rules, starts_at, ends_at, next_at, timezone, created_at)`

// lockSchedules, like everybody who locks several, goes by their ids.
const lockSchedules = `SELECT ` + scheduleColumns + scheduleTables + ` AND s.id = ANY($2) ORDER BY s.id FOR UPDATE OF s`

const updateSchedules = `UPDATE schedules s
   SET next_at = q.next_at, timezone = q.timezone, rules = coalesce($5::jsonb, s.rules), starts_at = coalesce($6, s.starts_at),
       ends_at = CASE WHEN $7 THEN $8 ELSE s.ends_at END, paused = coalesce($9, s.paused), data = coalesce($10::jsonb, s.data)
  FROM unnest($2::uuid[], $3::timestamptz[], $4::text[]) AS q (id, next_at, timezone)
 WHERE s.environment_id = $1 AND s.id = q.id`

const deleteSchedules = `DELETE FROM schedules s
 USING (SELECT id FROM schedules WHERE environment_id = $1 AND id = ANY($2) ORDER BY id FOR UPDATE) old
 WHERE s.environment_id = $1 AND s.id = old.id
RETURNING s.id`

// claimSchedules takes those that are due and that nobody else holds; environments take turns.
const claimSchedules = `SELECT ` + scheduleColumns + `
  FROM environments e
 CROSS JOIN LATERAL (
   SELECT x.*, row_number() OVER () AS turn
     FROM (SELECT * FROM schedules
            WHERE environment_id = e.id AND next_at <= $1
            ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED) x) s
  LEFT JOIN workflows w ON w.id = s.workflow_id
 ORDER BY s.turn
 LIMIT $2`

const moveSchedules = `UPDATE schedules s SET next_at = q.next_at, last_at = q.last_at, timezone = q.timezone
  FROM unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[]) AS q (environment_id, id, next_at, last_at, timezone)
 WHERE s.environment_id = q.environment_id AND s.id = q.id`

// lockMoved finds recurring schedules of recipients whose zone isn't any more the one that they were planned by. What is
// due already stays due.
const lockMoved = `SELECT ` + scheduleColumns + `
  FROM schedules s
  JOIN recipients r ON r.id = s.recipient_id
  LEFT JOIN workflows w ON w.id = s.workflow_id
 WHERE s.environment_id = $1 AND s.recipient_id = ANY($2) AND s.next_at > $3 AND s.rules <> '[]'
   AND s.timezone <> coalesce(r.properties ->> 'timezone', '')
 ORDER BY s.id
   FOR UPDATE OF s`

const selectOccurrences = `SELECT id, last_at, next_at FROM schedules WHERE environment_id = ANY($1) AND id = ANY($2)`
