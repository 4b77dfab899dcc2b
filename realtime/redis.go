package realtime

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
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
	DefaultRedisProbeAfter     = 10 * time.Second

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
	// URL is redis://[user:password@]host:port[/db], rediss:// for TLS, or unix:///path. The server says whether it
	// belongs to a cluster; one node of it is enough, and ?addr=host:port&addr=… adds others for when that is down.
	// With ?master_set=name the addresses are those of sentinels.
	URL string
	// Prefix starts every channel name, so that installations can share a server. DefaultRedisPrefix if empty. It
	// must not contain a brace: that would decide where in a cluster a channel lives.
	Prefix string
	// PublishTimeout bounds every Publish, on top of its context. DefaultRedisPublishTimeout if zero.
	PublishTimeout time.Duration
	// ProbeAfter is how long a subscribed connection may bring nothing before it has to prove that it would, by
	// bringing a message of our own, within half as long again. DefaultRedisProbeAfter if zero.
	ProbeAfter time.Duration
	// Logger gets lost and regained connections. Nothing is logged if nil.
	Logger *slog.Logger
}

// RedisBus is a bus over Redis pub/sub: one channel a topic; to every server one dedicated connection for all
// subscriptions, and one pipelined connection for publishing.
//
// On a cluster it uses sharded pub/sub, so that a publication reaches the servers of one shard only. Topics fall into
// 128 partitions, each of which is a hash tag and therefore lives on one server; when partitions move, their topics
// are subscribed where they have gone, and reported as a gap.
type RedisBus struct {
	option         rueidis.ClientOption // of a connection to any server, but for its address
	seeds          []string             // addresses in the URL
	cluster        bool
	log            *slog.Logger
	prefix         string
	id             string // tells our probes from those of other nodes
	publishTimeout time.Duration
	probeAfter     time.Duration
	publishing     chan struct{} // a slot for every Publish under way

	closeOnce sync.Once
	closed    chan struct{}
	running   atomic.Bool
	malformed atomic.Bool   // the first malformed message has been logged
	stale     chan struct{} // capacity 1: "partitions may have moved"
	belated   chan struct{} // capacity 1: "late has something"
	counts    redisCounts

	mu      sync.Mutex
	late    map[string]int64              // topics to be rung again, and their versions
	wanted  map[string]chan struct{}      // the topics to be subscribed: closed and nil once the server has confirmed
	servers map[string]*redisServer       // by address
	owners  [redisPartitions]*redisServer // who has which partition; nil until somebody does
	asked   chan struct{}                 // closed, and replaced, whenever the owners have been asked for
	run     *redisRun                     // nil before Run
}

type redisCounts struct {
	connections                                    atomic.Int64
	reconnects, moved, dropped, failedProbes, late atomic.Uint64
}

var _ Bus = (*RedisBus)(nil)

// NewRedisBus connects to Redis and fails if it can't within a few seconds for each address in the URL. Close the bus
// after Run has returned.
func NewRedisBus(cfg RedisConfig) (*RedisBus, error) {
	option, err := rueidis.ParseURL(cfg.URL)
	if err != nil {
		// The parser's errors quote pieces of the URL, password included: don't pass them on.
		return nil, errors.New("realtime: BELFRY_REDIS_URL is not a Redis URL: want redis://[user:password@]host:port[/db][?addr=host:port&addr=…], " +
			"rediss:// or unix:///path, with special characters of the password percent-encoded")
	}
	prefix := cmp.Or(cfg.Prefix, DefaultRedisPrefix)
	if strings.ContainsAny(prefix, "{}") {
		return nil, fmt.Errorf("realtime: the prefix of channels %q has a brace: those say where in a cluster a channel lives", prefix)
	}
	configure(&option)
	b := &RedisBus{
		option:         option,
		seeds:          option.InitAddress,
		log:            cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		prefix:         prefix,
		id:             rand.Text(),
		publishTimeout: cmp.Or(cfg.PublishTimeout, DefaultRedisPublishTimeout),
		probeAfter:     cmp.Or(cfg.ProbeAfter, DefaultRedisProbeAfter),
		publishing:     make(chan struct{}, redisPublishers),
		closed:         make(chan struct{}),
		stale:          make(chan struct{}, 1),
		belated:        make(chan struct{}, 1),
		asked:          make(chan struct{}),
		late:           make(map[string]int64),
		wanted:         make(map[string]chan struct{}),
		servers:        make(map[string]*redisServer),
	}
	if option.Sentinel.MasterSet != "" {
		b.seeds = b.seeds[:1] // they are one server, whose address the client finds out
	}
	if err := b.find(); err != nil {
		b.Close()
		return nil, err
	}
	if b.cluster {
		b.suspect() // one server's word isn't enough
	}
	return b, nil
}

