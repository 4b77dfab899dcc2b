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
