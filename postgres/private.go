package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// DefaultPrivateConnections is how many connections a private server takes
	// when PrivateConfig does not say.
	DefaultPrivateConnections = 300

	startTimeout = time.Minute
	killTimeout  = 5 * time.Second

	privateUser     = "belfry"
	privateDatabase = "belfry"
)

// PrivateConfig describes a server for this process alone.
type PrivateConfig struct {
	// Dir keeps the data between runs; it is created when missing. "" means a
	// temporary folder that Stop removes.
	Dir string
	// Durable keeps fsync and friends on. Without it, a crash of the machine
	// loses the data; that is several times faster and right for tests.
	Durable bool
	// MaxConnections is the server's limit; 0 means DefaultPrivateConnections.
	MaxConnections int
	// Settings are further server settings (postgresql.conf names). They win
	// over the ones that Durable chooses.
	Settings map[string]string
	// Log receives the server's log; nil drops it. The last lines are in the
	// error when the server fails to start, in either case.
	Log io.Writer
}

// Private is a running PostgreSQL that only this machine's same user can reach:
// it listens on a Unix socket in a private folder and on no port.
type Private struct {
	home   *home
	server *process

	stopOnce sync.Once
	stopErr  error
}

// StartPrivate starts a server and returns once it takes connections. The first
// start in a folder creates the database, about half a second.
//
// As root, which PostgreSQL refuses, it runs as the owner of the existing data,
// else as user postgres, else nobody. A second server on the same Dir is
// refused; a server that a killed process left in Dir is stopped first.
func StartPrivate(ctx context.Context, cfg PrivateConfig) (_ *Private, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	h, err := openHome(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	p := &Private{home: h}
	defer func() {
		if err != nil {
			_ = p.Stop(ctx)
		}
	}()
	if err := h.settle(ctx); err != nil {
		return nil, err
	}
	if err := h.initialize(ctx, cfg.Durable); err != nil {
		return nil, err
	}
	p.server, err = spawn(h.command("postgres", stopSignal(h), serverArgs(h, cfg)...), cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := p.awaitReady(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// URL is the address of the server's database "belfry", for Open, psql or any
// other client of the same user (or root).
func (p *Private) URL() string { return p.url(privateDatabase) }

// Dir is the folder that holds the data. It differs from PrivateConfig.Dir when
// we are root and the server's user cannot enter that one.
func (p *Private) Dir() string { return p.home.dir }

// Done is closed when the server has ended, by Stop or by itself.
func (p *Private) Done() <-chan struct{} { return p.server.exited }

// Stop ends the server, and removes a temporary folder. A durable server shuts
// down cleanly for as long as ctx allows, then it is killed, which is safe: the
// next start recovers. Calling it again returns the first result.
func (p *Private) Stop(ctx context.Context) error {
	p.stopOnce.Do(func() {
		if p.server != nil {
			p.stopErr = p.server.stop(ctx, stopSignal(p.home))
		}
		p.stopErr = errors.Join(p.stopErr, p.home.close())
	})
	return p.stopErr
}

func (p *Private) url(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(privateUser),
		Path:     "/" + database,
		RawQuery: url.Values{"host": {p.home.socket}}.Encode(),
	}
	return u.String()
}

// awaitReady waits for the first connection and makes the database.
func (p *Private) awaitReady(ctx context.Context) error {
	var conn *pgx.Conn
	for conn == nil {
		var err error
		if conn, err = pgx.Connect(ctx, p.url("postgres")); err == nil {
			break
		}
		select {
		case <-p.server.exited:
			return fmt.Errorf("PostgreSQL in %s ended at its start: %w\n%s", p.home.data, p.server.err, p.server.tail)
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL in %s took no connection in time: %w\n%s", p.home.data, err, p.server.tail)
		case <-time.After(10 * time.Millisecond):
		}
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	err := conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, privateDatabase).Scan(&exists)
	if err == nil && !exists {
		_, err = conn.Exec(ctx, `create database `+pgx.Identifier{privateDatabase}.Sanitize())
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", privateDatabase, err)
	}
	return nil
}

func serverArgs(h *home, cfg PrivateConfig) []string {
	connections := cfg.MaxConnections
	if connections == 0 {
		connections = DefaultPrivateConnections
	}
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_permissions": "0700",
		"max_connections":         fmt.Sprint(connections),
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	if !cfg.Durable {
		for name, value := range map[string]string{
			"fsync":              "off",
			"synchronous_commit": "off",
			"full_page_writes":   "off",
			"wal_level":          "minimal",
			"max_wal_senders":    "0",
			"shared_buffers":     "64MB",
			// Plans and timings that do not change under a test's feet.
			"autovacuum": "off",
			"jit":        "off",
		} {
			settings[name] = value
		}
	}
	for name, value := range cfg.Settings {
		settings[name] = value
	}
	args := []string{"-D", h.data, "-k", h.socket}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}
