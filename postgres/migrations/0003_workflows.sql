-- Owner: engine. Versions are immutable: whatever refers to one by id may keep it compiled for ever.
-- +goose Up
CREATE TABLE workflows (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
  key            text COLLATE "C" NOT NULL,
  version_id     bigint NOT NULL DEFAULT 0,             -- the version that new triggers run
  created_at     timestamptz NOT NULL,
  UNIQUE (environment_id, key)
);

CREATE TABLE workflow_versions (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment_id bigint NOT NULL,
  workflow_id    bigint NOT NULL REFERENCES workflows ON DELETE CASCADE,
  number         int NOT NULL,                          -- 1, 2, 3, … within the workflow
  definition     jsonb NOT NULL,
  created_at     timestamptz NOT NULL,
  UNIQUE (workflow_id, number)
);
