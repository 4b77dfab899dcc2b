package realtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/realtime"
	"github.com/belfryhq/belfry/realtime/realtimetest"
)

// eventually polls until ok, because some things happen on the server, where there is nothing to wait on.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(realtimetest.Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", realtimetest.Patience, what)
		}
	}
}

func subscribedChannels(t *testing.T, redis *realtimetest.Redis) int {
	t.Helper()
	reply, err := redis.Do("PUBSUB CHANNELS")
	if err != nil {
		t.Fatal(err)
	}
	return (len(reply) - 1) / 2 // the array's length, then length and text of each
}

func TestRestartOfRedis(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	var log syncBuffer
	cfg := realtime.RedisConfig{URL: redis.URL, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	hubA := realtimetest.StartHub(t, newRedisBus(t, cfg))
	hubB := realtimetest.StartHub(t, newRedisBus(t, cfg))
	var subs []*realtime.Subscription
	for i := range 600 { // more than one batch
		subs = append(subs, realtimetest.Subscribe(t, hubB, fmt.Sprint("topic-", i)))
	}
	subs = append(subs, realtimetest.Subscribe(t, hubA, "topic-0"))

	redis.Stop()
	if err := hubA.Publish(t.Context(), publications("topic-0", 1, 1)); err == nil {
		t.Error("Publish to a server that is gone: no error")
	}
	// In the outage a new subscriber is let through, and an old one leaves.
	late := realtimetest.Subscribe(t, hubB, "late")
	if _, gap := late.Take(); !gap {
		t.Error("let through without a gap")
	}
	redis.Restart()

	for _, sub := range append(subs, late) {
		realtimetest.AwaitGap(t, sub)
	}
	for _, sub := range append(subs[1:600], late) {
		realtimetest.Publish(t, hubA, publications(sub.Topic(), 1, 1)...)
	}
	for _, sub := range append(subs[1:600], late) {
		awaitPublication(t, sub)
	}
	if n := hubA.Stats().PublishFailures; n != 1 {
		t.Errorf("Stats().PublishFailures = %d, want 1", n)
	}
	eventually(t, "both outcomes are logged", func() bool {
		return strings.Contains(log.String(), "connection lost") && strings.Contains(log.String(), "is back")
	})
}

// awaitPublication waits for anything to arrive; gaps are fine, since several causes of one may coincide.
func awaitPublication(t *testing.T, sub *realtime.Subscription) {
	t.Helper()
	timeout := time.After(realtimetest.Patience)
	for {
		select {
		case <-sub.Wake():
		case <-timeout:
			t.Fatalf("topic %q: nothing arrived", sub.Topic())
		}
		if pubs, _ := sub.Take(); len(pubs) > 0 {
			return
		}
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A server that is up but silent, as after a network partition.
func TestSilentRedis(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	const publishTimeout = 100 * time.Millisecond
	var log syncBuffer
	bus := newRedisBus(t, realtime.RedisConfig{
		URL:            redis.URL + "?write_timeout=300ms",
		PublishTimeout: publishTimeout,
		Logger:         slog.New(slog.NewTextHandler(&log, nil)),
	})
	hub := realtimetest.StartHub(t, bus)
	sub := realtimetest.Subscribe(t, hub, "news")

	redis.Freeze()
	defer redis.Thaw()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := bus.Publish(ctx, publications("news", 1, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Publish: %v, want the deadline of its context", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("Publish took %v, its context 1ms", took)
	}
	// More at a time than the connection can hold.
	var wg sync.WaitGroup
	for range 400 {
		wg.Go(func() {
			for range 10 {
				start := time.Now()
				err := hub.Publish(t.Context(), publications("news", 1, 1))
				if err == nil {
					t.Error("Publish to a silent server: no error")
				}
				if took := time.Since(start); took > publishTimeout+2*time.Second { // generous: the machine may be busy
					t.Errorf("Publish took %v, its deadline was %v", took, publishTimeout)
				}
			}
		})
	}
	wg.Wait()

	eventually(t, "the silence is noticed", func() bool { return strings.Contains(log.String(), "connection lost") })
	redis.Thaw()
	realtimetest.AwaitGap(t, sub)
	eventually(t, "publishing works again", func() bool {
		return hub.Publish(t.Context(), publications("news", 1, 1)) == nil
	})
	awaitPublication(t, sub)
}

func TestLastSubscriberUnsubscribesOnTheServer(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	hub := realtimetest.StartHub(t, newRedisBus(t, realtime.RedisConfig{URL: redis.URL}))
	sub := realtimetest.Subscribe(t, hub, "news")
	if n := subscribedChannels(t, redis); n != 1 {
		t.Errorf("Subscribe has returned, and the server has %d channels, want 1", n)
	}
	sub.Close()
	eventually(t, "the server has no channel left", func() bool { return subscribedChannels(t, redis) == 0 })
}

func TestChannelNamesAndMessages(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	hub := realtimetest.StartHub(t, newRedisBus(t, realtime.RedisConfig{URL: redis.URL}))
	sub := realtimetest.Subscribe(t, hub, "news")
	const channel = "belfry:{p070}:news" // other nodes, perhaps of another version, rely on it
	for _, command := range []string{
		"PUBLISH " + channel + " garbage",
		"PUBLISH " + channel + ` "x7\nhello"`,
		"PUBLISH " + channel + ` "99999999999999999999\nhello"`,
		"PUBLISH " + channel + ` "7\nhello"`,
	} {
		if reply, err := redis.Do(command); err != nil || len(reply) != 1 || reply[0] != ":1" {
			t.Fatalf("%s: %q, %v", command, reply, err)
		}
	}
	pub := realtimetest.Receive(t, sub, 1)[0]
	if pub.Topic != "news" || pub.Version != 7 || string(pub.Payload) != "hello" {
		t.Errorf("got %+v", pub)
	}
}

func TestUnreachableRedis(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"nobody listens": "redis://ana:s3cret@127.0.0.1:1",
		"bad port":       "redis://ana:s3cret@127.0.0.1:port",
		"unescaped":      "redis://ana:s3cret#s3cret@127.0.0.1:6379",
		"bad database":   "redis://127.0.0.1:6379/s3cret",
		"bad scheme":     "http://ana:s3cret@127.0.0.1:6379",
		"no scheme":      "s3cret@127.0.0.1",
		"empty":          "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := realtime.NewRedisBus(realtime.RedisConfig{URL: url})
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), "BELFRY_REDIS_URL") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error must name BELFRY_REDIS_URL and must not show the password: %v", err)
			}
		})
	}
}

