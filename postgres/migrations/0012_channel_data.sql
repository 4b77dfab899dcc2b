-- Owner: recipient. Where somebody is reached on channels that need more than a property; deletion; what people may change.
-- +goose Up
CREATE TABLE channel_data (
  recipient_id   bigint NOT NULL,
  channel        text COLLATE "C" NOT NULL,             -- key
  environment_id bigint NOT NULL,
  channel_type   text COLLATE "C" NOT NULL,             -- that the data are for
  destinations   int NOT NULL,                          -- how many devices or connections
  data           jsonb NOT NULL,                        -- belfry.ChannelData
  updated_at     timestamptz NOT NULL,
  PRIMARY KEY (recipient_id, channel)
);

-- Recipients that were deleted, until everything of theirs is gone. Their ids are never used again, so nobody inherits it.
CREATE TABLE forgotten (
  recipient_id   bigint PRIMARY KEY,
  environment_id bigint NOT NULL,
  collection     text COLLATE "C" NOT NULL,
  external_id    text COLLATE "C" NOT NULL,             -- nodes remember whose internal id it was
  at             timestamptz NOT NULL,
  due_at         timestamptz NOT NULL,
  settled        boolean NOT NULL DEFAULT false         -- all is gone but what transactions of before may still commit
);
CREATE INDEX forgotten_at ON forgotten (at);

-- Lists of recipients find one of these among millions.
CREATE INDEX recipients_email ON recipients (environment_id, collection, lower(properties ->> 'email')) WHERE properties ->> 'email' IS NOT NULL;
CREATE INDEX recipients_phone ON recipients (environment_id, collection, (properties ->> 'phone_number')) WHERE properties ->> 'phone_number' IS NOT NULL;

-- A column of auth's table that is this package's alone: what of their own profile people may change with their token.
ALTER TABLE environments ADD COLUMN profile_fields text[] NOT NULL DEFAULT '{name,avatar,locale,timezone}';

-- Work on up to 1,000 recipients, done in chunks. Each chunk's outcome commits with the chunk: the row is its own lease.
CREATE TABLE bulk_operations (
  environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
  id             uuid NOT NULL,                         -- UUIDv7: in the order of acceptance
  kind           text COLLATE "C" NOT NULL CHECK (kind IN ('identify_users', 'delete_users')),
  items          jsonb NOT NULL,                        -- [] once it is finished
  total          int NOT NULL,
  done           int NOT NULL DEFAULT 0,                -- how many items have been worked off, whatever came of them
  failures       jsonb NOT NULL DEFAULT '[]',
  created_at     timestamptz NOT NULL,
  finished_at    timestamptz,
  PRIMARY KEY (environment_id, id)
);
CREATE INDEX bulk_operations_open ON bulk_operations (id) WHERE finished_at IS NULL;
