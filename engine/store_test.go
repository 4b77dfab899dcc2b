package engine

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestStatementsPrepare(t *testing.T) {
	t.Parallel()
	pgtest.Prepare(t, statements)
}

// A backlog must not make claiming slower, nor must a history of triggers or a million runs that wait for tomorrow: not
// even if plans are made at a time when every trigger is waiting.
func TestClaimsReadTheQueueFromItsHead(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	backlog := 100_000
	if os.Getenv("BELFRY_TEST_DEEP") != "" {
		backlog = 1_000_000
	}
	for _, sql := range []string{
		`INSERT INTO triggers (id, environment_id, workflow_id, version_id, data, recipients, recipient_ids, accepted_at)
			SELECT lpad(to_hex(i), 32, '0')::uuid, 1, 1, 1, '{}', 1, '{1}', 'epoch' FROM generate_series(1, $1::int) i`,
		`INSERT INTO fan_outs (environment_id, lane, trigger_id) SELECT 1, i % 3, lpad(to_hex(i), 32, '0')::uuid FROM generate_series(1, $1::int) i`,
		`INSERT INTO runs (recipient_id, trigger_id, environment_id, version_id, status, log, state, due_at, waiting_for)
			SELECT i, lpad(to_hex(i), 32, '0')::uuid, 1, 1, 'waiting', '[]', '{}', timestamptz '2030-01-01' + i * interval '1 s', 'delay' FROM generate_series(1, $1::int) i`,
		`INSERT INTO batches (recipient_id, opener_id, step_ref, environment_id, workflow_id, version_id, key, opened_at, close_at, open, length)
			SELECT i, lpad(to_hex(i), 32, '0')::uuid, 'b', 1, 1, 0, '', 'epoch', timestamptz '2030-01-01' + i * interval '1 s', true, 1 FROM generate_series(1, $1::int) i`,
		`INSERT INTO signals (environment_id, recipient_id, trigger_id, at, payload)
			SELECT 1, i, lpad(to_hex(i), 32, '0')::uuid, 'epoch', '{}' FROM generate_series(1, $1::int) i`,
	} {
		if _, err := conn.Exec(t.Context(), sql, backlog); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), `ANALYZE triggers, fan_outs, runs, batches, signals`); err != nil {
		t.Fatal(err)
	}
	const none = "'{00000000-0000-0000-0000-000000000000}'"
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		for name, c := range map[string]struct{ args, index string }{
			"claimFanOuts":    {"('{1}', " + none + ", " + none + ", " + none + ", 500, 2, 500)", "fan_outs_pkey"},
			"claimDueRuns":    {"('{1}', '{2020-01-01}', '2026-01-01', 250, 250)", "runs_due"},
			"claimDueBatches": {"('{1}', '{2020-01-01}', '2026-01-01', 250, 250)", "batches_due"},
			"claimSignals":    {"('{1}', '{0}', 250, 250)", "signals_pkey"},
			"lockRuns":        {"('{1}', " + none + ")", "runs_pkey"},
			"selectSignalled": {"('{1}', " + none + ")", "signals_of_run"},
		} {
			plan := explain(t, conn.Conn(), mode, name, c.args)
			if !strings.Contains(plan, c.index) {
				t.Errorf("%s, %s: no %s in\n%s", name, mode, c.index, plan)
			}
			for _, table := range []string{"triggers", "fan_outs", "runs", "batches", "signals"} {
				if strings.Contains(plan, "Seq Scan on "+table) {
					t.Errorf("%s, %s: reads all of %s in\n%s", name, mode, table, plan)
				}
			}
		}
	}
}

// A connection keeps the plan that it made for a statement, and the first ones are made while tables are new and look
// small. They must go by keys even so: otherwise each batch reads whole tables until they are analysed.
func TestPlansMadeOnNewTablesGoByKeys(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for name := range statements {
		if name == "deleteClosedThrottles" || name == "selectFloors" { // once an hour; a sequence, which is one row
			continue
		}
		parameters, args := len(parametersOf(statements[name])), ""
		if parameters > 0 {
			args = "(NULL" + strings.Repeat(", NULL", parameters-1) + ")"
		}
		plan := explain(t, conn.Conn(), "force_generic_plan", name, args)
		if name == "selectSignalled" && !strings.Contains(plan, "signals_of_run") {
			t.Errorf("%s doesn't look run by run:\n%s", name, plan)
		}
		if strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s reads a table from end to end:\n%s", name, plan)
		}
	}
}

// parametersOf lists the parameters of a statement.
func parametersOf(sql string) []string {
	found := regexp.MustCompile(`\$\d+`).FindAllString(sql, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

func explain(t *testing.T, conn *pgx.Conn, mode, name, args string) string {
	t.Helper()
	for _, sql := range []string{"SET plan_cache_mode = " + mode, "DEALLOCATE ALL", "PREPARE " + name + " AS " + statements[name]} {
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	results, err := conn.PgConn().Exec(t.Context(), "EXPLAIN EXECUTE "+name+args).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for _, row := range results[0].Rows {
		plan.Write(row[0])
		plan.WriteByte('\n')
	}
	return plan.String()
}
