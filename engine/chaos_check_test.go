package engine

import (
	"slices"

	"github.com/jackc/pgx/v5"
)

// chaosAudit notes in the table audit what must never happen, at the moment when it does.
const chaosAudit = `
CREATE TABLE audit (what text);
CREATE TABLE windows (recipient_id bigint, key text);
CREATE TABLE revoked (recipient_id bigint, trigger_id uuid, sent bigint); -- until then, by sent.id

CREATE FUNCTION audit_run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF OLD.status <> 'waiting' THEN
    INSERT INTO audit VALUES (format('the run %s of %s was %s, and became %s', OLD.recipient_id, OLD.trigger_id, OLD.status, NEW.status));
  END IF;
  IF json_array_length(NEW.log) < json_array_length(OLD.log) THEN
    INSERT INTO audit VALUES (format('the run %s of %s lost a part of its log', OLD.recipient_id, OLD.trigger_id));
  END IF;
  IF NEW.log -> json_array_length(OLD.log) ->> 'outcome' = 'timed_out' AND EXISTS (
    SELECT FROM signals s JOIN waits w USING (recipient_id, trigger_id)
     WHERE s.recipient_id = OLD.recipient_id AND s.trigger_id = OLD.trigger_id AND s.payload -> 'event' ->> 'name' = w.name
       AND (w.name = 'paid' OR (s.payload -> 'event' ->> 'seq')::bigint IN (SELECT id FROM sent m WHERE m.trigger_id = OLD.trigger_id AND m.recipient_id = OLD.recipient_id))
       AND (s.payload -> 'event' ->> 'at')::timestamptz BETWEEN (OLD.state ->> 'since')::timestamptz AND (OLD.state ->> 'until')::timestamptz - interval '10 s')
  THEN
    INSERT INTO audit VALUES (format('the run %s of %s timed out though its event was there', OLD.recipient_id, OLD.trigger_id));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION audit_run();

CREATE FUNCTION audit_batch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.open AND NOT OLD.open OR NEW.close_at IS NOT NULL AND OLD.close_at IS NULL THEN
    INSERT INTO audit VALUES (format('the batch %s of %s was opened again', OLD.recipient_id, OLD.opener_id));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE ON batches FOR EACH ROW EXECUTE FUNCTION audit_batch();

CREATE FUNCTION audit_activity() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE a batch_activities = coalesce(NEW, OLD); BEGIN
  IF EXISTS (SELECT FROM batches b WHERE (b.recipient_id, b.opener_id, b.step_ref) = (a.recipient_id, a.opener_id, a.step_ref) AND b.close_at IS NULL) THEN
    INSERT INTO audit VALUES (format('an activity came or went after its batch %s of %s had closed', a.recipient_id, a.opener_id));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR DELETE ON batch_activities FOR EACH ROW EXECUTE FUNCTION audit_activity();

CREATE FUNCTION audit_throttle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.closes_at <> OLD.closes_at THEN
    INSERT INTO windows VALUES (NEW.recipient_id, NEW.key);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE ON throttles FOR EACH ROW EXECUTE FUNCTION audit_throttle();

-- Each recipient that was accepted, with what became of it.
CREATE VIEW everybody AS
SELECT p.collection = '$users' AS person,  w.key AS workflow, t.id AS trigger_id, (t.data ->> 'n')::int AS n, t.data, t.source, coalesce(t.cancellation_key, '') AS cancellation_key,
       who.id AS recipient_id, r.status, r.log,
       (SELECT coalesce(array_agg(s.step ORDER BY s.id), '{}') FROM sent s WHERE s.recipient_id = who.id AND s.trigger_id = t.id) AS sent,
       (SELECT count(*) FROM batch_activities a WHERE a.recipient_id = who.id AND a.trigger_id = t.id) AS activities,
       EXISTS (SELECT FROM batches b WHERE b.recipient_id = who.id AND b.opener_id = t.id) AS opened
  FROM triggers t
  JOIN workflows w ON w.id = t.workflow_id
 CROSS JOIN LATERAL ` + recipientsOf + ` AS who
  JOIN recipients p ON p.id = who.id
  LEFT JOIN runs r ON r.recipient_id = who.id AND r.trigger_id = t.id;

-- Objects have no feed, so the messages of their runs aren't sent.
CREATE VIEW accepted AS SELECT * FROM everybody WHERE person`

