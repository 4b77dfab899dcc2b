package realtime

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	redisSubscribeBatch   = 512 // channels in one SUBSCRIBE
	redisSubscribeTimeout = 5 * time.Second

	redisWorkers     = 4
	workerQueueCount = 4096
	workerQueueBytes = 8 << 20 // bytes of payload

	redisBackoffMin = 50 * time.Millisecond
	redisBackoffMax = 5 * time.Second
)

// Subscribe implements [Bus].
func (b *RedisBus) Subscribe(ctx context.Context, topics ...string) error {
	for _, confirmed := range b.want(topics) {
		select {
		case <-confirmed:
		case <-ctx.Done():
			return ctx.Err()
		case <-b.closed:
			return ErrClosed
		}
	}
	return nil
}

// want adds topics to the wanted set and returns the confirmations that are outstanding.
func (b *RedisBus) want(topics []string) (confirmations []<-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, topic := range topics {
		confirmed, known := b.wanted[topic]
		if !known {
			confirmed = make(chan struct{})
			b.wanted[topic] = confirmed
			b.touch(topic)
		}
		if confirmed != nil {
			confirmations = append(confirmations, confirmed)
		}
	}
	return confirmations
}

// Unsubscribe implements [Bus].
func (b *RedisBus) Unsubscribe(topics ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, topic := range topics {
		if _, known := b.wanted[topic]; known {
			delete(b.wanted, topic)
			b.touch(topic)
		}
	}
}

// touch has the session compare the topic's wanted state with the server's. The caller holds mu.
func (b *RedisBus) touch(topic string) {
	if b.dirty == nil {
		return // the next session starts from wanted
	}
	b.dirty[topic] = struct{}{}
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// Run implements [Bus].
func (b *RedisBus) Run(ctx context.Context, r Receiver) error {
	if !b.running.CompareAndSwap(false, true) {
		return errors.New("realtime: RedisBus.Run called twice")
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queues := make([]*queue, redisWorkers)
	for i := range queues {
		queues[i] = newQueue(workerQueueCount, workerQueueBytes)
		workers.Go(func() { deliver(ctx, queues[i], uint32(i), r) })
	}

	backoff := redisBackoffMin
	for reconnect := false; ; reconnect = true {
		up, err := b.session(ctx, r, queues, reconnect)
		if up {
			backoff = redisBackoffMin
		}
		wait := backoff/2 + rand.N(backoff/2+1) // jitter: the nodes should not come back all at once
		select {
		case <-ctx.Done():
			return nil
		case <-b.closed:
			return ErrClosed
		default:
		}
		b.log.Warn("redis pub/sub connection lost, live updates are delayed until it is back", "error", err, "retry_in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		backoff = min(2*backoff, redisBackoffMax)
	}
}

// deliver passes one worker's publications on, and reports a gap for its share of the topics after an overflow.
func deliver(ctx context.Context, q *queue, worker uint32, r Receiver) {
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
		pubs, gap := q.take()
		for _, pub := range pubs {
			r.Receive(pub)
		}
		if gap {
			r.Gap(func(topic string) bool { return hash(topic)%redisWorkers == worker })
		}
	}
}

// session is the life of one pub/sub connection. up means that it got as far as being subscribed.
func (b *RedisBus) session(ctx context.Context, r Receiver, queues []*queue, reconnect bool) (up bool, err error) {
	conn, _ := b.client.Dedicate()
	defer conn.Close()
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { b.enqueue(m, queues) }})
	if err := do(ctx, conn, conn.B().Ping().Build()); err != nil {
		return false, err
	}
	subscribed := make(map[string]struct{})
	b.open()
	defer b.shut()
	if err := b.reconcile(ctx, conn, subscribed); err != nil {
		return false, err
	}
	if reconnect {
		// Only now: whoever answers the gap by reading the state must not miss what comes after that.
		r.Gap(nil)
		b.log.Info("redis pub/sub connection is back", "topics", len(subscribed))
	}
	for {
		select {
		case <-b.kick:
			if err := b.reconcile(ctx, conn, subscribed); err != nil {
				return true, err
			}
		case err := <-lost:
			return true, err
		case <-b.closed:
			return true, ErrClosed
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}

// enqueue runs on the connection's reading goroutine: it must not block and must not use the client.
func (b *RedisBus) enqueue(m rueidis.PubSubMessage, queues []*queue) {
	pub, ok := decode(b.prefix, m.Channel, m.Message)
	if !ok {
		if !b.malformed.Swap(true) {
			b.log.Warn("ignoring a message that is not ours on a redis channel; is the prefix shared with another program? (logged once)", "channel", m.Channel)
		}
		return
	}
	queues[hash(pub.Topic)%redisWorkers].push(pub)
}

// open makes every wanted topic dirty, because a new connection has none.
func (b *RedisBus) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dirty = make(map[string]struct{}, len(b.wanted))
	for topic := range b.wanted {
		b.dirty[topic] = struct{}{}
	}
}

// shut ends the bookkeeping of a connection: without one, it could only grow.
func (b *RedisBus) shut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dirty = nil
}

