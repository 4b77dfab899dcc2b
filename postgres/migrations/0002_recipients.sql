-- Owner: recipient. Users, objects and tenants: whoever can be notified, act or own.
-- +goose Up
CREATE TABLE recipients (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
  collection     text COLLATE "C" NOT NULL,             -- $users, $tenants, or the customer's own
  external_id    text COLLATE "C" NOT NULL,
  properties     jsonb NOT NULL DEFAULT '{}',           -- reserved names (name, email, …) beside the customer's own
  created_at     timestamptz NOT NULL,
  updated_at     timestamptz NOT NULL,
  UNIQUE (environment_id, collection, external_id)
) WITH (fillfactor = 90);
