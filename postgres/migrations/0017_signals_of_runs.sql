-- Owner: engine.
-- +goose Up

-- Whether there is a signal for a run that is about to time out.
CREATE INDEX signals_of_run ON signals (recipient_id, trigger_id);
