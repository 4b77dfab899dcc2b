package analytics

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestStatementsFitTheSchema(t *testing.T) {
	t.Parallel()
	pgtest.Prepare(t, map[string]string{
		"insertEvent": insertEvent, "claimDue": claimDue, "readEvents": readEvents, "advanceCursor": advanceCursor,
		"postpone": postpone, "releaseLease": releaseLease, "oldestUndelivered": oldestUndelivered,
		"setDestination": setDestination, "getDestination": getDestination, "removeDestination": removeDestination,
	})
}

// The cost of looking for events must not grow with the log.
func TestEventsAreReadByRangesOfThePrimaryKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	_, err := f.pool.Exec(t.Context(), `
		INSERT INTO events (environment_id, kind, at, channel, channel_type, workflow, step_ref, covers_all, count, recipient_ids, user_ids, seqs)
		SELECT i % 3, 'message.sent', $1, 'in-app', 'in_app', 'w', 's', false, 1, '{1}', '{u}', '{1}' FROM generate_series(1, 20000) i`, start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(t.Context(), `ANALYZE events`); err != nil {
		t.Fatal(err)
	}
	for name, query := range map[string]struct {
		sql  string
		args []any
	}{
		"claimDue":          {claimDue, []any{start, start, 16}},
		"readEvents":        {readEvents, []any{int64(1), uint64(5), int64(0), turnMessages}},
		"oldestUndelivered": {oldestUndelivered, nil},
	} {
		rows, _ := f.pool.Query(t.Context(), "EXPLAIN "+query.sql, query.args...)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(lines, "\n")
		cond := "Index Cond: ((environment_id = "
		if !strings.Contains(plan, cond) || !strings.Contains(plan, "(ROW(xid, id) > ROW(") && !strings.Contains(plan, "(ROW(events.xid, events.id) > ROW(") ||
			strings.Contains(plan, "Seq Scan on events") {
			t.Errorf("%s does not read a range of events_pkey:\n%s", name, plan)
		}
	}
}
