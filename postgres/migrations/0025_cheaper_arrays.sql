-- Owner: analytics, but for the triggers, which are the engine's.
-- +goose Up

-- Arrays with an element a recipient, written with each batch of runs. Compressing them in the way of old was a sixteenth of what
-- runs cost PostgreSQL. lz4 makes them a third larger (3 bytes a run) in a thirtieth of the time. What is there stays as it is, and a
-- server that is built without lz4 goes on as before.
-- +goose StatementBegin
DO $$
BEGIN
  ALTER TABLE events ALTER recipient_ids SET COMPRESSION lz4, ALTER user_ids SET COMPRESSION lz4, ALTER seqs SET COMPRESSION lz4;
  ALTER TABLE triggers ALTER recipient_ids SET COMPRESSION lz4;
  ALTER TABLE found_recipients ALTER recipient_ids SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
  RAISE NOTICE 'this PostgreSQL has no lz4: arrays are compressed by pglz';
END $$;
-- +goose StatementEnd
