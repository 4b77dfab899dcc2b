-- Owner: recipient. What people want to be told.
-- +goose Up

-- A recipient's sets lie together: the engine reads two of them at most for a run.
CREATE TABLE preference_sets (
  recipient_id   bigint NOT NULL REFERENCES recipients ON DELETE CASCADE,
  set            text COLLATE "C" NOT NULL,             -- default, or the external id of a tenant
  environment_id bigint NOT NULL,
  preferences    jsonb NOT NULL,
  updated_at     timestamptz NOT NULL,
  PRIMARY KEY (recipient_id, set)
) WITH (fillfactor = 90);

-- What holds for everybody who didn't say otherwise.
CREATE TABLE preference_defaults (
  environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
  tenant_id      bigint NOT NULL,                       -- 0: of the environment
  tenant         bigint GENERATED ALWAYS AS (nullif(tenant_id, 0)) STORED REFERENCES recipients ON DELETE CASCADE,
  preferences    jsonb NOT NULL,
  updated_at     timestamptz NOT NULL,
  PRIMARY KEY (environment_id, tenant_id)
);
CREATE INDEX preference_defaults_tenant ON preference_defaults (tenant) WHERE tenant IS NOT NULL; -- for deletions
