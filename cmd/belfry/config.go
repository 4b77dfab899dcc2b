package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// commands is the command line. Every flag can be given as an environment variable too.
type commands struct {
	Serve        serveCommand        `cmd:"" help:"Run a production node. Stateless: run as many as you like on one database."`
	Dev          devCommand          `cmd:"" help:"Try Belfry: a private PostgreSQL, a demo environment and a demo page. Nothing to set up."`
	Migrate      migrateCommand      `cmd:"" help:"Bring the database's schema up to date. Serve does it too, when it starts."`
	Environments environmentsCommand `cmd:"" help:"Create and list environments."`
	Keys         keysCommand         `cmd:"" help:"Create, list and revoke API keys."`
	SigningKeys  signingKeysCommand  `cmd:"" help:"Create, import, list and revoke the keys that verify user tokens."`
	LinkSecrets  linkSecretsCommand  `cmd:"" help:"Replace and revoke what links in messages are signed with."`
	Segment      segmentCommand      `cmd:"" help:"Send an environment's engagement events to Segment."`
	Version      versionCommand      `cmd:"" help:"Print the version."`
}

// database is the setting that all commands but dev need.
type database struct {
	DatabaseURL string `name:"database-url" env:"BELFRY_DATABASE_URL" placeholder:"URL" help:"PostgreSQL 15 or newer: postgres://user:password@host:5432/belfry ($$BELFRY_DATABASE_URL)."`
}

// Validate is called by kong.
func (d *database) Validate() error {
	if d.DatabaseURL == "" {
		return fmt.Errorf("BELFRY_DATABASE_URL is not set (or --database-url): say which PostgreSQL to use, such as postgres://user:password@localhost:5432/belfry; to try Belfry without one, run belfry dev")
	}
	// With a second @, the rest of the password would be taken for a part of the host, and shown in errors.
	if _, rest, ok := strings.Cut(d.DatabaseURL, "://"); ok {
		if authority, _, _ := strings.Cut(rest, "/"); strings.Count(authority, "@") > 1 {
			return fmt.Errorf("BELFRY_DATABASE_URL (or --database-url) has an @ in its user or password: write it as %%40")
		}
	}
	return nil
}

// node is how a node behaves, in production and in development.
type node struct {
	PublicURL      string         `name:"public-url" env:"BELFRY_PUBLIC_URL" placeholder:"URL" help:"Where people reach this server, such as https://notify.example.com: links in messages lead there ($$BELFRY_PUBLIC_URL)."`
	Listen         string         `env:"BELFRY_LISTEN" default:"${listen}" placeholder:"HOST:PORT" help:"Where to serve HTTP ($$BELFRY_LISTEN)."`
	AllowedOrigins []string       `env:"BELFRY_ALLOWED_ORIGINS" placeholder:"ORIGIN" help:"Origins whose pages may call, such as https://app.example.com, separated by commas; * for all ($$BELFRY_ALLOWED_ORIGINS). Empty: the server's own only."`
	DatabaseConns  int32          `env:"BELFRY_DATABASE_CONNS" default:"20" help:"Connections to PostgreSQL at most ($$BELFRY_DATABASE_CONNS)."`
	Workers        int            `env:"BELFRY_WORKERS" default:"4" help:"Batches of workflow runs at a time ($$BELFRY_WORKERS)."`
	BatchSize      int            `env:"BELFRY_BATCH_SIZE" default:"500" help:"Workflow runs in one transaction ($$BELFRY_BATCH_SIZE)."`
	FetchNetworks  []netip.Prefix `env:"BELFRY_FETCH_NETWORKS" placeholder:"CIDR" help:"Private networks that workflows may make requests to, such as 10.1.0.0/16, separated by commas ($$BELFRY_FETCH_NETWORKS). Empty: public addresses only."`
	ReadyLag       time.Duration  `env:"BELFRY_READY_LAG" default:"1m" help:"/readyz fails while any work of workflows (a trigger, a run, a batch) has been due for longer ($$BELFRY_READY_LAG)."`
	ShutdownGrace  time.Duration  `env:"BELFRY_SHUTDOWN_GRACE" default:"15s" help:"How long requests under way may take when the node stops ($$BELFRY_SHUTDOWN_GRACE)."`
	LogLevel       slog.Level     `env:"BELFRY_LOG_LEVEL" default:"info" help:"debug, info, warn or error ($$BELFRY_LOG_LEVEL)."`
}

