package pgtest_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestEachTestHasItsOwnMigratedDatabase(t *testing.T) {
	t.Parallel()
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			if n, err := postgres.MigrationsPending(t.Context(), pool); n != 0 || err != nil {
				t.Errorf("pending migrations = %d, %v; want none", n, err)
			}
			// Would fail on the second of two tests that share a database.
			if _, err := pool.Exec(t.Context(), `create table mine (id int)`); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDatabaseIsDroppedAfterAPassedTest(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("passes", func(t *testing.T) { url = pgtest.URL(t) })

	_, err := pgx.Connect(t.Context(), url)
	if err == nil {
		t.Fatalf("%s still exists", url)
	}
}

func TestEmptyDatabaseHasNoSchema(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: pgtest.EmptyURL(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if n, err := postgres.MigrationsPending(t.Context(), pool); n == 0 || err != nil {
		t.Errorf("pending migrations = %d, %v; want all of them", n, err)
	}
}

func TestPrepareAcceptsStatementsOnTheSchema(t *testing.T) {
	t.Parallel()
	pgtest.Prepare(t, map[string]string{
		"version": `select version_id from goose_db_version where is_applied and version_id > $1`,
	})
}
