package analytics

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

// start is when everything in these tests happens; the clock is a second later.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a time that only tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fixture is a database with the environment "production", and a collector.
type fixture struct {
	*testing.T
	pool         *pgxpool.Pool
	clock        *clock
	collector    *collector
	destinations *Destinations
	env          belfry.EnvironmentID
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t, pool: pgtest.New(t), clock: &clock{t: start.Add(time.Second)}, collector: newCollector(t)}
	f.destinations = NewDestinations(f.pool, f.clock.now)
	f.env = f.environment("production")
	return f
}

func (f *fixture) environment(key string) (id belfry.EnvironmentID) {
	f.Helper()
	err := f.pool.QueryRow(f.Context(), `INSERT INTO environments (key, created_at) VALUES ($1, $2) RETURNING id`, key, start).Scan(&id)
	if err != nil {
		f.Fatal(err)
	}
	return id
}

// connect makes an environment report to the collector.
func (f *fixture) connect(env belfry.EnvironmentID, writeKey string) {
	f.Helper()
	if err := f.destinations.SetSegment(f.Context(), env, writeKey, f.collector.URL); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) record(changes ...belfry.StatusChange) {
	f.Helper()
	err := postgres.InTx(f.Context(), f.pool, func(tx *postgres.Tx) error {
		return new(Log).Record(f.Context(), tx, changes)
	})
	if err != nil {
		f.Fatal(err)
	}
}

// sent is a change that says that n messages were sent, from and including the number first.
func (f *fixture) sent(first, n int) belfry.StatusChange {
	return sentIn(f.env, first, n)
}

func sentIn(env belfry.EnvironmentID, first, n int) belfry.StatusChange {
	c := belfry.StatusChange{
		Environment: env, Kind: belfry.MessageSent, At: start, Channel: belfry.DefaultFeed, ChannelType: belfry.InApp,
		Workflow: "comments", StepRef: "inbox",
	}
	for i := first; i < first+n; i++ {
		c.Messages = append(c.Messages, belfry.MessageRef{Recipient: belfry.RecipientID(i), UserID: fmt.Sprintf("user-%d", i), Seq: 7})
	}
	return c
}

// segment makes a sink that is quick to notice events. Time for leases and back-off is the fixture's.
func (f *fixture) segment(change ...func(*SegmentConfig)) *Segment {
	f.Helper()
	cfg := SegmentConfig{
		Pool: f.pool,
		EnvironmentKey: func(ctx context.Context, id belfry.EnvironmentID) (key string, err error) {
			err = f.pool.QueryRow(ctx, `SELECT key FROM environments WHERE id = $1`, int64(id)).Scan(&key)
			return key, err
		},
		Now:  f.clock.now,
		Log:  slog.New(slog.DiscardHandler),
		Poll: 10 * time.Millisecond,
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := NewSegment(cfg)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// run starts a sink. stop ends it and waits for it; the end of the test does so too.
func (f *fixture) run(s *Segment) (stop func()) {
	ctx, cancel := context.WithCancel(f.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Errorf("Run: %v", err)
		}
	})
	f.Cleanup(stop)
	return stop
}

// awaitFailures waits until n attempts in a row have failed and are recorded, so that nobody is sending.
func (f *fixture) awaitFailures(n int) (d Destination) {
	f.Helper()
	await(f.T, func() (bool, any) {
		var err error
		if d, err = f.destinations.GetSegment(f.Context(), f.env); err != nil {
			f.Fatal(err)
		}
		return d.Failures >= n, d
	})
	return d
}

// awaitIdle waits until everything is delivered and recorded.
func (f *fixture) awaitIdle(s *Segment) Stats {
	f.Helper()
	await(f.T, func() (bool, any) {
		lag, err := s.Lag(f.Context())
		if err != nil {
			f.Fatal(err)
		}
		return lag == 0, s.Stats()
	})
	return s.Stats()
}

// awaitLease claims the only destination, as soon as no transaction of another test hides its events.
func (f *fixture) awaitLease(s *Segment) (l lease) {
	f.Helper()
	await(f.T, func() (bool, any) {
		leases := f.claim(s)
		if len(leases) == 1 {
			l = leases[0]
		}
		return len(leases) == 1, "nothing to claim"
	})
	return l
}

func (f *fixture) claim(s *Segment) []lease {
	f.Helper()
	leases, err := s.claim(f.Context(), 10)
	if err != nil {
		f.Fatal(err)
	}
	return leases
}
