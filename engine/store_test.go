package engine

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestStatementsPrepare(t *testing.T) {
	t.Parallel()
	pgtest.Prepare(t, statements)
}

// A backlog must not make claiming slower, nor must a history of triggers: not even if plans are made at a time when every
// trigger is waiting.
func TestClaimsReadTheQueueFromItsHead(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	const backlog = 100_000
	for _, sql := range []string{
		`INSERT INTO triggers (id, environment_id, version_id, data, recipients, accepted_at)
			SELECT lpad(to_hex(i), 32, '0')::uuid, 1, 1, '{}', 1, 'epoch' FROM generate_series(1, $1::int) i`,
		`INSERT INTO fan_outs (trigger_id, n, environment_id, recipient_ids)
			SELECT lpad(to_hex(i), 32, '0')::uuid, 0, 1, '{1}' FROM generate_series(1, $1::int) i`,
	} {
		if _, err := conn.Exec(t.Context(), sql, backlog); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), `ANALYZE triggers, fan_outs`); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		for name, args := range map[string]string{"claimFanOuts": "(500, 500)", "selectOldestFanOut": ""} {
			plan := explain(t, conn.Conn(), mode, name, args)
			for _, want := range []string{"fan_outs_pkey", "triggers_pkey", "Nested Loop"} {
				if !strings.Contains(plan, want) {
					t.Errorf("%s, %s: no %s in\n%s", name, mode, want, plan)
				}
			}
			for _, bad := range []string{"Seq Scan", "Sort", "Hash", "Merge"} {
				if strings.Contains(plan, bad) {
					t.Errorf("%s, %s: %s in\n%s", name, mode, bad, plan)
				}
			}
		}
	}
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