func TestClosedBus(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	bus := newRedisBus(t, realtime.RedisConfig{URL: redis.URL})
	running := make(chan error, 1)
	go func() { running <- bus.Run(t.Context(), realtime.NewHub(bus)) }()
	if err := bus.Subscribe(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	bus.Close()
	bus.Close()
	if err := <-running; !errors.Is(err, realtime.ErrClosed) {
		t.Errorf("Run: %v, want ErrClosed", err)
	}
	if err := bus.Subscribe(t.Context(), "weather"); !errors.Is(err, realtime.ErrClosed) {
		t.Errorf("Subscribe: %v, want ErrClosed", err)
	}
	if err := bus.Publish(t.Context(), publications("news", 1, 1)); err == nil {
		t.Error("Publish: no error")
	}
	if err := bus.Run(t.Context(), realtime.NewHub(bus)); err == nil {
		t.Error("Run a second time: no error")
	}
}

func TestSentinelsFailover(t *testing.T) {
	t.Parallel()
	master := realtimetest.StartRedisTCP(t)
	sentinel := realtimetest.StartSentinel(t, master, "bells")
	cfg := realtime.RedisConfig{URL: sentinel.URL + "&addr=127.0.0.1:1"} // another sentinel, which is down
	hubA, hubB := realtimetest.StartHub(t, newRedisBus(t, cfg)), realtimetest.StartHub(t, newRedisBus(t, cfg))
	sub := realtimetest.Subscribe(t, hubB, "news")
	realtimetest.Publish(t, hubA, publications("news", 1, 1)...)
	realtimetest.Receive(t, sub, 1)

	master.Stop()
	realtimetest.AwaitGap(t, sub)
	awaitNext(t, hubA, sub)

	url, _, _ := strings.Cut(sentinel.URL, "?")
	_, err := realtime.NewRedisBus(realtime.RedisConfig{URL: url})
	if err == nil || !strings.Contains(err.Error(), "master_set") {
		t.Errorf("a sentinel for a server: %v, want an error that names master_set", err)
	}
}

// Every commit waits for its publication, so that one that waited in vain must be enough.
func TestPublishingToASilentServerFailsAtOnce(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	const publishTimeout = 2 * time.Second
	hub := realtimetest.StartHub(t, newRedisBus(t, realtime.RedisConfig{URL: redis.URL, PublishTimeout: publishTimeout}))
	sub := realtimetest.Subscribe(t, hub, "news")

	redis.Freeze()
	defer redis.Thaw()
	const publishes = 20
	start := time.Now()
	for version := range int64(publishes) {
		if err := hub.Publish(t.Context(), []realtime.Publication{{Topic: "news", Version: version + 1}}); err == nil {
			t.Error("Publish to a silent server: no error")
		}
	}
	if took := time.Since(start); took > publishes/2*publishTimeout {
		t.Errorf("%d publications took %v, want little more than the first one's %v", publishes, took, publishTimeout)
	}
	redis.Thaw()
	eventually(t, "it is noticed that the server answers again, and the last version arrives", func() bool {
		pubs, _ := sub.Take()
		return len(pubs) > 0 && pubs[len(pubs)-1].Version >= publishes
	})
	eventually(t, "publishing works again", func() bool {
		return hub.Publish(t.Context(), publications("news", 1, 1)) == nil
	})
}

// A node that was cut off rings again: the others had no reason to look.
func TestFailedPublicationsAreRungLater(t *testing.T) {
	t.Parallel()
	redis := realtimetest.StartRedis(t)
	proxy := realtimetest.StartProxy(t, redis)
	cutOff := newRedisBus(t, realtime.RedisConfig{URL: proxy.URL + "?write_timeout=300ms&dial_timeout=300ms", PublishTimeout: 100 * time.Millisecond})
	hub := realtimetest.StartHub(t, cutOff)
	other := realtimetest.StartHub(t, newRedisBus(t, realtime.RedisConfig{URL: redis.URL}))
	news, weather := realtimetest.Subscribe(t, other, "news"), realtimetest.Subscribe(t, other, "weather")

	proxy.Partition()
	for version := range int64(3) {
		pubs := []realtime.Publication{
			{Topic: "news", Version: version + 1, Payload: []byte("extra")},
			{Topic: "weather", Version: 10 - version, Payload: []byte("rain")}}
		if err := hub.Publish(t.Context(), pubs); err == nil {
			t.Error("Publish of a node that is cut off: no error")
		}
	}
	eventually(t, "the connection is given up, and what it held with it", func() bool { return cutOff.Stats().Connections == 0 })
	proxy.Heal()
	for sub, latest := range map[*realtime.Subscription]int64{news: 3, weather: 10} {
		// What was on its way when the network failed may arrive as well.
		eventually(t, "the latest version arrives", func() bool {
			pubs, _ := sub.Take()
			return len(pubs) > 0 && pubs[len(pubs)-1].Version == latest && len(pubs[len(pubs)-1].Payload) == 0
		})
	}
	eventually(t, "the late publications are counted", func() bool { return cutOff.Stats().Late == 2 })
}
