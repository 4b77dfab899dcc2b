-- Owner: recipient. More that can be done with many recipients, and what is left to do once some are deleted.
-- +goose Up
ALTER TABLE bulk_operations
  DROP CONSTRAINT bulk_operations_kind_check,
  ADD CONSTRAINT bulk_operations_kind_check CHECK (kind IN ('identify_users', 'delete_users', 'upsert_objects', 'delete_objects',
    'set_preferences', 'subscribe', 'unsubscribe'));

ALTER TABLE forgotten ADD COLUMN merged_into bigint;    -- who takes over the messages of the last weeks; NULL: nobody
CREATE INDEX forgotten_merged ON forgotten (merged_into) WHERE merged_into IS NOT NULL;

-- What recipients prefer in the name of a tenant goes with the tenant.
CREATE INDEX preference_sets_of_tenant ON preference_sets (environment_id, set) WHERE set <> 'default';
