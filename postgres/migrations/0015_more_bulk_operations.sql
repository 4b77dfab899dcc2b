-- Owner: recipient. More that can be done with many recipients.
-- +goose Up
ALTER TABLE bulk_operations
  DROP CONSTRAINT bulk_operations_kind_check,
  ADD CONSTRAINT bulk_operations_kind_check CHECK (kind IN ('identify_users', 'delete_users', 'upsert_objects', 'delete_objects',
    'set_preferences', 'subscribe', 'unsubscribe'));
