-- Owner: recipient. What the engine needs to know of preferences that it has seen already (docs/decisions/0018).
-- +goose Up

-- IMMUTABLE, as generated columns want it: convert_to isn't only because conversions can be redefined.
CREATE FUNCTION text_digest(content text, bytes int) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
  AS $$ SELECT substring(sha256(convert_to(content, 'UTF8')) FOR bytes) $$;

-- 8 bytes for the name, 16 for what is in it.
ALTER TABLE preference_sets ADD COLUMN digest bytea NOT NULL
  GENERATED ALWAYS AS (text_digest(set, 8) || text_digest(preferences::text, 16)) STORED;

ALTER TABLE recipients ADD COLUMN set_digests bytea; -- the digests of all preference_sets, one behind the other; NULL: there are none
UPDATE recipients r SET set_digests = s.digests
  FROM (SELECT recipient_id, string_agg(digest, '' ORDER BY set) AS digests FROM preference_sets GROUP BY recipient_id) s
 WHERE r.id = s.recipient_id;

-- Whoever changes a set in whichever way changes them with it. Locking first lets the update see what those did who were waited for.
-- +goose StatementBegin
CREATE FUNCTION digest_sets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM recipients WHERE id IN (SELECT recipient_id FROM changed) ORDER BY id FOR NO KEY UPDATE;
  IF FOUND THEN
    UPDATE recipients r SET set_digests = (SELECT string_agg(digest, '' ORDER BY set) FROM preference_sets p WHERE p.recipient_id = r.id)
     WHERE r.id IN (SELECT recipient_id FROM changed);
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER digest_inserted AFTER INSERT ON preference_sets REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION digest_sets();
CREATE TRIGGER digest_updated AFTER UPDATE ON preference_sets REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION digest_sets();
CREATE TRIGGER digest_deleted AFTER DELETE ON preference_sets REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION digest_sets();
