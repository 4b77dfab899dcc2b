package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/egress"
	"github.com/belfryhq/belfry/internal/watch"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// Config is what an Engine needs. Every field is required but those with a default.
type Config struct {
	Pool       *pgxpool.Pool
	Recipients *recipient.Service
	// Enqueue takes over the messages of a batch of runs, in the engine's transaction: when that commits they exist,
	// otherwise they never did. An error undoes the batch.
	// It sets the Seq of each.
	Enqueue func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error
	// Statuses says what became of messages, as the transaction sees it. Ids that are unknown are left out.
	// Of messages that were held back it says as what item events tell of them (MessageStatus.Item).
	Statuses func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.MessageID) (map[belfry.MessageID]belfry.MessageStatus, error)
	// HTTP makes the requests of fetch steps.
	HTTP *egress.Client
	Now  func() time.Time
	Log  *slog.Logger

	Workers      int           // concurrent batches; default 4
	BatchSize    int           // runs in one transaction; default 500
	PollInterval time.Duration // how often to look for work that no Wake announced; default 1 s
}

// Engine accepts triggers and runs workflows. It is safe for concurrent use.
type Engine struct {
	Config
	programs      *lru.Cache[int64, *version]    // by workflow_versions.id; immutable
	currents      *lru.Cache[workflowKey, int64] // workflow_versions.id
	wake          chan struct{}
	wakeAll       chan struct{} // for workers that only help with much work
	wakeFetch     chan struct{}
	wakeSchedules chan struct{}
	idleFloors    time.Duration // how old floors may be before a worker believes that there is nothing to do
	lastSmall     atomic.Int64  // when there was other than bulk work, by the machine's clock, in Unix nanoseconds
	watchers      watch.Bells[runKey]
	stats         stats
}

// cachedPrograms is how many workflow versions are kept compiled.
const cachedPrograms = 1000

// New makes an Engine.
func New(c Config) *Engine {
	if c.Workers == 0 {
		c.Workers = 4
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
	currents, err := lru.New[workflowKey, int64](cachedPrograms)
	if err != nil {
		panic(err)
	}
	return &Engine{Config: c, programs: programs, currents: currents, wake: make(chan struct{}, alert), wakeAll: make(chan struct{}, c.Workers), wakeFetch: make(chan struct{}, 1), wakeSchedules: make(chan struct{}, 1), idleFloors: floorsIdle}
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

// alert is how many workers begin with whatever comes. The others help once a batch was full: before, they would only make
// many small batches out of one, at many times the cost.
const alert = 2

// wakeHelpers tells the other workers that there is more than a batch to do.
func (e *Engine) wakeHelpers() {
	for range e.Workers - alert {
		select {
		case e.wakeAll <- struct{}{}:
		default:
			return
		}
	}
}

// Run works until ctx ends. A batch that is under way is finished first.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for n := range e.Workers {
		nimble := n > 0 && n >= e.Workers/4 // most of them
		wake := e.wake
		if n >= alert {
			wake = e.wakeAll
		}
		wg.Go(func() { e.worker(ctx, wake, nimble) })
	}
	wg.Go(func() { newFetcher(e).run(ctx) })
	wg.Go(func() { e.scheduler(ctx) })
	wg.Go(func() { e.prune(ctx) })
	wg.Wait()
	return nil
}

func (e *Engine) worker(ctx context.Context, wake <-chan struct{}, nimble bool) {
	w := &worker{engine: e, rows: 1, bulkRows: 1, nimble: nimble}
	e.loop(ctx, wake, "a batch of runs was undone; it is tried again", func(ctx context.Context) (bool, error) {
		// A claimed batch is finished even if ctx ends meanwhile: it is short, and undoing it is no gain.
		n, err := w.work(context.WithoutCancel(ctx))
		return n > 0 && w.more, err // otherwise what comes next wakes us
	})
}

// Stats counts what this process did since it started.
type Stats struct {
	Triggers   int64 // accepted; replays don't count
	RunsDone   int64
	RunsFailed int64
	Cancelled  int64 // runs
	Waits      int64 // times that a run came to wait
	Batches    int64
	Errors     int64 // batches undone because the database failed
}

type stats struct{ triggers, done, failed, cancelled, waits, batches, errors atomic.Int64 }

func (s *stats) count(runs []*run) {
	if len(runs) == 0 {
		return
	}
	by := map[Status]int64{}
	for _, r := range runs {
		by[r.status]++
	}
	s.batches.Add(1)
	s.done.Add(by[Done])
	s.failed.Add(by[Failed])
	s.cancelled.Add(by[Cancelled])
	s.waits.Add(by[Waiting])
}

// Stats returns the counters as of now.
func (e *Engine) Stats() Stats {
	s := &e.stats
	return Stats{s.triggers.Load(), s.done.Load(), s.failed.Load(), s.cancelled.Load(), s.waits.Load(), s.batches.Load(), s.errors.Load()}
}

// Lag is for how long the oldest work has been waiting that could be done: triggers that aren't runs yet, runs that are
// due, batches that are to close. 0 if there is none.
func (e *Engine) Lag(ctx context.Context) (time.Duration, error) {
	var oldest *time.Time
	if err := e.Pool.QueryRow(ctx, selectOldestWork).Scan(&oldest); err != nil || oldest == nil {
		return 0, err
	}
	return max(0, e.now().Sub(*oldest)), nil
}
