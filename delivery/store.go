package delivery

// queuedEnvironments finds the environments that have something in the queue, by one probe of the index each.
const queuedEnvironments = `WITH RECURSIVE queued AS (
  (SELECT environment_id FROM deliveries WHERE in_app = $1 ORDER BY environment_id LIMIT 1)
  UNION ALL
  SELECT (SELECT environment_id FROM deliveries WHERE in_app = $1 AND environment_id > q.environment_id ORDER BY environment_id LIMIT 1)
    FROM queued q WHERE q.environment_id IS NOT NULL
)`

const isDue = `in_app = $1 AND environment_id = q.environment_id AND due_at <= $2 AND leased_until <= $2`

// claimDue leases up to $3 due messages, those that have been due for longest first. Environments take turns: $4 is the
// last one served, and each of those that are served now gets an equal share. The messages are looked up by their keys:
// left to itself, the planner would read all of them as soon as it expects many to be due.
const claimDue = queuedEnvironments + `, due AS MATERIALIZED (
  SELECT q.environment_id, row_number() OVER (ORDER BY q.environment_id <= $4, q.environment_id) AS n
    FROM queued q
   CROSS JOIN LATERAL (SELECT FROM deliveries WHERE ` + isDue + ` ORDER BY due_at LIMIT 1) d
   ORDER BY n LIMIT $3
), taken AS MATERIALIZED (
  SELECT d.ctid AS place, q.n
    FROM due q CROSS JOIN LATERAL (
      SELECT ctid FROM deliveries WHERE ` + isDue + `
       ORDER BY due_at
       LIMIT (SELECT ($3 + count(*) - 1) / greatest(count(*), 1) FROM due)
         FOR UPDATE SKIP LOCKED) d
   LIMIT $3
), leased AS (
  UPDATE deliveries SET leased_until = $5, fence = fence + 1, attempt = attempt + 1
   WHERE ctid = ANY (ARRAY(SELECT place FROM taken))
  RETURNING recipient_id, message_id, fence, attempt
)
SELECT (SELECT environment_id FROM due WHERE n = (SELECT max(n) FROM taken)), l.fence, l.attempt, m.*
  FROM leased l CROSS JOIN LATERAL (
    SELECT ` + messageColumns + ` FROM messages WHERE recipient_id = l.recipient_id AND id = l.message_id OFFSET 0) m`

// selectOldestDue counts what is being sent too: that is late as well.
const selectOldestDue = queuedEnvironments + `
SELECT d.due_at
  FROM queued q CROSS JOIN LATERAL (
    SELECT due_at FROM deliveries WHERE in_app = $1 AND environment_id = q.environment_id AND due_at <= $2 ORDER BY due_at LIMIT 1) d
 ORDER BY d.due_at LIMIT 1`

const messageColumns = `recipient_id, id, environment_id, user_id, channel, channel_type, trigger_id, workflow, version_id, step_ref,
  categories, coalesce(actor_id, 0), actor_ids, coalesce(total_activities, 1), coalesce(tenant_id, 0), content, created_at,
  coalesce(send_at, '0001-01-01Z'), status, status_at, coalesce(moved_to, 0), coalesce(provider_id, '')`

const takeIDs = `SELECT nextval('message_ids') FROM generate_series(1, $1::int)`

const insertMessages = `INSERT INTO messages (recipient_id, id, environment_id, version_id, actor_id, tenant_id, trigger_id, created_at, send_at,
  status_at, total_activities, status, channel, channel_type, user_id, workflow, step_ref, categories, actor_ids, content)
SELECT recipient_id, id, environment_id, version_id, nullif(actor_id, 0), nullif(tenant_id, 0), trigger_id, created_at, send_at,
       $19, nullif(total_activities, 0), status, channel, channel_type, user_id, workflow, step_ref,
       string_to_array(categories, E'\x1f'), nullif(actor_ids, '')::bigint[], content
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[], $8::timestamptz[], $9::timestamptz[],
              $10::int[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $20::json[])
    AS m (recipient_id, id, environment_id, version_id, actor_id, tenant_id, trigger_id, created_at, send_at,
          total_activities, status, channel, channel_type, user_id, workflow, step_ref, categories, actor_ids, content)`