// invariants are queries that find nothing.
var invariants = map[string]string{
	"it must not have happened": `SELECT what FROM audit`,
	"work that is left": `SELECT 'fan-out ' || trigger_id FROM fan_outs UNION ALL SELECT 'wait ' || trigger_id FROM waits
		UNION ALL SELECT 'signal ' || payload::text FROM signals UNION ALL SELECT 'fetch ' || trigger_id FROM fetches
		UNION ALL SELECT 'batch ' || opener_id FROM batches WHERE open OR close_at IS NOT NULL`,
	"accepted, but not come to an end": `SELECT a::text FROM everybody a WHERE status IS NULL OR status = 'waiting'`,
	"found twice":                      `SELECT format('%s %s', recipient_id, trigger_id) FROM everybody GROUP BY recipient_id, trigger_id HAVING count(*) > 1`,
	"subscribers who weren't found": `SELECT format('%s %s', t.id, p.external_id) FROM triggers t CROSS JOIN recipients p
		WHERE t.sources IS NOT NULL AND t.cancellation_key IS NULL
		AND NOT EXISTS (SELECT FROM everybody e WHERE e.trigger_id = t.id AND e.recipient_id = p.id)`,
	"runs of nobody who was accepted": `SELECT r::text FROM runs r
		WHERE NOT EXISTS (SELECT FROM everybody a WHERE (a.recipient_id, a.trigger_id) = (r.recipient_id, r.trigger_id))`,
	"sent twice": `SELECT format('%s %s %s', recipient_id, trigger_id, step) FROM sent GROUP BY recipient_id, trigger_id, step HAVING count(*) > 1`,
	"failed, though nothing was wrong": `SELECT a::text FROM accepted a WHERE (status = 'failed')
		<> (sent = '{}' AND (data ->> 'text' = 'forbidden' AND status <> 'cancelled' OR workflow = 'fetching' AND log::jsonb @> '[{"reason": "fetch_failed"}]'))`,
	"cancelled without a key": `SELECT a::text FROM accepted a WHERE status = 'cancelled' AND cancellation_key = ''`,
	"messages that aren't what the run says": `SELECT a::text FROM accepted a
		WHERE workflow IN ('direct', 'delayed', 'fetching', 'parent') AND (status = 'done') <> (sent = '{message}')
		OR workflow = 'throttled' AND (status = 'done' AND log::jsonb @> '[{"outcome": "passed"}]') <> (sent = '{message}')
		OR workflow = 'waiting' AND status = 'done' AND sent NOT IN ('{first,matched}', '{first,missed}')
		OR workflow = 'waiting' AND status = 'cancelled' AND sent NOT IN ('{}', '{first}')
		OR workflow = 'gather' AND status = 'done' AND sent NOT IN ('{}', '{sum,after}')
		OR workflow = 'gather' AND status = 'cancelled' AND sent NOT IN ('{}', '{sum}')
		OR workflow = 'slide' AND status = 'done' AND sent NOT IN ('{}', '{sum}')
		OR workflow = 'slide' AND status = 'cancelled' AND sent <> '{}'`,
	"activities that were lost, or are there twice": `SELECT a::text FROM accepted a
		WHERE activities > 1
		OR workflow = 'gather' AND activities = 0 AND cancellation_key = ''
		OR workflow = 'slide' AND activities = 0 AND cancellation_key = '' AND NOT opened
		OR workflow = 'slide' AND opened AND (activities > 0 OR sent <> '{sum}')`,
	"batches that weren't summed up": `SELECT format('%s %s: %s, but sent: %s', recipient_id, trigger_id, expected, body) FROM (
			SELECT b.recipient_id, b.carrier_id AS trigger_id, format('%s: %s ', count(*), string_agg(t.data ->> 'n', ' ' ORDER BY a.n)) AS expected
			  FROM batches b JOIN batch_activities a USING (recipient_id, opener_id, step_ref) JOIN triggers t ON t.id = a.trigger_id
			 GROUP BY b.recipient_id, b.carrier_id
			UNION ALL
			SELECT b.recipient_id, b.opener_id, format('1: %s ', t.data ->> 'n')
			  FROM batches b JOIN triggers t ON t.id = b.opener_id JOIN workflows w ON w.id = b.workflow_id WHERE w.key = 'slide') e
		FULL JOIN (SELECT recipient_id, trigger_id, body FROM sent WHERE step = 'sum') s USING (recipient_id, trigger_id)
		WHERE expected IS DISTINCT FROM body`,
	"sent though it had been cancelled": `SELECT a::text FROM accepted a JOIN revoked v USING (recipient_id, trigger_id)
		JOIN sent s ON s.recipient_id = a.recipient_id AND s.id > v.sent
		WHERE a.workflow IN ('gather', 'slide') AND s.step = 'sum' AND s.body ~ format('[: ]%s ', a.n)
		OR a.workflow NOT IN ('gather', 'slide') AND s.trigger_id = a.trigger_id`,
	"more passed than the throttle allows": `SELECT format('%s %s: %s in %s windows', a.recipient_id, a.k, a.n, w.n)
		FROM (SELECT recipient_id, data ->> 'k' AS k, count(*) AS n FROM accepted WHERE workflow = 'throttled' AND sent = '{message}' GROUP BY 1, 2) a
		LEFT JOIN (SELECT recipient_id, key AS k, count(*) AS n FROM windows GROUP BY 1, 2) w USING (recipient_id, k) WHERE a.n > 2 * coalesce(w.n, 0)`,
	"workflows that weren't triggered once by another": `SELECT p::text FROM accepted p WHERE workflow = 'parent' AND (status = 'done')::int
		<> (SELECT count(*) FROM accepted c WHERE c.source = 'workflow_step' AND c.n = p.n AND c.recipient_id = p.recipient_id)`,
	"responses that didn't arrive": `SELECT a::text FROM accepted a JOIN sent s USING (recipient_id, trigger_id)
		WHERE workflow = 'fetching' AND s.body <> n || ' got it'`,
	"delays that were cut short": `SELECT a::text FROM accepted a WHERE workflow = 'delayed' AND status = 'done'
		AND (log -> 1 ->> 'at')::timestamptz < (log -> 0 ->> 'until')::timestamptz`,
}

// check looks whether all is as it should be.
func (c *chaos) check() {
	batch := &pgx.Batch{}
	for what, sql := range invariants {
		batch.Queue(sql).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if len(found) > 0 {
				c.fail("%s: %q", what, found)
			}
			return err
		})
	}
	var stored []int
	batch.Queue(`SELECT (data ->> 'n')::int FROM triggers WHERE source = 'api'`).Query(func(rows pgx.Rows) (err error) {
		stored, err = pgx.CollectRows(rows, pgx.RowTo[int])
		return err
	})
	if err := c.pool.SendBatch(c.t.Context(), batch).Close(); err != nil {
		c.fail("%v", err)
	}
	slices.Sort(stored)
	if n := len(stored); n != len(slices.Compact(stored)) {
		c.fail("triggers that were accepted twice: %v", stored)
	}
	for n := range c.acknowledged {
		if !slices.Contains(stored, n) {
			c.fail("trigger %d was lost", n)
		}
	}
}
