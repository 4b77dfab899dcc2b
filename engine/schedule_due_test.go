package engine

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres/pgtest"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// Nodes that all see the same schedules due trigger each once.
func TestScheduleNodesTriggerOnce(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	const n = 300
	inputs := make([]ScheduleInput, n)
	for i := range inputs {
		inputs[i] = ScheduleInput{Workflow: "w", Recipient: Party{Ref: belfry.User("u0")}, Rules: []calendar.Rule{daily(9, 0)}}
	}
	if _, err := w.CreateSchedules(t.Context(), w.env, inputs); err != nil {
		t.Fatal(err)
	}
	w.clock.set(at("2025-03-05T09:00Z"))
	nodes := []*Engine{w.Engine, w.node(), w.node()}
	var wg sync.WaitGroup
	for _, e := range nodes {
		wg.Go(func() {
			for {
				if n, err := e.fireDue(t.Context(), false); n == 0 || err != nil {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	wg.Wait()
	w.due() // what a node saw held by another, which had none left to find
	expect(t, "triggers", one[int](w, `SELECT count(*) FROM triggers`), n)
	expect(t, "schedules triggered", one[int](w, `SELECT count(DISTINCT schedule_id) FROM triggers`), n)
}

// If the transaction is undone, so is the trigger; it is made the next time.
func TestScheduleSurvivesACrash(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	s := w.schedule(ScheduleInput{StartsAt: epoch.Add(time.Hour)})
	w.clock.add(time.Hour)
	w.exec(`CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''57P01''; END'`)
	w.exec(`CREATE TRIGGER crash BEFORE UPDATE ON schedules FOR EACH ROW EXECUTE FUNCTION crash()`) // behind the trigger
	for range 3 {
		if _, err := w.fireDue(t.Context(), false); err == nil {
			t.Fatal("it didn't crash")
		}
	}
	expect(t, "triggers", one[int](w, `SELECT count(*) FROM triggers`), 0)
	w.exec(`DROP TRIGGER crash ON schedules`)
	w.exec(`CREATE CONSTRAINT TRIGGER crash AFTER UPDATE ON schedules DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crash()`) // with the commit
	if _, err := w.fireDue(t.Context(), false); err == nil {
		t.Fatal("it didn't crash")
	}
	expect(t, "triggers", one[int](w, `SELECT count(*) FROM triggers`), 0)
	w.exec(`DROP TRIGGER crash ON schedules`)
	expect(t, "triggers", w.due(), 1)
	expect(t, "triggers", w.due(), 0)
	expect(t, "last", *w.read(s.ID).LastAt, epoch.Add(time.Hour))
}

// One that the database refuses doesn't hold up the others.
func TestScheduleRefusedAlone(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	var bad *Schedule
	for i := range 5 {
		s := w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(9, 0)}, Data: map[string]any{"x": i}})
		if i == 2 {
			bad = s
		}
	}
	w.exec(`ALTER TABLE triggers ADD CHECK (data ->> 'x' <> '2')`)
	w.clock.set(at("2025-03-05T09:00Z"))
	expect(t, "triggers", w.due(), 4)
	bad = w.read(bad.ID)
	if bad.LastAt != nil || !bad.NextAt.Equal(at("2025-03-06T09:00Z")) {
		t.Errorf("the refused one: %+v", bad)
	}
}

// A node that runs finds what is due by itself, and at once what is stored meanwhile.
func TestScheduleLoop(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t, func(c *Config) { c.PollInterval = 5 * time.Millisecond })
	w.schedule(ScheduleInput{StartsAt: epoch.Add(time.Hour)})
	w.start(w.Engine)
	w.schedule(ScheduleInput{Rules: []calendar.Rule{daily(9, 0)}})
	w.clock.add(24 * time.Hour)
	w.eventuallyZero(`SELECT 2 - count(*) FROM runs WHERE status = 'done'`)
}

// The end of a context in the middle of things leaves nothing half done.
func TestScheduleIsCancelled(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	w.schedule(ScheduleInput{StartsAt: epoch.Add(time.Hour)})
	w.clock.add(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.fireDue(ctx, false); err == nil {
		t.Error("no error")
	}
	expect(t, "triggers", w.due(), 1)
}

// Neither what isn't due yet, however much that is, nor the schedules of others slow the claim down.
func TestScheduleClaimsReadTheIndex(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, sql := range []string{
		`INSERT INTO environments (key, created_at) SELECT 'e' || i, 'epoch' FROM generate_series(1, 20) i`,
		`INSERT INTO workflows (environment_id, key, created_at) SELECT 1, 'w' || i, 'epoch' FROM generate_series(1, 100) i`,
		`INSERT INTO schedules (environment_id, id, workflow_id, recipient_id, data, rules, starts_at, next_at, timezone, created_at)
			SELECT 1 + i % 20, lpad(to_hex(i), 32, '0')::uuid, 1 + i % 100, i / 3, '{}', '[]', 'epoch', timestamptz '2030-01-01' + i * interval '1 s', '', 'epoch'
			  FROM generate_series(1, 100000) i`,
		`ANALYZE environments, workflows, schedules`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	const none = "'{00000000-0000-0000-0000-000000000000}'"
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		for name, c := range map[string]struct{ args, index string }{
			"claimSchedules":             {"('2026-01-01', 100, 25)", "schedules_due"},
			"lockSchedules":              {"(1, " + none + ")", "schedules_pkey"},
			"moveSchedules":              {"('{1}', " + none + ", '{2026-01-01}', '{2026-01-01}', '{UTC}')", "schedules_pkey"},
			"lockMoved":                  {"(1, '{1}', '2026-01-01')", "schedules_of_recipient"},
			"selectOccurrences":          {"('{1}', " + none + ")", "schedules_pkey"},
			"selectSchedules":            {"(1, NULL, 51)", "schedules_pkey"},
			"selectSchedulesOfRecipient": {"(1, NULL, 51, 7, '')", "schedules_of_recipient"},
			"selectSchedulesOfWorkflow":  {"(1, NULL, 51, 'w1')", "schedules_of_workflow"},
		} {
			plan := explain(t, conn.Conn(), mode, name, c.args)
			if !strings.Contains(plan, c.index) || strings.Contains(plan, "Seq Scan on schedules") {
				t.Errorf("%s, %s: no %s in\n%s", name, mode, c.index, plan)
			}
		}
	}
}

// An environment with much to do doesn't keep another one waiting.
func TestScheduleIsFair(t *testing.T) {
	t.Parallel()
	w := newScheduleWorld(t)
	busy := make([]ScheduleInput, 2*schedulesAtOnce)
	for i := range busy {
		busy[i] = ScheduleInput{Workflow: "w", Recipient: Party{Ref: belfry.User("u0")}, StartsAt: epoch.Add(time.Minute)}
	}
	if _, err := w.CreateSchedules(t.Context(), w.env, busy); err != nil {
		t.Fatal(err)
	}
	other := *w
	other.env = w.environment("other")
	other.users(1)
	other.workflow("w", step("a", "", "x"))
	s := other.schedule(ScheduleInput{StartsAt: epoch.Add(time.Hour)})
	w.clock.add(2 * time.Hour)
	if n, err := w.fireDue(t.Context(), false); n > schedulesAtOnce || err != nil {
		t.Fatal(n, err)
	}
	expect(t, "triggers of the other", one[int](w, `SELECT count(*) FROM triggers WHERE schedule_id = $1`, s.ID), 1)
	expect(t, "triggers left", w.due(), 2*schedulesAtOnce-schedulesApart)
}
