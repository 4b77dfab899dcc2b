-- Owner: recipient, but for what the engine remembers of its triggers. Who follows what, groups of people, and triggers
-- for all of them.
-- +goose Up

-- Subscribers of an object are read in chunks, in the order of the key.
CREATE TABLE subscriptions (
  object_id      bigint NOT NULL REFERENCES recipients ON DELETE CASCADE,
  recipient_id   bigint NOT NULL REFERENCES recipients ON DELETE CASCADE,
  environment_id bigint NOT NULL,
  seq            bigint GENERATED ALWAYS AS IDENTITY,   -- whoever subscribes later has a greater one: see recipient/source.go
  nested         boolean NOT NULL,                      -- the subscriber is an object, and may have subscribers itself
  properties     jsonb NOT NULL,
  created_at     timestamptz NOT NULL,
  updated_at     timestamptz NOT NULL,
  PRIMARY KEY (object_id, recipient_id)
);
CREATE INDEX subscriptions_nested ON subscriptions (object_id, recipient_id) WHERE nested;
CREATE INDEX subscriptions_of_recipient ON subscriptions (recipient_id, object_id);

CREATE TABLE audiences (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
  key            text COLLATE "C" NOT NULL,
  name           text NOT NULL,
  condition      jsonb,                                 -- who belongs to it; NULL: whoever is a member
  created_at     timestamptz NOT NULL,
  updated_at     timestamptz NOT NULL,
  UNIQUE (environment_id, key)
);

CREATE TABLE audience_members (                         -- of audiences without a condition
  audience_id    bigint NOT NULL REFERENCES audiences ON DELETE CASCADE,
  tenant_id      bigint NOT NULL,                       -- 0: without
  recipient_id   bigint NOT NULL REFERENCES recipients ON DELETE CASCADE,
  environment_id bigint NOT NULL,
  seq            bigint GENERATED ALWAYS AS IDENTITY,
  created_at     timestamptz NOT NULL,
  PRIMARY KEY (audience_id, tenant_id, recipient_id)
);
CREATE INDEX audience_members_of_recipient ON audience_members (recipient_id, audience_id);

ALTER TABLE triggers ADD COLUMN sources jsonb;          -- whose subscribers, or which audiences, it is for as well; NULL: none
ALTER TABLE fan_outs ADD COLUMN cursor jsonb;           -- how far sources have been read; NULL: they haven't
-- Recipients that were found in the sources of a trigger, and became runs: runs are found by (recipient, trigger).
CREATE TABLE found_recipients (
  trigger_id     uuid NOT NULL,
  n              int NOT NULL,                          -- how many were found before these
  recipient_ids  bigint[] NOT NULL,
  PRIMARY KEY (trigger_id, n)
);
