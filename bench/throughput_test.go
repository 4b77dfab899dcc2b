package main

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
)

// Sessions count while they run and when they have ended.
func TestProcessorTimeOfPostgreSQL(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says, in /proc")
	}
	before, err := shared.cpu(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ends := range []bool{true, false} {
		conn, err := pgx.Connect(t.Context(), shared.URL())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "SELECT sum(i) FROM generate_series(1, 3000000) i"); err != nil {
			t.Fatal(err)
		}
		if !ends {
			defer conn.Close(context.WithoutCancel(t.Context()))
		} else if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	after, err := shared.cpu(t.Context())
	if err != nil || after <= before {
		t.Errorf("%s before, %s after; %v", before, after, err)
	}
}

func TestEachSideIsTimedAndCounted(t *testing.T) {
	t.Parallel()
	belfry, river := newTestSides(t)
	for _, side := range []contender{belfry, river} {
		for _, l := range []load{{task: &plain, name: "many a call", units: 60, batch: 20, callers: 2}, {task: &plain, name: "1 a call", units: 25, batch: 1, callers: 5}} {
			got, err := measure(t.Context(), shared, side, &l)
			if err != nil {
				t.Fatal(err)
			}
			if got.units != l.units || got.elapsed <= 0 || got.wal <= 0 || got.cpu <= 0 || got.tuples.inserted < int64(l.units) {
				t.Errorf("%s, %s: not measured: %+v", side.name(), l.name, got)
			}
		}
	}
}

// A figure is only worth what its verification catches.
func TestVerificationCatchesWhatIsMissing(t *testing.T) {
	t.Parallel()
	belfry, river := newTestSides(t)
	const units = 20
	// What is changed belongs to the newest trigger: that of an earlier turn is spoilt already.
	for _, test := range []struct {
		side contender
		what string
		sql  string
	}{
		{belfry, "nothing", ""},
		{belfry, "a run", "DELETE FROM runs WHERE ctid = (SELECT ctid FROM runs ORDER BY trigger_id DESC LIMIT 1)"},
		{belfry, "a run's message", `UPDATE runs SET log = '[{"step": "shipped", "outcome": "skipped"}]' WHERE ctid = (SELECT ctid FROM runs ORDER BY trigger_id DESC LIMIT 1)`},
		{belfry, "a run's success", "UPDATE runs SET status = 'failed' WHERE ctid = (SELECT ctid FROM runs ORDER BY trigger_id DESC LIMIT 1)"},
		{belfry, "an item", "DELETE FROM feed_items WHERE ctid = (SELECT ctid FROM feed_items ORDER BY trigger_id DESC LIMIT 1)"},
		{belfry, "an item's rendering", "UPDATE feed_items SET content = '{}' WHERE ctid = (SELECT ctid FROM feed_items ORDER BY trigger_id DESC LIMIT 1)"},
		{belfry, "a count", "UPDATE feeds SET unseen = unseen - 1 WHERE ctid = (SELECT max(ctid) FROM feeds)"},
		{belfry, "a version", "UPDATE feeds SET version = version + 1 WHERE ctid = (SELECT max(ctid) FROM feeds)"},
		{belfry, "an event", "UPDATE events SET count = count - 1 WHERE ctid = (SELECT ctid FROM events ORDER BY id DESC LIMIT 1)"},
		{belfry, "the end of the work", "INSERT INTO fan_outs SELECT environment_id, 1, id FROM triggers LIMIT 1"},
		{river, "nothing", ""},
		{river, "a job", "DELETE FROM river_job WHERE id = (SELECT max(id) FROM river_job)"},
		{river, "a completion", "UPDATE river_job SET state = 'available', finalized_at = NULL, scheduled_at = scheduled_at + interval '1 day' WHERE id = (SELECT max(id) FROM river_job)"},
	} {
		err := verifyAfter(t, test.side, units, test.sql)
		if missing := test.what != "nothing"; missing != (err != nil) {
			t.Errorf("%s lacks %s: got %v", test.side.name(), test.what, err)
		} else if missing && !strings.Contains(err.Error(), "does not hold 20") {
			t.Errorf("%s lacks %s: the error does not say so: %v", test.side.name(), test.what, err)
		}
	}
}

// verifyAfter does some units, changes the database, and returns what verification says.
func verifyAfter(t *testing.T, side contender, units int, sql string) error {
	t.Helper()
	ctx, l := t.Context(), &load{task: &plain, units: units, batch: 10, callers: 1}
	if err := side.open(ctx, l); err != nil {
		t.Fatal(err)
	}
	if err := submit(ctx, side, l); err != nil {
		t.Fatal(err)
	}
	if _, err := await(ctx, side, l); err != nil {
		t.Fatal(err)
	}
	err := side.verify(ctx, l)
	if err != nil {
		t.Fatalf("before anything was changed: %v", err)
	}
	if sql != "" {
		switch side := side.(type) {
		case *belfrySide:
			side.stop() // or it would do the work that is put back
			side.running.Wait()
			_, err = side.pool.Exec(ctx, sql)
		case *riverSide:
			_, err = side.pool.Exec(ctx, sql)
		}
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	err = side.verify(ctx, l)
	if fanOuts, ok := side.(*belfrySide); ok {
		if _, err := fanOuts.pool.Exec(ctx, "DELETE FROM fan_outs"); err != nil {
			t.Fatal(err)
		}
	}
	side.close()
	return err
}

func TestALoadMustFillItsCalls(t *testing.T) {
	t.Parallel()
	if err := submit(t.Context(), nil, &load{units: 25, batch: 10, callers: 1}); err == nil {
		t.Error("want an error: 25 units are not a number of calls of 10")
	}
}

// clockwork is a contender that rests for a second, then takes two more.
type clockwork struct {
	contender
	began time.Time
}

func (c *clockwork) resting(*load) bool { return time.Since(c.began) < time.Second }

func (c *clockwork) done(context.Context, int) (int, error) {
	if time.Since(c.began) < 3*time.Second {
		return 3, nil
	}
	return 10, nil
}

func TestOnlyTheTimeOfRestIsLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rested, err := await(t.Context(), &clockwork{began: time.Now()}, &load{units: 10})
		if took := time.Second - rested; err != nil || took < 0 || took > 2*doneInterval {
			t.Errorf("it rested for %s (%v), want a second", rested, err)
		}
	})
}

func TestATallyMustBeExact(t *testing.T) {
	t.Parallel()
	was := tally{Triggered: 7, Runs: 7, Done: 7, Sent: 7, Items: 7, Rendered: 7, Versions: 7, Unseen: 7, Events: 7}
	is := tally{Triggered: 17, Runs: 17, Done: 17, Sent: 9, Items: 9, Rendered: 9, Versions: 9, Unseen: 9, Events: 9}
	if err := is.check(was, 10, 2); err != nil {
		t.Errorf("10 runs that sent 2 messages: %v", err)
	}
	for _, messages := range []int{1, 3, 10} {
		if is.check(was, 10, messages) == nil {
			t.Errorf("want an error: 10 runs sent 2 messages, not %d", messages)
		}
	}
}