// reconcile makes the server's subscriptions equal to the wanted ones. Working from the difference, rather than
// from a list of orders, makes any interleaving of Subscribe and Unsubscribe come out right.
func (b *RedisBus) reconcile(ctx context.Context, conn rueidis.DedicatedClient, subscribed map[string]struct{}) error {
	for {
		add, remove, more := b.difference(subscribed)
		if !more {
			return nil
		}
		for batch := range slices.Chunk(remove, redisSubscribeBatch) {
			if err := do(ctx, conn, conn.B().Unsubscribe().Channel(b.channels(batch)...).Build()); err != nil {
				return fmt.Errorf("unsubscribe: %w", err)
			}
			for _, topic := range batch {
				delete(subscribed, topic)
			}
		}
		for batch := range slices.Chunk(add, redisSubscribeBatch) {
			// The first channel's confirmation answers the command, which the server carries out as a whole.
			if err := do(ctx, conn, conn.B().Subscribe().Channel(b.channels(batch)...).Build()); err != nil {
				return fmt.Errorf("subscribe: %w", err)
			}
			for _, topic := range batch {
				subscribed[topic] = struct{}{}
			}
			b.confirm(batch)
		}
	}
}

// difference takes the dirty topics and says what to do about them; more is false if there were none.
func (b *RedisBus) difference(subscribed map[string]struct{}) (add, remove []string, more bool) {
	b.mu.Lock()
	dirty := b.dirty
	b.dirty = make(map[string]struct{})
	var settled []string // unwanted and wanted again before we looked: nothing to do but to confirm
	for topic := range dirty {
		_, wanted := b.wanted[topic]
		_, has := subscribed[topic]
		switch {
		case wanted && has:
			settled = append(settled, topic)
		case wanted:
			add = append(add, topic)
		case has:
			remove = append(remove, topic)
		}
	}
	b.mu.Unlock()
	b.confirm(settled)
	return add, remove, len(dirty) > 0
}

// confirm releases whoever waits for the topics.
func (b *RedisBus) confirm(topics []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, topic := range topics {
		if confirmed := b.wanted[topic]; confirmed != nil {
			close(confirmed)
			b.wanted[topic] = nil
		}
	}
}

func (b *RedisBus) channels(topics []string) []string {
	names := make([]string, len(topics))
	for i, topic := range topics {
		names[i] = channel(b.prefix, topic)
	}
	return names
}

// do runs one command on the pub/sub connection, with a deadline.
func do(ctx context.Context, conn rueidis.DedicatedClient, command rueidis.Completed) error {
	ctx, cancel := context.WithTimeout(ctx, redisSubscribeTimeout)
	defer cancel()
	return conn.Do(ctx, command).Error()
}
