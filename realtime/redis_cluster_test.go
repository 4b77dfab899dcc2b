package realtime_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belfryhq/belfry/realtime"
	"github.com/belfryhq/belfry/realtime/realtimetest"
)

// channelOf is what a topic is called in Redis.
func channelOf(topic string) string { return realtime.Channel(realtime.DefaultRedisPrefix, topic) }

// awaitNext publishes until something arrives: while a failover lasts, that takes more than one try.
func awaitNext(t *testing.T, hub *realtime.Hub, sub *realtime.Subscription) {
	t.Helper()
	eventually(t, "publications of "+sub.Topic()+" arrive", func() bool {
		_ = hub.Publish(t.Context(), publications(sub.Topic(), 1, 1))
		select {
		case <-sub.Wake():
			pubs, _ := sub.Take()
			return len(pubs) > 0
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
}

// topicsOf returns n topics for each master.
func topicsOf(cluster *realtimetest.Cluster, n int) map[*realtimetest.Redis][]string {
	topics := make(map[*realtimetest.Redis][]string)
	for i, full := 0, 0; full < len(cluster.Masters); i++ {
		topic := fmt.Sprint("topic-", i)
		owner := cluster.Owner(channelOf(topic))
		if len(topics[owner]) < n {
			if topics[owner] = append(topics[owner], topic); len(topics[owner]) == n {
				full++
			}
		}
	}
	return topics
}

func subscribeAll(t *testing.T, hub *realtime.Hub, topics []string) (subs []*realtime.Subscription) {
	t.Helper()
	for _, topic := range topics {
		subs = append(subs, realtimetest.Subscribe(t, hub, topic))
	}
	return subs
}

func expectNoGap(t *testing.T, subs []*realtime.Subscription) {
	t.Helper()
	for _, sub := range subs {
		if _, gap := sub.Take(); gap {
			t.Errorf("a gap on %s, whose server was well all the time", sub.Topic())
		}
	}
}

func TestClusterSubscribesEachTopicOnItsShard(t *testing.T) {
	t.Parallel()
	cluster := realtimetest.StartCluster(t, 3)
	bus := newRedisBus(t, realtime.RedisConfig{URL: cluster.Masters[0].URL}) // one node tells of the others
	hub := realtimetest.StartHub(t, bus)
	for master, topics := range topicsOf(cluster, 4) {
		subscribeAll(t, hub, topics)
		reply, err := master.Do("PUBSUB SHARDCHANNELS")
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range topics {
			if !strings.Contains(strings.Join(reply, " "), channelOf(topic)) {
				t.Errorf("%s is not subscribed on its server", topic)
			}
		}
		if len(reply) != 1+2*4 {
			t.Errorf("the server has %q", reply)
		}
		// One connection for subscriptions, however many partitions.
		clients, err := master.Do("CLIENT LIST TYPE pubsub")
		if err != nil || strings.Count(strings.Join(clients, "\n"), "name=belfry") != 1 {
			t.Errorf("the server has the subscribed clients %q (%v)", clients, err)
		}
	}
	if n := bus.Stats().Connections; n != 3 {
		t.Errorf("Stats().Connections = %d, want 3", n)
	}
}

func TestMovedSlot(t *testing.T) {
	t.Parallel()
	cluster := realtimetest.StartCluster(t, 3)
	cfg := realtime.RedisConfig{URL: cluster.URL}
	bus := newRedisBus(t, cfg)
	hubA, hubB := realtimetest.StartHub(t, newRedisBus(t, cfg)), realtimetest.StartHub(t, bus)
	topics := topicsOf(cluster, 3)
	from, to := cluster.Masters[0], cluster.Masters[2]
	moving := realtimetest.Subscribe(t, hubB, topics[from][0])
	sibling := realtimetest.Subscribe(t, hubB, topics[from][0]+"/"+sameSlot(t, cluster, topics[from][0]))
	staying := subscribeAll(t, hubB, append(topics[to], topics[from][1:]...))

	cluster.Move(cluster.Slot(channelOf(moving.Topic())), from, to)
	realtimetest.AwaitGap(t, moving)
	realtimetest.AwaitGap(t, sibling)
	// Whoever published where it was finds where it is.
	for _, hub := range []*realtime.Hub{hubA, hubB} {
		for _, sub := range []*realtime.Subscription{moving, sibling} {
			realtimetest.Publish(t, hub, publications(sub.Topic(), 1, 1)...)
			awaitPublication(t, sub)
		}
	}
	expectNoGap(t, staying)
	if n := bus.Stats().Moved; n != 1 {
		t.Errorf("Stats().Moved = %d, want 1", n)
	}

	// And back, while somebody publishes in order.
	const versions = 300
	published := make(chan error, 1)
	go func() {
		for v := range versions {
			pub := realtime.Publication{Topic: moving.Topic(), Version: int64(v + 2)}
			if err := hubA.Publish(t.Context(), []realtime.Publication{pub}); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	cluster.Move(cluster.Slot(channelOf(moving.Topic())), to, from)
	timeout := time.After(realtimetest.Patience)
	for last, gap := int64(1), false; !gap; {
		select {
		case <-moving.Wake():
		case <-timeout:
			t.Fatalf("no gap; version %d was the last of %d", last, versions+1)
		}
		var pubs []realtime.Publication
		pubs, gap = moving.Take()
		for _, pub := range pubs {
			if pub.Version != last+1 && !gap {
				t.Fatalf("version %d came after %d, without a gap", pub.Version, last)
			}
			last = pub.Version
		}
	}
	if err := <-published; err != nil {
		t.Errorf("publishing while the slot moved: %v", err)
	}
	realtimetest.Publish(t, hubA, publications(moving.Topic(), 1, 1)...)
	awaitPublication(t, moving)
}

// sameSlot returns what to append to "topic/" to get another topic of the same slot.
func sameSlot(t *testing.T, cluster *realtimetest.Cluster, topic string) string {
	t.Helper()
	want := strings.Split(channelOf(topic), ":")[1]
	for i := range 10_000 {
		if suffix := fmt.Sprint(i); strings.Split(channelOf(topic+"/"+suffix), ":")[1] == want {
			return suffix
		}
	}
	t.Fatal("no other topic has the same hash tag")
	return ""
}

// A server may take back subscriptions and have the slot all the same, a moment later: nobody's owner has changed then.
func TestSubscriptionsThatAreTakenBack(t *testing.T) {
	t.Parallel()
	cluster := realtimetest.StartCluster(t, 3)
	hub := realtimetest.StartHub(t, newRedisBus(t, realtime.RedisConfig{URL: cluster.URL}))
	topics := topicsOf(cluster, 2)[cluster.Masters[0]]
	hit, spared := realtimetest.Subscribe(t, hub, topics[0]), subscribeAll(t, hub, topics[1:])
	slot := cluster.Slot(channelOf(hit.Topic()))
	for _, command := range []string{"DELSLOTS", "ADDSLOTS"} {
		if reply, err := cluster.Masters[0].Do(fmt.Sprintf("CLUSTER %s %d", command, slot)); err != nil || reply[0] != "+OK" {
			t.Fatalf("%s: %q, %v", command, reply, err)
		}
	}
	realtimetest.AwaitGap(t, hit)
	awaitNext(t, hub, hit)
	expectNoGap(t, spared)
}

func churned(worker, i int) string { return fmt.Sprint("topic-", worker, "-", i) }

// Subscribers come and go while slots move under them: each is confirmed in the end, and served.
func TestChurnWhileSlotsMove(t *testing.T) {
	t.Parallel()
	cluster := realtimetest.StartCluster(t, 3)
	cfg := realtime.RedisConfig{URL: cluster.URL}
	bus := newRedisBus(t, cfg)
	hubA, hubB := realtimetest.StartHub(t, newRedisBus(t, cfg)), realtimetest.StartHub(t, bus)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var churn sync.WaitGroup
	var subscribed atomic.Int64
	for worker := range 4 {
		churn.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				topics := []string{churned(worker, i%7), churned(worker, i%50)} // a worker's own: topics are a set, not a count
				within, done := context.WithTimeout(t.Context(), realtimetest.Patience)
				if err := bus.Subscribe(within, topics...); err != nil {
					t.Errorf("Subscribe to %q: %v", topics, err)
				}
				done()
				bus.Unsubscribe(topics...)
				subscribed.Add(1)
			}
		})
	}
	for i := range 30 {
		channel := channelOf(churned(i%4, i%7))
		from := cluster.Owner(channel)
		cluster.Move(cluster.Slot(channel), from, cluster.Masters[(slices.Index(cluster.Masters, from)+1)%3])
		before := subscribed.Load()
		eventually(t, "subscribers are served", func() bool { return subscribed.Load() > before+20 })
	}
	cancel()
	churn.Wait()
	for i := range 7 {
		awaitNext(t, hubA, realtimetest.Subscribe(t, hubB, churned(i%4, i)))
	}
	if s := bus.Stats(); s.Reconnects != 0 || s.Connections != 3 {
		t.Errorf("Stats() = %+v: moved slots are no reason to lose a connection", s)
	}
}

func TestFailoverOfAMaster(t *testing.T) {
	t.Parallel()
	cluster := realtimetest.StartCluster(t, 3)
	master := cluster.Masters[1]
	replica := cluster.AddReplica(master)
	cfg := realtime.RedisConfig{URL: cluster.URL}
	bus := newRedisBus(t, cfg)
	hubA, hubB := realtimetest.StartHub(t, newRedisBus(t, cfg)), realtimetest.StartHub(t, bus)
	topics := topicsOf(cluster, 3)
	hit := subscribeAll(t, hubB, topics[master])
	spared := subscribeAll(t, hubB, append(topics[cluster.Masters[0]], topics[cluster.Masters[2]]...))

	master.Stop()
	for _, sub := range hit {
		realtimetest.AwaitGap(t, sub)
		awaitNext(t, hubA, sub)
	}
	expectNoGap(t, spared)
	if reply, err := replica.Do("PUBSUB SHARDCHANNELS"); err != nil || len(reply) != 1+2*len(hit) {
		t.Errorf("the new master has %q (%v)", reply, err)
	}
	eventually(t, "the dead server is forgotten", func() bool { return bus.Stats().Connections == 3 })
}

func TestRestartOfAClusterNode(t *testing.T) {
	t.Parallel()
	cluster := realtimetest.StartCluster(t, 3)
	cfg := realtime.RedisConfig{URL: cluster.URL}
	hubA, hubB := realtimetest.StartHub(t, newRedisBus(t, cfg)), realtimetest.StartHub(t, newRedisBus(t, cfg))
	topics := topicsOf(cluster, 3)
	node := cluster.Masters[0] // which the URL names first
	hit := subscribeAll(t, hubB, topics[node])
	spared := subscribeAll(t, hubB, append(topics[cluster.Masters[1]], topics[cluster.Masters[2]]...))

	node.Stop()
	if err := hubA.Publish(t.Context(), publications(hit[0].Topic(), 1, 1)); err == nil {
		t.Error("Publish to a server that is gone: no error")
	}
	// Who comes meanwhile finds the others.
	hubC := realtimetest.StartHub(t, newRedisBus(t, cfg))
	awaitNext(t, hubC, spared[0])
	node.Restart()
	for _, sub := range hit {
		realtimetest.AwaitGap(t, sub)
		awaitNext(t, hubA, sub)
		awaitNext(t, hubC, sub)
	}
	expectNoGap(t, spared)
}

func TestSeveralAddressesWithoutACluster(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedisTCP(t)
	_, err := realtime.NewRedisBus(realtime.RedisConfig{URL: redis.URL + "?addr=127.0.0.1:1"})
	if err == nil || !strings.Contains(err.Error(), "no cluster") {
		t.Errorf("got %v, want an error that says that there is no cluster", err)
	}
	_, err = realtime.NewRedisBus(realtime.RedisConfig{URL: redis.URL, Prefix: "a{b}"})
	if err == nil || !strings.Contains(err.Error(), "brace") {
		t.Errorf("got %v, want an error about the brace", err)
	}
}
