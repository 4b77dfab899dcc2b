package test

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// installation is a node with an environment, a user and a workflow.
type installation struct {
	*node
	pool    *pgxpool.Pool
	env     *environment
	backend caller
}

func install(t *testing.T, more ...settings) *installation {
	t.Helper()
	pool := pgtest.New(t)
	db := pool.Config().ConnString()
	i := &installation{node: serve(t, db, more...), pool: pool, env: newEnvironment(t, db, "production")}
	i.backend = i.env.backend(i.node)
	identify(t, i.backend, "ana")
	storeWorkflow(t, i.backend, simpleWorkflow("note"))
	return i
}

// block runs a statement in a transaction of our own, whose locks the node then waits for. end ends it.
func (i *installation) block(t *testing.T, statement string) (end func()) {
	t.Helper()
	tx, err := i.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end = func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }
	t.Cleanup(end)
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	return end
}

// blocked waits until the node waits for one of our locks.
func (i *installation) blocked(t *testing.T) {
	t.Helper()
	eventually(t, "a statement waits for a lock", func() bool {
		var waiting bool
		err := i.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'belfry' AND wait_event_type = 'Lock')`).Scan(&waiting)
		return err == nil && waiting
	})
}

func TestHealthAndMetrics(t *testing.T) {
	t.Parallel()
	i := install(t)
	device := i.env.user(t, i.node, "ana").connect(t).follow(t, "")
	device.expect(t, "FeedSynced")
	notify(t, i.backend, "note", "ana", "hello")
	device.expect(t, "FeedItemUpserted")

	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if status, body := get(t, i.url(path)); status != http.StatusOK || body != want {
			t.Errorf("GET %s = %d %q, want 200 %q", path, status, body, want)
		}
	}
	_, metrics := get(t, i.url("/metrics"))
	for _, want := range []string{
		"belfry_triggers_total 1", `belfry_runs_total{status="done"} 1`, `belfry_runs_total{status="failed"} 0`, "belfry_run_transactions_total ",
		"belfry_run_transaction_errors_total 0", "belfry_run_lag_seconds 0", "belfry_websocket_connections 1", "belfry_feed_subscriptions 1",
		"belfry_publications_total 1", "belfry_publication_failures_total 0", "belfry_bus_gaps_total 0", "belfry_database_connections ",
		"belfry_database_connections_in_use ", "go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(metrics, "\n"+want) {
			t.Errorf("/metrics lacks %q; it has\n%s", want, strings.Join(grep(metrics, "belfry_"), "\n"))
		}
	}
}

func grep(text, prefix string) (out []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// A node is not ready while what it accepted waits for too long, and healthy all the same: a restart would not help.
func TestNotReadyWhenItLagsBehind(t *testing.T) {
	t.Parallel()
	i := install(t, settings{"BELFRY_READY_LAG": "200ms"})
	end := i.block(t, `LOCK TABLE feeds IN ACCESS EXCLUSIVE MODE`)
	notify(t, i.backend, "note", "ana", "hello")
	ready := func() bool {
		status, body := get(t, i.url("/readyz"))
		if status != http.StatusOK && (status != http.StatusServiceUnavailable || !strings.Contains(body, "has been due")) {
			t.Fatalf("/readyz = %d %q", status, body)
		}
		return status == http.StatusOK
	}
	eventually(t, "the node isn't ready", func() bool { return !ready() })
	if status, _ := get(t, i.url("/healthz")); status != http.StatusOK {
		t.Errorf("/healthz = %d", status)
	}
	if _, metrics := get(t, i.url("/metrics")); strings.Contains(metrics, "\nbelfry_run_lag_seconds 0\n") {
		t.Errorf("/metrics shows no lag")
	}
	end()
	eventually(t, "the node is ready again", ready)
}

// SIGTERM: requests under way are answered, devices are told to come back, and nothing that was accepted is lost.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	i := install(t)
	socket := i.env.user(t, i.node, "ana").connect(t)
	socket.follow(t, "").expect(t, "FeedSynced")
	end := i.block(t, `SELECT FROM recipients FOR UPDATE`)
	answered := make(chan answer, 1)
	go func() {
		got, err := i.backend.try(context.WithoutCancel(t.Context()), identifyUser, vars{"input": vars{"id": "ana", "name": "Ana"}})
		if err != nil {
			got.raw = err.Error()
		}
		answered <- got
	}()
	i.blocked(t)
	i.signal(syscall.SIGTERM)
	eventually(t, "the node stops", func() bool { return i.logged("stopping") != nil })
	eventually(t, "it isn't ready", func() bool {
		response, err := client.Get(i.url("/readyz"))
		if err != nil {
			return true // no connection is taken any more
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusServiceUnavailable
	})
	end()
	if got := <-answered; len(got.Errors) > 0 || !strings.Contains(string(got.Data), `"name":"Ana"`) {
		t.Errorf("the request under way got %s", got.raw)
	}
	if code, reason := socket.closeCode(t); code != 1012 {
		t.Errorf("the socket was closed with %d %q, want 1012", code, reason)
	}
	if code := i.wait(); code != 0 {
		t.Errorf("the node ended with code %d", code)
	}
}

// A request that takes longer than the grace doesn't keep the node from ending.
func TestStopWithinGrace(t *testing.T) {
	t.Parallel()
	i := install(t, settings{"BELFRY_SHUTDOWN_GRACE": "300ms"})
	i.block(t, `SELECT FROM recipients FOR UPDATE`)
	go func() {
		_, _ = i.backend.try(context.WithoutCancel(t.Context()), identifyUser, vars{"input": vars{"id": "ana", "name": "Ana"}})
	}()
	i.blocked(t)
	i.signal(syscall.SIGTERM)
	if code := i.wait(); code != 0 {
		t.Errorf("the node ended with code %d", code)
	}
}

// Everybody knows the demo keys.
func TestDemoKeysAreRefusedInProduction(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	db := pool.Config().ConnString()
	run(t, db, "environments", "create", "demo")
	// As if this had been the database of belfry dev.
	if _, err := pool.Exec(t.Context(), `INSERT INTO api_keys (environment_id, kind, name, hint, hash, created_at)
		SELECT id, 'secret', 'demo', 'sk_demo_b', sha256('sk_demo_belfry'), created_at FROM environments`); err != nil {
		t.Fatal(err)
	}
	n := serve(t, db)
	got := caller{n.address, "sk_demo_belfry", ""}.call(t, `{ user(id: "ana") { id } }`, nil)
	if got.code() != "UNAUTHENTICATED" || !strings.Contains(got.raw, "belfry dev") {
		t.Errorf("a demo key got %s", got.raw)
	}
}
