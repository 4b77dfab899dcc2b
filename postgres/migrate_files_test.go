package postgres_test

import (
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
