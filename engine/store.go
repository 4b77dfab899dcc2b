package engine

// claimFanOuts takes work, oldest first, and leaves alone what another worker holds. OFFSET 0 makes it look up each
// trigger: while most triggers are waiting the planner would like to merge both tables, and a plan that is kept from then
// reads all triggers of history later.
const claimFanOuts = `SELECT f.trigger_id, f.n, f.environment_id, f.recipient_ids[f.position + 1 : f.position + $2],
       cardinality(f.recipient_ids) - f.position, t.version_id, coalesce(t.actor_id, 0), coalesce(t.tenant_id, 0), t.data
  FROM fan_outs f CROSS JOIN LATERAL (SELECT * FROM triggers WHERE id = f.trigger_id OFFSET 0) t
 ORDER BY f.trigger_id, f.n
 LIMIT $1
   FOR UPDATE OF f SKIP LOCKED`

const moveFanOuts = `UPDATE fan_outs f SET position = f.position + d.done
  FROM unnest($1::uuid[], $2::int[], $3::int[]) AS d (trigger_id, n, done)
 WHERE f.trigger_id = d.trigger_id AND f.n = d.n`

const deleteFanOuts = `DELETE FROM fan_outs f USING unnest($1::uuid[], $2::int[]) AS d (trigger_id, n)
 WHERE f.trigger_id = d.trigger_id AND f.n = d.n`

const insertRuns = `INSERT INTO runs (recipient_id, trigger_id, environment_id, version_id, status, log, finished_at)
SELECT recipient_id, trigger_id, environment_id, version_id, status, log, $7
  FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::jsonb[])
    AS r (recipient_id, trigger_id, environment_id, version_id, status, log)`

const selectOldestFanOut = `SELECT t.accepted_at
  FROM (SELECT trigger_id FROM fan_outs ORDER BY trigger_id, n LIMIT 1) f JOIN triggers t ON t.id = f.trigger_id`

const insertTrigger = `INSERT INTO triggers (id, environment_id, version_id, actor_id, tenant_id, data, recipients, accepted_at)
VALUES ($1, $2, $3, nullif($4::bigint, 0), nullif($5::bigint, 0), $6, $7, $8)`

const insertFanOut = `INSERT INTO fan_outs (trigger_id, n, environment_id, recipient_ids) VALUES ($1, 0, $2, $3)`

const selectTrigger = `SELECT id, version_id, data, recipients, accepted_at FROM triggers WHERE environment_id = $1 AND id = $2`

// claimKey takes an idempotency key that is new or expired. No row: somebody has it.
const claimKey = `INSERT INTO idempotency_keys AS k (environment_id, key, request_hash, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (environment_id, key) DO UPDATE
   SET request_hash = excluded.request_hash, result = NULL, expires_at = excluded.expires_at
 WHERE k.expires_at <= $5
RETURNING true`

const selectKey = `SELECT request_hash, result FROM idempotency_keys WHERE environment_id = $1 AND key = $2`

const updateKey = `UPDATE idempotency_keys SET result = $3 WHERE environment_id = $1 AND key = $2`

// deleteExpiredKeys takes a bounded number: a day of a busy environment would not fit the statement timeout.
const deleteExpiredKeys = `DELETE FROM idempotency_keys k
 USING (SELECT environment_id, key FROM idempotency_keys WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED) old
 WHERE k.environment_id = old.environment_id AND k.key = old.key`

const insertWorkflow = `INSERT INTO workflows (environment_id, key, created_at) VALUES ($1, $2, $3)
ON CONFLICT (environment_id, key) DO NOTHING`

const lockWorkflow = `SELECT id, version_id FROM workflows WHERE environment_id = $1 AND key = $2 FOR UPDATE`

const versionColumns = `v.id, v.environment_id, w.key, v.number, v.definition, v.created_at`

const selectVersionByID = `SELECT ` + versionColumns + `
  FROM workflow_versions v JOIN workflows w ON w.id = v.workflow_id WHERE v.id = $1`

const selectCurrentVersion = `SELECT ` + versionColumns + `
  FROM workflows w JOIN workflow_versions v ON v.id = w.version_id WHERE w.environment_id = $1 AND w.key = $2`

const selectVersionByNumber = `SELECT ` + versionColumns + `
  FROM workflows w JOIN workflow_versions v ON v.workflow_id = w.id WHERE w.environment_id = $1 AND w.key = $2 AND v.number = $3`

const selectCurrentVersionID = `SELECT version_id FROM workflows WHERE environment_id = $1 AND key = $2 AND version_id <> 0`

const insertVersion = `INSERT INTO workflow_versions (environment_id, workflow_id, number, definition, created_at)
VALUES ($1, $2, $3, $4, $5) RETURNING id`

// sameDefinition leaves the comparison to jsonb: the order of keys and the spelling of numbers don't matter.
const sameDefinition = `SELECT number, definition = $2 FROM workflow_versions WHERE id = $1`

const updateCurrentVersion = `UPDATE workflows SET version_id = $2 WHERE id = $1`

// statements is every statement of this package by name, for the test that prepares them on the migrated schema.
var statements = map[string]string{
	"claimFanOuts": claimFanOuts, "moveFanOuts": moveFanOuts, "deleteFanOuts": deleteFanOuts, "insertRuns": insertRuns,
	"selectOldestFanOut": selectOldestFanOut, "insertTrigger": insertTrigger, "insertFanOut": insertFanOut,
	"selectTrigger": selectTrigger, "claimKey": claimKey, "selectKey": selectKey, "updateKey": updateKey,
	"deleteExpiredKeys": deleteExpiredKeys, "insertWorkflow": insertWorkflow, "lockWorkflow": lockWorkflow,
	"selectVersionByID": selectVersionByID, "selectCurrentVersion": selectCurrentVersion,
	"selectVersionByNumber": selectVersionByNumber, "selectCurrentVersionID": selectCurrentVersionID,
	"insertVersion": insertVersion, "sameDefinition": sameDefinition, "updateCurrentVersion": updateCurrentVersion,
}
