package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// Config is what an Engine needs. Every field is required but those with a default.
type Config struct {
	Pool       *pgxpool.Pool
	Recipients *recipient.Service
	// Enqueue takes over the messages of a batch of runs, in the engine's transaction: when that commits they exist,
	// otherwise they never did. An error undoes the batch.
	Enqueue func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error
	Now     func() time.Time
	Log     *slog.Logger

	Workers      int           // concurrent batches; default 2
	BatchSize    int           // runs in one transaction; default 500
	PollInterval time.Duration // how often to look for work that no Wake announced; default 1 s
}

// Engine accepts triggers and runs workflows. It is safe for concurrent use.
type Engine struct {
	Config
	programs *lru.Cache[int64, *version] // by workflow_versions.id; immutable
	wake     chan struct{}
	stats    stats
}

// cachedPrograms is how many workflow versions are kept compiled.
const cachedPrograms = 1000

// New makes an Engine.
func New(c Config) *Engine {
	if c.Workers == 0 {
		c.Workers = 2
	}
	if c.BatchSize == 0 {
		c.BatchSize = 500
	}
	if c.PollInterval == 0 {
		c.PollInterval = time.Second
	}
	programs, err := lru.New[int64, *version](cachedPrograms)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return &Engine{Config: c, programs: programs, wake: make(chan struct{}, c.Workers)}
}

// now is the current instant as PostgreSQL will give it back: in UTC, to the microsecond.
func (e *Engine) now() time.Time { return e.Now().UTC().Truncate(time.Microsecond) }

// Wake tells an idle worker that there is work. It never blocks.
func (e *Engine) Wake() {
	select {
	case e.wake <- struct{}{}:
	default: // every worker has been told
	}
}

const (
	maxBackoff    = 5 * time.Second // between attempts while the database fails
	pruneInterval = time.Hour
)

// Run works until ctx ends. A batch that is under way is finished first.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range e.Workers {
		wg.Go(func() { e.worker(ctx) })
	}
	wg.Go(func() { e.prune(ctx) })
	wg.Wait()
	return nil
}

func (e *Engine) worker(ctx context.Context) {
	w := &worker{engine: e}
	timer := time.NewTimer(0)
	defer timer.Stop()
	backoff := time.Duration(0)
	for {
		wake := e.wake
		if backoff > 0 {
			wake = nil // what failed a moment ago is not tried again for each new trigger
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		wait := e.PollInterval
		for ctx.Err() == nil {
			// A claimed batch is finished even if ctx ends meanwhile: it is short, and undoing it is no gain.
			n, err := w.work(context.WithoutCancel(ctx))
			if err != nil {
				backoff = min(max(2*backoff, 50*time.Millisecond), maxBackoff)
				wait = backoff
				e.stats.errors.Add(1)
				e.Log.Error("a batch of runs was undone; it is tried again", "retry_in", wait, "error", err)
				break
			}
			backoff = 0
			if n == 0 {
				break
			}
		}
		timer.Reset(wait)
	}
}

// prune drops idempotency keys that have expired.
func (e *Engine) prune(ctx context.Context) {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		if err := e.dropExpiredKeys(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("expired idempotency keys could not be dropped; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Stats counts what this process did since it started.
type Stats struct {
	Triggers   int64 // accepted; replays don't count
	RunsDone   int64
	RunsFailed int64
	Batches    int64
	Errors     int64 // batches undone because the database failed
}

type stats struct{ triggers, done, failed, batches, errors atomic.Int64 }

func (s *stats) count(runs []run) {
	failed := 0
	for i := range runs {
		if runs[i].status == Failed {
			failed++
		}
	}
	s.batches.Add(1)
	s.failed.Add(int64(failed))
	s.done.Add(int64(len(runs) - failed))
}

// Stats returns the counters as of now.
func (e *Engine) Stats() Stats {
	s := &e.stats
	return Stats{s.triggers.Load(), s.done.Load(), s.failed.Load(), s.batches.Load(), s.errors.Load()}
}

// Lag is for how long the oldest accepted trigger has been waiting for some of its runs; 0 if none waits.
func (e *Engine) Lag(ctx context.Context) (time.Duration, error) {
	var oldest time.Time
	err := e.Pool.QueryRow(ctx, selectOldestFanOut).Scan(&oldest)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return max(0, e.now().Sub(oldest)), nil
}
