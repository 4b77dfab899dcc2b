package engine

const moveFanOuts = `UPDATE fan_outs f SET position = f.position + d.done, cursor = d.cursor
  FROM unnest($1::bigint[], $2::smallint[], $3::uuid[], $4::int[], $5::jsonb[]) AS d (environment_id, lane, trigger_id, done, cursor)
 WHERE f.environment_id = d.environment_id AND f.lane = d.lane AND f.trigger_id = d.trigger_id`

const deleteFanOuts = `DELETE FROM fan_outs f USING unnest($1::bigint[], $2::smallint[], $3::uuid[]) AS d (environment_id, lane, trigger_id)
 WHERE f.environment_id = d.environment_id AND f.lane = d.lane AND f.trigger_id = d.trigger_id`

const insertRuns = `INSERT INTO runs (recipient_id, trigger_id, environment_id, version_id, status, log, state, due_at, waiting_for, started_at, finished_at)
SELECT recipient_id, trigger_id, environment_id, version_id, status, log, state, due_at, waiting_for,
       CASE WHEN status = 'waiting' THEN $10::timestamptz END, CASE WHEN status <> 'waiting' THEN $10::timestamptz END
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::json[], $7::jsonb[], $8::timestamptz[], $9::text[])
    AS r (recipient_id, trigger_id, environment_id, version_id, status, log, state, due_at, waiting_for)`

// insertDone does it for runs that are done, and never waited. $1, $2 and $7 have one element a run, $3 to $5 one an origin. The logs come
// last: pgx's buffer grows with each argument, and would move them.
const insertDone = `INSERT INTO runs (recipient_id, trigger_id, environment_id, version_id, status, log, finished_at)
SELECT recipient_id, ($3::uuid[])[o], ($4::bigint[])[o], ($5::bigint[])[o], 'done', log, $6
  FROM (SELECT unnest($1::bigint[]) AS recipient_id, unnest($7::json[]) AS log, unnest($2::int[]) AS o) r`

// appended is the log of run r with more entries. It is json, not jsonb: written once or twice, and mostly never read.
func appended(more string) string {
	return `CASE '[]' WHEN r.log::text THEN ` + more + ` WHEN ` + more + `::text THEN r.log ELSE (left(r.log::text, -1) || ',' || substr(` + more + `::text, 2))::json END`
}

var updateRuns = `UPDATE runs r SET version_id = q.version_id, status = q.status, log = ` + appended("q.log") + `, state = q.state, due_at = q.due_at,
       waiting_for = q.waiting_for, finished_at = CASE WHEN q.status <> 'waiting' THEN $9::timestamptz END
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::json[], $6::jsonb[], $7::timestamptz[], $8::text[])
    AS q (recipient_id, trigger_id, version_id, status, log, state, due_at, waiting_for)
 WHERE r.recipient_id = q.recipient_id AND r.trigger_id = q.trigger_id`

const upsertWaits = `INSERT INTO waits (recipient_id, trigger_id, environment_id, type, name)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[])
    ON CONFLICT (recipient_id, trigger_id) DO UPDATE SET type = excluded.type, name = excluded.name
 WHERE waits.type <> excluded.type OR waits.name <> excluded.name`

const deleteWaits = `DELETE FROM waits w USING unnest($1::bigint[], $2::uuid[]) AS q (recipient_id, trigger_id)
 WHERE w.recipient_id = q.recipient_id AND w.trigger_id = q.trigger_id`

const insertFetches = `INSERT INTO fetches (recipient_id, trigger_id, environment_id, step_ref, request, due_at)
SELECT recipient_id, trigger_id, environment_id, step_ref, request, $6
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::jsonb[])
    AS q (recipient_id, trigger_id, environment_id, step_ref, request)`

const deleteSignals = `DELETE FROM signals s USING unnest($1::bigint[], $2::bigint[]) AS q (environment_id, id)
 WHERE s.environment_id = q.environment_id AND s.id = q.id`

// deleteOrphanedSignals drops those whose run waits no more. A run that somebody else holds still waits, as we see it.
const deleteOrphanedSignals = `DELETE FROM signals s USING unnest($1::bigint[], $2::bigint[]) AS q (environment_id, id)
 WHERE s.environment_id = q.environment_id AND s.id = q.id
   AND NOT EXISTS (SELECT FROM runs r WHERE r.recipient_id = s.recipient_id AND r.trigger_id = s.trigger_id AND r.status = 'waiting')`

const closeBatches = `UPDATE batches b SET open = false, close_at = NULL
  FROM unnest($1::bigint[], $2::uuid[], $3::text[]) AS q (recipient_id, opener_id, step_ref)
 WHERE b.recipient_id = q.recipient_id AND b.opener_id = q.opener_id AND b.step_ref = q.step_ref`

// closeLostBatches closes those whose run waits for them no more.
const closeLostBatches = closeBatches + `
   AND NOT EXISTS (SELECT FROM runs r WHERE r.recipient_id = b.recipient_id AND r.trigger_id = b.carrier_id AND r.waiting_for = 'batch')`

