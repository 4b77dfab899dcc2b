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