// configure completes what the URL says with settings for a client that only does pub/sub.
func configure(o *rueidis.ClientOption) {
	o.ForceSingleClient = true // which server has what in a cluster is ours to know, because we subscribe by it
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
	o.Sentinel.Dialer = o.Dialer
	o.Sentinel.TLSConfig = o.TLSConfig
	o.Sentinel.TopologyRefreshInterval = redisAskInterval // a demoted server lives on: nothing else may tell
	o.ConnWriteTimeout = cmp.Or(o.ConnWriteTimeout, redisWriteTimeout)
	o.ClientName = cmp.Or(o.ClientName, redisClientName)
	o.ClientSetInfo = []string{} // our name is enough, and the command another that an access list might refuse
}

// find connects to the first address that answers, and learns who has which partition.
func (b *RedisBus) find() error {
	var failed error
	for _, address := range b.seeds {
		s := newRedisServer(b, address)
		_, err := s.dial()
		if err == nil {
			if err = b.learn(s); err == nil {
				return nil
			}
			err = fmt.Errorf("realtime: the Redis of BELFRY_REDIS_URL at %s: %w", address, err)
		} else {
			err = fmt.Errorf("realtime: cannot connect to Redis at %s: %w; check that it is running and that the address and password in BELFRY_REDIS_URL are right", address, err)
		}
		s.close()
		failed = errors.Join(failed, err)
	}
	return failed
}

// learn asks a server what it is, and sets the owners.
func (b *RedisBus) learn(s *redisServer) error {
	ctx, cancel := context.WithTimeout(context.Background(), redisAskTimeout)
	defer cancel()
	mode, err := s.mode(ctx)
	if err != nil {
		return err
	}
	b.cluster = mode == clusterMode
	var where claims
	switch {
	case b.cluster:
		if where, err = s.ask(ctx); err != nil {
			return err
		}
	case len(b.seeds) > 1:
		return errors.New("it belongs to no cluster, so ?addr= has no use: several Redis servers without a cluster don't hear of each other")
	default:
		for p := range where {
			where[p].address = s.address
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.servers[s.address] = s
	b.assign(where)
	return nil
}

// Close disconnects. Subscribe calls that wait fail with ErrClosed.
func (b *RedisBus) Close() {
	b.closeOnce.Do(func() {
		close(b.closed)
		b.mu.Lock()
		servers := slices.Collect(maps.Values(b.servers))
		b.mu.Unlock()
		for _, s := range servers {
			s.close()
		}
	})
}

// Remote implements [Bus]: other nodes may always be there.
func (b *RedisBus) Remote() bool { return true }

// Stats implements [Bus].
func (b *RedisBus) Stats() BusStats {
	return BusStats{
		Connections:  int(b.counts.connections.Load()),
		Reconnects:   b.counts.reconnects.Load(),
		Moved:        b.counts.moved.Load(),
		Dropped:      b.counts.dropped.Load(),
		FailedProbes: b.counts.failedProbes.Load(),
		Late:         b.counts.late.Load(),
	}
}
