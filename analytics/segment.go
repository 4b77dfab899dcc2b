package analytics

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
)

// MaxTimeout bounds SegmentConfig.Timeout: the Segment library gives up after as long.
const MaxTimeout = 10 * time.Second

// wakeGap is the least time between two looks at the database, so that a busy engine that calls Wake after every
// commit causes ten looks a second, and fuller batches.
const wakeGap = 100 * time.Millisecond

// SegmentConfig is what a Segment needs. Fields without "required" have defaults.
type SegmentConfig struct {
	Pool *pgxpool.Pool // required
	// EnvironmentKey returns the key of an environment, for the property "environment". Required.
	EnvironmentKey func(context.Context, belfry.EnvironmentID) (string, error)

	Now         func() time.Time  // time.Now
	Log         *slog.Logger      // slog.Default
	Transport   http.RoundTripper // a copy of http.DefaultTransport that keeps connections open
	Timeout     time.Duration     // of one request; 10s, which is also the most
	Lease       time.Duration     // how long after a node's death another takes over; 30s, at least 2 Timeouts
	Poll        time.Duration     // how often to look for new events without Wake; 1s
	Concurrency int               // destinations served at the same time; 16
}

// Segment delivers the events of every environment that has a destination. Run it on every node.
type Segment struct {
	cfg  SegmentConfig
	wake chan struct{}
	own  *http.Transport // nil if the transport was injected

	sent, failed, unsendable atomic.Int64
}

// NewSegment checks the configuration and fills in its defaults.
func NewSegment(cfg SegmentConfig) (*Segment, error) {
	if cfg.Pool == nil || cfg.EnvironmentKey == nil {
		return nil, fmt.Errorf("analytics.SegmentConfig: set Pool and EnvironmentKey")
	}
	s := &Segment{cfg: cfg, wake: make(chan struct{}, 1)}
	c := &s.cfg
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Log = cmp.Or(c.Log, slog.Default())
	c.Timeout = cmp.Or(c.Timeout, MaxTimeout)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.Poll = cmp.Or(c.Poll, time.Second)
	c.Concurrency = cmp.Or(c.Concurrency, 16)
	switch {
	case c.Timeout < 0 || c.Timeout > MaxTimeout:
		return nil, fmt.Errorf("analytics.SegmentConfig: Timeout is %v, set it to at most %v", c.Timeout, MaxTimeout)
	case c.Lease < 2*c.Timeout:
		return nil, fmt.Errorf("analytics.SegmentConfig: Lease is %v, set it to at least twice Timeout (%v)", c.Lease, c.Timeout)
	case c.Poll < 0 || c.Concurrency < 0:
		return nil, fmt.Errorf("analytics.SegmentConfig: Poll and Concurrency must be positive")
	}
	if c.Transport == nil {
		s.own = http.DefaultTransport.(*http.Transport).Clone()
		s.own.MaxIdleConnsPerHost = c.Concurrency // most destinations are at the same host
		c.Transport = s.own
	}
	return s, nil
}

// Wake says that events were committed. It never blocks; call it after the commit. Without it they are found by
// polling.
func (s *Segment) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run delivers events until ctx ends, then aborts requests, gives up its leases and returns nil. Trouble with the
// database or with destinations is logged and retried.
func (s *Segment) Run(ctx context.Context) error {
	var turns sync.WaitGroup
	defer func() {
		turns.Wait()
		if s.own != nil {
			s.own.CloseIdleConnections()
		}
	}()
	slots := make(chan struct{}, s.cfg.Concurrency)
	poll := time.NewTicker(s.cfg.Poll)
	defer poll.Stop()
	gap := time.NewTicker(min(wakeGap, s.cfg.Poll))
	defer gap.Stop()
	for ctx.Err() == nil {
		leases, err := s.claim(ctx, s.cfg.Concurrency-len(slots))
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "analytics: cannot look for events; trying again", "error", err)
		}
		for _, l := range leases {
			slots <- struct{}{}
			turns.Go(func() {
				more := s.turn(ctx, l)
				<-slots
				if more {
					s.Wake()
				}
			})
		}
		select {
		case <-ctx.Done():
		case <-poll.C:
		case <-s.wake:
			select {
			case <-ctx.Done():
			case <-gap.C:
			}
		}
	}
	return nil
}

// Stats is what a Segment did since it was made.
type Stats struct {
	Sent       int64 // messages delivered by this node
	Failed     int64 // attempts (requests) of this node that failed
	Unsendable int64 // messages passed over because no request can carry them; expected to stay 0
}

// Stats returns the counters as of now.
func (s *Segment) Stats() Stats {
	return Stats{Sent: s.sent.Load(), Failed: s.failed.Load(), Unsendable: s.unsendable.Load()}
}

// Lag is the age of the oldest event that any destination still misses, whichever node is to deliver it; 0 if none.
func (s *Segment) Lag(ctx context.Context) (time.Duration, error) {
	var oldest *time.Time
	if err := s.cfg.Pool.QueryRow(ctx, oldestUndelivered).Scan(&oldest); err != nil {
		return 0, fmt.Errorf("read the lag of analytics: %w", err)
	}
	if oldest == nil {
		return 0, nil
	}
	return max(0, s.cfg.Now().Sub(*oldest)), nil
}
