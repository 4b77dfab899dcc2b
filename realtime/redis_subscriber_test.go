package realtime

import (
	"context"
	"testing"

	"github.com/redis/rueidis"
)

type gapRecorder struct {
	received []Publication
	gap      chan func(topic string) bool
}

func (r *gapRecorder) Receive(pub Publication)              { r.received = append(r.received, pub) }
func (r *gapRecorder) Gap(affected func(topic string) bool) { r.gap <- affected }

// When a worker's queue is full, the reader of the connection drops, and the worker reports its share of topics.
func TestFullWorkerQueueIsAGapForItsTopics(t *testing.T) {
	t.Parallel()
	b := &RedisBus{prefix: "belfry"}
	queues := make([]*queue, redisWorkers)
	for i := range queues {
		queues[i] = newQueue(2, workerQueueBytes)
	}
	worker := hash("news") % redisWorkers
	for range 3 {
		b.enqueue(rueidis.PubSubMessage{Channel: channel("belfry", "news"), Message: "1\n"}, queues)
	}

	r := &gapRecorder{gap: make(chan func(string) bool, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		deliver(ctx, queues[worker], worker, r)
		close(done)
	}()
	affected := <-r.gap
	cancel()
	<-done
	if len(r.received) != 2 {
		t.Errorf("%d publications were delivered, want the 2 that fit", len(r.received))
	}
	for _, topic := range []string{"news", "a", "b", "c", "d", "e"} {
		if same := hash(topic)%redisWorkers == worker; affected(topic) != same {
			t.Errorf("topic %q affected: %t, shares the worker: %t", topic, affected(topic), same)
		}
	}
}
