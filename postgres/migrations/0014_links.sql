-- Owner: recipient. Links in messages, to preferences and to unsubscribe.
-- +goose Up

-- What links are signed with, the newest first. An environment has one from the moment it exists: 244 random bits, hashed.
ALTER TABLE environments ADD COLUMN link_secrets bytea[] NOT NULL
  DEFAULT ARRAY[sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))];
