package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

// spread is the length of a text whose object {"x": "…"} takes so many bytes as PostgreSQL spells it.
func spread(bytes int) int { return bytes - len(`{"x": ""}`) }

// gatherLarge has u0, u1, … gather activities with texts of some lengths, and has their batches fall due.
func (w *world) gatherLarge(users int, lengths ...int) (first *Accepted) {
	w.t.Helper()
	w.users(users)
	w.workflow("w", workflow.Step{Ref: "gather", Batch: &workflow.Batch{Window: within(30)}},
		step("sum", "", "{% for a in activities %}{% if a.x %}there{% else %}left out{% endif %}, {% endfor %}"))
	for i, n := range lengths {
		w.clock.add(time.Millisecond) // ids go by it
		a := w.trigger(Request{Workflow: "w", Recipients: refer(0, users), Data: map[string]any{"x": strings.Repeat("x", n)}})
		if i == 0 {
			first = a
		}
	}
	w.drain()
	w.clock.add(time.Minute)
	return first
}

// What counts is what the data take as JSON, and not how well they can be compressed.
func TestActivitiesOfABatchAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	const quarter = maxActivityData / 4
	for name, c := range map[string]struct {
		more int
		want string
	}{
		"all that fit":      {0, "there, there, there, there, "},
		"one byte too many": {1, "there, there, there, left out, "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			n := spread(quarter)
			a := w.gatherLarge(1, n, n, n, n+c.more)
			w.drain()
			expect(t, "activities", w.bodies(a.Trigger.ID), map[string][]string{"u0": {c.want}})
		})
	}
}

// Many large batches that close together are done in several transactions.
func TestActivitiesOfAClaimAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	const fit = maxClaimedData / maxActivityData
	var sent []belfry.Message
	w := newWorld(t, func(c *Config) { c.Enqueue = keep(&sent) })
	n := spread(maxActivityData / 4)
	w.gatherLarge(fit+1, n, n, n, n)
	worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
	if _, err := worker.work(t.Context()); err != nil || !worker.more {
		t.Fatalf("more: %v, %v", worker.more, err)
	}
	expect(t, "messages of the first transaction", len(sent), fit)
	w.drain()
	expect(t, "messages", len(sent), fit+1)
}
