package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// keep is an Enqueue that remembers messages. For a single worker.
func keep(into *[]belfry.Message) func(context.Context, *postgres.Tx, []belfry.Message) error {
	return func(_ context.Context, _ *postgres.Tx, messages []belfry.Message) error {
		*into = append(*into, messages...)
		return nil
	}
}

func TestBatchesShareOneTrigger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize, c.Workers = 100, 4 })
	w.users(MaxRecipients)
	w.workflow("w", step("a", "", "Hi {{ recipient.number }}"))
	stop := w.start(w.Engine)
	w.trigger(Request{Workflow: "w", Recipients: refer(0, MaxRecipients)})
	w.eventuallyZero(openFanOuts)
	stop()
	w.expectExactlyOnce(MaxRecipients, 1)
	s := w.Stats()
	if s.RunsDone != MaxRecipients || s.RunsFailed != 0 || s.Errors != 0 || s.Batches < MaxRecipients/100 {
		t.Errorf("stats = %+v", s)
	}
}

func TestManyTriggersShareABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize = 64 })
	const triggers = 300
	w.users(triggers)
	w.workflow("w", step("a", "", "x"))
	for i := range triggers {
		w.trigger(Request{Workflow: "w", Recipients: refer(i, 1)})
	}
	w.drain()
	w.expectExactlyOnce(triggers, 1)
	// 1, 2, 4, … 64, and from then on full ones
	if got, most := w.Stats().Batches, int64(7+(triggers-127+63)/64+1); got > most {
		t.Errorf("batches = %d, want at most %d: the worker claims too few fan-outs at once", got, most)
	}
}

func TestTwoNodesShareTheWork(t *testing.T) {
	t.Parallel()
	small := func(c *Config) { c.BatchSize, c.Workers = 30, 3 }
	w := newWorld(t, small)
	other := w.node(small)
	w.users(500)
	w.workflow("w", step("a", "", "x"))
	total := 0
	for i := range 60 { // a mixture
		n := []int{1, 1, 1, 7, 29, 30, 31, 200}[i%8]
		w.trigger(Request{Workflow: "w", Recipients: refer(i, n)})
		total += n
	}
	stopFirst, stopSecond := w.start(w.Engine), w.start(other)
	w.eventuallyZero(openFanOuts)
	stopFirst()
	stopSecond()
	w.expectExactlyOnce(total, 1)
	expect(t, "runs counted", w.Stats().RunsDone+other.Stats().RunsDone, int64(total))
}

// Whatever sizes triggers have, the number of fan-outs to claim follows: it neither sticks at 1 nor at the batch size.
func TestAdaptFollowsTheSizeOfTriggers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 600).Draw(t, "batch size")
		rows := 1
		for range rapid.IntRange(1, 4).Draw(t, "phases") {
			recipients := rapid.IntRange(1, 1000).Draw(t, "recipients")
			for range 64 { // a long queue of triggers of this size
				rows = adapt(rows, rows, rows*min(recipients, size), size)
			}
			rows = adapt(rows, 0, 0, size) // an empty queue changes nothing
			enough := (size + recipients - 1) / recipients
			if rows < min(enough, size)/2 || rows > min(2*(enough+1), size) {
				t.Fatalf("triggers of %d in batches of %d: %d fan-outs at once, want about %d", recipients, size, rows, enough)
			}
		}
	})
}

func TestDeletedRecipientsFailAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(3)
	w.workflow("w", step("a", "", "x"))
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 3)})
	w.exec(`DELETE FROM recipients WHERE external_id = 'u1'`)
	w.drain()
	runs := w.runs(a.Trigger.ID)
	if len(runs) != 3 || runs["gone"].Status != Failed || runs["gone"].Log[0].Reason != "recipient_gone" || runs["u0"].Status != Done || runs["u2"].Status != Done {
		t.Errorf("runs = %+v", runs)
	}
	w.expectExactlyOnce(3, 1)
	expect(t, "failures counted", w.Stats().RunsFailed, 1)
}

