package feed

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// What people wait for reads by the primary key, in its order, whether the plan is made for the call or cached.
func TestHotQueriesUseThePrimaryKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO feeds (recipient_id, channel, environment_id, epoch, version, last_seq, unseen)
		SELECT n, 'in-app', 1, 1, 20000, 20000, 20000 FROM generate_series(1, 500) n`)
	w.exec(t, `INSERT INTO feed_items (recipient_id, channel, seq, state_version, environment_id, version_id, trigger_id, created_at, workflow, step_ref, categories, content)
		SELECT r, 'in-app', n, n, 1, 1, gen_random_uuid(), $1, 'w', 's', '{}', jsonb_build_object('body', repeat('x', 200))
		  FROM (SELECT 1 r, n FROM generate_series(1, 20000) n UNION ALL SELECT 1 + n / 20, n % 20 FROM generate_series(20, 4999) n) AS t`, w.tick())
	w.exec(t, `INSERT INTO feed_changes SELECT 1 + n / 50, 'in-app', n, 1, $1, 'SEEN', '{1}' FROM generate_series(1, 5000) n`, w.tick())
	w.exec(t, `INSERT INTO feed_groups SELECT n, 'in-app', 1, '[]' FROM generate_series(1, 500) n`)
	w.exec(t, `INSERT INTO feed_timers SELECT 1 + n / 20, 'in-app', CASE n % 2 WHEN 0 THEN 'return' ELSE 'expire' END, n, 1, $1::timestamptz + n * interval '1 minute' FROM generate_series(1, 5000) n`, w.tick())
	w.exec(t, `INSERT INTO feed_expansions SELECT n, 'in-app', 1, $1::timestamptz + n * interval '1 minute' FROM generate_series(1, 5000) n`, w.tick())
	w.exec(t, `UPDATE feed_items SET resource_key = 'r' || seq % 500 WHERE recipient_id > 1`)
	w.exec(t, `INSERT INTO feed_operations (environment_id, id, kind, resource_key, created_at, due_at, finished_at)
		SELECT 1, gen_random_uuid(), 'READ', 'r', $1, $1, $1::timestamptz + n * interval '1 minute' FROM generate_series(1, 5000) n`, w.tick())
	w.exec(t, `ANALYZE`)
	for _, row := range []struct{ name, sql, args, index string }{
		{"badge", selectHeader, `7, 'in-app', 1`, "feeds_pkey"},
		{"lock", lockHeader, `7, 'in-app', 1`, "feeds_pkey"},
		{"page of a long feed", selectItems, `1, 'in-app', 1, 9223372036854775807, 0, NULL, NULL, 26, NULL, NULL, NULL`, "feed_items_pkey"},
		{"page further down", selectItems, `1, 'in-app', 1, 10000, 0, ARRAY['w'], NULL, 200, '{1}', '2026-05-04', NULL`, "feed_items_pkey"},
		{"page of a short feed", selectItems, `7, 'in-app', 1, 9223372036854775807, 0, NULL, NULL, 26, NULL, NULL, NULL`, "feed_items_pkey"},
		{"count after", selectStates, `1, 'in-app', 1, 19990, 20000, 200, false`, "feed_items_pkey"},
		{"scan of a stretch", selectStates, `1, 'in-app', 1, 0, 20000, NULL, true`, "feed_items_pkey"},
		{"stretch to be settled", selectStretch, `1, 'in-app', 1, 0, 20000, 200, true`, "feed_items_pkey"},
		{"to be expanded", selectBefore, `1, 'in-app', 1, 20000, 100, true`, "feed_items_pkey"},
		{"due expansions", selectExpansions, `'2026-05-04', 100`, "feed_expansions_due"},
		{"end of a chunk", selectChunkEnd, `1, 'in-app', 1, 500, 10000`, "feed_items_pkey"},
		{"groups", selectGroups, `7, 'in-app', 1`, "feed_groups_pkey"},
		{"any item", selectAnyItem, `1, 1`, "feed_items_pkey"},
		{"to be merged", selectOldest, `1, 'in-app', 1, 500, true`, "feed_items_pkey"},
		{"feeds of a resource", selectFeedsOfResource, `1, 'a', 7, 'in-app', 20`, "feed_items_resource"},
		{"due timers", selectDue, `'2026-05-04', 100`, "feed_timers_due"},
		{"snoozed items", selectReturns, `7, 'in-app'`, "feed_timers_pkey"},
		{"next feeds", selectFeedsAfter, `7, 'in-app', 20`, "feeds_pkey"},
		{"of a resource", selectOfResource, `7, 'in-app', 1, 'a', 1000, false, 10000`, "feed_items_resource"},
		{"replay", selectChanges, `7, 'in-app', 1, 310, 500`, "feed_changes_pkey"},
	} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			plan := w.explain(t, mode, row.sql, row.args)
			if !strings.Contains(plan, row.index) || strings.Contains(plan, "Sort") || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Bitmap") {
				t.Errorf("%s (%s) should read %s alone, in order:\n%s", row.name, mode, row.index, plan)
			}
		}
	}
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		plan := w.explain(t, mode, selectStatuses, `'{1,7,7}', '{in-app,in-app,in-app}', '{3,1,2}', 1`)
		if !strings.Contains(plan, "feed_items_pkey") || !strings.Contains(plan, "feeds_pkey") || strings.Contains(plan, "Seq Scan") {
			t.Errorf("statuses (%s) should be looked up by key:\n%s", mode, plan)
		}
	}
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		if plan := w.explain(t, mode, deleteOldOperations, `1, '2026-05-04'`); !strings.Contains(plan, "feed_operations_finished") || strings.Contains(plan, "Seq Scan") {
			t.Errorf("dropping old operations (%s) should read no others:\n%s", mode, plan)
		}
	}
	if marked := w.explain(t, "force_generic_plan", selectMarkable, `1, 'in-app', 1, '{1,2,3}', true`); !strings.Contains(marked, "feed_items_pkey") || strings.Contains(marked, "Seq Scan") {
		t.Errorf("marking by id should look items up:\n%s", marked)
	}
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		if plan := w.explain(t, mode, selectTally, `1, 'in-app', 1, 0, 500, '{3,5}', '{7}'`); !strings.Contains(plan, "feed_items_pkey") || strings.Contains(plan, "Seq Scan") || !regexp.MustCompile(`Index Cond: .*seq > .*seq <= `).MatchString(plan) {
			t.Errorf("grouping (%s) should read a stretch of the feed:\n%s", mode, plan)
		}
	}
	w.wantLookUps(t)
}

// A feed of millions is counted by group as quickly as a short one; its items are looked at once, when it is grouped. Run it
// with -long-feed=10000000.
func TestCountsOfALongFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.exec(t, `INSERT INTO feeds (recipient_id, channel, environment_id, epoch, version, last_seq, unseen) SELECT 1, 'in-app', 1, 1, n, n, n FROM (SELECT $1::int n) n`, *feedLength)
	w.exec(t, `INSERT INTO feed_items (recipient_id, channel, seq, state_version, environment_id, version_id, trigger_id, created_at, workflow, step_ref, tenant_id, categories, content)
		SELECT 1, 'in-app', n, n, 1, 1, gen_random_uuid(), $1, 'w' || n % 7, 's', nullif(n % 3, 0) + 900, '{}', '{"body":{}}' FROM generate_series(1, $2::int) n`, w.tick(), *feedLength)
	w.exec(t, `ANALYZE feed_items`)
	views := []Filter{ofAcme, {Workflows: []string{"w1", "w2"}}, {Status: StatusUnread}}
	var took []time.Duration
	for range 3 {
		start := time.Now()
		counts, err := w.Count(t.Context(), ann, views)
		if err != nil || counts.Views[0].Total != (*feedLength+2)/3 || counts.Views[2].Total != *feedLength {
			t.Fatalf("%+v, %v", counts, err)
		}
		took = append(took, time.Since(start))
	}
	start := time.Now()
	marked, err := w.MarkWhere(t.Context(), ann, belfry.Read, ofAcme, nil)
	if err != nil || marked.Changed != (*feedLength+2)/3 || marked.Badge.Unread != *feedLength-marked.Changed {
		t.Fatalf("%+v, %v", marked, err)
	}
	t.Logf("%d items: counted in %v, marked in %v", *feedLength, took, time.Since(start))
	if h := w.header(t, ann); h.groupedTo != h.lastSeq {
		t.Errorf("grouped up to %d", h.groupedTo)
	}
}

var feedLength = flag.Int("long-feed", 25_000, "how many items the feed of TestCountsOfALongFeed has")

// What changes items looks them up, also in feeds that are much longer than the planner thinks.
func TestItemsAreChangedByTheirKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO feed_items (recipient_id, channel, seq, state_version, environment_id, version_id, trigger_id, created_at, workflow, step_ref, categories, content)
		SELECT 1, 'in-app', n, n, 1, 1, gen_random_uuid(), $1, 'w', 's', '{}', '{}' FROM generate_series(1, 5000) n`, w.tick())
	w.wantLookUps(t)
}

