-- Owner: engine. Whether anybody waits for an event is looked up before who does: nearly always nobody.
-- +goose Up
CREATE INDEX waits_awaited ON waits (environment_id, type, name, recipient_id);
