package postgres_test

import (
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestMigrateWhenManyNodesStartAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.EmptyURL(t)
	pool := open(t, postgres.Config{URL: url})
	all, err := postgres.MigrationsPending(t.Context(), pool)
	if err != nil || all == 0 {
		t.Fatalf("pending on an empty database = %d, %v; want every migration", all, err)
	}

	var nodes errgroup.Group
	for range 4 {
		node := open(t, postgres.Config{URL: url, MaxConns: 1})
		nodes.Go(func() error { return postgres.Migrate(t.Context(), node) })
	}
	if err := nodes.Wait(); err != nil {
		t.Fatal(err)
	}

	if n, err := postgres.MigrationsPending(t.Context(), pool); n != 0 || err != nil {
		t.Errorf("pending afterwards = %d, %v; want 0", n, err)
	}
	var applied int
	err = pool.QueryRow(t.Context(), `select count(*) from goose_db_version where version_id > 0`).Scan(&applied)
	if err != nil || applied != all {
		t.Errorf("migrations applied = %d, %v; want each of %d once", applied, err, all)
	}
	var locks int
	err = pool.QueryRow(t.Context(), `select count(*) from pg_locks where locktype = 'advisory'
		and database = (select oid from pg_database where datname = current_database())`).Scan(&locks)
	if err != nil || locks != 0 {
		t.Errorf("advisory locks left = %d, %v", locks, err)
	}
}

func TestMigrateLeavesANewerSchemaAlone(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(), `insert into goose_db_version (version_id, is_applied) values (999999, true)`)
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), pool); err != nil {
		t.Error(err)
	}
}