func (w *world) wantLookUps(t *testing.T) {
	t.Helper()
	for name, s := range map[string][2]string{
		"states":   {updateStates, `1, 'in-app', 1, '{1,2,3}', '{1,1,1}', '{1,1,1}', '{f,f,f}', '{null,null,null}', '{null,null,null}', '{null,null,null}', '{null,null,null}'`},
		"moving":   {moveItems, `1, 'in-app', 1, 500, 2, 20000`},
		"these":    {selectThese, `1, 'in-app', 1, '{1,2,3}'`},
		"removal":  {deleteItems, `1, 'in-app', 1, '{1,2,3}', '2026-05-04', 'RETRACTED'`},
		"trimming": {trimItems, `1, 'in-app', 1, 500, '2026-05-04', 'RETENTION', '2026-05-01'`},
		"snoozing": {snoozeItems, `1, 'in-app', 1, '{1,2,3}', '2026-05-04'`},
		"content":  {updateContent, `1, 'in-app', 1, 5, '{}'`},
		"pruning":  {deleteOlder, `1, 'in-app', 1, 500, '2026-05-04'`},
	} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			plan := w.explain(t, mode, s[0], s[1])
			if !strings.Contains(plan, "feed_items_pkey") || strings.Contains(plan, "Seq Scan") || !regexp.MustCompile(`Index Cond: .*\(seq (=|<=) `).MatchString(plan) {
				t.Errorf("%s (%s) should look items up:\n%s", name, mode, plan)
			}
		}
	}
}

