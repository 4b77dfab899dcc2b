package realtime

import (
	"context"
	"strconv"
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
	run := &redisRun{}
	for i := range run.queues {
		run.queues[i] = newQueue(2, workerQueueBytes)
	}
	session := &redisSession{redisServer: newRedisServer(b, "127.0.0.1:6379"), run: run}
	worker := hash("news") % redisWorkers
	for range 3 {
		session.receive(rueidis.PubSubMessage{Channel: channel("belfry", "news"), Message: "1\n"})
	}
	if n := b.Stats().Dropped; n != 1 {
		t.Errorf("Stats().Dropped = %d, want 1", n)
	}

	r := &gapRecorder{gap: make(chan func(string) bool, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		deliver(ctx, run.queues[worker], worker, r)
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

// The specification's own example, and slots that redis-server gave.
func TestHashSlots(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]int{"123456789": 12739, "foo": 12182} {
		if got := slotOf(tag); got != want {
			t.Errorf("slotOf(%q) = %d, want %d", tag, got, want)
		}
	}
	var share [3]int
	for _, slot := range partitionSlots {
		share[slot*3/clusterSlots]++
	}
	for i, n := range share {
		if n < 38 || n > 48 {
			t.Errorf("server %d of three has %d of %d partitions", i, n, redisPartitions)
		}
	}
}

func TestLatePublicationsAreBounded(t *testing.T) {
	t.Parallel()
	b := &RedisBus{late: make(map[string]int64), belated: make(chan struct{}, 1)}
	for i := range maxLate + 1 {
		b.remember([]Publication{{Topic: strconv.Itoa(i), Version: 5}})
	}
	if len(b.late) != maxLate {
		t.Errorf("%d topics are remembered, want %d", len(b.late), maxLate)
	}
	// What is remembered is the latest version, until a later one has been published.
	b.remember([]Publication{{Topic: "0", Version: 4}, {Topic: "1", Version: 6}})
	b.supersede([]Publication{{Topic: "1", Version: 5}, {Topic: "2", Version: 5}})
	if b.late["0"] != 5 || b.late["1"] != 6 {
		t.Errorf("versions %d and %d are remembered, want 5 and 6", b.late["0"], b.late["1"])
	}
	if _, known := b.late["2"]; known {
		t.Error("a superseded publication is remembered")
	}
	taken := 0
	for pubs := b.takeLate(); len(pubs) > 0; pubs = b.takeLate() {
		taken += len(pubs)
		if len(pubs) > lateBatch {
			t.Fatalf("a batch of %d, want at most %d", len(pubs), lateBatch)
		}
	}
	if taken != maxLate-1 {
		t.Errorf("%d were taken, want %d", taken, maxLate-1)
	}
}

// In whatever order servers answer, the latest claim to a partition is believed.
func TestTheLatestClaimIsTrue(t *testing.T) {
	t.Parallel()
	old, silent, now := claims{0: {"old:1", 3}, 1: {"a:1", 3}}, claims{}, claims{0: {"new:1", 4}, 1: {"a:1", 3}}
	for _, order := range [][]claims{{old, silent, now}, {now, old, silent}, {silent, now, old}} {
		var all claims
		for _, c := range order {
			all.believe(c)
		}
		if all != now {
			t.Errorf("believed %v and %v", all[0], all[1])
		}
	}
}
