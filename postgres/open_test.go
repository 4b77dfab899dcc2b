package postgres_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestOpenSetsUpEverySession(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Config{URL: pgtest.EmptyURL(t) + "&TimeZone=Asia/Tokyo", MaxConns: 3, ApplicationName: "belfry api"})

	for setting, want := range map[string]string{
		"timezone":                            "UTC",
		"jit":                                 "off",
		"enable_seqscan":                      "off",
		"enable_hashjoin":                     "off",
		"enable_mergejoin":                    "off",
		"statement_timeout":                   "30s",
		"idle_in_transaction_session_timeout": "1min",
		"application_name":                    "belfry api",
	} {
		var got string
		if err := pool.QueryRow(t.Context(), `select current_setting($1)`, setting).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if got := pool.Config().MaxConns; got != 3 {
		t.Errorf("MaxConns = %d, want 3", got)
	}
}

func TestOpenLetsTheURLDecide(t *testing.T) {
	t.Parallel()
	pool := open(t, postgres.Config{URL: pgtest.EmptyURL(t) + "&statement_timeout=1234&pool_max_conns=2"})

	var got string
	if err := pool.QueryRow(t.Context(), `select current_setting('statement_timeout')`).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if got != "1234ms" {
		t.Errorf("statement_timeout = %q, want the URL's 1234ms", got)
	}
	if got := pool.Config().MaxConns; got != 2 {
		t.Errorf("MaxConns = %d, want the URL's 2", got)
	}
}

func TestOpenExplainsWhatIsWrongWithoutThePassword(t *testing.T) {
	t.Parallel()
	nobodyListens := freePort(t)
	for name, c := range map[string]struct{ url, says string }{
		"not set":           {"", "BELFRY_DATABASE_URL is not set"},
		"not a URL":         {"mysql://belfry:hunter2@localhost/belfry", "not a PostgreSQL URL"},
		"bad port":          {"postgres://belfry:hunter2@localhost:port/belfry", "not a PostgreSQL URL"},
		"unescaped percent": {"postgres://belfry:hunter2%zz@localhost/belfry", "not a PostgreSQL URL"},
		"unescaped slash":   {"postgres://belfry:hunter2/x@localhost/belfry", "not a PostgreSQL URL"},
		"bad keyword":       {"host=localhost password=hunter2 port=x", "not a PostgreSQL URL"},
		"nobody there":      {"postgres://belfry:hunter2@" + nobodyListens + "/belfry", nobodyListens},
		"no such database":  {strings.Replace(pgtest.EmptyURL(t), "/test_", "/nowhere_", 1), "create the database first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			pool, err := postgres.Open(ctx, postgres.Config{URL: c.url})
			if err == nil {
				pool.Close()
				t.Fatal("Open succeeded")
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "BELFRY_DATABASE_URL") {
				t.Errorf("error = %q, want it to name BELFRY_DATABASE_URL and say %q", err, c.says)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q tells the password", err)
			}
		})
	}
}

// freePort returns an address on which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
