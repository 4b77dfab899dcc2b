package realtime

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

const (
	redisBackoffMin = 50 * time.Millisecond
	redisBackoffMax = 5 * time.Second
)

// redisServer is one Redis server: a pipelined connection for publishing, and, while Run runs, one session after the
// other, each of which is the life of a subscribed connection.
type redisServer struct {
	bus     *RedisBus
	address string
	kicked  chan struct{} // capacity 1: there is something dirty, or revoked

	dialing sync.Once
	client  rueidis.Client // reconnects by itself; nil if closed before it was needed
	dialErr error
	silent  atomic.Bool // the last publication waited in vain

	// What follows is guarded by the bus's mu.

	stop     context.CancelFunc  // of the sessions; nil before Run
	dirty    map[string]struct{} // topics whose state on the server may differ from what is wanted; nil without a session
	removing []string            // topics that are being unsubscribed
	gained   partitions          // what came here, or back, and is to be reported as a gap once it is subscribed
	refused  partitions          // what the server wouldn't subscribe, because another has it
	revoked  partitions          // what the server unsubscribed by itself
}

func newRedisServer(b *RedisBus, address string) *redisServer {
	return &redisServer{bus: b, address: address, kicked: make(chan struct{}, 1)}
}

// dial returns the client. The first call connects, for as long as that takes; the client is of use even if that
// failed, because it tries again whenever it is used.
func (s *redisServer) dial() (rueidis.Client, error) {
	s.dialing.Do(func() {
		option := s.bus.option
		if option.Sentinel.MasterSet == "" { // otherwise the addresses are of the sentinels, all of them
			option.InitAddress = []string{s.address}
			option.TLSConfig = s.bus.tlsFor(s.address)
		}
		s.client, s.dialErr = rueidis.NewClient(option)
	})
	if s.client == nil {
		return nil, cmp.Or(s.dialErr, rueidis.ErrClosing)
	}
	return s.client, s.dialErr
}

// tlsFor says who the server must prove to be: the host of its own address, or, when a cluster knows its servers by
// IP addresses, the host in the URL.
func (b *RedisBus) tlsFor(address string) *tls.Config {
	if b.option.TLSConfig == nil {
		return nil
	}
	config := b.option.TLSConfig.Clone()
	host, _, err := net.SplitHostPort(address)
	if _, isIP := netip.ParseAddr(host); err == nil && isIP != nil {
		config.ServerName = host
	}
	return config
}

// close disconnects for good.
func (s *redisServer) close() {
	s.dialing.Do(func() {})
	if s.client != nil {
		s.client.Close()
	}
}

// start starts the sessions, if Run runs. The caller holds the bus's mu.
func (s *redisServer) start() {
	run := s.bus.run
	if run == nil {
		return
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(run.ctx)
	run.group.Go(func() { s.serve(ctx, run) })
}

// retire ends a server that has nothing for us any more. The caller holds the bus's mu.
func (s *redisServer) retire() {
	if s.stop == nil {
		s.close()
		return
	}
	s.stop()
	s.bus.run.group.Go(s.close) // closing may take the time of a dial
}

// serve has one session after the other until ctx ends.
func (s *redisServer) serve(ctx context.Context, run *redisRun) {
	b := s.bus
	backoff := redisBackoffMin
	for lost := false; ; lost = true {
		session := &redisSession{redisServer: s, run: run, subscribed: make(map[string]struct{}), probes: make(map[int]struct{})}
		up, err := session.live(ctx, lost)
		if up {
			backoff = redisBackoffMin
		}
		if ctx.Err() != nil || b.isClosed() {
			return
		}
		b.suspect()                             // it may have lost its partitions, too
		wait := backoff/2 + rand.N(backoff/2+1) // jitter: the nodes should not come back all at once
		b.log.Warn("redis pub/sub connection lost, live updates are delayed until it is back", "server", s.address, "error", err, "retry_in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		case <-b.closed:
			return
		}
		backoff = min(2*backoff, redisBackoffMax)
	}
}

func (b *RedisBus) isClosed() bool {
	select {
	case <-b.closed:
		return true
	default:
		return false
	}
}

// redisRun is what all sessions of one Run deliver to.
type redisRun struct {
	ctx      context.Context
	receiver Receiver
	queues   [redisWorkers]*queue
	group    sync.WaitGroup
}

// Run implements [Bus].
func (b *RedisBus) Run(ctx context.Context, r Receiver) error {
	if !b.running.CompareAndSwap(false, true) {
		return errors.New("realtime: RedisBus.Run called twice")
	}
	ctx, cancel := context.WithCancel(ctx)
	run := &redisRun{ctx: ctx, receiver: r}
	defer run.group.Wait()
	defer cancel()
	for i := range run.queues {
		run.queues[i] = newQueue(workerQueueCount, workerQueueBytes)
		run.group.Go(func() { deliver(ctx, run.queues[i], uint32(i), r) })
	}
	b.mu.Lock()
	b.run = run
	for _, s := range b.servers {
		s.start()
	}
	b.mu.Unlock()
	run.group.Go(func() { b.ringLate(ctx) })
	if b.cluster {
		run.group.Go(func() { b.tend(ctx) })
	}
	select {
	case <-ctx.Done():
		return nil
	case <-b.closed:
		return ErrClosed
	}
}
