package realtime

import (
	"sync/atomic"
	"time"
)

// topic is a topic with local subscribers, or one that had some a moment ago.
//
// Its life on the bus: the first attach starts one confirmation, which waits as long as the bus needs. The last
// detach starts the linger timer. When that fires and the topic is still empty, the topic leaves the shard and
// the bus in one step under the shard's lock, and only after its confirmation has ended: so a later attach makes
// a new topic, whose Subscribe can't be overtaken by this one's Unsubscribe.
type topic struct {
	name       string
	confirmed  chan struct{} // closed when the bus has confirmed, or won't any more because the hub stops
	letThrough atomic.Bool   // somebody stopped waiting for the confirmation, and must get a gap when it comes

	subs   []*Subscription // guarded by the shard's lock, as is linger
	linger *time.Timer
}

func (t *topic) isConfirmed() bool {
	select {
	case <-t.confirmed:
		return true
	default:
		return false
	}
}

// attach registers a new subscription, buffering in q from now on.
func (h *Hub) attach(name string, q *queue) (*Subscription, error) {
	sh := h.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if h.ctx.Err() != nil {
		return nil, ErrClosed
	}
	t := sh.topics[name]
	if t == nil {
		t = &topic{name: name, confirmed: make(chan struct{})}
		sh.topics[name] = t
		h.confirming.Go(func() { h.confirm(sh, t) })
	}
	if t.linger != nil {
		t.linger.Stop()
		t.linger = nil
	}
	s := &Subscription{hub: h, topic: t, index: len(t.subs), queue: q}
	t.subs = append(t.subs, s)
	sh.subscriptions++
	return s, nil
}

// confirm subscribes the topic on the bus. It runs on its own goroutine because no single subscriber's context
// may decide for the others.
func (h *Hub) confirm(sh *shard, t *topic) {
	err := h.bus.Subscribe(h.ctx, t.name)
	close(t.confirmed)
	if err == nil && t.letThrough.Load() {
		sh.markGap(func(name string) bool { return name == t.name })
	}
}

// detach removes the subscription, and schedules the end of a topic that has become empty.
func (h *Hub) detach(s *Subscription) {
	t := s.topic
	sh := h.shard(t.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.index == detached {
		return
	}
	last := len(t.subs) - 1
	t.subs[s.index] = t.subs[last]
	t.subs[s.index].index = s.index
	t.subs[last] = nil
	t.subs = t.subs[:last]
	s.index = detached
	sh.subscriptions--
	if last == 0 && h.ctx.Err() == nil {
		t.linger = time.AfterFunc(UnsubscribeDelay, func() { h.expire(sh, t) })
	}
}

// expire ends a topic that has been empty for the delay.
func (h *Hub) expire(sh *shard, t *topic) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if h.ctx.Err() != nil || sh.topics[t.name] != t || len(t.subs) > 0 {
		return
	}
	if !t.isConfirmed() {
		t.linger = time.AfterFunc(UnsubscribeDelay, func() { h.expire(sh, t) })
		return
	}
	delete(sh.topics, t.name)
	h.bus.Unsubscribe(t.name)
}

// markGap marks a gap on the subscriptions of the affected topics; nil means all.
func (sh *shard) markGap(affected func(topic string) bool) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for name, t := range sh.topics {
		if affected != nil && !affected(name) {
			continue
		}
		for _, s := range t.subs {
			s.queue.markGap()
		}
	}
}

// stopLingering stops the timers of empty topics when the hub stops.
func (sh *shard) stopLingering() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, t := range sh.topics {
		if t.linger != nil {
			t.linger.Stop()
		}
	}
}
