-- Owner: recipient. What is left to do about those who are deleted.
-- +goose Up
CREATE INDEX forgotten_due ON forgotten (due_at, recipient_id);

-- Who was in an audience in the name of a tenant isn't any more when the tenant is gone.
DELETE FROM audience_members m WHERE tenant_id <> 0 AND NOT EXISTS (SELECT FROM recipients WHERE id = m.tenant_id);
ALTER TABLE audience_members ADD COLUMN tenant bigint GENERATED ALWAYS AS (nullif(tenant_id, 0)) STORED REFERENCES recipients ON DELETE CASCADE;
CREATE INDEX audience_members_of_tenant ON audience_members (tenant) WHERE tenant IS NOT NULL;
