package realtime

import "sync"

// queue is a bounded buffer of publications that signals whenever there may be something to take. When it is full it keeps what it
// has, drops what comes, and remembers that there is a gap.
type queue struct {
	signal   func()        // "there may be something to take"; never blocks
	wake     chan struct{} // what signal fills, level-triggered, with a capacity of 1; nil if it does something else
	maxCount int
	maxBytes int

	mu         sync.Mutex // held for an append or a swap only, so that a slow consumer can't hold up a producer
	pubs       []Publication
	bytes      int
	gap        bool
	overflowed bool
	closed     bool
}

func newQueue(maxCount, maxBytes int) *queue {
	wake := make(chan struct{}, 1)
	q := newQueueFunc(func() {
		select {
		case wake <- struct{}{}:
		default: // a signal is pending already
		}
	}, maxCount, maxBytes)
	q.wake = wake
	return q
}

func newQueueFunc(signal func(), maxCount, maxBytes int) *queue {
	return &queue{signal: signal, maxCount: maxCount, maxBytes: maxBytes}
}

// push appends pub and reports whether there was room. Pushing to a closed queue is a no-op, not a loss.
func (q *queue) push(pub Publication) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return true
	}
	// Once something was dropped nothing is buffered until the consumer has looked: a later, smaller publication
	// must not slip in behind a dropped one and look contiguous.
	fits := !q.overflowed && len(q.pubs) < q.maxCount && q.bytes+len(pub.Payload) <= q.maxBytes
	if fits {
		q.pubs = append(q.pubs, pub)
		q.bytes += len(pub.Payload)
	} else {
		q.overflowed, q.gap = true, true
	}
	q.mu.Unlock()
	q.signal()
	return fits
}

// markGap records that something may be missing.
func (q *queue) markGap() {
	q.mu.Lock()
	q.gap = true
	q.mu.Unlock()
	q.signal()
}

// take empties the queue. The slice belongs to the caller.
func (q *queue) take() (pubs []Publication, gap bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	pubs, gap = q.pubs, q.gap
	q.pubs, q.bytes, q.gap, q.overflowed = nil, 0, false, false
	return pubs, gap
}

// close drops what is buffered and everything that is pushed from now on.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.pubs, q.bytes = true, nil, 0
}
