-- Owner: engine. The whole workflow language: waiting runs, batches, throttles, events, requests, schedules.
-- +goose Up

-- A column of auth's table that is the engine's alone: it signs the requests that workflows make. Two version 4 UUIDs are 244 random bits.
ALTER TABLE environments ADD COLUMN request_secret bytea NOT NULL
  DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

CREATE TABLE variables (                                -- vars in conditions and templates
  environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
  name           text COLLATE "C" NOT NULL,
  value          jsonb NOT NULL,
  updated_at     timestamptz NOT NULL,
  PRIMARY KEY (environment_id, name)
);

CREATE TABLE partials (                                 -- Liquid that templates render; versions keep a copy of theirs
  environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
  key            text COLLATE "C" NOT NULL,
  source         text NOT NULL,
  updated_at     timestamptz NOT NULL,
  PRIMARY KEY (environment_id, key)
);

ALTER TABLE workflows ADD COLUMN active boolean NOT NULL DEFAULT true;
ALTER TABLE workflow_versions ADD COLUMN partials jsonb NOT NULL DEFAULT '{}';

ALTER TABLE triggers
  ADD COLUMN workflow_id      bigint,
  ADD COLUMN recipient_ids    bigint[] NOT NULL DEFAULT '{}',   -- who was accepted: runs are found by (recipient, trigger)
  ADD COLUMN overlays         jsonb,                            -- recipients.id -> data laid over the trigger's
  ADD COLUMN source           text COLLATE "C" NOT NULL DEFAULT 'api',
  ADD COLUMN priority         text COLLATE "C" NOT NULL DEFAULT 'NORMAL',
  ADD COLUMN cancellation_key text COLLATE "C",
  ADD COLUMN sandbox          boolean NOT NULL DEFAULT false,
  ADD COLUMN skip_delay       boolean NOT NULL DEFAULT false,
  ADD COLUMN depth            smallint NOT NULL DEFAULT 0,      -- how many triggers of workflow steps led to it
  ADD COLUMN schedule_id      uuid;
UPDATE triggers SET workflow_id = 0;                            -- of a workflow that was deleted
UPDATE triggers t SET workflow_id = v.workflow_id FROM workflow_versions v WHERE v.id = t.version_id;
UPDATE triggers t SET recipient_ids = r.ids
  FROM (SELECT trigger_id, array_agg(recipient_id ORDER BY recipient_id) AS ids FROM runs GROUP BY trigger_id) r WHERE r.trigger_id = t.id;
UPDATE triggers t SET recipient_ids = f.recipient_ids FROM fan_outs f WHERE f.trigger_id = t.id;
ALTER TABLE triggers ALTER COLUMN workflow_id SET NOT NULL;
CREATE INDEX triggers_recent ON triggers (environment_id, id);
CREATE INDEX triggers_cancellation ON triggers (environment_id, workflow_id, cancellation_key) WHERE cancellation_key IS NOT NULL;

