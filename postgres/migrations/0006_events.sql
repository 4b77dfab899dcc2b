-- Owner: analytics. What happened to messages, appended in the transaction that caused it.
-- +goose Up
CREATE TABLE events (
  -- Ids are taken before commit, so they are not in commit order. Readers go by (transaction, id) and stop below the
  -- oldest transaction that still runs: then a late commit is never skipped.
  xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
  id             bigint GENERATED ALWAYS AS IDENTITY,
  environment_id bigint NOT NULL,
  kind           text COLLATE "C" NOT NULL,
  at             timestamptz NOT NULL,
  channel        text COLLATE "C" NOT NULL,
  channel_type   text COLLATE "C" NOT NULL,
  workflow       text COLLATE "C" NOT NULL,
  step_ref       text COLLATE "C" NOT NULL,
  covers_all     boolean NOT NULL,                      -- one mark on everything up to seqs[1]
  count          int NOT NULL,
  recipient_ids  bigint[] NOT NULL,                     -- parallel arrays: one element a message
  user_ids       text[] NOT NULL,
  seqs           bigint[] NOT NULL,
  PRIMARY KEY (environment_id, xid, id)                 -- each environment is read by its own cursor
);

CREATE TABLE segment_destinations (
  environment_id bigint PRIMARY KEY REFERENCES environments ON DELETE CASCADE,
  write_key      text NOT NULL,
  endpoint       text NOT NULL,                         -- empty: Segment's own
  -- The last event delivered, and how far into it.
  cursor_xid     xid8 NOT NULL,
  cursor_id      bigint NOT NULL,
  cursor_index   int NOT NULL DEFAULT 0,                -- messages of the next event that are already delivered
  -- Until when the destination is somebody's, or after a failure nobody's. A lease rather than a lock: a transaction
  -- held open during HTTP would hold up everyone who reads below the oldest running transaction.
  lease_until    timestamptz NOT NULL DEFAULT '-infinity',
  fence          bigint NOT NULL DEFAULT 0,             -- goes up with every lease; an outdated sender fails on it
  failures       int NOT NULL DEFAULT 0,                -- in a row
  last_error     text NOT NULL DEFAULT '',
  updated_at     timestamptz NOT NULL
) WITH (fillfactor = 50);
