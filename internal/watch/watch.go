package watch

import (
	"context"
	"iter"
	"sync"
	"time"
)

// Bells wake those who watch something through this node. The zero value is ready; it is safe for concurrent use.
type Bells[K comparable] struct {
	mu       sync.Mutex
	watchers map[K][]chan struct{}
}

// Listen returns a channel that gets a value when what k names may have changed, and a function to stop.
func (b *Bells[K]) Listen(k K) (<-chan struct{}, func()) {
	ring := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers == nil {
		b.watchers = make(map[K][]chan struct{})
	}
	b.watchers[k] = append(b.watchers[k], ring)
	return ring, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		rest := b.watchers[k][:0:0]
		for _, other := range b.watchers[k] {
			if other != ring {
				rest = append(rest, other)
			}
		}
		if b.watchers[k] = rest; len(rest) == 0 {
			delete(b.watchers, k)
		}
	}
}

// Ring tells those who watch any of the keys, which aren't looked at if nobody watches anything.
func (b *Bells[K]) Ring(keys iter.Seq[K]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.watchers) == 0 {
		return
	}
	for k := range keys {
		for _, ring := range b.watchers[k] {
			select {
			case ring <- struct{}{}:
			default: // it has been told
			}
		}
	}
}

// Follow reads what k names now, whenever its bell rings, and every so often. read says whether there is news to be told,
// and whether these were the last. The channel is closed then, or when ctx ends.
func Follow[K comparable, T any](ctx context.Context, b *Bells[K], k K, every time.Duration, read func() (v T, news, over bool)) <-chan T {
	rings, stop := b.Listen(k)
	out := make(chan T)
	go func() {
		defer close(out)
		defer stop()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			v, news, over := read()
			if news {
				select {
				case out <- v:
				case <-ctx.Done():
					return
				}
			}
			if over {
				return
			}
			select {
			case <-rings:
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
