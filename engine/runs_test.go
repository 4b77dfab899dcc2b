package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
)

// idle makes n triggers that are accepted at an instant and have no run: everybody in them was rejected.
func (w *world) idle(n int, at time.Time) {
	w.t.Helper()
	first := firstID(at)
	w.exec(`INSERT INTO triggers (id, environment_id, workflow_id, version_id, data, recipients, recipient_ids, accepted_at)
		SELECT (left($1::text, 24) || lpad(to_hex(i), 12, '0'))::uuid, environment_id, workflow_id, version_id, data, 0, '{}', $2
		FROM (SELECT * FROM triggers LIMIT 1) t, generate_series(1, $3) i`, first.String(), at, n)
}

// pages walks through all pages, and returns who is on each.
func (w *world) pages(f RunFilter, limit int) (out []int) {
	w.t.Helper()
	var after *RunCursor
	for range 20 {
		page, err := w.Runs(w.t.Context(), w.env, f, after, limit)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, len(page.Runs))
		if page.End.Recipient <= 0 && page.End.Trigger != uuid.Nil {
			w.t.Fatalf("%+v is no cursor for others", page.End)
		}
		if !page.More {
			return out
		}
		after = &page.End
	}
	w.t.Fatalf("there is always another page: %v", out)
	return nil
}

// What has no run yet, or never will, neither ends a list nor hides what is behind it.
func TestRunsBehindTriggersWithoutRuns(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][]int{
		0:                  {3},
		runsAtOnce - 3:     {3}, // the next query finds nothing
		runsAtOnce - 2:     {3},
		runsAtOnce:         {3},
		runsAtOnce + 1:     {3},
		maxRunsScanned - 3: {3, 0}, // there might have been more
		maxRunsScanned - 1: {1, 2}, // the page ends with the last one that was looked at
		maxRunsScanned:     {0, 3},
		maxRunsScanned + 1: {0, 3},
	} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.users(3)
			w.workflow("w", step("a", "", "x"))
			w.trigger(Request{Workflow: "w", Recipients: refer(0, 3)})
			w.drain()
			w.idle(n, epoch.Add(time.Hour))
			expect(t, "runs by page", w.pages(RunFilter{}, 100), want)
		})
	}
}

func TestRunsOfRecipientsWhoWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(MaxRecipients)
	w.workflow("w", step("a", "", "x"))
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 2)})
	w.drain()
	w.clock.add(time.Hour)
	w.trigger(Request{Workflow: "w", Recipients: refer(0, MaxRecipients)}) // and no worker turned them into runs
	expect(t, "runs by page", w.pages(RunFilter{}, 100), []int{2})
	w.drain()
	expect(t, "runs by page", w.pages(RunFilter{}, MaxRunPage), append(repeat(MaxRunPage, MaxRecipients/MaxRunPage), 2))
}

func TestRunFilterBoundsTriggers(t *testing.T) {
	t.Parallel()
	id := newID(epoch)
	ptr := func(id uuid.UUID) *uuid.UUID { return &id }
	for name, c := range map[string]struct {
		filter    RunFilter
		low, high *uuid.UUID
	}{
		"nothing":                     {RunFilter{}, nil, nil},
		"times":                       {RunFilter{AcceptedFrom: epoch, AcceptedBefore: epoch.Add(1)}, ptr(firstID(epoch)), ptr(firstID(epoch.Add(1)))},
		"a trigger, and nothing else": {RunFilter{Trigger: id}, &id, ptr(nextID(id))},
		"a trigger within the times":  {RunFilter{Trigger: id, AcceptedFrom: epoch, AcceptedBefore: epoch.Add(time.Second)}, &id, ptr(nextID(id))},
		"a trigger before them":       {RunFilter{Trigger: id, AcceptedFrom: epoch.Add(time.Second)}, ptr(firstID(epoch.Add(time.Second))), ptr(nextID(id))},
		"a trigger behind them":       {RunFilter{Trigger: id, AcceptedBefore: epoch}, &id, ptr(firstID(epoch))},
	} {
		low, high := c.filter.triggers()
		expect(t, name+": from", low, c.low)
		expect(t, name+": before", high, c.high)
	}
	carry := uuid.MustParse("00000000-0000-0000-0000-00000000ffff")
	expect(t, "next id", nextID(carry).String(), "00000000-0000-0000-0000-000000010000")
}
