package realtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Sizes and times of the Redis bus. The timeouts may be shortened or lengthened in the URL
// (?dial_timeout=…&write_timeout=…).
const (
	DefaultRedisPrefix         = "belfry"
	DefaultRedisPublishTimeout = 2 * time.Second

	redisDialTimeout  = 2 * time.Second
	redisWriteTimeout = 3 * time.Second // silence after which a connection counts as dead
	redisKeepAlive    = time.Second     // and how often an idle one is pinged
	redisBufferBytes  = 32 << 10        // the client's default of 2 × 512 KiB a connection is for heavier users
	redisRingScale    = 8               // 2^8 pipelined requests a connection
	redisPublishBatch = 512             // commands in one pipeline
	redisPublishers   = 128             // concurrent Publish calls; under 2^redisRingScale, where waiting ignores contexts
	redisPoolSize     = 4
	redisClientName   = "belfry"
)

// RedisConfig says how to reach Redis. Only URL is required.
type RedisConfig struct {
	// URL is redis://[user:password@]host:port[/db], rediss:// for TLS, or unix:///path.
	URL string
	// Prefix starts every channel name, so that installations can share a server. DefaultRedisPrefix if empty.
	Prefix string
	// PublishTimeout bounds every Publish, on top of its context. DefaultRedisPublishTimeout if zero.
	PublishTimeout time.Duration
	// Logger gets lost and regained connections. Nothing is logged if nil.
	Logger *slog.Logger
}

// RedisBus is a bus over Redis pub/sub: one channel a topic, one dedicated connection for all subscriptions, one
// pipelined connection for publishing.
type RedisBus struct {
	client         rueidis.Client
	log            *slog.Logger
	prefix         string
	publishTimeout time.Duration
	publishing     chan struct{} // a slot for every Publish under way

	closeOnce sync.Once
	closed    chan struct{}
	running   atomic.Bool
	malformed atomic.Bool // the first malformed message has been logged

	mu     sync.Mutex
	wanted map[string]chan struct{} // the topics to be subscribed: closed and nil once the server has confirmed
	dirty  map[string]struct{}      // topics whose state on the server may differ from wanted; nil without a session
	kick   chan struct{}            // capacity 1: "dirty has something"
}

var _ Bus = (*RedisBus)(nil)

// NewRedisBus connects to Redis and fails if it can't within a few seconds. Close the bus after Run has returned.
func NewRedisBus(cfg RedisConfig) (*RedisBus, error) {
	option, err := rueidis.ParseURL(cfg.URL)
	if err != nil {
		// The parser's errors quote pieces of the URL, password included: don't pass them on.
		return nil, errors.New("realtime: BELFRY_REDIS_URL is not a Redis URL: want redis://[user:password@]host:port[/db], " +
			"rediss:// or unix:///path, with special characters of the password percent-encoded")
	}
	prefix := cmp.Or(cfg.Prefix, DefaultRedisPrefix)
	configure(&option)
	client, err := rueidis.NewClient(option)
	if err != nil {
		return nil, fmt.Errorf("realtime: cannot connect to Redis at %v: %w; check that it is running and that the address and password in BELFRY_REDIS_URL are right",
			option.InitAddress, err)
	}
	return &RedisBus{
		client:         client,
		log:            cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		prefix:         prefix,
		publishTimeout: cmp.Or(cfg.PublishTimeout, DefaultRedisPublishTimeout),
		publishing:     make(chan struct{}, redisPublishers),
		closed:         make(chan struct{}),
		wanted:         make(map[string]chan struct{}),
		kick:           make(chan struct{}, 1),
	}, nil
}

// configure completes what the URL says with settings for a client that only does pub/sub.
func configure(o *rueidis.ClientOption) {
	o.ForceSingleClient = true // classic pub/sub works through any one node of a cluster
	o.DisableCache = true      // we never read keys
	o.DisableRetry = true      // reconnecting is ours: subscribers must hear of it
	o.AlwaysPipelining = true  // so that a context can end a wait
	o.PipelineMultiplex = -1   // one connection for publishing, which keeps the order
	o.ReadBufferEachConn = redisBufferBytes
	o.WriteBufferEachConn = redisBufferBytes
	o.RingScaleEachConn = redisRingScale
	o.BlockingPoolSize = redisPoolSize
	o.Dialer.Timeout = cmp.Or(o.Dialer.Timeout, redisDialTimeout)
	o.Dialer.KeepAlive = redisKeepAlive
	o.ConnWriteTimeout = cmp.Or(o.ConnWriteTimeout, redisWriteTimeout)
	o.ClientName = cmp.Or(o.ClientName, redisClientName)
}

// Close disconnects. Subscribe calls that wait fail with ErrClosed.
func (b *RedisBus) Close() {
	b.closeOnce.Do(func() {
		close(b.closed)
		b.client.Close()
	})
}

// Remote implements [Bus]: other nodes may always be there.
func (b *RedisBus) Remote() bool { return true }

// Publish implements [Bus]. The payloads have been copied when it returns.
func (b *RedisBus) Publish(ctx context.Context, pubs []Publication) error {
	if len(pubs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.publishTimeout)
	defer cancel()
	select {
	case b.publishing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("realtime: publish to Redis: %d calls are under way already: %w", redisPublishers, ctx.Err())
	}
	commands := make([]rueidis.Completed, len(pubs))
	for i, pub := range pubs {
		message := rueidis.BinaryString(encode(pub))
		commands[i] = b.client.B().Publish().Channel(channel(b.prefix, pub.Topic)).Message(message).Build()
	}
	// On its own goroutine, because a call that finds the connection lost may wait for another's dialling
	// without looking at its context.
	done := make(chan error, 1)
	go func() {
		defer func() { <-b.publishing }()
		done <- b.send(ctx, commands)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("realtime: publish to Redis: %w", ctx.Err())
	}
}

func (b *RedisBus) send(ctx context.Context, commands []rueidis.Completed) error {
	failed, total := 0, len(commands)
	var first error
	for len(commands) > 0 {
		n := min(len(commands), redisPublishBatch)
		for _, result := range b.client.DoMulti(ctx, commands[:n]...) {
			if err := result.Error(); err != nil {
				if failed++; first == nil {
					first = err
				}
			}
		}
		commands = commands[n:]
	}
	if failed > 0 {
		return fmt.Errorf("realtime: publish to Redis: %d of %d publications failed: %w", failed, total, first)
	}
	return nil
}
