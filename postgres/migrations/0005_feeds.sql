-- Owner: feed. One row of feeds is the lock, the version and the badge of one person's feed.
-- +goose Up
CREATE TABLE feeds (
  recipient_id    bigint NOT NULL,
  channel         text COLLATE "C" NOT NULL,
  environment_id  bigint NOT NULL,
  epoch           bigint NOT NULL,
  version         bigint NOT NULL,                      -- +1 per change, under this row's lock: gap-free, commit order
  last_seq        bigint NOT NULL,                      -- version at which the newest item came
  -- How many items are in each state. The badge is a sum of three; marking everything moves whole cells.
  unseen          int NOT NULL,
  seen            int NOT NULL DEFAULT 0,               -- seen, not read
  read            int NOT NULL DEFAULT 0,
  archived_unseen int NOT NULL DEFAULT 0,
  archived_seen   int NOT NULL DEFAULT 0,
  archived_read   int NOT NULL DEFAULT 0,
  watermarks      jsonb NOT NULL DEFAULT '[]',          -- the "mark all" that still matter: see feed/watermark.go
  PRIMARY KEY (recipient_id, channel),
  CHECK (unseen >= 0 AND seen >= 0 AND read >= 0 AND archived_unseen >= 0 AND archived_seen >= 0 AND archived_read >= 0)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- The in-app messages themselves. Only immutable columns are indexed, so marking one is a HOT update.
CREATE TABLE feed_items (
  recipient_id   bigint NOT NULL,
  channel        text COLLATE "C" NOT NULL,
  seq            bigint NOT NULL,                       -- feed version at insert
  environment_id bigint NOT NULL,
  version_id     bigint NOT NULL,
  actor_id       bigint,
  tenant_id      bigint,
  trigger_id     uuid NOT NULL,
  created_at     timestamptz NOT NULL,
  state_version  bigint NOT NULL,                       -- feed version at which the state below was written
  state          smallint NOT NULL DEFAULT 0,           -- 0 unseen, 1 seen, 2 read
  archived       boolean NOT NULL DEFAULT false,
  seen_at        timestamptz,
  read_at        timestamptz,
  interacted_at  timestamptz,
  archived_at    timestamptz,
  workflow       text COLLATE "C" NOT NULL,
  step_ref       text COLLATE "C" NOT NULL,
  categories     text[] NOT NULL,
  content        jsonb NOT NULL,
  PRIMARY KEY (recipient_id, channel, seq)
) WITH (fillfactor = 90);

-- What marks changed, for subscribers that come back. Inserts are replayed from feed_items by seq. Dropped by age.
CREATE TABLE feed_changes (
  recipient_id   bigint NOT NULL,
  channel        text COLLATE "C" NOT NULL,
  version        bigint NOT NULL,
  environment_id bigint NOT NULL,
  at             timestamptz NOT NULL,
  mark           text COLLATE "C" NOT NULL,
  seqs           bigint[],                              -- the items marked, or
  up_to          bigint,                                -- everything up to and including this seq
  PRIMARY KEY (recipient_id, channel, version)
);
CREATE INDEX feed_changes_age ON feed_changes USING brin (at);
