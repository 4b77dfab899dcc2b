package realtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/realtime"
)

// Patience is how long the helpers wait for something that should happen at once.
const Patience = 15 * time.Second

// RunBus checks that a bus does what realtime.Bus promises. connect returns two nodes' ends of a fresh bus,
// without Run having been called, and closes them by t.Cleanup.
func RunBus(t *testing.T, connect func(t *testing.T) (a, b realtime.Bus)) {
	for name, test := range map[string]func(t *testing.T, a, b realtime.Bus){
		"every node hears a publication":         testEveryNodeHears,
		"order is kept":                          testOrder,
		"subscribe returns when confirmed":       testConfirmed,
		"subscribe waits for run":                testSubscribeWaits,
		"bytes and versions survive":             testFidelity,
		"many topics at once":                    testManyTopics,
		"unsubscribe and subscribe again":        testResubscribe,
		"concurrent subscribers come and go":     testChurn,
		"publish respects its context":           testPublishContext,
		"subscribers of other topics are spared": testIsolation,
		"remote says that there are other nodes": testRemote,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := connect(t)
			test(t, a, b)
		})
	}
}

// StartHub runs a hub on the bus until the end of the test, and fails the test if Run does.
func StartHub(t testing.TB, bus realtime.Bus) *realtime.Hub {
	t.Helper()
	hub := realtime.NewHub(bus)
	run(t, hub.Run)
	return hub
}

func run(t testing.TB, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// Subscribe subscribes to the topic until the end of the test.
func Subscribe(t testing.TB, hub *realtime.Hub, topic string) *realtime.Subscription {
	t.Helper()
	sub, err := hub.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatalf("Subscribe(%q): %v", topic, err)
	}
	t.Cleanup(sub.Close)
	return sub
}

// Publish publishes, and fails the test on an error.
func Publish(t testing.TB, hub *realtime.Hub, pubs ...realtime.Publication) {
	t.Helper()
	if err := hub.Publish(t.Context(), pubs); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// Receive waits for n publications on the subscription, and fails the test if there is a gap before that.
func Receive(t testing.TB, sub *realtime.Subscription, n int) []realtime.Publication {
	t.Helper()
	var got []realtime.Publication
	timeout := time.After(Patience)
	for len(got) < n {
		select {
		case <-sub.Wake():
		case <-timeout:
			t.Fatalf("topic %q: %d of %d publications after %v", sub.Topic(), len(got), n, Patience)
		}
		pubs, gap := sub.Take()
		if gap {
			t.Fatalf("topic %q: a gap after %d of %d publications", sub.Topic(), len(got)+len(pubs), n)
		}
		got = append(got, pubs...)
	}
	return got
}

// AwaitGap waits until the subscription reports a gap, and throws away what it had buffered.
func AwaitGap(t testing.TB, sub *realtime.Subscription) {
	t.Helper()
	timeout := time.After(Patience)
	for {
		select {
		case <-sub.Wake():
		case <-timeout:
			t.Fatalf("topic %q: no gap after %v", sub.Topic(), Patience)
		}
		if _, gap := sub.Take(); gap {
			return
		}
	}
}

func testEveryNodeHears(t *testing.T, a, b realtime.Bus) {
	hubA, hubB := StartHub(t, a), StartHub(t, b)
	here, there := Subscribe(t, hubA, "news"), Subscribe(t, hubB, "news")
	want := []realtime.Publication{{Topic: "news", Version: 7, Payload: []byte("hello")}}
	Publish(t, hubA, want...)
	for _, sub := range []*realtime.Subscription{here, there} {
		if diff := cmp.Diff(want, Receive(t, sub, 1)); diff != "" {
			t.Errorf("publication (-want +got):\n%s", diff)
		}
	}
}

func testOrder(t *testing.T, a, b realtime.Bus) {
	hubA, hubB := StartHub(t, a), StartHub(t, b)
	const topics, versions = 5, 1000
	var subs []*realtime.Subscription
	for i := range topics {
		subs = append(subs, Subscribe(t, hubB, fmt.Sprint("topic-", i)))
	}
	// In rounds, because a subscription buffers a limited number.
	const round = 100
	for first := 0; first < versions; first += round {
		var pubs []realtime.Publication
		for v := first; v < first+round; v++ {
			for i := range topics {
				pubs = append(pubs, realtime.Publication{Topic: fmt.Sprint("topic-", i), Version: int64(v)})
			}
			if len(pubs) > rand.IntN(50) {
				Publish(t, hubA, pubs...)
				pubs = nil
			}
		}
		Publish(t, hubA, pubs...)
		for _, sub := range subs {
			for i, pub := range Receive(t, sub, round) {
				if pub.Version != int64(first+i) {
					t.Fatalf("topic %q: version %d where %d was due", pub.Topic, pub.Version, first+i)
				}
			}
		}
	}
}

// Each publication is sent once, right after Subscribe has returned: it must arrive.
func testConfirmed(t *testing.T, a, b realtime.Bus) {
	hubA, hubB := StartHub(t, a), StartHub(t, b)
	for i := range 200 {
		sub := Subscribe(t, hubB, fmt.Sprint("topic-", i))
		Publish(t, hubA, realtime.Publication{Topic: sub.Topic(), Version: int64(i)})
		Receive(t, sub, 1)
	}
}

func testSubscribeWaits(t *testing.T, a, _ realtime.Bus) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Subscribe(ctx, "news"); !errors.Is(err, context.Canceled) {
		t.Errorf("Subscribe before Run with a context that has ended: %v", err)
	}
	subscribed := make(chan error, 1)
	go func() { subscribed <- a.Subscribe(t.Context(), "news") }()
	select {
	case err := <-subscribed:
		t.Fatalf("Subscribe returned %v before Run", err)
	default:
	}
	StartHub(t, a)
	if err := <-subscribed; err != nil {
		t.Errorf("Subscribe: %v", err)
	}
}

