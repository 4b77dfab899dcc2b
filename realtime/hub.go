package realtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/belfryhq/belfry/internal/memo"
)

const (
	// ConfirmTimeout is how long Subscribe waits for the bus before it lets its caller through with a gap.
	ConfirmTimeout = 2 * time.Second

	// UnsubscribeDelay is how long a topic stays subscribed on the bus after its last local subscriber has gone,
	// so that a page reload doesn't cost an unsubscribe and a subscribe.
	UnsubscribeDelay = time.Second

	hubShards = 64
)

// Hub knows the subscribers of this node. Its methods are safe for concurrent use.
type Hub struct {
	bus    Bus
	shards [hubShards]shard

	ctx        context.Context // ends with Run; bounds the waits for confirmations
	stop       context.CancelFunc
	confirming sync.WaitGroup

	published, publishFailures, dropped, gaps, unconfirmed atomic.Uint64
}

// shard holds the topics of one 64th of the hash space, so that publishers and subscribers rarely meet.
type shard struct {
	mu            sync.RWMutex
	topics        map[string]*topic
	subscriptions int
}

// Stats are plain numbers for metrics. The uint64s only ever grow.
type Stats struct {
	Topics        int // on this node, including those about to be unsubscribed
	Subscriptions int

	Published       uint64 // publications handed to the bus
	PublishFailures uint64 // publications that the bus did not take, or not for certain
	Dropped         uint64 // deliveries that did not fit into a subscription's buffer; each implies a gap
	Gaps            uint64 // gaps that the bus reported
	Unconfirmed     uint64 // subscribers let through before the bus had confirmed

	Bus BusStats
}

var _ Receiver = (*Hub)(nil)

// NewHub returns a hub on the bus. It works once Run is running.
func NewHub(bus Bus) *Hub {
	h := &Hub{bus: bus}
	h.ctx, h.stop = context.WithCancel(context.Background())
	for i := range h.shards {
		h.shards[i].topics = make(map[string]*topic)
	}
	return h
}

// Run connects the hub to its bus and blocks until ctx ends. Call it once. Afterwards Subscribe fails with
// ErrClosed, and open subscriptions get nothing more.
func (h *Hub) Run(ctx context.Context) error {
	err := h.bus.Run(ctx, h)
	h.stop()
	for i := range h.shards {
		h.shards[i].stopLingering()
	}
	// Every shard has been locked since stop: no attach can start another confirmation.
	h.confirming.Wait()
	return err
}

// Publish sends the publications to every node, in order. It returns a *PayloadTooLargeError (after sending
// the others) or the bus's error; the caller may log and forget either.
func (h *Hub) Publish(ctx context.Context, pubs []Publication) error {
	sendable, tooLarge := checkSizes(pubs)
	h.published.Add(uint64(len(sendable)))
	h.publishFailures.Add(uint64(len(pubs) - len(sendable)))
	if len(sendable) == 0 {
		return tooLarge
	}
	if err := h.bus.Publish(ctx, sendable); err != nil {
		h.publishFailures.Add(uint64(len(sendable)))
		return errors.Join(err, tooLarge)
	}
	return tooLarge
}

// checkSizes returns the publications within the limit, and an error for the first that is not.
func checkSizes(pubs []Publication) (sendable []Publication, tooLarge error) {
	for i, pub := range pubs {
		if len(pub.Payload) <= MaxPayload {
			if tooLarge != nil {
				sendable = append(sendable, pub)
			}
			continue
		}
		if tooLarge == nil {
			tooLarge = &PayloadTooLargeError{Topic: pub.Topic, Size: len(pub.Payload), Limit: MaxPayload}
			sendable = append(sendable, pubs[:i]...)
		}
	}
	if tooLarge == nil {
		return pubs, nil // the usual case: no copy
	}
	return sendable, tooLarge
}

// Subscribe registers a subscriber, then waits for the bus to confirm the topic: read the state after it
// returns. It fails when ctx ends or the hub has stopped. When the bus doesn't answer within ConfirmTimeout the
// subscription is returned all the same, with a gap, and another gap follows the confirmation.
func (h *Hub) Subscribe(ctx context.Context, topic string) (*Subscription, error) {
	return h.subscribe(ctx, topic, newQueue(MaxBufferedPublications, MaxBufferedBytes))
}

// SubscribeFunc is Subscribe for a subscriber without a goroutine of its own: wake is called whenever Take may have
// something to say, from now on, before SubscribeFunc has returned too. It must not block, nor call the hub: publishers
// call it, holding a lock.
func (h *Hub) SubscribeFunc(ctx context.Context, topic string, wake func()) (*Subscription, error) {
	return h.subscribe(ctx, topic, newQueueFunc(wake, MaxBufferedPublications, MaxBufferedBytes))
}

func (h *Hub) subscribe(ctx context.Context, topic string, q *queue) (*Subscription, error) {
	s, err := h.attach(topic, q)
	if err != nil {
		return nil, err
	}
	if s.topic.isConfirmed() {
		return s, nil
	}
	timeout := time.NewTimer(ConfirmTimeout)
	defer timeout.Stop()
	select {
	case <-s.topic.confirmed:
		return s, nil
	case <-timeout.C:
		h.unconfirmed.Add(1)
		s.topic.letThrough.Store(true)
		s.Nudge()
		return s, nil
	case <-ctx.Done():
		s.Close()
		return nil, fmt.Errorf("realtime: subscribe to %q: %w", topic, context.Cause(ctx))
	case <-h.ctx.Done():
		s.Close()
		return nil, ErrClosed
	}
}

// Wanted reports whether anybody may be listening to the topic. When it is false a caller can skip encoding and
// publishing.
func (h *Hub) Wanted(topic string) bool {
	if h.bus.Remote() {
		return true
	}
	sh := h.shard(topic)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	t := sh.topics[topic]
	return t != nil && len(t.subs) > 0
}

// Receive implements [Receiver] for the bus.
func (h *Hub) Receive(pub Publication) {
	sh := h.shard(pub.Topic)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	t := sh.topics[pub.Topic]
	if t == nil {
		return
	}
	if pub.Memo == nil && len(t.subs) > 1 {
		pub.Memo = new(memo.Memo)
	}
	for _, s := range t.subs {
		if !s.queue.push(pub) {
			h.dropped.Add(1)
		}
	}
}

// Gap implements [Receiver] for the bus.
func (h *Hub) Gap(affected func(topic string) bool) {
	h.gaps.Add(1)
	for i := range h.shards {
		h.shards[i].markGap(affected)
	}
}

// Stats returns current figures.
func (h *Hub) Stats() Stats {
	st := Stats{
		Published:       h.published.Load(),
		PublishFailures: h.publishFailures.Load(),
		Dropped:         h.dropped.Load(),
		Gaps:            h.gaps.Load(),
		Unconfirmed:     h.unconfirmed.Load(),
		Bus:             h.bus.Stats(),
	}
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.RLock()
		st.Topics += len(sh.topics)
		st.Subscriptions += sh.subscriptions
		sh.mu.RUnlock()
	}
	return st
}

func (h *Hub) shard(topic string) *shard { return &h.shards[hash(topic)%hubShards] }

// hash is FNV-1a, 32 bits. All nodes must agree on it: it picks Redis partitions too.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
