-- Owner: feed. What a message remembers of the batch that it sums up.
-- +goose Up
ALTER TABLE feed_items
  ADD COLUMN actor_ids bigint[],                        -- of a batch with more than one actor, oldest first, at most 10
  ADD COLUMN total_activities int,                      -- how many triggers it sums up; NULL: 1
  -- Written once, given back whole, never looked into: json keeps the text, while jsonb took a fifth of an insert's time
  -- to take it apart, and more to put it together again for every reader.
  ALTER COLUMN content TYPE json;
