package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

var errCrash = errors.New("crashed")

// crashing is an Enqueue that fails at random, before or after it wrote, in several ways.
type crashing struct {
	mu     sync.Mutex
	random *rand.Rand
	chance float64
	cancel func() // ends the context of whoever works, if not nil
}

func (c *crashing) enqueue(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
	c.mu.Lock()
	crash, kind := c.random.Float64() < c.chance, c.random.IntN(4)
	c.mu.Unlock()
	if !crash {
		return record(ctx, tx, messages)
	}
	switch kind {
	case 0:
		return errCrash
	case 1: // half way
		return errors.Join(record(ctx, tx, messages[:len(messages)/2]), errCrash)
	case 2: // the connection is lost after everything was written
		if err := record(ctx, tx, messages); err != nil {
			return err
		}
		_ = tx.Conn().PgConn().Conn().Close()
		return nil
	default: // the process is told to end, and doesn't wait
		if err := record(ctx, tx, messages); err != nil {
			return err
		}
		if c.cancel != nil {
			c.cancel()
		}
		return nil
	}
}

// Whatever crashes, each accepted recipient gets one run, and one message.
func TestEveryRunHappensOnceWhateverCrashes(t *testing.T) {
	t.Parallel()
	shared := newWorld(t)
	shared.users(200)
	shared.workflow("w", step("a", "", "Hi {{ recipient.number }}"))
	rapid.Check(t, func(t *rapid.T) {
		w := *shared
		w.exec(`TRUNCATE triggers, fan_outs, runs, sent`)
		c := &crashing{
			random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)),
			chance: float64(rapid.IntRange(0, 8).Draw(t, "chance")) / 10,
		}
		size := rapid.IntRange(1, 60).Draw(t, "batch size")
		configure := func(config *Config) { config.Enqueue, config.BatchSize = c.enqueue, size }
		w.Engine = w.node(configure)
		runs := 0
		for _, n := range rapid.SliceOfN(rapid.IntRange(1, 150), 1, 6).Draw(t, "triggers") {
			w.trigger(Request{Workflow: "w", Recipients: refer(rapid.IntRange(0, 50).Draw(t, "first"), n)})
			runs += n
		}
		worker := &worker{engine: w.Engine}
		deadline := time.Now().Add(patience)
		for step := 0; ; step++ {
			if time.Now().After(deadline) {
				t.Fatalf("no step forward for %s", patience)
			}
			ctx, cancel := context.WithCancel(context.Background())
			c.cancel = cancel
			n, err := worker.work(ctx)
			cancel()
			if err == nil && n > 0 { // many steps on a busy machine take their time
				deadline = time.Now().Add(patience)
			}
			// With nothing to do, a connection that was lost a moment ago may still hold its claim.
			if err == nil && n == 0 && one[int](&w, openFanOuts) == 0 {
				break
			}
			if err != nil && step%2 == 0 { // a new process goes on
				w.Engine = w.node(configure)
				worker.engine, worker.rows = w.Engine, 0
			}
		}
		w.expectExactlyOnce(runs, 1)
		if shared.t.Failed() {
			t.Fatal("see above")
		}
	})
}

// Two nodes with several workers each, all of which fail now and then, one of which is stopped in the middle.
func TestNodesThatFailShareTheWork(t *testing.T) {
	t.Parallel()
	c := &crashing{random: rand.New(rand.NewPCG(1, 2)), chance: 0.15}
	configure := func(config *Config) { config.Enqueue, config.BatchSize, config.Workers = c.enqueue, 50, 3 }
	w := newWorld(t, configure)
	w.users(400)
	w.workflow("w", step("a", "", "x"))
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for j := range 5 {
				if _, err := w.Trigger(t.Context(), w.env, &Request{Workflow: "w", Recipients: refer(j, 100+i), IdempotencyKey: fmt.Sprint(i, j)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	stopFirst := w.start(w.Engine)
	stopSecond := w.start(w.node(configure))
	wg.Wait()
	stopSecond()
	w.eventuallyZero(openFanOuts)
	stopFirst()
	w.expectExactlyOnce(5*(100+101+102), 1)
}