// A batch takes no more data than this, nor makes more, however many runs are waiting.
func TestBatchesAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	t.Run("read", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.users(1)
		w.workflow("w", step("a", "", "x"))
		const each = MaxDataSize - 100
		const fit = (maxClaimedData + each - 1) / each // up to the one that goes beyond
		w.trigger(Request{Workflow: "w", Recipients: refer(0, 1), Data: map[string]any{"x": strings.Repeat("x", each)}})
		const copies = ` SELECT lpad(to_hex(i), 32, 'f')::uuid, `
		w.exec(`INSERT INTO triggers (id, environment_id, workflow_id, version_id, data, recipients, recipient_ids, accepted_at)`+copies+
			`environment_id, workflow_id, version_id, data, recipients, recipient_ids, accepted_at FROM triggers, generate_series(1, $1) i`, 2*fit)
		w.exec(`INSERT INTO fan_outs (trigger_id, environment_id, lane)`+copies+`environment_id, lane FROM fan_outs, generate_series(1, $1) i`, 2*fit)
		worker := &worker{engine: w.Engine, rows: 500, bulkRows: 500}
		if _, err := worker.floors.refresh(t.Context(), w.Engine, 0); err != nil {
			t.Fatal(err)
		}
		err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
			c, err := w.claim(t.Context(), tx, worker)
			if err == nil && (len(c.fanOuts) != fit || !c.full) {
				t.Errorf("claimed %d (full: %v), want %d", len(c.fanOuts), c.full, fit)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("decided", func(t *testing.T) {
		t.Parallel()
		var sent []belfry.Message
		w := newWorld(t, func(c *Config) { c.Enqueue = keep(&sent) })
		const body, people = 60 << 10, 200
		w.users(people)
		w.workflow("w", step("a", "", "{{ data.x }}"))
		w.trigger(Request{Workflow: "w", Recipients: refer(0, people/2), Data: map[string]any{"x": strings.Repeat("x", body)}})
		w.trigger(Request{Workflow: "w", Recipients: refer(people/2, people/2), Data: map[string]any{"x": strings.Repeat("x", body)}})
		const fit = (maxDecided + 2*body - 1) / (2 * body) // the text, and what it rendered to
		worker := &worker{engine: w.Engine, rows: 1, bulkRows: 2}
		for done := 0; done < people; {
			n, err := worker.work(t.Context())
			if err != nil || n == 0 || n > fit {
				t.Fatalf("work = %d, %v, want at most %d", n, err, fit)
			}
			done += n
		}
		expect(t, "messages", len(sent), people)
		expect(t, "runs", one[int](w, `SELECT count(*) FROM runs`), people)
	})
}

// Slow runs must not keep a transaction idle until the database drops it.
func TestBatchesAreBoundedInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(10)
	w.workflow("w", step("a", "", "x"))
	for i := range 5 {
		w.trigger(Request{Workflow: "w", Recipients: refer(2*i, 2)})
	}
	w.clock.step = maxDeciding/3 + 1 // between two runs
	worker := &worker{engine: w.Engine, rows: 5, bulkRows: 1}
	for _, want := range []int{3, 3, 3, 1, 0} {
		if n, err := worker.work(t.Context()); err != nil || n != want {
			t.Errorf("work = %d, %v, want %d", n, err, want)
		}
	}
	w.expectExactlyOnce(10, 1)
}

// Runs that ask the database again and again are claimed in ever smaller batches until those end in time.
func TestConversationsAreBoundedInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(16)
	steps := make([]workflow.Step, 0, 6)
	for i := range 5 {
		steps = append(steps, workflow.Step{Ref: fmt.Sprintf("t%d", i), Throttle: &workflow.Throttle{Limit: 9, Window: workflow.Window{For: &calendar.Duration{Unit: calendar.Hours, Value: 1}}}})
	}
	w.workflow("w", append(steps, step("a", "", "x"))...)
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 16)})
	w.clock.step = maxDeciding / 8 // eight runs are decided at once, which ask five times: 25 seconds
	worker := &worker{engine: w.Engine, rows: 5, bulkRows: 1}
	attempts := 0
	for n := 1; n > 0; attempts++ {
		var err error
		if n, err = worker.work(t.Context()); err != nil || attempts > 100 {
			t.Fatal(n, err)
		}
	}
	if worker.limit() == w.BatchSize || attempts < 6 {
		t.Errorf("the limit is %d after %d attempts; nothing was too much", worker.limit(), attempts)
	}
	w.expectExactlyOnce(16, 1)
}

