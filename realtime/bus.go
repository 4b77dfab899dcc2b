package realtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/belfryhq/belfry/internal/memo"
)

// MaxPayload is the largest payload of one publication, in bytes. It equals what one subscription may buffer:
// anything larger could never be delivered.
const MaxPayload = MaxBufferedBytes

// ErrClosed says that the hub or the bus has been shut down.
var ErrClosed = errors.New("realtime: closed")

// Publication is one message on a topic.
type Publication struct {
	Topic   string
	Version int64  // grows with every change of what the topic stands for; the caller's to define
	Payload []byte // at most MaxPayload bytes; read-only once published, shared by all subscribers of a node

	// Memo is what the subscribers of one node have made of the payload. A publisher may begin it, for subscribers in its
	// own process; otherwise the hub gives one to what more than one of them receives.
	Memo *memo.Memo
}

// PayloadTooLargeError says that a publication was not sent because of its size.
type PayloadTooLargeError struct {
	Topic string
	Size  int // bytes
	Limit int // bytes
}

func (e *PayloadTooLargeError) Error() string {
	return fmt.Sprintf("realtime: payload of topic %q is %d bytes, the limit is %d: publish the version without a payload and let subscribers read the state",
		e.Topic, e.Size, e.Limit)
}

// Bus carries publications between nodes, at most once, in order per topic and publisher. It may lose
// publications, and then reports a gap to its receiver.
//
// Topics are a set, not a count: one Unsubscribe undoes any number of Subscribes.
type Bus interface {
	// Run connects the bus to its receiver and blocks until ctx ends, which is not an error. It reconnects by
	// itself. Call it once.
	Run(ctx context.Context, r Receiver) error

	// Publish sends the publications, in order. It returns when the server has taken them, and never later than
	// the deadline of ctx. An error means that some may not have been sent. The bus may then ring their topics
	// later, with the version and no payload.
	Publish(ctx context.Context, pubs []Publication) error

	// Subscribe makes the receiver get the topics, and returns when the server has confirmed that: what is
	// published afterwards, by any node, arrives. While the server is away it waits. It fails only when ctx
	// ends or the bus is closed, and even then the topics stay wanted until Unsubscribe.
	Subscribe(ctx context.Context, topics ...string) error

	// Unsubscribe takes topics back. It never blocks; the receiver may still get a few late publications.
	Unsubscribe(topics ...string)

	// Remote reports whether anybody besides this bus's own receiver may be listening.
	Remote() bool

	// Stats returns current figures; all are zero if nothing of the kind can happen.
	Stats() BusStats
}

// BusStats are plain numbers for metrics. The uint64s only ever grow.
type BusStats struct {
	Connections int // servers whose publications arrive at the moment

	Reconnects   uint64 // subscribed connections that were lost and are back
	Moved        uint64 // partitions that were found on another server of a cluster than before
	Dropped      uint64 // publications dropped on arrival because the node couldn't keep up
	FailedProbes uint64 // subscribed connections given up because a probe did not come back
	Late         uint64 // publications whose topic was rung later, because they failed
}

// Receiver is what a bus delivers to. Its methods must not block and may be called concurrently, though never
// concurrently for the same topic of one publisher.
type Receiver interface {
	// Receive takes one publication. Topics that nobody wants (any more) are to be ignored.
	Receive(pub Publication)

	// Gap says that publications of the topics for which affected returns true may have been lost; nil means all.
	Gap(affected func(topic string) bool)
}
