package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	// While one node migrates, the others look again every lockPollSeconds,
	// lockPolls times: five minutes for the longest migration.
	lockPollSeconds = 1
	lockPolls       = 300

	undefinedTable = "42P01"
)

// Migrate brings the schema to the newest version that this program knows. It
// is safe when many nodes start at once: one works, the others wait. A schema
// that is up to date costs one query and no lock. A schema from a newer
// program is left alone.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	return migrate(ctx, pool, files)
}

// MigrationsPending counts the migrations that this program has and the
// database lacks. It is one cheap query, fit for a readiness check.
func MigrationsPending(ctx context.Context, pool *pgxpool.Pool) (int, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return 0, err
	}
	return pending(ctx, pool, files)
}

func migrate(ctx context.Context, pool *pgxpool.Pool, files fs.FS) error {
	// goose creates its version table before it knows whether there is work,
	// and takes the lock for that; asking first keeps restarts quick.
	if n, err := pending(ctx, pool, files); err != nil || n == 0 {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPollSeconds, lockPolls))
	if err != nil {
		return err
	}
	// Connections of its own: a migration may take longer than the pool's
	// statement timeout, and must not be starved by a small pool.
	conn := pool.Config().ConnConfig.Copy()
	conn.RuntimeParams["statement_timeout"] = "0"
	for _, way := range tableWide {
		conn.RuntimeParams[way] = "on"
	}
	conn.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	db := stdlib.OpenDB(*conn)
	defer func() { _ = db.Close() }()

	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	_, err = provider.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return fmt.Errorf("migration %s failed and was rolled back; the ones before it are in place: %w",
			partial.Failed.Source.Path, partial.Err)
	}
	if err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

func pending(ctx context.Context, pool *pgxpool.Pool, files fs.FS) (int, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return 0, err
	}
	// Query's own error is in rows too, and CollectRows returns it.
	rows, _ := pool.Query(ctx, `select version_id from goose_db_version where is_applied`)
	versions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == undefinedTable {
		return len(names), nil
	}
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	applied := make(map[int64]bool, len(versions))
	for _, v := range versions {
		applied[v] = true
	}
	missing := 0
	for _, name := range names {
		v, err := goose.NumericComponent(path.Base(name))
		if err != nil {
			return 0, fmt.Errorf("migration %s: %w", name, err)
		}
		if !applied[v] {
			missing++
		}
	}
	return missing, nil
}
