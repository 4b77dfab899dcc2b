package egress

import (
	"context"
	"sync"
)

// turns bounds how many requests are under way, for each host and in all. Its memory is bounded by the number of
// callers: a host is forgotten with the last one that wants it.
type turns struct {
	all     chan struct{}
	perHost int

	mu    sync.Mutex
	hosts map[string]*hostTurns
}

type hostTurns struct {
	taken chan struct{}
	users int // that have a turn or wait for one; guarded by turns.mu
}

func newTurns(all, perHost int) *turns {
	return &turns{all: make(chan struct{}, all), perHost: perHost, hosts: make(map[string]*hostTurns)}
}

// take waits for a turn, which lasts until done is called. Who waits for a slow host waits for that host alone, without
// a turn that another host's request could use.
func (t *turns) take(ctx context.Context, host string) (done func(), err error) {
	h := t.join(host)
	select {
	case h.taken <- struct{}{}:
	case <-ctx.Done():
		t.leave(host, h)
		return nil, ctx.Err()
	}
	select {
	case t.all <- struct{}{}:
	case <-ctx.Done():
		<-h.taken
		t.leave(host, h)
		return nil, ctx.Err()
	}
	return func() {
		<-t.all
		<-h.taken
		t.leave(host, h)
	}, nil
}

func (t *turns) join(host string) *hostTurns {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[host]
	if h == nil {
		h = &hostTurns{taken: make(chan struct{}, t.perHost)}
		t.hosts[host] = h
	}
	h.users++
	return h
}

func (t *turns) leave(host string, h *hostTurns) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.users--; h.users == 0 {
		delete(t.hosts, host)
	}
}
