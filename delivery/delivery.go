package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

const (
	// MaxAttempts is how often a message is tried before it is undelivered.
	MaxAttempts = 8
	// SendTimeout is how long one attempt may take.
	SendTimeout = 30 * time.Second

	minLease = 2 * SendTimeout
)

// Config is what a Service needs. Every field is required but those with a default.
type Config struct {
	Pool *pgxpool.Pool
	// Providers by medium. A message of a medium without a provider is undelivered.
	Providers map[belfry.ChannelType]Provider
	// InApp puts messages into feeds, in the caller's transaction, and sets their Seq. It reports them as sent itself.
	InApp func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error
	// Observe records what happens to messages, in the transaction in which it happens.
	Observe func(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error
	Now     func() time.Time
	Log     *slog.Logger

	Workers      int           // messages being sent at the same time; default 32
	BatchSize    int           // rows in one transaction; default 100
	PollInterval time.Duration // how often to look for what has become due; default 1 s
	Lease        time.Duration // until a message whose worker is silent is another's; default, and at least, 1 minute
}

// Service is the delivery of all messages. It is safe for concurrent use.
type Service struct {
	Config
	wake    chan struct{}
	stats   stats
	timeout time.Duration // SendTimeout, but for tests
	grace   time.Duration // shutdownGrace, but for tests
	// next is the environment that was served last, with in-app messages and with others: those after it are next.
	next struct{ inApp, others atomic.Int64 }
}

// New makes a Service.
func New(c Config) *Service {
	c.Workers = cmp.Or(c.Workers, 32)
	c.BatchSize = cmp.Or(c.BatchSize, 100)
	c.PollInterval = cmp.Or(c.PollInterval, time.Second)
	c.Lease = max(c.Lease, minLease)
	return &Service{Config: c, wake: make(chan struct{}, 1), timeout: SendTimeout, grace: shutdownGrace}
}

// now is the current instant as PostgreSQL will give it back: in UTC, to the microsecond.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// Wake says that there is something to send. It never blocks. What no Wake announced is found by polling.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Stats counts what this process did since it started.
type Stats struct {
	Sent        int64 // taken by a provider
	Moved       int64 // in-app messages whose time came
	Failed      int64 // attempts that failed, whatever became of the message
	Undelivered int64 // messages given up, or refused for good
	Bounced     int64 // said so when they were sent
	Outdated    int64 // outcomes that could not be recorded because the lease was another's by then
	Errors      int64 // transactions undone because the database failed
}

type stats struct {
	sent, moved, failed, undelivered, bounced, outdated, errors atomic.Int64
}

// Stats returns the counters as of now.
func (s *Service) Stats() Stats {
	c := &s.stats
	return Stats{c.sent.Load(), c.moved.Load(), c.failed.Load(), c.undelivered.Load(), c.bounced.Load(), c.outdated.Load(), c.errors.Load()}
}

// Lag is for how long the message has been due that has been so for longest, on whichever node; 0 if none is. Waiting for
// the next attempt doesn't count.
func (s *Service) Lag(ctx context.Context) (time.Duration, error) {
	now := s.now()
	oldest := now
	for _, inApp := range []bool{false, true} {
		var due time.Time
		err := s.Pool.QueryRow(ctx, selectOldestDue, inApp, now).Scan(&due)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read the lag of deliveries: %w", err)
		}
		if due.Before(oldest) {
			oldest = due
		}
	}
	return now.Sub(oldest), nil
}
