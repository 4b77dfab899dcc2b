package realtime

import (
	"context"
	"sync"
)

// MemoryBus is a bus inside one process: no server, no serialisation, and never a gap.
type MemoryBus struct {
	board    *switchboard
	receiver Receiver      // guarded by board.mu; nil before and after Run
	ready    chan struct{} // closed by Run
}

// switchboard is what the peers of one memory bus share.
type switchboard struct {
	mu    sync.RWMutex
	peers []*MemoryBus
}

var _ Bus = (*MemoryBus)(nil)

// NewMemoryBus returns a bus for a single node.
func NewMemoryBus() *MemoryBus { return new(switchboard).join() }

// Peer returns another node's end of the same bus: what one publishes, both receive. It is for tests of
// several hubs in one process.
func (b *MemoryBus) Peer() *MemoryBus { return b.board.join() }

func (s *switchboard) join() *MemoryBus {
	b := &MemoryBus{board: s, ready: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = append(s.peers, b)
	return b
}

// Run implements [Bus].
func (b *MemoryBus) Run(ctx context.Context, r Receiver) error {
	b.setReceiver(r)
	close(b.ready)
	<-ctx.Done()
	b.setReceiver(nil)
	return nil
}

func (b *MemoryBus) setReceiver(r Receiver) {
	b.board.mu.Lock()
	defer b.board.mu.Unlock()
	b.receiver = r
}

// Publish implements [Bus]: every receiver has the publications when it returns.
func (b *MemoryBus) Publish(ctx context.Context, pubs []Publication) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.board.mu.RLock()
	defer b.board.mu.RUnlock()
	for _, peer := range b.board.peers {
		if peer.receiver == nil {
			continue
		}
		for _, pub := range pubs {
			peer.receiver.Receive(pub)
		}
	}
	return nil
}

// Subscribe implements [Bus]. Receivers get every topic anyway, so it only waits for Run.
func (b *MemoryBus) Subscribe(ctx context.Context, _ ...string) error {
	select {
	case <-b.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unsubscribe implements [Bus].
func (b *MemoryBus) Unsubscribe(...string) {}

// Remote implements [Bus]: true once the bus has peers.
func (b *MemoryBus) Remote() bool {
	b.board.mu.RLock()
	defer b.board.mu.RUnlock()
	return len(b.board.peers) > 1
}

// Stats implements [Bus]: nothing can go wrong.
func (b *MemoryBus) Stats() BusStats { return BusStats{} }
