-- Owner: auth. Environments isolate; keys say who is calling.
-- +goose Up
CREATE TABLE environments (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key        text COLLATE "C" NOT NULL UNIQUE,          -- chosen by people: production, staging
  created_at timestamptz NOT NULL
);

CREATE TABLE api_keys (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
  kind           text COLLATE "C" NOT NULL CHECK (kind IN ('secret', 'public')),
  name           text NOT NULL,
  hint           text NOT NULL,                         -- the first characters, so that people can tell keys apart
  hash           bytea NOT NULL UNIQUE,                 -- SHA-256 of the whole key; the key itself is never stored
  created_at     timestamptz NOT NULL,
  revoked_at     timestamptz
);
CREATE INDEX api_keys_environment ON api_keys (environment_id, id);

CREATE TABLE signing_keys (                             -- verify the user tokens that customers' backends issue
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
  kid            text COLLATE "C" NOT NULL,             -- the token's "kid" header
  algorithm      text COLLATE "C" NOT NULL CHECK (algorithm IN ('RS256', 'EdDSA')),
  public_key     bytea NOT NULL,                        -- PKIX, DER. The private half is never stored
  name           text NOT NULL,
  created_at     timestamptz NOT NULL,
  revoked_at     timestamptz,
  UNIQUE (environment_id, kid)
);
