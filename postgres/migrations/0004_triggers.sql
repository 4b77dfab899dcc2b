-- Owner: engine. The queue is these rows: there is no job table beside them.
-- +goose Up
CREATE TABLE triggers (                                 -- one request of a customer's backend
  id             uuid PRIMARY KEY,                      -- UUIDv7: in the order of acceptance
  environment_id bigint NOT NULL,
  version_id     bigint NOT NULL,                       -- workflow_versions.id, pinned for all its runs
  actor_id       bigint,                                -- recipients.id
  tenant_id      bigint,                                -- recipients.id
  data           jsonb NOT NULL,                        -- once per trigger, not once per run
  recipients     int NOT NULL,                          -- how many were accepted
  accepted_at    timestamptz NOT NULL
);

-- Work still to be turned into runs. A row is claimed in chunks (position moves) and deleted with its last chunk.
CREATE TABLE fan_outs (
  trigger_id     uuid NOT NULL,
  n              int NOT NULL,
  environment_id bigint NOT NULL,
  recipient_ids  bigint[] NOT NULL,
  position       int NOT NULL DEFAULT 0,                -- how many of recipient_ids have become runs
  PRIMARY KEY (trigger_id, n)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- One workflow for one recipient. The natural key makes a second run of the same trigger for the same recipient
-- impossible. Written once, with the state that its first advance reached.
CREATE TABLE runs (
  recipient_id   bigint NOT NULL,
  trigger_id     uuid NOT NULL,
  environment_id bigint NOT NULL,
  version_id     bigint NOT NULL,
  status         text COLLATE "C" NOT NULL CHECK (status IN ('done', 'failed')),
  log            jsonb NOT NULL,                        -- what happened at each step, and why
  finished_at    timestamptz NOT NULL,
  PRIMARY KEY (recipient_id, trigger_id)
);

CREATE TABLE idempotency_keys (
  environment_id bigint NOT NULL,
  key            text COLLATE "C" NOT NULL,
  request_hash   bytea NOT NULL,                        -- SHA-256 of the canonical request
  result         jsonb,                                 -- the first answer, written in the same transaction
  expires_at     timestamptz NOT NULL,
  PRIMARY KEY (environment_id, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
