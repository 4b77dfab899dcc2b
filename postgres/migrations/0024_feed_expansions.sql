-- Owner: feed. Analytics is told of each message that a mark on everything changed.
-- +goose Up

-- Feeds with marks that are to be expanded: watermarks say which, and how far that is. Whoever takes its turn holds the feed's lock.
CREATE TABLE feed_expansions (
  recipient_id   bigint NOT NULL,
  channel        text COLLATE "C" NOT NULL,
  environment_id bigint NOT NULL,
  due_at         timestamptz NOT NULL,                  -- of the next piece
  PRIMARY KEY (recipient_id, channel)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX feed_expansions_due ON feed_expansions (due_at);
