package postgres_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestAFailedMigrationLeavesNoTraceAndIsNamed(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Config{URL: pgtest.EmptyURL(t)})
	files := fstest.MapFS{
		"0001_good.sql": {Data: []byte("-- +goose Up\ncreate table good (id int);\n")},
		"0002_bad.sql":  {Data: []byte("-- +goose Up\ncreate table half (id int);\nselect 1/0;\n")},
	}
	err := postgres.MigrateFiles(t.Context(), pool, files)
	if err == nil || !strings.Contains(err.Error(), "0002_bad.sql") {
		t.Errorf("error = %v, want it to name 0002_bad.sql", err)
	}
	if n, err := postgres.PendingFiles(t.Context(), pool, files); n != 1 || err != nil {
		t.Errorf("pending = %d, %v; want the bad one", n, err)
	}
	var good, half bool
	row := pool.QueryRow(t.Context(), `select to_regclass('good') is not null, to_regclass('half') is not null`)
	if err := row.Scan(&good, &half); err != nil || !good || half {
		t.Errorf("tables good, half exist = %v, %v, %v; want only the first", good, half, err)
	}
}

func TestAMigrationMayTakeLongerThanAStatement(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Config{URL: pgtest.EmptyURL(t)})
	files := fstest.MapFS{"0001_slow.sql": {Data: []byte(
		"-- +goose Up\ncreate table seen as select current_setting('statement_timeout') as timeout;\n")}}
	if err := postgres.MigrateFiles(t.Context(), pool, files); err != nil {
		t.Fatal(err)
	}
	rows, _ := pool.Query(t.Context(), `select timeout from seen`)
	during, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if err != nil || during != "0" {
		t.Errorf("statement_timeout during a migration = %q, %v; want 0", during, err)
	}
}

// before is the migrations of before one, which is how the database of an old release was made.
func before(t *testing.T, first string) fstest.MapFS {
	t.Helper()
	entries, err := os.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, e := range entries {
		if e.Name() >= first {
			continue
		}
		b, err := os.ReadFile("migrations/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = &fstest.MapFile{Data: b}
	}
	return files
}

// Triggers outlive the workflows that they ran: a database with such is migrated like any other.
func TestTriggersOfDeletedWorkflowsAreMigrated(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Config{URL: pgtest.EmptyURL(t)})
	if err := postgres.MigrateFiles(t.Context(), pool, before(t, "0007")); err != nil {
		t.Fatal(err)
	}
	_, err := pool.Exec(t.Context(), `
		INSERT INTO environments (key, created_at) VALUES ('production', '2026-01-01Z');
		INSERT INTO workflows (environment_id, key, created_at) VALUES (1, 'kept', '2026-01-01Z'), (1, 'gone', '2026-01-01Z');
		INSERT INTO workflow_versions (environment_id, workflow_id, number, definition, created_at)
			VALUES (1, 1, 1, '{}', '2026-01-01Z'), (1, 2, 1, '{}', '2026-01-01Z');
		INSERT INTO triggers (id, environment_id, version_id, data, recipients, accepted_at)
			VALUES ('00000000-0000-7000-8000-000000000001', 1, 1, '{}', 1, '2026-01-01Z'), ('00000000-0000-7000-8000-000000000002', 1, 2, '{}', 1, '2026-01-01Z');
		DELETE FROM workflows WHERE key = 'gone';`)
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	rows, _ := pool.Query(t.Context(), `SELECT workflow_id FROM triggers ORDER BY id`)
	got, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(got) != 2 || got[0] != 1 || got[1] != 0 {
		t.Errorf("workflows of the triggers = %v, %v; want the first, and 0 for the one that is gone", got, err)
	}
}

// Environments that were there before links get a secret each, and so does every new one.
func TestEnvironmentsGetSecretsForLinks(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Config{URL: pgtest.EmptyURL(t)})
	if err := postgres.MigrateFiles(t.Context(), pool, before(t, "0014")); err != nil {
		t.Fatal(err)
	}
	environments := func(keys string) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), `INSERT INTO environments (key, created_at) SELECT unnest($1::text[]), '2026-01-01Z'`, keys); err != nil {
			t.Fatal(err)
		}
	}
	environments("{old,older}")
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	environments("{new,newer}")
	var secrets int
	if err := pool.QueryRow(t.Context(), `SELECT count(DISTINCT link_secrets) FROM environments WHERE length(link_secrets[1]) = 32`).Scan(&secrets); err != nil || secrets != 4 {
		t.Errorf("%d different secrets, %v; want 4", secrets, err)
	}
}

// Sets of before are known by their digests, like those that are written from then on.
func TestStoredPreferencesGetDigests(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Config{URL: pgtest.EmptyURL(t)})
	if err := postgres.MigrateFiles(t.Context(), pool, before(t, "0023")); err != nil {
		t.Fatal(err)
	}
	_, err := pool.Exec(t.Context(), `
		INSERT INTO environments (key, created_at) VALUES ('production', '2026-01-01Z');
		INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at)
			SELECT 1, '$users', 'u' || n, '2026-01-01Z', '2026-01-01Z' FROM generate_series(1, 3) n;
		INSERT INTO preference_sets VALUES (1, 'default', 1, '{"a": "\u00e9é"}', '2026-01-01Z'), (1, 'acme', 1, '{}', '2026-01-01Z'), (2, 'default', 1, '{}', '2026-01-01Z')`)
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	rows, _ := pool.Query(t.Context(), `SELECT coalesce(length(set_digests), -1) FROM recipients ORDER BY id`)
	got, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(got) != 3 || got[0] != 2*24 || got[1] != 24 || got[2] != -1 {
		t.Fatalf("bytes of digests = %v, %v; want those of two sets, of one, and none", got, err)
	}
	var same bool
	err = pool.QueryRow(t.Context(), `SELECT set_digests = substring(sha256('acme') FOR 8) || substring(sha256('{}') FOR 16)
		|| substring(sha256('default') FOR 8) || substring(sha256(convert_to('{"a": "\u00e9é"}', 'UTF8')) FOR 16) FROM recipients WHERE id = 1`).Scan(&same)
	if err != nil || !same {
		t.Errorf("they are those of the names and texts: %v, %v", same, err)
	}
}
