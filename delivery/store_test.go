package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestStatementsPrepare(t *testing.T) {
	t.Parallel()
	pgtest.Prepare(t, statements)
}

// What waits for its time must not make claiming slower, nor must a history of messages: whatever the planner knew when
// it made its plan.
func TestClaimsReadTheQueueFromItsHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const backlog = 200_000
	w.exec(`INSERT INTO messages (recipient_id, id, environment_id, version_id, trigger_id, created_at, status_at, status, channel, channel_type, user_id, workflow, step_ref, categories, content)
		SELECT i % 5000, i, i % 7, 1, '00000000-0000-0000-0000-000000000001', $1, $1, 'queued', 'mail', 'email', 'u', 'w', 's', '{}', '{}' FROM generate_series(1, $2::int) i`, start, backlog)
	w.exec(`INSERT INTO deliveries (recipient_id, message_id, environment_id, due_at, in_app)
		SELECT i % 5000, i, i % 7, $1::timestamptz + i * interval '1 second', i % 2 = 0 FROM generate_series(1, $2::int) i`, start.AddDate(1, 0, 0), backlog)
	for range 5 {
		w.enqueue(message(3, belfry.Email, "due"))
	}
	w.exec(`ANALYZE messages, deliveries`)
	conn, err := w.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	now, until := start.Add(time.Minute).Format(time.RFC3339), start.Add(time.Hour).Format(time.RFC3339)
	then := start.AddDate(9, 0, 0).Format(time.RFC3339) // when all of it has become due
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		for _, row := range []struct {
			name, args string
			blocks     int
		}{
			{"claimDue", fmt.Sprintf("(false, '%s', 100, 3, '%s')", now, until), 200},
			{"claimDue", fmt.Sprintf("(false, '%s', 100, 3, '%s')", then, then), 2500}, // 100 messages
			{"selectOldestDue", fmt.Sprintf("(true, '%s')", now), 200},
			{"selectStatuses", `('{1,2}', '{mail,mail}', '{1,2}', 1)`, 20},
			{"selectMessages", `('{1,2}', '{mail,mail}', '{1,2}', 1)`, 20},
			{"selectAttempts", `('{1,2}', '{1,2}', 1)`, 20},
			{"lockDeliveries", `(3, 3, '{3,5003}', '2026-05-04')`, 30},
			{"moveMessages", `(3, 3, '{3,5003}', 4, 'u')`, 30},
			{"moveDeliveries", `(3, 3, '{3,5003}', 4)`, 30},
		} {
			name := row.name
			plan, blocks := explain(t, conn.Conn(), mode, name, row.args)
			if strings.Contains(plan, "Seq Scan on") || strings.Contains(plan, "Hash") || strings.Contains(plan, "Bitmap") {
				t.Errorf("%s, %s: should look up what it needs:\n%s", name, mode, plan)
			}
			if blocks > row.blocks {
				t.Errorf("%s, %s: touches %d blocks, want at most %d:\n%s", name, mode, blocks, row.blocks, plan)
			}
		}
	}
}

// Parts of what is handed over are read in the order of keys, however many the planner thinks there are.
func TestMergingReadsInTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`INSERT INTO messages (recipient_id, id, environment_id, version_id, trigger_id, created_at, status_at, status, channel, channel_type, user_id, workflow, step_ref, categories, content)
		SELECT i % 500, i, 1, 1, '00000000-0000-0000-0000-000000000001', $1, $1, 'sent', 'mail', 'email', 'u', 'w', 's', '{}', '{}' FROM generate_series(1, 20000) i`, start)
	w.exec(`ANALYZE messages`)
	conn, err := w.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `SET enable_bitmapscan = off`); err != nil { // as whoever calls Merge has set
		t.Fatal(err)
	}
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		if plan, _ := explain(t, conn.Conn(), mode, "selectOldest", "(3, 1, '2026-05-04', 1000)"); !strings.Contains(plan, "messages_pkey") || strings.Contains(plan, "Sort") {
			t.Errorf("%s:\n%s", mode, plan)
		}
	}
}

// explain runs a statement, undoes it, and returns its plan and how many blocks it touched.
func explain(t *testing.T, conn *pgx.Conn, mode, name, args string) (plan string, blocks int) {
	t.Helper()
	sql := "SET plan_cache_mode = " + mode + "; DEALLOCATE ALL; PREPARE q AS " + statements[name] +
		"; BEGIN; EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off) EXECUTE q" + args + "; ROLLBACK"
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, result := range results {
		for _, row := range result.Rows {
			line := string(row[0])
			if _, rest, ok := strings.Cut(line, "Buffers: shared hit="); ok && blocks == 0 { // of the whole
				_, _ = fmt.Sscan(rest, &blocks)
			}
			plan += line + "\n"
		}
	}
	return plan, blocks
}

// Claiming must not write to indexes: else each attempt costs an index entry, and vacuum.
//
// Not parallel: while any transaction of the server is open, in whichever database, younger rows can't be pruned.
func TestClaimsAndOutcomesAreHOTUpdates(t *testing.T) {
	w := newWorld(t)
	const n = 400
	for range n / 20 {
		messages := make([]belfry.Message, 20)
		for i := range messages {
			messages[i] = message(int64(i), belfry.Email, strings.Repeat("x", 200))
		}
		w.enqueue(messages...)
		w.work()
	}
	w.pool.Reset()
	for _, table := range []string{"deliveries", "messages"} {
		var updates, hot int
		w.waitUntil("statistics of "+table, func() bool {
			err := w.pool.QueryRow(t.Context(), `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1`, table).Scan(&updates, &hot)
			return err == nil && updates >= n
		})
		t.Logf("%s: %d of %d updates were HOT", table, hot, updates)
		if hot < updates*9/10 {
			t.Errorf("%s: %d of %d updates were HOT, want nine in ten", table, hot, updates)
		}
	}
}