// failing is an Enqueue that fails the first calls in some way.
func failing(errs ...error) func(context.Context, *postgres.Tx, []belfry.Message) error {
	return func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
		if err := record(ctx, tx, messages); err != nil || len(errs) == 0 {
			return err
		}
		err := errs[0]
		errs = errs[1:]
		return err
	}
}

func TestTemporaryErrorsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"serialization": &pgconn.PgError{Code: "40001"},
		"timeout":       &pgconn.PgError{Code: "57014"},
		"other":         errors.New("connection reset"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *Config) { c.Enqueue = failing(err) })
			w.users(5)
			w.workflow("w", step("a", "", "x"))
			w.trigger(Request{Workflow: "w", Recipients: refer(0, 5)})
			worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
			if n, got := worker.work(t.Context()); n != 0 || !errors.Is(got, err) || worker.careful {
				t.Errorf("work = %d, %v (careful: %v), want the error", n, got, worker.careful)
			}
			expect(t, "messages", one[int](w, `SELECT count(*) FROM sent`), 0)
			w.drain()
			w.expectExactlyOnce(5, 1)
		})
	}
}

// Two batches that hold each other up are nobody's fault: one of them is done again at once.
func TestADeadlockIsNoError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Enqueue = failing(fmt.Errorf("append: %w", &pgconn.PgError{Code: "40P01"})) })
	w.users(5)
	w.workflow("w", step("a", "", "x"))
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 5)})
	w.drain()
	w.expectExactlyOnce(5, 1)
}

func TestRunTriesAgainAfterAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) {
		c.Enqueue, c.Workers = failing(&pgconn.PgError{Code: "40001"}, errors.New("once more")), 1
	})
	w.users(5)
	w.workflow("w", step("a", "", "x"))
	w.start(w.Engine)
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 5)})
	w.eventuallyZero(openFanOuts)
	w.expectExactlyOnce(5, 1)
	expect(t, "errors counted", w.Stats().Errors, 2)
}

// One that isn't woken looks for itself.
func TestWorkIsFoundWithoutWake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	worker := w.node(func(c *Config) { c.PollInterval = 5 * time.Millisecond }) // another node than the one that accepts
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	w.start(worker)
	for range 3 {
		w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
		w.eventuallyZero(openFanOuts)
	}
	w.expectExactlyOnce(3, 1)
}

func TestWakeFindsWorkAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.PollInterval = time.Hour })
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	w.start(w.Engine)
	for range 5 {
		w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
		w.eventuallyZero(openFanOuts)
	}
	for range 100 {
		w.Wake() // never blocks
	}
}

func TestRunFinishesWhatItClaimedAndReturns(t *testing.T) {
	t.Parallel()
	claimed, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(c *Config) {
		c.BatchSize, c.Workers = 10, 1
		c.Enqueue = func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
			close(claimed) // a second batch would panic
			<-goOn
			return record(ctx, tx, messages)
		}
	})
	w.users(25)
	w.workflow("w", step("a", "", "x"))
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 25)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	receive(t, claimed)
	cancel()
	close(goOn)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Run did not return")
	}
	expect(t, "runs", one[int](w, `SELECT count(*) FROM runs`), 10)
	expect(t, "position", one[int](w, `SELECT position FROM fan_outs`), 10)
}

func TestLag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(2)
	w.workflow("w", step("a", "", "x"))
	lag := func(want time.Duration) {
		t.Helper()
		got, err := w.Lag(t.Context())
		if err != nil || got != want {
			t.Errorf("lag = %s, %v, want %s", got, err, want)
		}
	}
	lag(0)
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 2)})
	w.clock.add(time.Minute)
	w.trigger(Request{Workflow: "w", Recipients: refer(0, 2)})
	w.clock.add(time.Second)
	lag(time.Minute + time.Second) // of the oldest
	worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
	if n, err := worker.work(t.Context()); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	lag(time.Second)
	w.drain()
	lag(0)
}
