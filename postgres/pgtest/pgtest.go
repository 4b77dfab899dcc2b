package pgtest

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry/postgres"
)

const (
	// MaxConns is the size of the pools that New returns.
	MaxConns = 8

	template      = "belfry_template"
	patience      = time.Minute     // for the server to start, for the schema to be made
	closePatience = 5 * time.Second // for a test's last connections to come back
)

// server is this process's only one.
var server struct {
	inMain atomic.Bool
	start  sync.Once
	err    error
	*postgres.Private
	admin *pgxpool.Pool // on the maintenance database
	count atomic.Int64
}

// Main runs a package's tests and stops the server after them, then exits.
func Main(m *testing.M) {
	server.inMain.Store(true)
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// New makes a database with Belfry's schema and returns a pool on it, both of
// which end with the test. To connect by other means (a second node, a
// subprocess) use pool.Config().ConnString().
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.Config{
		URL:             URL(t),
		MaxConns:        MaxConns,
		ApplicationName: "test",
	})
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { Close(t, pool) })
	return pool
}

// URL makes a database with Belfry's schema and returns its address. Every call
// makes another one.
func URL(t testing.TB) string {
	t.Helper()
	return create(t, template)
}

// EmptyURL makes a database without any schema and returns its address.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return create(t, "template1")
}

// Prepare has the server parse and plan every statement, by name, against
// Belfry's schema. It catches a misspelt column in a query that no other test
// reaches.
func Prepare(t *testing.T, statements map[string]string) {
	t.Helper()
	conn, err := New(t).Acquire(t.Context())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer conn.Release()
	for _, name := range slices.Sorted(maps.Keys(statements)) {
		if _, err := conn.Conn().Prepare(t.Context(), name, statements[name]); err != nil {
			t.Errorf("statement %s: %v\n%s", name, err, statements[name])
		}
	}
}

// create copies a database and has it dropped when the test has passed.
func create(t testing.TB, from string) (databaseURL string) {
	t.Helper()
	if !server.inMain.Load() {
		t.Fatal("pgtest: add to this package's tests: func TestMain(m *testing.M) { pgtest.Main(m) }")
	}
	if server.start.Do(func() { server.err = start() }); server.err != nil {
		t.Fatalf("pgtest: %v", server.err)
	}
	name := fmt.Sprintf("test_%d", server.count.Add(1))
	if err := exec(t.Context(), "create database %s template %s", name, from); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	databaseURL = onServer(name)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("pgtest: the database is kept while this process lives: %s", databaseURL)
			return
		}
		// Force: a subprocess of the test may still be connected.
		if err := exec(context.Background(), "drop database %s with (force)", name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return databaseURL
}

// start brings the server up and fills the template.
func start() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if server.Private, err = postgres.StartPrivate(ctx, postgres.PrivateConfig{}); err != nil {
		return err
	}
	server.admin, err = postgres.Open(ctx, postgres.Config{URL: server.URL(), ApplicationName: "pgtest"})
	if err != nil {
		return err
	}
	if err := exec(ctx, "create database %s", template); err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: onServer(template)})
	if err != nil {
		return err
	}
	defer pool.Close() // a template with a session on it cannot be copied
	return postgres.Migrate(ctx, pool)
}

func stop() error {
	if server.Private == nil {
		return nil
	}
	if server.admin != nil {
		server.admin.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return server.Stop(ctx)
}

// exec runs a statement whose %s are database names.
func exec(ctx context.Context, statement string, names ...any) error {
	for i, name := range names {
		names[i] = pgx.Identifier{name.(string)}.Sanitize()
	}
	statement = fmt.Sprintf(statement, names...)
	if _, err := server.admin.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// onServer is the address of a database on our server.
func onServer(database string) string {
	u, err := url.Parse(server.URL())
	if err != nil {
		panic(err) // we made it
	}
	u.Path = "/" + database
	q := u.Query()
	q.Set("connect_timeout", fmt.Sprint(int(patience.Seconds()))) // a machine that tests everything at once may take its time
	u.RawQuery = q.Encode()
	return u.String()
}

// Close closes a pool, and names the leak that would otherwise hang the test for ever. Use it for pools that a test opens
// itself: a connection that a failing test holds never comes back, and pool.Close would wait for it instead of letting the
// failure be told.
func Close(t testing.TB, pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closePatience):
		t.Errorf("pgtest: %d connections were never given back to the pool: "+
			"a Rows not closed, a transaction not ended, or a goroutine that outlives the test",
			pool.Stat().AcquiredConns())
	}
}