const selectOldestWork = `SELECT least(
  (SELECT min(t.accepted_at) FROM environments e
    CROSS JOIN generate_series(0, 2) AS lane
    CROSS JOIN LATERAL (SELECT trigger_id FROM fan_outs WHERE environment_id = e.id AND fan_outs.lane = lane.lane ORDER BY trigger_id LIMIT 1) f
     JOIN triggers t ON t.id = f.trigger_id),
  (SELECT min(r.due_at) FROM environments e
    CROSS JOIN LATERAL (SELECT due_at FROM runs WHERE environment_id = e.id AND due_at IS NOT NULL ORDER BY due_at LIMIT 1) r),
  (SELECT min(b.close_at) FROM environments e
    CROSS JOIN LATERAL (SELECT close_at FROM batches WHERE environment_id = e.id AND close_at IS NOT NULL ORDER BY close_at LIMIT 1) b))`

const insertTrigger = `WITH t AS (
  INSERT INTO triggers (id, environment_id, workflow_id, version_id, actor_id, tenant_id, data, recipients, recipient_ids, overlays, source, priority,
         cancellation_key, sandbox, skip_delay, depth, schedule_id, accepted_at, sources)
  VALUES ($1, $2, $3, $4, nullif($5::bigint, 0), nullif($6::bigint, 0), $7, cardinality($8::bigint[]), $8, $9, $10, $11, nullif($12, ''), $13, $14, $15, $16, $17, $19))
INSERT INTO fan_outs (environment_id, lane, trigger_id) SELECT $2, $18, $1 WHERE cardinality($8::bigint[]) > 0 OR $19::jsonb IS NOT NULL`

const selectTrigger = `SELECT id, version_id, data, recipients, source, priority, coalesce(cancellation_key, ''), sandbox, skip_delay, accepted_at
  FROM triggers WHERE environment_id = $1 AND id = $2`

// claimKey takes an idempotency key that is new or expired. No row: somebody has it.
const claimKey = `INSERT INTO idempotency_keys AS k (environment_id, key, request_hash, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (environment_id, key) DO UPDATE
   SET request_hash = excluded.request_hash, result = NULL, expires_at = excluded.expires_at
 WHERE k.expires_at <= $5
RETURNING true`

const selectKey = `SELECT request_hash, result FROM idempotency_keys WHERE environment_id = $1 AND key = $2`

const updateKey = `UPDATE idempotency_keys SET result = $3 WHERE environment_id = $1 AND key = $2`

const insertWorkflow = `INSERT INTO workflows (environment_id, key, created_at) VALUES ($1, $2, $3)
ON CONFLICT (environment_id, key) DO NOTHING`

const lockWorkflow = `SELECT id, version_id FROM workflows WHERE environment_id = $1 AND key = $2 FOR UPDATE`

const versionColumns = `v.id, v.environment_id, v.workflow_id, w.key, w.active, v.number, v.definition, v.partials, v.created_at`

const selectVersionByID = `SELECT ` + versionColumns + `
  FROM workflow_versions v JOIN workflows w ON w.id = v.workflow_id WHERE v.id = $1`

const selectCurrentVersion = `SELECT ` + versionColumns + `
  FROM workflows w JOIN workflow_versions v ON v.id = w.version_id WHERE w.environment_id = $1 AND w.key = $2`

const selectCurrentVersions = `SELECT ` + versionColumns + `
  FROM workflows w JOIN workflow_versions v ON v.id = w.version_id WHERE w.environment_id = $1 AND w.key > $2 ORDER BY w.key LIMIT $3`

const selectWorkflowNames = `SELECT w.key, coalesce(v.definition ->> 'name', '')
  FROM workflows w JOIN workflow_versions v ON v.id = w.version_id WHERE w.environment_id = $1 AND w.key = ANY ($2)`

const selectVersionByNumber = `SELECT ` + versionColumns + `
  FROM workflows w JOIN workflow_versions v ON v.workflow_id = w.id WHERE w.environment_id = $1 AND w.key = $2 AND v.number = $3`

const selectTriggered = `SELECT w.id, w.version_id, w.active FROM workflows w
 WHERE w.environment_id = $1 AND w.key = $2 AND w.version_id <> 0`

const insertVersion = `INSERT INTO workflow_versions (environment_id, workflow_id, number, definition, partials, created_at)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`

// sameDefinition leaves the comparison to jsonb: the order of keys and the spelling of numbers don't matter.
const sameDefinition = `SELECT number, definition = $2 AND partials = $3 FROM workflow_versions WHERE id = $1`

const updateCurrentVersion = `UPDATE workflows SET version_id = $2 WHERE id = $1`

const updateActive = `UPDATE workflows SET active = $3 WHERE environment_id = $1 AND key = $2 AND version_id <> 0 RETURNING version_id`

const selectVariables = `SELECT environment_id, name, value FROM variables WHERE environment_id = ANY($1)`

const lockEnvironment = `SELECT FROM environments WHERE id = $1 FOR NO KEY UPDATE`

const countOtherVariables = `SELECT count(*) FROM variables WHERE environment_id = $1 AND name <> $2`

