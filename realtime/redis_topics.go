package realtime

import (
	"context"
	"slices"
)

// What follows is the bookkeeping that all servers share: which topics are wanted, who has their partitions, and
// which of them each server's session has yet to look at. Working from differences, rather than from lists of orders,
// makes any interleaving of Subscribe, Unsubscribe, reconnects and moves come out right.

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
			b.owners[partition(topic)].touch(topic)
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
			b.owners[partition(topic)].touch(topic)
		}
	}
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

// assign gives partitions to those who have them now. What moved is reported as a gap once it is subscribed at its
// new place; what its owner had refused is tried again. The caller holds mu.
func (b *RedisBus) assign(where claims) {
	before := b.owners
	var again partitions // whose topics are to be looked at
	for p, claim := range where {
		if claim.address == "" {
			continue // nobody says who has it: nobody may have it for a moment, so stay where we are
		}
		owner := b.server(claim.address)
		switch last := before[p]; {
		case last == owner:
			again[p] = owner.refused[p]
		case last == nil:
			again[p] = true
		default:
			again[p], owner.gained[p] = true, true
			last.gained[p], last.refused[p] = false, false
			b.counts.moved.Add(1)
		}
		b.owners[p], owner.refused[p] = owner, false
	}
	for topic := range b.wanted {
		if p := partition(topic); again[p] {
			before[p].touch(topic)
			b.owners[p].touch(topic)
		}
	}
	for address, s := range b.servers {
		if !slices.Contains(b.owners[:], s) {
			delete(b.servers, address)
			s.retire()
		}
	}
}

// server returns the server at an address, and starts it if it is new. The caller holds mu.
func (b *RedisBus) server(address string) *redisServer {
	s := b.servers[address]
	if s == nil {
		s = newRedisServer(b, address)
		b.servers[address] = s
		if b.isClosed() {
			s.close()
		}
		s.start()
	}
	return s
}

// touch has the server's session compare a topic with what it has subscribed. The caller holds mu.
func (s *redisServer) touch(topic string) {
	if s == nil || s.dirty == nil {
		return // the next session starts from wanted
	}
	s.dirty[topic] = struct{}{}
	s.kick()
}

// open makes every wanted topic of the server dirty, because a new connection has none.
func (s *redisServer) open() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.dirty = make(map[string]struct{})
	s.refused, s.revoked = partitions{}, partitions{}
	for topic := range s.bus.wanted {
		if s.bus.owners[partition(topic)] == s {
			s.dirty[topic] = struct{}{}
		}
	}
}

// shut ends the bookkeeping of a connection: without one, it could only grow. All that was subscribed has a gap now.
func (s *redisServer) shut() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.dirty = nil
	for p, owner := range s.bus.owners {
		if owner == s {
			s.gained[p] = true
		}
	}
}

// difference takes the dirty topics and says what to do about them; more is false if there were none.
func (s *redisServer) difference(subscribed map[string]struct{}) (add, remove []string, more bool) {
	b := s.bus
	b.mu.Lock()
	dirty := s.dirty
	s.dirty = make(map[string]struct{})
	var settled []string // unwanted and wanted again before we looked: nothing to do but to confirm
	for topic := range dirty {
		p := partition(topic)
		_, wanted := b.wanted[topic]
		wanted = wanted && b.owners[p] == s
		_, has := subscribed[topic]
		switch {
		case wanted && has:
			settled = append(settled, topic)
		case wanted && !s.refused[p]: // otherwise it waits for what assign says
			add = append(add, topic)
		case has:
			remove = append(remove, topic)
		}
	}
	b.mu.Unlock()
	b.confirm(settled)
	return add, remove, len(dirty) > 0
}

// refuse notes that the server refused to subscribe topics of a partition. They wait until the owners are known.
func (s *redisServer) refuse(p int) {
	s.bus.mu.Lock()
	s.refused[p] = true
	s.bus.mu.Unlock()
	s.bus.suspect()
}

// setRemoving says which topics are being unsubscribed.
func (s *redisServer) setRemoving(topics []string) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.removing = topics
}

// revoke notes that the server took back a subscription by itself.
func (s *redisServer) revoke(p int, topic string) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if topic == "" || !slices.Contains(s.removing, topic) {
		s.revoked[p] = true
		s.kick()
	}
}

// takeRevoked returns the partitions with subscriptions that the server took back.
func (s *redisServer) takeRevoked() partitions {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	revoked := s.revoked
	s.revoked = partitions{}
	for p := range revoked {
		if revoked[p] && s.bus.owners[p] == s {
			s.gained[p] = true
		}
	}
	return revoked
}

// retouch has topics looked at again.
func (s *redisServer) retouch(topics []string) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	for _, topic := range topics {
		s.touch(topic)
	}
}

// takeGained returns the partitions that are subscribed now and had a gap before.
func (s *redisServer) takeGained() (gained partitions) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	for p := range gained {
		if s.gained[p] && !s.refused[p] {
			gained[p], s.gained[p] = true, false
		}
	}
	return gained
}

func (s *redisServer) kick() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}