func testFidelity(t *testing.T, a, b realtime.Bus) {
	hubA, hubB := StartHub(t, a), StartHub(t, b)
	topic := "env:Ünï {x}\n*?:\x00"
	sub := Subscribe(t, hubB, topic)
	for _, want := range []realtime.Publication{
		{Topic: topic, Version: 0, Payload: []byte("\n1\n\x00\xff\r\n")},
		{Topic: topic, Version: -1 << 63, Payload: []byte{'\n'}},
		{Topic: topic, Version: 1<<63 - 1, Payload: bytes.Repeat([]byte("x"), realtime.MaxPayload)},
	} {
		Publish(t, hubA, want)
		got := Receive(t, sub, 1)[0]
		if got.Version != want.Version || got.Topic != want.Topic || !bytes.Equal(got.Payload, want.Payload) {
			t.Errorf("version %d with %d bytes arrived as version %d on %q with %d bytes",
				want.Version, len(want.Payload), got.Version, got.Topic, len(got.Payload))
		}
	}
	Publish(t, hubA, realtime.Publication{Topic: topic, Version: 3})
	if got := Receive(t, sub, 1)[0]; got.Version != 3 || len(got.Payload) != 0 {
		t.Errorf("publication without a payload arrived as %+v", got)
	}
}

func testManyTopics(t *testing.T, a, b realtime.Bus) {
	hub, got := StartHub(t, a), make(recorder, 4096)
	run(t, func(ctx context.Context) error { return b.Run(ctx, got) })
	topics := make([]string, 1500)
	pubs := make([]realtime.Publication, len(topics))
	for i := range topics {
		topics[i] = fmt.Sprint("topic-", i)
		pubs[i] = realtime.Publication{Topic: topics[i], Version: int64(i)}
	}
	subscribe(t, b, topics...)
	Publish(t, hub, pubs...)
	missing := make(map[string]bool)
	for _, topic := range topics {
		missing[topic] = true
	}
	timeout := time.After(Patience)
	for len(missing) > 0 {
		select {
		case pub := <-got:
			delete(missing, pub.Topic)
		case <-timeout:
			t.Fatalf("%d of %d topics got nothing", len(missing), len(topics))
		}
	}
}