func (w *world) explain(t *testing.T, mode, sql, args string) (plan string) {
	t.Helper()
	conn, err := w.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, s := range []string{"SET plan_cache_mode = " + mode, "PREPARE q AS " + sql} {
		if _, err := conn.Conn().PgConn().Exec(t.Context(), s).ReadAll(); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	results, err := conn.Conn().PgConn().Exec(t.Context(), fmt.Sprintf("EXPLAIN EXECUTE q(%s); DEALLOCATE q", args)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range results[0].Rows {
		plan += string(row[0]) + "\n"
	}
	return plan
}

// Marking must not write to indexes: else each mark costs an index entry, and vacuum.
//
// Not parallel: while any transaction of the server is open, in whichever database, younger rows can't be pruned.
func TestMarksAreHOTUpdates(t *testing.T) {
	w := newWorld(t)
	const users, items = 60, 20
	refs := make([]Ref, users)
	for i := range refs {
		refs[i] = w.know(env, fmt.Sprint("user ", i))
	}
	for n := range items { // as it comes in life: one item each, to many
		messages := make([]belfry.Message, users)
		for i, ref := range refs {
			messages[i] = w.message(ref, strings.Repeat("x", 100)+fmt.Sprint(n))
		}
		if err := w.append(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, m := range []belfry.Mark{belfry.Seen, belfry.Read, belfry.Archived} {
		for i, ref := range refs {
			w.markAll(t, ref, belfry.Seen)
			ids := make([]belfry.MessageID, 5)
			for k := range ids {
				ids[k] = belfry.MessageID{Recipient: belfry.RecipientID(i + 1), Channel: ref.Channel, Seq: 1 + random.Int64N(items)}
			}
			w.mark(t, ref, m, ids...)
		}
	}
	for _, table := range []string{"feeds", "feed_items"} {
		updates, hot := w.updates(t, table)
		t.Logf("%s: %d of %d updates were HOT", table, hot, updates)
		if updates < users*items/4 && table == "feed_items" || updates == 0 || float64(hot) < 0.9*float64(updates) {
			t.Errorf("%s: %d of %d updates were HOT, want nine in ten", table, hot, updates)
		}
	}
}

// updates reads a table's statistics once all sessions have told theirs, which each does when it ends.
func (w *world) updates(t *testing.T, table string) (all, hot int) {
	t.Helper()
	w.Pool.Reset()
	last := -1
	waitUntil(t, "statistics of "+table, func() bool {
		err := postgres.InTx(context.Background(), w.Pool, func(tx *postgres.Tx) error {
			return tx.QueryRow(t.Context(), `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1`, table).Scan(&all, &hot)
		})
		settled := err == nil && all > 0 && all == last
		last = all
		return settled
	})
	return all, hot
}