-- Recipients of a trigger that aren't runs yet: triggers.recipient_ids beyond position. Lanes keep small and urgent work
-- from waiting behind large work; the environment comes first so that each gets its share.
ALTER TABLE fan_outs RENAME TO old_fan_outs;
CREATE TABLE fan_outs (
  environment_id bigint NOT NULL,
  lane           smallint NOT NULL,                     -- 0 high, 1 normal, 2 bulk
  trigger_id     uuid NOT NULL,
  position       int NOT NULL DEFAULT 0,                -- how many have become runs
  PRIMARY KEY (environment_id, lane, trigger_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
INSERT INTO fan_outs SELECT environment_id, 1, trigger_id, position FROM old_fan_outs;
DROP TABLE old_fan_outs;

ALTER TABLE runs
  DROP CONSTRAINT runs_status_check,
  ADD CHECK (status IN ('waiting', 'done', 'failed', 'cancelled')),
  ALTER COLUMN finished_at DROP NOT NULL,
  ADD COLUMN started_at  timestamptz,                   -- NULL: when it finished, because it never waited
  ADD COLUMN due_at      timestamptz,                   -- when a waiting run goes on by itself
  ADD COLUMN waiting_for text COLLATE "C",              -- delay, batch, fetch, event
  ADD COLUMN state       jsonb;                         -- where a waiting run is, and what it has gathered
-- due_at changes when a run wakes, and with it the index: that is its purpose. It never holds finished runs.
CREATE INDEX runs_due ON runs (environment_id, due_at) WHERE due_at IS NOT NULL;

-- A cancellation that still has to meet some of its runs.
CREATE TABLE cancellations (
  trigger_id   uuid NOT NULL,
  recipient_id bigint NOT NULL,                         -- 0: every recipient
  at           timestamptz NOT NULL,
  PRIMARY KEY (trigger_id, recipient_id)
);

CREATE TABLE batches (
  recipient_id   bigint NOT NULL,
  opener_id      uuid NOT NULL,                         -- the trigger that opened it
  step_ref       text COLLATE "C" NOT NULL,
  environment_id bigint NOT NULL,
  workflow_id    bigint NOT NULL,
  version_id     bigint NOT NULL,                       -- 0: goes on in the newest version
  key            text COLLATE "C" NOT NULL,             -- canonical JSON; empty: none
  carrier_id     uuid,                                  -- the trigger whose run goes on when it closes
  opened_at      timestamptz NOT NULL,
  close_at       timestamptz,                           -- when its run is to go on; NULL: it has
  open           boolean NOT NULL,                      -- whether it can be joined: not if it is full
  length         bigint NOT NULL,                       -- of its window, in microseconds: a sliding one starts over
  last_close_at  timestamptz,                           -- a sliding window closes then at the latest
  items          int NOT NULL DEFAULT 0,                -- activities that joined, removed ones included
  PRIMARY KEY (recipient_id, opener_id, step_ref)
);
-- At most one open batch for a key.
CREATE UNIQUE INDEX batches_open ON batches (recipient_id, workflow_id, step_ref, version_id, key) WHERE open;
CREATE INDEX batches_due ON batches (environment_id, close_at) WHERE close_at IS NOT NULL;

CREATE TABLE batch_activities (
  recipient_id   bigint NOT NULL,
  opener_id      uuid NOT NULL,
  step_ref       text COLLATE "C" NOT NULL,
  n              int NOT NULL,                          -- in the order of joining, from 1
  trigger_id     uuid NOT NULL,
  actor_id       bigint,
  at             timestamptz NOT NULL,
  data           jsonb,                                 -- NULL: that of the trigger
  PRIMARY KEY (recipient_id, opener_id, step_ref, n)
);

CREATE TABLE throttles (
  recipient_id   bigint NOT NULL,
  workflow_id    bigint NOT NULL,
  step_ref       text COLLATE "C" NOT NULL,
  key            text COLLATE "C" NOT NULL,
  environment_id bigint NOT NULL,
  passed         int NOT NULL,                          -- runs, since the window opened
  closes_at      timestamptz NOT NULL,
  PRIMARY KEY (recipient_id, workflow_id, step_ref, key)
) WITH (fillfactor = 80);

-- Who has had a workflow that runs once. tenant_id 0: without, or whichever.
CREATE TABLE first_runs (
  recipient_id   bigint NOT NULL,
  workflow_id    bigint NOT NULL,
  tenant_id      bigint NOT NULL,
  trigger_id     uuid NOT NULL,
  PRIMARY KEY (recipient_id, workflow_id, tenant_id)
);

CREATE TABLE waits (                                    -- runs that wait for an event
  recipient_id   bigint NOT NULL,
  trigger_id     uuid NOT NULL,
  environment_id bigint NOT NULL,
  type           text COLLATE "C" NOT NULL,
  name           text COLLATE "C" NOT NULL,
  PRIMARY KEY (recipient_id, trigger_id)
);

-- Something a waiting run has to look at: an event, or the response to its request. Whoever makes one holds no lock of
-- the run, so neither waits for the other.
CREATE TABLE signals (
  environment_id bigint NOT NULL,
  id             bigint GENERATED ALWAYS AS IDENTITY,
  recipient_id   bigint NOT NULL,
  trigger_id     uuid NOT NULL,
  at             timestamptz NOT NULL,
  payload        jsonb NOT NULL,
  PRIMARY KEY (environment_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE fetches (                                  -- requests that runs wait for
  recipient_id   bigint NOT NULL,
  trigger_id     uuid NOT NULL,
  environment_id bigint NOT NULL,
  step_ref       text COLLATE "C" NOT NULL,
  request        jsonb NOT NULL,
  attempts       int NOT NULL DEFAULT 0,                -- counted when one begins: a crash counts
  due_at         timestamptz NOT NULL,                  -- of the next attempt; while one is under way: when its lease ends
  fence          bigint NOT NULL DEFAULT 0,             -- goes up with every lease; an outdated worker fails on it
  PRIMARY KEY (recipient_id, trigger_id)
);
CREATE INDEX fetches_due ON fetches (environment_id, due_at);

CREATE TABLE schedules (
  environment_id   bigint NOT NULL,
  id               uuid NOT NULL,
  workflow_id      bigint NOT NULL,
  recipient_id     bigint NOT NULL,
  actor_id         bigint,
  tenant_id        bigint,
  data             jsonb NOT NULL,
  rules            jsonb NOT NULL,                      -- empty: once, at starts_at
  starts_at        timestamptz NOT NULL,
  ends_at          timestamptz,
  paused           boolean NOT NULL DEFAULT false,
  next_at          timestamptz,                         -- NULL: never again, or paused
  last_at          timestamptz,                         -- when the latest occurrence was due that was a trigger
  timezone         text COLLATE "C" NOT NULL,           -- of the recipient, when next_at was found
  created_at       timestamptz NOT NULL,
  PRIMARY KEY (environment_id, id)
);
CREATE INDEX schedules_due ON schedules (environment_id, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_of_recipient ON schedules (recipient_id, id);
CREATE INDEX schedules_of_workflow ON schedules (workflow_id, id);
