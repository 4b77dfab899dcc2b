package realtime

// What one subscription buffers between two calls of Take. Beyond either it reports a gap.
const (
	MaxBufferedPublications = 256
	MaxBufferedBytes        = 256 << 10 // bytes of payload
)

// Subscription is one subscriber's end of a topic. Wake, Take, Nudge and Close may be called from any goroutine;
// Take is meant for one at a time.
type Subscription struct {
	hub   *Hub
	topic *topic
	index int // place in topic.subs, detached when gone; guarded by the shard's lock
	queue *queue
}

const detached = -1

// Wake returns the signal that Take has something to say; nil for a subscription of SubscribeFunc. It is
// level-triggered: one signal may stand for many publications, and Take may then find nothing.
func (s *Subscription) Wake() <-chan struct{} { return s.queue.wake }

// Take returns what has arrived since the last call, in order. gap means that publications may be missing,
// before, among or after those returned: read the state again. After Close it returns nothing.
func (s *Subscription) Take() (pubs []Publication, gap bool) { return s.queue.take() }

// Nudge marks a gap and wakes the subscriber. A sweeper calls it when the subscriber seems to be behind.
func (s *Subscription) Nudge() { s.queue.markGap() }

// Topic returns what was subscribed to.
func (s *Subscription) Topic() string { return s.topic.name }

// Close ends the subscription and frees its buffer. Closing twice is fine.
func (s *Subscription) Close() {
	s.hub.detach(s)
	s.queue.close()
}
