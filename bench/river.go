package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/belfryhq/belfry/postgres"
)

// riverWorkers is how many jobs river may work on at a time, and so how many it fetches at once. Of 100, 500, 1000, 2000
// and 5000 this was the fastest, if only just.
const riverWorkers = 1000

// job is an empty job with arguments of the usual size.
type job struct {
	Run  string `json:"run"`
	Step int    `json:"step"`
}

// Kind implements river.JobArgs.
func (job) Kind() string { return "step" }

func newJob(n int) job { return job{"01890a5d-ac96-774b-bcce-b302099a8057", n} }

// worker does nothing, and counts that.
type worker struct {
	river.WorkerDefaults[job]
	worked *atomic.Int64
}

// Work implements river.Worker.
func (w *worker) Work(context.Context, *river.Job[job]) error {
	w.worked.Add(1)
	return nil
}

// riverSide runs the empty jobs of the river job queue, with its default (batching) completer.
type riverSide struct {
	url      string
	cooldown time.Duration // least time between two fetches
	pool     *pgxpool.Pool
	client   *river.Client[pgx.Tx]
	worked   atomic.Int64
	before   jobTally
}

func newRiverSide(ctx context.Context, s *server, name string, cooldown time.Duration) (_ *riverSide, err error) {
	r := &riverSide{cooldown: cooldown}
	if r.url, err = s.create(ctx, name); err != nil {
		return nil, err
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: r.serverDefaults(), MaxConns: 2})
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: warnings()})
	if err != nil {
		return nil, err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return r, err
}

// serverDefaults is the database without what Belfry asks of its own connections: that would be no favour to statements
// that aren't made for it.
func (r *riverSide) serverDefaults() string {
	return r.url + "&jit=on&enable_seqscan=on&enable_hashjoin=on&enable_mergejoin=on"
}

func warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (r *riverSide) name() string     { return "river" }
func (r *riverSide) database() string { return r.url }

func (r *riverSide) open(ctx context.Context, _ *load) (err error) {
	if r.pool, err = postgres.Open(ctx, postgres.Config{URL: r.serverDefaults(), MaxConns: connections}); err != nil {
		return err
	}
	if err = r.start(ctx); err != nil {
		r.pool.Close()
	}
	return err
}

func (r *riverSide) start(ctx context.Context) (err error) {
	if r.before, err = r.count(ctx); err != nil {
		return err
	}
	r.worked.Store(0)
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{worked: &r.worked})
	r.client, err = river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverWorkers}},
		FetchCooldown: r.cooldown, Logger: warnings(),
	})
	if err != nil {
		return err
	}
	return r.client.Start(context.WithoutCancel(ctx))
}

func (r *riverSide) close() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := r.client.Stop(ctx); err != nil {
		warnings().Warn("river did not stop in time", "error", err)
	}
	r.pool.Close()
}

// accept inserts jobs: many by COPY, which is river's fastest way, one by its plain Insert.
func (r *riverSide) accept(ctx context.Context, l *load, call int) error {
	var options *river.InsertOpts
	if l.task.delay > 0 {
		options = &river.InsertOpts{ScheduledAt: time.Now().Add(l.task.delay)}
	}
	if l.batch == 1 {
		_, err := r.client.Insert(ctx, newJob(call), options)
		return err
	}
	params := make([]river.InsertManyParams, l.batch)
	for i := range params {
		params[i] = river.InsertManyParams{Args: newJob(call*l.batch + i), InsertOpts: options}
	}
	n, err := r.client.InsertManyFast(ctx, params)
	if err == nil && n != l.batch {
		err = fmt.Errorf("%d of %d jobs were inserted", n, l.batch)
	}
	return err
}

// resting is until the first job was worked. That leaves out the up to 5 s until river looks for scheduled jobs, too.
func (r *riverSide) resting(l *load) bool { return l.task.delay > 0 && r.worked.Load() == 0 }

// jobsLeft is answered by the index that river fetches by.
const jobsLeft = `SELECT EXISTS (SELECT FROM river_job WHERE state IN ('available', 'running', 'scheduled'))`

// done counts worked jobs. When all have been, the database is asked whether their completion is committed too.
func (r *riverSide) done(ctx context.Context, want int) (int, error) {
	n := int(r.worked.Load())
	if n < want {
		return n, nil
	}
	var left bool
	if err := r.pool.QueryRow(ctx, jobsLeft).Scan(&left); err != nil || left {
		return n - 1, err
	}
	return n, nil
}

// jobTally is what jobs leave in the database.
type jobTally struct{ Jobs, Completed int64 }

func (r *riverSide) count(ctx context.Context) (jobTally, error) {
	rows, err := r.pool.Query(ctx, `SELECT count(*) AS jobs, count(*) FILTER (WHERE state = 'completed' AND attempt = 1) AS completed FROM river_job`)
	if err != nil {
		return jobTally{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[jobTally])
}

func (r *riverSide) verify(ctx context.Context, l *load) error {
	after, err := r.count(ctx)
	if err != nil {
		return err
	}
	n := int64(l.units)
	got := jobTally{after.Jobs - r.before.Jobs, after.Completed - r.before.Completed}
	if want := (jobTally{n, n}); got != want {
		return fmt.Errorf("the database does not hold %d completed jobs: want %+v, got %+v", n, want, got)
	}
	return nil
}

var _ contender = (*riverSide)(nil)
