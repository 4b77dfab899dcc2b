package engine

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A transaction that stays open, of a backup say, keeps vacuum from removing what is done. A claim must not walk over
// that: it reads no more pages than without it.
func TestAnOpenSnapshotDoesNotMakeClaimsDearer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(MaxRecipients)
	w.workflow("w", delayStep("d", 1), step("a", "", "x"))
	backup, err := w.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = backup.Rollback(t.Context()) }()
	if _, err := backup.Exec(t.Context(), `SELECT count(*) FROM runs`); err != nil { // takes the snapshot
		t.Fatal(err)
	}
	for range 3 { // dead entries of due times, and below those of fan-outs
		w.trigger(Request{Workflow: "w", Recipients: refer(0, MaxRecipients)})
		w.drain()
		w.clock.add(time.Minute)
		w.drain()
	}
	const gone = 5000
	w.exec(`INSERT INTO fan_outs (environment_id, lane, trigger_id)
		SELECT $1, 1, lpad(to_hex(i), 32, '0')::uuid FROM generate_series(1, $2::int) i`, w.env, gone)
	w.exec(`DELETE FROM fan_outs`)
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})

	var f floors
	if _, err := f.refresh(t.Context(), w.Engine, 0); err != nil {
		t.Fatal(err)
	}
	conn, err := w.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	pages := func(name, args string) int {
		t.Helper()
		for _, sql := range []string{"DEALLOCATE ALL", "PREPARE " + name + " AS " + statements[name]} {
			if _, err := conn.Conn().PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
				t.Fatal(err)
			}
		}
		results, err := conn.Conn().PgConn().Exec(t.Context(), "EXPLAIN (ANALYZE, BUFFERS) EXECUTE "+name+args).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range results[0].Rows { // the first number is that of the whole
			if hit := regexp.MustCompile(`Buffers: shared hit=(\d+)`).FindSubmatch(row[0]); hit != nil {
				n, _ := strconv.Atoi(string(hit[1]))
				return n
			}
		}
		t.Fatalf("%s: no buffers in the plan", name)
		return 0
	}
	fanOuts := func(floor uuid.UUID) int {
		return pages("claimFanOuts", fmt.Sprintf("('{%d}', '{%s}', '{%[2]s}', '{%[2]s}', 500, 500, 500)", w.env, floor))
	}
	due := func(floor time.Time) int {
		return pages("claimDueRuns", fmt.Sprintf("('{%d}', '{%s}', '%s', 250, 250)", w.env, floor.Format(time.RFC3339Nano), w.now().Format(time.RFC3339Nano)))
	}
	if with, without := fanOuts(f.lanes[laneNormal][0]), fanOuts(uuid.Nil); with > 60 || without < 2*with {
		t.Errorf("a claim of fan-outs reads %d pages with its floor, %d without: the floor should make it few", with, without)
	}
	if with, without := due(f.due[0]), due(epoch.Add(-time.Hour)); with > 40 || without < 2*with {
		t.Errorf("a claim of due runs reads %d pages with its floor, %d without: the floor should make it few", with, without)
	}
}