// subscribe subscribes on the bus itself, and fails the test if that is not confirmed in time.
func subscribe(t *testing.T, bus realtime.Bus, topics ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	if err := bus.Subscribe(ctx, topics...); err != nil {
		t.Fatalf("Subscribe to %d topics: %v", len(topics), err)
	}
}

// recorder is a receiver that keeps everything.
type recorder chan realtime.Publication

func (r recorder) Receive(pub realtime.Publication) { r <- pub }
func (r recorder) Gap(func(string) bool)            {}

func testResubscribe(t *testing.T, a, b realtime.Bus) {
	hub, got := StartHub(t, a), make(recorder, 4096)
	run(t, func(ctx context.Context) error { return b.Run(ctx, got) })
	for i := range 100 {
		subscribe(t, b, "news", "weather")
		Publish(t, hub, realtime.Publication{Topic: "news", Version: int64(i)})
		select {
		case pub := <-got:
			if pub.Version != int64(i) {
				t.Fatalf("round %d: version %d", i, pub.Version)
			}
		case <-time.After(Patience):
			t.Fatalf("round %d: nothing arrived", i)
		}
		b.Unsubscribe("news")
		b.Unsubscribe("weather", "never subscribed")
	}
}

func testChurn(t *testing.T, a, b realtime.Bus) {
	hubA, hubB := StartHub(t, a), StartHub(t, b)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(worker)))
			for i := range 150 {
				topic := fmt.Sprint("topic-", rng.IntN(10))
				sub, err := hubB.Subscribe(t.Context(), topic)
				if err != nil {
					t.Errorf("Subscribe: %v", err)
					return
				}
				// Versions of other workers arrive too; ours must be among them.
				version := int64(worker)<<32 | int64(i)
				if err := hubA.Publish(t.Context(), []realtime.Publication{{Topic: topic, Version: version}}); err != nil {
					t.Errorf("Publish: %v", err)
				}
				awaitVersion(t, sub, version)
				sub.Close()
			}
		})
	}
	wg.Wait()
	if n := hubB.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

func awaitVersion(t *testing.T, sub *realtime.Subscription, version int64) {
	timeout := time.After(Patience)
	for {
		select {
		case <-sub.Wake():
		case <-timeout:
			t.Errorf("topic %q: version %d did not arrive", sub.Topic(), version)
			return
		}
		pubs, gap := sub.Take()
		if gap {
			t.Errorf("topic %q: unexpected gap", sub.Topic())
			return
		}
		for _, pub := range pubs {
			if pub.Version == version {
				return
			}
		}
	}
}

func testPublishContext(t *testing.T, a, _ realtime.Bus) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := a.Publish(ctx, []realtime.Publication{{Topic: "news"}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Publish with a context that has ended: %v", err)
	}
}

func testIsolation(t *testing.T, a, b realtime.Bus) {
	hubA, hubB := StartHub(t, a), StartHub(t, b)
	news, weather := Subscribe(t, hubB, "news"), Subscribe(t, hubB, "weather")
	Publish(t, hubA, realtime.Publication{Topic: "weather", Version: 1}, realtime.Publication{Topic: "news", Version: 2})
	Receive(t, weather, 1)
	if got := Receive(t, news, 1); got[0].Topic != "news" || got[0].Version != 2 {
		t.Errorf("subscriber of news got %+v", got)
	}
}

func testRemote(t *testing.T, a, b realtime.Bus) {
	if !a.Remote() || !b.Remote() {
		t.Errorf("Remote() = %t and %t although there are two nodes", a.Remote(), b.Remote())
	}
}
