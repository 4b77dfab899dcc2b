package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry/postgres"
)

const (
	// connections is the size of the pool that each side gets.
	connections = 32

	stopTimeout  = 30 * time.Second // for a server to stop
	quietTimeout = 15 * time.Second // for closed connections to be gone
)

// serverSettings differ from PostgreSQL's defaults so that the working set fits and no checkpoint comes in the middle.
var serverSettings = map[string]string{"shared_buffers": "512MB", "max_wal_size": "4GB"}

// shownSettings are what decides about durability and speed.
var shownSettings = []string{"server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level",
	"shared_buffers", "max_wal_size", "autovacuum", "jit"}

// server is the one PostgreSQL on which everything is measured.
type server struct {
	*postgres.Private
	admin *pgxpool.Pool
}

// startServer starts a private PostgreSQL. One that isn't durable is for tests.
func startServer(ctx context.Context, durable bool) (*server, error) {
	private, err := postgres.StartPrivate(ctx, postgres.PrivateConfig{Durable: durable, Settings: serverSettings})
	if err != nil {
		return nil, err
	}
	s := &server{Private: private}
	if s.admin, err = postgres.Open(ctx, postgres.Config{URL: private.URL(), MaxConns: 2}); err != nil {
		return nil, fmt.Errorf("%w (stopping it: %v)", err, s.stop())
	}
	return s, nil
}

// stop ends the server and removes its data, also when everybody else has given up.
func (s *server) stop() error {
	if s.admin != nil {
		s.admin.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return s.Stop(ctx)
}

// create makes an empty database and returns its address.
func (s *server) create(ctx context.Context, name string) (string, error) {
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", fmt.Errorf("create the database %s: %w", name, err)
	}
	u, err := url.Parse(s.URL())
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// settings describes the server in one line.
func (s *server) settings(ctx context.Context) (string, error) {
	var out []string
	for _, name := range shownSettings {
		var value string
		if err := s.admin.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return "", err
		}
		if name == "server_version" {
			name, value, _ = strings.Cut("PostgreSQL "+value, " ")
			value, _, _ = strings.Cut(value, " ")
			out = append(out, name+" "+value)
			continue
		}
		out = append(out, name+"="+value)
	}
	return strings.Join(out, ", "), nil
}

// wal is how many bytes of write-ahead log the server has written so far.
func (s *server) wal(ctx context.Context) (written int64, err error) {
	err = s.admin.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint").Scan(&written)
	return written, err
}

// tuples counts rows written to the tables of a database.
type tuples struct{ inserted, updated, deleted int64 }

func (t tuples) minus(o tuples) tuples {
	return tuples{t.inserted - o.inserted, t.updated - o.updated, t.deleted - o.deleted}
}

const selectTuples = `SELECT coalesce(sum(n_tup_ins), 0)::bigint, coalesce(sum(n_tup_upd), 0)::bigint, coalesce(sum(n_tup_del), 0)::bigint
  FROM pg_stat_user_tables`

const selectClients = `SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`

// settle waits until nobody is connected to a database, tidies up and writes everything out, so that no side pays for what
// was before, and returns what was written so far.
func (s *server) settle(ctx context.Context, database string) (t tuples, err error) {
	err = alone(ctx, database, func(conn *pgx.Conn) error {
		if err := conn.QueryRow(ctx, selectTuples).Scan(&t.inserted, &t.updated, &t.deleted); err != nil {
			return err
		}
		for _, statement := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	return t, err
}

// written returns what was written to a database so far, once nobody is connected to it.
func (s *server) written(ctx context.Context, database string) (t tuples, err error) {
	err = alone(ctx, database, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, selectTuples).Scan(&t.inserted, &t.updated, &t.deleted)
	})
	return t, err
}

// alone connects to a database and waits until nobody else is: sessions report their statistics when they end.
func alone(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	deadline := time.Now().Add(quietTimeout)
	for {
		var clients int
		if err := conn.QueryRow(ctx, selectClients).Scan(&clients); err != nil {
			return err
		}
		if clients == 0 {
			return do(conn)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d connections to %s were not closed within %s", clients, database, quietTimeout)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
