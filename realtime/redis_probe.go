package realtime

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var errDeaf = errors.New("a probe did not come back: the connection lives, but brings nothing")

// redisProbe finds connections that live but bring nothing, as they may be after a failover behind one address. When
// nothing has come for a while it publishes a message of its own, over the other connection.
type redisProbe struct {
	*redisSession
	timer     *time.Timer // for the next look
	published chan error  // capacity 1: how publishing the probe under way went
	waiting   bool        // for a probe
}

func newRedisProbe(s *redisSession) *redisProbe {
	return &redisProbe{redisSession: s, timer: time.NewTimer(s.bus.probeAfter), published: make(chan error, 1)}
}

// next is called when the timer has fired.
func (p *redisProbe) next(ctx context.Context) error {
	after := p.bus.probeAfter
	switch {
	case p.heard.Swap(false):
		p.settle()
	case !p.waiting:
		if err := p.send(ctx); err != nil {
			return err
		}
		after /= 2
	case p.settle() == nil:
		p.bus.counts.failedProbes.Add(1)
		return errDeaf
	}
	p.timer.Reset(after)
	return nil
}

// settle ends the waiting, and says how publishing went.
func (p *redisProbe) settle() error {
	if !p.waiting {
		return nil
	}
	p.waiting = false
	return <-p.published // its time is up, too
}

// send subscribes the channel of the probe, if it isn't yet, and publishes to it.
func (p *redisProbe) send(ctx context.Context) error {
	at := p.anyPartition()
	if at < 0 {
		return nil
	}
	name := p.bus.probeChannel(at)
	if _, subscribed := p.probes[at]; !subscribed {
		command := p.conn.B().Subscribe().Channel(name).Build()
		if p.bus.cluster {
			command = p.conn.B().Ssubscribe().Channel(name).Build()
		}
		err := p.do(ctx, command)
		if isElsewhere(err) {
			p.bus.suspect()
			return nil
		}
		if err != nil {
			return fmt.Errorf("subscribe to probes: %w", err)
		}
		p.probes[at] = struct{}{}
	}
	p.waiting = true
	p.run.group.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, p.bus.probeAfter/2)
		defer cancel()
		p.published <- p.client.Do(ctx, p.publication(name, "")).Error()
	})
	return nil
}

// anyPartition is one that the server has, or -1.
func (s *redisServer) anyPartition() int {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	for p, owner := range s.bus.owners {
		if owner == s && !s.refused[p] && !s.revoked[p] {
			return p
		}
	}
	return -1
}
