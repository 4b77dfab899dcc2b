package graphqlws

import (
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// MaxQueue is how many bytes of frames one connection has waiting for its socket. An operation with more to say
	// waits; so the queue only holds more if it was empty before a single larger message.
	MaxQueue = 256 << 10

	flushAt     = 32 << 10 // bytes that are not kept for company
	writeAtOnce = 64 << 10 // bytes that one write deadline is for
	keptBuffer  = 64 << 10 // bytes of a buffer that is used again
)

// queue is what one connection has to write: frames one after the other, which a flusher takes all at once. There is a
// flusher only while there is something to write. It is guarded by its connection's mutex.
type queue struct {
	out      *[]byte // from buffers, nil if nothing waits
	size     int     // bytes in out, and of those that are being written
	flushing bool
	room     chan struct{} // closed when size has become less; nil if nobody waits
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func release(b *[]byte) {
	if cap(*b) <= keptBuffer {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// fits reports whether a message of n bytes may be appended.
func (q *queue) fits(n int) bool { return q.size == 0 || q.size+n+maxFrameHeader <= MaxQueue }

// append adds what frame appends to the bytes it is given.
func (q *queue) append(frame func([]byte) []byte) {
	if q.out == nil {
		q.out = buffers.Get().(*[]byte)
	}
	before := len(*q.out)
	*q.out = frame(*q.out)
	q.size += len(*q.out) - before
}

// drop forgets what isn't being written yet.
func (q *queue) drop() {
	if q.out != nil {
		q.size -= len(*q.out)
		release(q.out)
		q.out = nil
	}
}

// written notes that n bytes need no room any more.
func (q *queue) written(n int) {
	q.size -= n
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// startFlush reports whether the caller has to flush now, because there is something to write and nobody does. The
// caller holds mu.
func (c *conn) startFlush() bool {
	if c.queue.flushing || c.queue.out == nil {
		return false
	}
	c.queue.flushing = true
	return true
}

// flush writes what is queued, and what is queued meanwhile, many frames at a time. It is for whoever startFlush told
// to, and takes as long as the peer: not for the goroutine of a publisher or the reader.
func (c *conn) flush() {
	timeout := c.transport.config.WriteTimeout
	for {
		c.mu.Lock()
		b := c.queue.out
		if b == nil {
			c.queue.flushing = false
			last := c.readerGone
			c.mu.Unlock()
			if last {
				_ = c.socket.Close()
			}
			return
		}
		c.queue.out = nil
		if c.phase == closing {
			timeout = closeTimeout
		}
		c.mu.Unlock()

		n := len(*b)
		err := c.write(*b, timeout)
		release(b)
		c.mu.Lock()
		c.queue.written(n)
		if err != nil {
			c.queue.drop()
		}
		c.mu.Unlock()
		if err != nil {
			c.cut(err)
		}
	}
}

// write writes frames, a limited amount within each deadline.
func (c *conn) write(frames []byte, timeout time.Duration) error {
	for len(frames) > 0 {
		n := min(len(frames), writeAtOnce)
		if err := c.socket.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if _, err := c.socket.Write(frames[:n]); err != nil {
			return err
		}
		frames = frames[n:]
	}
	return nil
}

// reply queues a small message that answers the client. The reader may not wait, so a client that asks without reading
// the answers is closed once they fill the queue.
func (c *conn) reply(opcode byte, payload ...[]byte) {
	c.mu.Lock()
	switch {
	case c.phase == closing:
	case !c.queue.fits(size(payload)):
		c.queue.drop()
		c.shutLocked(CloseTryAgainLater, "Slow: read what was sent")
	default:
		c.queue.append(func(b []byte) []byte { return appendFrame(b, opcode, payload...) })
	}
	flush := c.startFlush()
	c.mu.Unlock()
	if flush {
		go c.flush()
	}
}

// replyText is reply with a text message.
func (c *conn) replyText(payload ...[]byte) { c.reply(websocket.TextMessage, payload...) }

// enqueue queues a message of an operation, waiting for room, and reports whether it did: not so if the operation has
// ended meanwhile. With last it also ends the operation, in the same instant, so that the client may use the id again.
// It doesn't flush what may have company soon; the caller does.
func (c *conn) enqueue(o *operation, last bool, payload ...[]byte) bool {
	n := size(payload)
	for {
		c.mu.Lock()
		if c.phase == closing || !slices.Contains(c.operations, o) || o.ctx.Err() != nil {
			c.mu.Unlock()
			return false
		}
		if c.queue.fits(n) {
			c.queue.append(func(b []byte) []byte { return appendFrame(b, websocket.TextMessage, payload...) })
			if last {
				c.strike(o)
			}
			flush := c.queue.size >= flushAt && c.startFlush()
			c.mu.Unlock()
			if flush {
				go c.flush()
			}
			return true
		}
		if c.queue.room == nil {
			c.queue.room = make(chan struct{})
		}
		room, flush := c.queue.room, c.startFlush()
		c.mu.Unlock()
		if flush {
			go c.flush()
		}
		select {
		case <-room:
		case <-o.ctx.Done():
			return false
		}
	}
}

// flushNow writes what is queued on the caller's goroutine, unless another one is at it.
func (c *conn) flushNow() {
	c.mu.Lock()
	flush := c.startFlush()
	c.mu.Unlock()
	if flush {
		c.flush()
	}
}
