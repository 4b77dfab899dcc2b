package realtime

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

const (
	redisSubscribeBatch   = 512 // channels in one SUBSCRIBE
	redisSubscribeTimeout = 5 * time.Second

	redisWorkers     = 4
	workerQueueCount = 4096
	workerQueueBytes = 8 << 20 // bytes of payload
)

// redisSession is the life of one subscribed connection. But for heard, it belongs to one goroutine.
type redisSession struct {
	*redisServer
	run        *redisRun
	conn       rueidis.DedicatedClient
	subscribed map[string]struct{} // topics
	probes     map[int]struct{}    // partitions whose probe channel is subscribed
	heard      atomic.Bool         // something has come since somebody looked
}

// live connects, subscribes, and keeps subscribed what is wanted until the connection or ctx ends. up means that it
// got as far as being subscribed.
func (s *redisSession) live(ctx context.Context, again bool) (up bool, err error) {
	client, err := s.dial()
	if client == nil {
		return false, err
	}
	s.conn, _ = client.Dedicate()
	defer s.conn.Close()
	lost := s.conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: s.receive, OnSubscription: s.observe})
	if err := s.do(ctx, s.conn.B().Ping().Build()); err != nil {
		return false, err
	}
	s.open()
	defer s.shut()
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	s.bus.counts.connections.Add(1)
	defer s.bus.counts.connections.Add(-1)
	if again {
		s.bus.counts.reconnects.Add(1)
		s.bus.log.Info("redis pub/sub connection is back", "server", s.address, "topics", len(s.subscribed))
	}
	s.report()
	return true, s.keep(ctx, lost)
}

func (s *redisSession) keep(ctx context.Context, lost <-chan error) error {
	probe := newRedisProbe(s)
	defer probe.timer.Stop()
	for {
		select {
		case <-s.kicked:
			if err := s.settle(ctx); err != nil {
				return err
			}
			s.report()
		case <-probe.timer.C:
			if err := probe.next(ctx); err != nil {
				return err
			}
		case err := <-lost:
			return cmp.Or(err, rueidis.ErrClosing)
		case <-s.bus.closed:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receive runs on the connection's reading goroutine: it must not block and must not use the client.
func (s *redisSession) receive(m rueidis.PubSubMessage) {
	s.heard.Store(true)
	b := s.bus
	if _, ok := b.probed(m.Channel); ok {
		return
	}
	pub, ok := decode(b.prefix, m.Channel, m.Message)
	if !ok {
		if !b.malformed.Swap(true) {
			b.log.Warn("ignoring a message that is not ours on a redis channel; is the prefix shared with another program? (logged once)", "channel", m.Channel)
		}
		return
	}
	if !s.run.queues[hash(pub.Topic)%redisWorkers].push(pub) {
		b.counts.dropped.Add(1)
	}
}

// observe runs on the connection's reading goroutine, too. A cluster's server takes back what moves to another.
func (s *redisSession) observe(e rueidis.PubSubSubscription) {
	if e.Kind != "sunsubscribe" {
		return
	}
	if p, ok := s.bus.probed(e.Channel); ok {
		s.revoke(p, "")
	} else if topic, ok := topicOf(s.bus.prefix, e.Channel); ok {
		s.revoke(partition(topic), topic)
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

// settle makes the server's subscriptions equal to the wanted ones.
func (s *redisSession) settle(ctx context.Context) error {
	s.forgetRevoked()
	for {
		add, remove, more := s.difference(s.subscribed)
		if !more {
			return nil
		}
		for _, batch := range s.batches(remove) {
			if err := s.unsubscribe(ctx, batch); err != nil {
				return fmt.Errorf("unsubscribe: %w", err)
			}
		}
		for _, batch := range s.batches(add) {
			if err := s.subscribe(ctx, batch); err != nil {
				return fmt.Errorf("subscribe: %w", err)
			}
		}
	}
}

// report reports the gaps that are due, after settle only: whoever answers one by reading the state must not miss what
// comes after that.
func (s *redisSession) report() {
	switch gained := s.takeGained(); gained {
	case partitions{}:
	case everyPartition:
		s.run.receiver.Gap(nil)
	default:
		s.run.receiver.Gap(func(topic string) bool { return gained[partition(topic)] })
	}
}

// forgetRevoked has the topics that the server took back looked at again. Subscribing them again is refused if their
// partition has moved, and a gap otherwise.
func (s *redisSession) forgetRevoked() {
	revoked := s.takeRevoked()
	if revoked == (partitions{}) {
		return
	}
	var topics []string
	for topic := range s.subscribed {
		if revoked[partition(topic)] {
			topics = append(topics, topic)
			delete(s.subscribed, topic)
		}
	}
	for p := range s.probes {
		if revoked[p] {
			delete(s.probes, p)
		}
	}
	s.retouch(topics)
	s.bus.suspect()
}

// batches divides topics into what one command may name: on a cluster, a command is for one partition.
func (s *redisSession) batches(topics []string) (batches [][]string) {
	if !s.bus.cluster {
		return slices.Collect(slices.Chunk(topics, redisSubscribeBatch))
	}
	var shares [redisPartitions][]string
	for _, topic := range topics {
		p := partition(topic)
		shares[p] = append(shares[p], topic)
	}
	for _, share := range shares {
		batches = slices.AppendSeq(batches, slices.Chunk(share, redisSubscribeBatch))
	}
	return batches
}

func (s *redisSession) subscribe(ctx context.Context, topics []string) error {
	command := s.conn.B().Subscribe().Channel(s.channels(topics)...).Build()
	if s.bus.cluster {
		command = s.conn.B().Ssubscribe().Channel(s.channels(topics)...).Build()
	}
	// The first channel's confirmation answers the command, which the server carries out as a whole.
	err := s.do(ctx, command)
	if isElsewhere(err) {
		s.refuse(partition(topics[0]))
		return nil
	}
	if err != nil {
		return err
	}
	for _, topic := range topics {
		s.subscribed[topic] = struct{}{}
	}
	s.bus.confirm(topics)
	return nil
}

func (s *redisSession) unsubscribe(ctx context.Context, topics []string) error {
	command := s.conn.B().Unsubscribe().Channel(s.channels(topics)...).Build()
	if s.bus.cluster {
		command = s.conn.B().Sunsubscribe().Channel(s.channels(topics)...).Build()
	}
	s.setRemoving(topics)
	defer s.setRemoving(nil)
	for _, topic := range topics {
		delete(s.subscribed, topic)
	}
	if err := s.do(ctx, command); !isElsewhere(err) {
		return err
	}
	return nil // it took them back by itself
}

func (s *redisSession) channels(topics []string) []string {
	names := make([]string, len(topics))
	for i, topic := range topics {
		names[i] = channel(s.bus.prefix, topic)
	}
	return names
}

// do runs one command on the subscribed connection, with a deadline.
func (s *redisSession) do(ctx context.Context, command rueidis.Completed) error {
	ctx, cancel := context.WithTimeout(ctx, redisSubscribeTimeout)
	defer cancel()
	return s.conn.Do(ctx, command).Error()
}
