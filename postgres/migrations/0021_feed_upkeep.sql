-- Owner: feed. What items are about, how long they stay, and what is done about that in the background.
-- +goose Up

-- All are NULL in an item that says nothing of the kind, which then costs what it did.
ALTER TABLE feed_items
  ADD COLUMN resource_key text COLLATE "C",             -- what it is about
  ADD COLUMN priority text COLLATE "C",                 -- NULL: NORMAL
  ADD COLUMN severity text COLLATE "C",
  ADD COLUMN expires_at timestamptz,                    -- has a row of feed_timers
  ADD COLUMN snoozed_until timestamptz;                 -- has a row of feed_timers; then it isn't counted, and watermarks pass it by

-- For one feed and for all of an environment, feed by feed.
CREATE INDEX feed_items_resource ON feed_items (environment_id, resource_key, recipient_id, channel, seq) WHERE resource_key IS NOT NULL;

-- What happens to items by itself. Whoever fires one holds the feed's lock, and deletes the row first.
CREATE TABLE feed_timers (
  recipient_id   bigint NOT NULL,
  channel        text COLLATE "C" NOT NULL,
  kind           text COLLATE "C" NOT NULL,             -- expire, return
  seq            bigint NOT NULL,
  environment_id bigint NOT NULL,
  due_at         timestamptz NOT NULL,
  PRIMARY KEY (recipient_id, channel, kind, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX feed_timers_due ON feed_timers (due_at);

-- What is done to all feeds of an environment that have something of a resource or a trigger, feed by feed, in the order of their keys.
CREATE TABLE feed_operations (
  environment_id  bigint NOT NULL,
  id              uuid NOT NULL,
  kind            text COLLATE "C" NOT NULL,            -- retract, or a mark
  resource_key    text COLLATE "C" NOT NULL,            -- empty: trigger_id says
  trigger_id      uuid,
  after_recipient bigint NOT NULL DEFAULT 0,            -- the last feed that it has been done to
  after_channel   text COLLATE "C" NOT NULL DEFAULT '',
  before_seq      bigint NOT NULL DEFAULT 0,            -- not 0: that feed isn't done, but for items from here on
  feed_items      int NOT NULL DEFAULT 0,               -- of that feed that it changed, if it isn't done
  feeds           int NOT NULL DEFAULT 0,               -- that it changed
  items           int NOT NULL DEFAULT 0,
  created_at      timestamptz NOT NULL,
  due_at          timestamptz NOT NULL,                 -- later, if it failed
  finished_at     timestamptz,
  PRIMARY KEY (environment_id, id)
);
CREATE INDEX feed_operations_due ON feed_operations (due_at) WHERE finished_at IS NULL;
CREATE INDEX feed_operations_finished ON feed_operations (environment_id, finished_at);

-- How much the feeds of a channel keep. Without a row: everything.
CREATE TABLE feed_retention (
  environment_id  bigint NOT NULL,
  channel         text COLLATE "C" NOT NULL,
  max_age_seconds bigint,                               -- NULL: any age
  max_items       int,                                  -- NULL: any number
  PRIMARY KEY (environment_id, channel)
);

-- Where those are who walk through all feeds, in the order of their keys. Nodes take turns.
CREATE TABLE feed_walks (
  name            text COLLATE "C" PRIMARY KEY,
  after_recipient bigint NOT NULL DEFAULT 0,            -- the last feed that was visited
  after_channel   text COLLATE "C" NOT NULL DEFAULT '',
  due_at          timestamptz NOT NULL                  -- when the next step is
);
INSERT INTO feed_walks (name, due_at) VALUES ('retention', 'epoch'), ('audit', 'epoch');

-- What the user keeps on top: [{"s": seq, "t": when}], oldest first, at most 20.
ALTER TABLE feeds ADD COLUMN pins jsonb NOT NULL DEFAULT '[]';
