-- Owner: recipient.
-- +goose Up

-- Read with every batch of runs, given back whole, never looked into: jsonb is made into text again for each reader.
ALTER TABLE preference_sets ALTER preferences TYPE json;
ALTER TABLE preference_defaults ALTER preferences TYPE json;
