-- Owner: recipient. Whether ids of recipients that a process remembers are still right (docs/decisions/0019).
-- +goose Up

-- A new one each time that somebody leaves an environment's recipients. No row: nobody has.
CREATE TABLE recipient_epochs (
  environment_id bigint PRIMARY KEY,
  epoch          uuid NOT NULL,  -- random, so that none comes back, whatever was restored
  changed_by     xid8 NOT NULL   -- a transaction begins one only, however many recipients it removes
);

-- +goose StatementBegin
CREATE FUNCTION begin_recipient_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO recipient_epochs AS e (environment_id, epoch, changed_by) VALUES (OLD.environment_id, gen_random_uuid(), pg_current_xact_id())
      ON CONFLICT (environment_id) DO UPDATE SET epoch = excluded.epoch, changed_by = excluded.changed_by
   WHERE e.changed_by <> excluded.changed_by OR e.xmin <> excluded.changed_by::xid; -- xmin: what was restored may name any transaction
  RETURN NULL;
END $$;
-- +goose StatementEnd

-- Whoever removes somebody in whichever way begins one with it. Deferred to the commit: the row is locked behind all others, and briefly.
-- A migration that deletes recipients, or gives them other keys, and then alters their table has to SET CONSTRAINTS ALL IMMEDIATE in between.
CREATE CONSTRAINT TRIGGER recipient_left AFTER DELETE OR UPDATE OF id, environment_id, collection, external_id ON recipients
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION begin_recipient_epoch();

-- +goose StatementBegin
CREATE FUNCTION begin_all_recipient_epochs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO recipient_epochs (environment_id, epoch, changed_by) SELECT id, gen_random_uuid(), pg_current_xact_id() FROM environments ORDER BY id
      ON CONFLICT (environment_id) DO UPDATE SET epoch = excluded.epoch, changed_by = excluded.changed_by;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER recipients_left AFTER TRUNCATE ON recipients FOR EACH STATEMENT EXECUTE FUNCTION begin_all_recipient_epochs();
