package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// MinMajor is the oldest major version of PostgreSQL that Belfry runs on.
const MinMajor = 15

const (
	// DefaultMaxConns is the pool's size when neither Config nor the URL
	// (pool_max_conns) sets one.
	DefaultMaxConns = 10

	statementTimeout         = 30 * time.Second
	idleInTransactionTimeout = time.Minute
	connectTimeout           = 5 * time.Second
	pingTimeout              = 3 * time.Second
	connLifetime             = time.Hour
	connLifetimeJitter       = 10 * time.Minute
)

// Config says how to connect.
type Config struct {
	// URL is a postgres:// URL or a libpq keyword string. Session settings
	// given there (statement_timeout and so on) win over Belfry's defaults,
	// except TimeZone, which is always UTC.
	URL string
	// MaxConns bounds the pool; 0 means what the URL says, else DefaultMaxConns.
	MaxConns int32
	// ApplicationName is shown in pg_stat_activity; "" means "belfry".
	ApplicationName string
}

// Open connects to PostgreSQL and proves it with one round trip. Its errors
// name BELFRY_DATABASE_URL, the host and the database, never the password.
func Open(ctx context.Context, cfg Config) (*pgxpool.Pool, error) {
	pc, err := poolConfig(cfg)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("BELFRY_DATABASE_URL: %w", err)
	}
	if err := check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

func poolConfig(cfg Config) (*pgxpool.Config, error) {
	if strings.TrimSpace(cfg.URL) == "" {
		return nil, errors.New("BELFRY_DATABASE_URL is not set: give a URL such as " +
			"postgres://user:password@localhost:5432/belfry, or run `belfry dev`, which brings its own PostgreSQL")
	}
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("BELFRY_DATABASE_URL is not a PostgreSQL URL "+
			"(postgres://user:password@host:5432/database; percent-encode special characters in the password): %w", err)
	}
	switch {
	case cfg.MaxConns > 0:
		pc.MaxConns = cfg.MaxConns
	case !strings.Contains(cfg.URL, "pool_max_conns"):
		pc.MaxConns = DefaultMaxConns
	}
	pc.MinIdleConns = min(pc.MinIdleConns, pc.MaxConns)
	pc.MaxConnLifetime = connLifetime
	// Without jitter every connection of a node is replaced in the same second.
	pc.MaxConnLifetimeJitter = connLifetimeJitter
	pc.PingTimeout = pingTimeout
	pc.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		registerArrays(conn.TypeMap())
		return nil
	}
	if !strings.Contains(cfg.URL, "connect_timeout") {
		pc.ConnConfig.ConnectTimeout = connectTimeout
	}

	params := pc.ConnConfig.RuntimeParams
	// Statements find their rows by key, but for what is run once an hour. A plan that was made while a table was new says
	// otherwise, and is kept until the table is analysed, a minute and many thousand rows later.
	for _, way := range tableWide {
		setDefault(params, way, "off")
	}
	// Compiling a statement takes longer than any of ours runs, but estimates for arrays make PostgreSQL think otherwise.
	setDefault(params, "jit", "off")
	setDefault(params, "statement_timeout", milliseconds(statementTimeout))
	setDefault(params, "idle_in_transaction_session_timeout", milliseconds(idleInTransactionTimeout))
	setDefault(params, "application_name", "belfry")
	if cfg.ApplicationName != "" {
		params["application_name"] = cfg.ApplicationName
	}
	for name := range params {
		if strings.EqualFold(name, "timezone") {
			delete(params, name)
		}
	}
	params["TimeZone"] = "UTC"
	return pc, nil
}

// check proves that the server answers and is new enough.
func check(ctx context.Context, pool *pgxpool.Pool) error {
	to := pool.Config().ConnConfig
	conn, err := pool.Acquire(ctx)
	if err == nil {
		defer conn.Release()
		err = conn.Ping(ctx)
	}
	if err != nil {
		return fmt.Errorf("cannot reach PostgreSQL at %s, database %q, user %q (BELFRY_DATABASE_URL)%s: %w",
			net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), to.Database, to.User, advice(err), err)
	}
	version := conn.Conn().PgConn().ParameterStatus("server_version")
	if major, ok := leadingInt(version); ok && major < MinMajor {
		return fmt.Errorf("PostgreSQL at %s (BELFRY_DATABASE_URL) is version %s: Belfry needs %d or newer",
			to.Host, version, MinMajor)
	}
	return nil
}

// advice turns the usual first-day failures into what to do about them.
func advice(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ": is the server running, and is the host right?"
	}
	switch pg.Code {
	case "3D000":
		return ": create the database first (createdb)"
	case "28P01", "28000":
		return ": check the user and the password"
	case "53300":
		return ": the server has no free connection; lower the pools of the nodes or raise max_connections"
	}
	return ""
}

func setDefault(params map[string]string, name, value string) {
	for have := range params {
		if strings.EqualFold(have, name) {
			return
		}
	}
	params[name] = value
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// leadingInt reads the digits at the start of s: "15.18 (Debian)" is 15.
func leadingInt(s string) (int, bool) {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	return n, err == nil
}

// tableWide are the ways of reading that look at a table from end to end. Migrations may.
var tableWide = []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin"}
