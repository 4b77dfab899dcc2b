-- Owner: delivery. Messages that leave through a provider, that wait for their time, or that are kept back.
-- +goose Up

-- Message ids share a name space with the positions of feed items, which count from 1 and never get this far: so an id
-- says whose message it is.
CREATE SEQUENCE message_ids MINVALUE 1099511627776;     -- 1 << 40

-- Only the key is indexed, so a change of status is a HOT update.
CREATE TABLE messages (
  recipient_id     bigint NOT NULL,
  id               bigint NOT NULL,
  environment_id   bigint NOT NULL,
  version_id       bigint NOT NULL,
  actor_id         bigint,
  tenant_id        bigint,
  trigger_id       uuid NOT NULL,
  created_at       timestamptz NOT NULL,
  send_at          timestamptz,                         -- not before; NULL: at once
  status_at        timestamptz NOT NULL,
  moved_to         bigint,                              -- in-app: seq of the feed item that it became
  total_activities int,                                 -- how many triggers it sums up; NULL: 1
  status           text COLLATE "C" NOT NULL,
  channel          text COLLATE "C" NOT NULL,
  channel_type     text COLLATE "C" NOT NULL,
  user_id          text COLLATE "C" NOT NULL,           -- external id, for whoever reports on the message
  workflow         text COLLATE "C" NOT NULL,
  step_ref         text COLLATE "C" NOT NULL,
  categories       text[] NOT NULL,
  actor_ids        bigint[],                            -- of a batch with more than one actor, oldest first, at most 10
  provider_id      text,                                -- how the provider calls it
  content          json NOT NULL,
  PRIMARY KEY (recipient_id, id)
) WITH (fillfactor = 85);

-- The queue: one row for each message that is still to be sent, deleted with its last attempt.
CREATE TABLE deliveries (
  recipient_id     bigint NOT NULL,
  message_id       bigint NOT NULL,
  environment_id   bigint NOT NULL,
  due_at           timestamptz NOT NULL,                -- changes only when an attempt failed
  -- Whose attempt it is at the moment. Not indexed: then claiming is a HOT update. Rows that are being sent stay at the
  -- head of the index, but they are no more than there are workers.
  leased_until     timestamptz NOT NULL DEFAULT '-infinity',
  fence            bigint NOT NULL DEFAULT 0,           -- goes up with every lease; an outdated worker fails on it
  attempt          int NOT NULL DEFAULT 0,              -- counted when it begins, so a crash counts
  in_app           boolean NOT NULL,                    -- waits for its time, then moves to the feed
  PRIMARY KEY (recipient_id, message_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX deliveries_due ON deliveries (in_app, environment_id, due_at);

-- What each attempt came to. An attempt that is missing crashed.
CREATE TABLE attempts (
  recipient_id     bigint NOT NULL,
  message_id       bigint NOT NULL,
  attempt          int NOT NULL,
  environment_id   bigint NOT NULL,
  at               timestamptz NOT NULL,                -- when it began
  duration_us      bigint NOT NULL,
  outcome          text COLLATE "C" NOT NULL,           -- the status of the message thereafter
  provider         text NOT NULL,
  error            text NOT NULL,                       -- empty: it succeeded
  PRIMARY KEY (recipient_id, message_id, attempt)
);