const upsertVariable = `INSERT INTO variables (environment_id, name, value, updated_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (environment_id, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`

const deleteVariable = `DELETE FROM variables WHERE environment_id = $1 AND name = $2`

const selectPartials = `SELECT key, source FROM partials WHERE environment_id = $1`

const upsertPartial = `INSERT INTO partials (environment_id, key, source, updated_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (environment_id, key) DO UPDATE SET source = excluded.source, updated_at = excluded.updated_at`

const deletePartial = `DELETE FROM partials WHERE environment_id = $1 AND key = $2`

// statements is every statement of this package by name, for the test that prepares them on the migrated schema.
var statements = map[string]string{
	"selectRunsOfFound": selectRunsOfFound, "insertFound": insertFound, "stopReading": stopReading, "selectFound": selectFound,
	"lockFound": lockFound, "selectUncounted": selectUncounted, "moveFanOuts": moveFanOuts, "deleteFanOuts": deleteFanOuts, "insertRuns": insertRuns, "insertDone": insertDone, "updateRuns": updateRuns,
	"upsertWaits": upsertWaits, "deleteWaits": deleteWaits, "insertFetches": insertFetches, "deleteSignals": deleteSignals,
	"deleteOrphanedSignals": deleteOrphanedSignals, "closeBatches": closeBatches, "closeLostBatches": closeLostBatches,
	"selectOldestWork": selectOldestWork, "insertTrigger": insertTrigger, "selectTrigger": selectTrigger, "claimKey": claimKey,
	"selectKey": selectKey, "updateKey": updateKey, "deleteExpiredKeys": deleteExpiredKeys, "deleteClosedThrottles": deleteClosedThrottles, "deleteOldTombstones": deleteOldTombstones, "insertWorkflow": insertWorkflow,
	"lockWorkflow": lockWorkflow, "selectVersionByID": selectVersionByID, "selectCurrentVersion": selectCurrentVersion,
	"selectVersionByNumber": selectVersionByNumber, "selectCurrentVersions": selectCurrentVersions, "selectTriggered": selectTriggered, "insertVersion": insertVersion,
	"sameDefinition": sameDefinition, "updateCurrentVersion": updateCurrentVersion, "updateActive": updateActive,
	"selectVariables": selectVariables, "upsertVariable": upsertVariable, "lockEnvironment": lockEnvironment, "countOtherVariables": countOtherVariables, "deleteVariable": deleteVariable,
	"selectPartials": selectPartials, "upsertPartial": upsertPartial, "deletePartial": deletePartial,
	"claimDueRuns": claimDueRuns, "claimDueBatches": claimDueBatches, "claimSignals": claimSignals, "lockRuns": lockRuns, "selectSignalled": selectSignalled,
	"insertFailedRun": insertFailedRun, "failRun": failRun,
	"claimFanOuts": claimFanOuts, "selectFloors": selectFloors, "selectTombstones": selectTombstones,
	"insertThrottles": insertThrottles, "selectThrottles": selectThrottles, "updateThrottles": updateThrottles,
	"insertFirstRuns": insertFirstRuns, "insertBatches": insertBatches, "selectOpenBatches": selectOpenBatches,
	"updateBatches": updateBatches, "insertActivities": insertActivities, "selectTotals": selectTotals,
	"selectActivities": selectActivities, "insertSignals": insertSignals, "insertRemembered": insertRemembered, "insertLookedUp": insertLookedUp,
	"selectWorkflowID": selectWorkflowID, "selectCancellable": selectCancellable, "lockFanOuts": lockFanOuts, "countPending": countPending, "insertTombstones": insertTombstones,
	"lockCancelled": lockCancelled, "cancelRuns": cancelRuns, "deleteFetches": deleteFetches, "lockBatchesOf": lockBatchesOf,
	"deleteActivities": deleteActivities, "leaseFetches": leaseFetches, "finishFetch": finishFetch, "retryFetch": retryFetch,
	"selectRun": selectRun, "selectRunsOfRecipient": selectRunsOfRecipient, "selectRuns": selectRuns, "selectProgress": selectProgress,
	"selectSchedule": selectSchedule, "selectSchedules": selectSchedules, "selectSchedulesOfWorkflow": selectSchedulesOfWorkflow,
	"selectSchedulesOfRecipient": selectSchedulesOfRecipient, "selectWorkflowsByKey": selectWorkflowsByKey, "selectWorkflowNames": selectWorkflowNames, "insertSchedules": insertSchedules,
	"lockSchedules": lockSchedules, "updateSchedules": updateSchedules, "deleteSchedules": deleteSchedules, "claimSchedules": claimSchedules,
	"blankRuns": blankRuns, "forgetFetches": forgetRest[0], "forgetWaits": forgetRest[1], "forgetBatches": forgetRest[2],
	"forgetActivities": forgetActivities, "forgetThrottles": forgetRest[4], "forgetFirstRuns": forgetFirstRuns, "forgetSchedules": forgetRest[6],
	"moveSchedules": moveSchedules, "lockMoved": lockMoved, "selectOccurrences": selectOccurrences,
}
