-- Owner: recipient. Links of users who were merged go on working; what fails lets the rest go on.
-- +goose Up

-- Who became a part of whom, for as long as that one exists: mail with links of the other one lies around for years.
CREATE TABLE merged (
  from_id        bigint PRIMARY KEY,
  environment_id bigint NOT NULL,
  into_id        bigint NOT NULL REFERENCES recipients ON DELETE CASCADE
);
CREATE INDEX merged_into ON merged (into_id);
INSERT INTO merged (from_id, environment_id, into_id)
SELECT f.recipient_id, f.environment_id, f.merged_into FROM forgotten f JOIN recipients r ON r.id = f.merged_into;

-- An operation that failed waits, and lets others go on. A release of before knows nothing of it: what it accepts is due at once.
ALTER TABLE bulk_operations ADD COLUMN due_at timestamptz NOT NULL DEFAULT 'epoch';
UPDATE bulk_operations SET due_at = created_at WHERE finished_at IS NULL;
DROP INDEX bulk_operations_open;
CREATE INDEX bulk_operations_due ON bulk_operations (due_at, id) WHERE finished_at IS NULL;