const insertDeliveries = `INSERT INTO deliveries (recipient_id, message_id, environment_id, due_at, in_app)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::boolean[])`

// The fence in these makes the outcome of a worker that lost its lease a no-op.

const finish = `DELETE FROM deliveries d
 USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS o (recipient_id, message_id, fence)
 WHERE d.recipient_id = o.recipient_id AND d.message_id = o.message_id AND d.fence = o.fence
RETURNING d.message_id`

const postpone = `UPDATE deliveries d SET due_at = o.due_at, leased_until = '-infinity'
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[]) AS o (recipient_id, message_id, fence, due_at)
 WHERE d.recipient_id = o.recipient_id AND d.message_id = o.message_id AND d.fence = o.fence
RETURNING d.message_id`

// giveBack ends a lease as if it had never been.
const giveBack = `UPDATE deliveries d SET leased_until = '-infinity', attempt = attempt - 1
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS o (recipient_id, message_id, fence)
 WHERE d.recipient_id = o.recipient_id AND d.message_id = o.message_id AND d.fence = o.fence
RETURNING d.message_id`

const insertAttempts = `INSERT INTO attempts (recipient_id, message_id, attempt, environment_id, at, duration_us, outcome, provider, error)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[], $5::timestamptz[], $6::bigint[], $7::text[], $8::text[], $9::text[])`

// updateOutcomes needs no condition on the old status: a message that was in the queue was not sent before.
const updateOutcomes = `UPDATE messages m
   SET status = o.status, status_at = $6, moved_to = nullif(o.moved_to, 0), provider_id = nullif(o.provider_id, '')
  FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[]) AS o (recipient_id, id, status, moved_to, provider_id)
 WHERE m.recipient_id = o.recipient_id AND m.id = o.id`

const selectMessages = `SELECT m.*
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS t (recipient_id, channel, id)
 CROSS JOIN LATERAL (SELECT ` + messageColumns + `
    FROM messages WHERE recipient_id = t.recipient_id AND id = t.id AND channel = t.channel AND environment_id = $4 OFFSET 0) m`

const selectAttempts = `SELECT t.recipient_id, t.id, a.*
  FROM unnest($1::bigint[], $2::bigint[]) AS t (recipient_id, id)
 CROSS JOIN LATERAL (SELECT attempt, at, duration_us, outcome, provider, error
    FROM attempts WHERE recipient_id = t.recipient_id AND message_id = t.id AND environment_id = $3 OFFSET 0) a
 ORDER BY t.recipient_id, t.id, a.attempt`

const selectStatuses = `SELECT t.recipient_id, t.channel, t.id, m.status, m.moved_to
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS t (recipient_id, channel, id)
 CROSS JOIN LATERAL (SELECT status, coalesce(moved_to, 0) AS moved_to FROM messages
   WHERE recipient_id = t.recipient_id AND id = t.id AND channel = t.channel AND environment_id = $4 OFFSET 0) m`

// statements is every statement of this package by name, for the test that prepares them on the migrated schema.
var statements = map[string]string{
	"claimDue": claimDue, "selectOldestDue": selectOldestDue, "takeIDs": takeIDs, "insertMessages": insertMessages,
	"insertDeliveries": insertDeliveries, "finish": finish, "postpone": postpone, "giveBack": giveBack,
	"insertAttempts": insertAttempts, "updateOutcomes": updateOutcomes, "selectMessages": selectMessages,
	"selectAttempts": selectAttempts, "selectStatuses": selectStatuses,
	"selectOldest": selectOldest, "lockDeliveries": lockDeliveries,
	"moveDeliveries": moveDeliveries, "moveAttempts": moveAttempts, "moveMessages": moveMessages,
	"deleteDeliveries": deleteMessages[0], "deleteAttempts": deleteMessages[1], "deleteMessages": deleteMessages[2],
	"forgetDeliveries": forgetDeliveries, "forgetAttempts": forgetAttempts, "forgetMessages": forgetMessages,
}
