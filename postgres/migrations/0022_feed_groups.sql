-- Owner: feed. Marks on what a filter selects, and counts by filter.
-- +goose Up
ALTER TABLE feeds ADD COLUMN grouped_to bigint NOT NULL DEFAULT 0; -- feed_groups counts the items up to this seq; 0: it counts none

ALTER TABLE feed_changes ADD COLUMN filter json;        -- with up_to: only those items; tenants by their external ids

-- How many items of each tenant, workflow, list of categories, priority and severity are in each state: of feeds of which somebody
-- has asked that.
CREATE TABLE feed_groups (
  recipient_id   bigint NOT NULL,
  channel        text COLLATE "C" NOT NULL,
  environment_id bigint NOT NULL,
  groups         json NOT NULL,
  PRIMARY KEY (recipient_id, channel)
) WITH (fillfactor = 50);
