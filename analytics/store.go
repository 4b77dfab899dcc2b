package analytics

// Every statement of the package, named so that a test can prepare them all.
//
// Two conditions recur. "(xid, id) > cursor" is a range of the primary key. "xid < pg_snapshot_xmin(…)" keeps readers
// below the oldest running transaction: there every transaction has ended, so nothing can appear behind the cursor.

const insertEvent = `
INSERT INTO events (environment_id, kind, at, channel, channel_type, workflow, step_ref, covers_all, count,
                    recipient_ids, user_ids, seqs)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

// claimDue leases destinations that are due and have something new. When there are none it only reads: no lock, no
// transaction id, one index probe per destination (of which LATERAL and LIMIT leave the planner no choice).
const claimDue = `
WITH due AS (
  SELECT d.environment_id
  FROM segment_destinations d
  CROSS JOIN LATERAL (
    SELECT FROM events
    WHERE environment_id = d.environment_id
      AND (xid, id) > (d.cursor_xid, d.cursor_id)
      AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id
    LIMIT 1) e
  WHERE d.lease_until <= $1
  ORDER BY d.lease_until, d.environment_id
  LIMIT $3
  FOR UPDATE OF d SKIP LOCKED)
UPDATE segment_destinations d
SET lease_until = $2, fence = d.fence + 1
FROM due
WHERE d.environment_id = due.environment_id
RETURNING d.environment_id, d.write_key, d.endpoint, d.fence, d.failures, d.cursor_xid, d.cursor_id, d.cursor_index`

// readEvents returns events after a cursor until they hold $4 messages (the last one may go beyond). It counts by the
// count column: the arrays of events beyond the limit are never touched.
const readEvents = `
SELECT xid, id, kind, at, channel, channel_type, workflow, step_ref, covers_all, count, recipient_ids, user_ids, seqs
FROM (
  SELECT e.*, sum(messages) OVER (ORDER BY xid, id) - messages AS before
  FROM (
    SELECT *, CASE WHEN covers_all THEN 1 ELSE count END AS messages
    FROM events
    WHERE environment_id = $1
      AND (xid, id) > ($2, $3)
      AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id
    LIMIT $4) e) e
WHERE before < $4
ORDER BY xid, id`

// The fence in these makes the update of a sender that lost its lease a no-op.

const advanceCursor = `
UPDATE segment_destinations
SET cursor_xid = $3, cursor_id = $4, cursor_index = $5, lease_until = $6, failures = 0, last_error = ''
WHERE environment_id = $1 AND fence = $2`

const postpone = `
UPDATE segment_destinations
SET lease_until = $3, failures = failures + 1, last_error = $4
WHERE environment_id = $1 AND fence = $2`

const releaseLease = `
UPDATE segment_destinations
SET lease_until = $3
WHERE environment_id = $1 AND fence = $2`

// oldestUndelivered looks above the horizon too, so that a transaction that holds everything up shows as lag.
const oldestUndelivered = `
SELECT min(e.at)
FROM segment_destinations d
CROSS JOIN LATERAL (
  SELECT at FROM events
  WHERE environment_id = d.environment_id AND (xid, id) > (d.cursor_xid, d.cursor_id)
  ORDER BY xid, id
  LIMIT 1) e`

// setDestination starts a new destination at the oldest running transaction: whatever commits from now on is above it.
// A change keeps the cursor, ends any back-off, and fences off whoever is sending with the old settings.
const setDestination = `
INSERT INTO segment_destinations AS d (environment_id, write_key, endpoint, cursor_xid, cursor_id, updated_at)
VALUES ($1, $2, $3, pg_snapshot_xmin(pg_current_snapshot()), 0, $4)
ON CONFLICT (environment_id) DO UPDATE
SET write_key = excluded.write_key, endpoint = excluded.endpoint, updated_at = excluded.updated_at,
    lease_until = '-infinity', fence = d.fence + 1, failures = 0, last_error = ''`

const getDestination = `
SELECT write_key, endpoint, failures, last_error, updated_at FROM segment_destinations WHERE environment_id = $1`

const removeDestination = `DELETE FROM segment_destinations WHERE environment_id = $1`