// Validate is called by kong.
func (n *node) Validate() error {
	if _, port, err := net.SplitHostPort(n.Listen); err != nil || port == "" {
		return fmt.Errorf("BELFRY_LISTEN (or --listen) is %q: give HOST:PORT, such as :8080", n.Listen)
	}
	for _, o := range n.AllowedOrigins {
		// As browsers send it: with a path or a slash at its end it would never match.
		u, err := url.Parse(o)
		if o != "*" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || o != u.Scheme+"://"+u.Host) {
			return fmt.Errorf("BELFRY_ALLOWED_ORIGINS (or --allowed-origins) has %q: give origins such as https://app.example.com, or *", o)
		}
	}
	if err := validPublicURL(n.PublicURL); err != nil {
		return err
	}
	for _, limit := range []struct {
		name       string
		value      int
		least, max int
	}{
		{"BELFRY_WORKERS", n.Workers, 1, 64},
		{"BELFRY_DATABASE_CONNS", int(n.DatabaseConns), n.Workers + 2, 10_000},
		{"BELFRY_BATCH_SIZE", n.BatchSize, 1, 5000},
	} {
		if limit.value < limit.least || limit.value > limit.max {
			return fmt.Errorf("%s is %d: give %d to %d", limit.name, limit.value, limit.least, limit.max)
		}
	}
	if n.ReadyLag <= 0 || n.ShutdownGrace <= 0 {
		return fmt.Errorf("BELFRY_READY_LAG and BELFRY_SHUTDOWN_GRACE must be positive durations, such as 30s")
	}
	return nil
}

// maxPublicURL keeps headers with links in one line.
const maxPublicURL = 200

// validPublicURL insists on https, because links are as good as a password for what they do, and because without it no mail program
// offers one click. A machine's own address is for trying things out.
func validPublicURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	local := err == nil && (u.Hostname() == "localhost" || isLoopback(u.Hostname()))
	if err != nil || len(s) > maxPublicURL || u.Scheme != "https" && !(u.Scheme == "http" && local) || u.Host == "" || u.User != nil ||
		s != u.Scheme+"://"+u.Host+u.EscapedPath() || strings.HasSuffix(s, "/") || strings.ContainsAny(s, "<>\"' ,") {
		return fmt.Errorf("BELFRY_PUBLIC_URL (or --public-url) is %.250q: give https://, a host and perhaps a path, with no slash at the end, such as https://notify.example.com", s)
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// serveCommand runs a production node.
type serveCommand struct {
	database
	node
	RedisURL      string `name:"redis-url" env:"BELFRY_REDIS_URL" placeholder:"URL" help:"Redis, so that several nodes ring each other's bells: redis://host:6379, for a cluster some of its nodes: redis://host:6379?addr=other:6379 ($$BELFRY_REDIS_URL). Empty: this node is the only one."`
	Introspection bool   `env:"BELFRY_INTROSPECTION" help:"Let clients ask for the GraphQL schema ($$BELFRY_INTROSPECTION)."`
}

// Validate is called by kong. It is spelled out because two embedded Validate methods cancel each other.
func (c *serveCommand) Validate() error {
	if err := c.database.Validate(); err != nil {
		return err
	}
	return c.node.Validate()
}

// devCommand runs everything that is needed to try Belfry.
type devCommand struct {
	node
	Data string `env:"BELFRY_DEV_DATA" default:".belfry" placeholder:"FOLDER" help:"Where the private PostgreSQL keeps its data between runs ($$BELFRY_DEV_DATA)."`
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(out io.Writer) error {
	_, err := fmt.Fprintln(out, "belfry", version())
	return err
}

// version is what the Go toolchain knows of this build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// newLogger writes structured logs to standard error: JSON in production, text for people.
func newLogger(level slog.Level, people bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if people {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}
