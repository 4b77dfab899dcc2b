package realtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/realtime"
	"github.com/belfryhq/belfry/realtime/realtimetest"
)

func publications(topic string, n, payloadBytes int) []realtime.Publication {
	pubs := make([]realtime.Publication, n)
	for i := range pubs {
		pubs[i] = realtime.Publication{Topic: topic, Version: int64(i + 1), Payload: make([]byte, payloadBytes)}
	}
	return pubs
}

func TestSubscriptionBuffersUpToItsLimits(t *testing.T) {
	t.Parallel()
	const kib = 1 << 10
	for _, tt := range []struct {
		name         string
		n, bytesEach int
		wantGap      bool
	}{
		{"as many as allowed", realtime.MaxBufferedPublications, 1, false},
		{"one more", realtime.MaxBufferedPublications + 1, 1, true},
		{"as many bytes as allowed", realtime.MaxBufferedBytes / (64 * kib), 64 * kib, false},
		{"more bytes", realtime.MaxBufferedBytes/(64*kib) + 1, 64 * kib, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			hub := realtimetest.StartHub(t, realtime.NewMemoryBus())
			sub := realtimetest.Subscribe(t, hub, "news")
			pubs := publications("news", tt.n, tt.bytesEach)
			realtimetest.Publish(t, hub, pubs...)

			got, gap := sub.Take()
			if gap != tt.wantGap {
				t.Errorf("gap = %t", gap)
			}
			kept := pubs
			if tt.wantGap {
				kept = pubs[:len(pubs)-1] // what was there stays, in order, without holes
			}
			if len(got) != len(kept) || got[len(got)-1].Version != kept[len(kept)-1].Version {
				t.Errorf("Take returned %d publications, want %d", len(got), len(kept))
			}
			if dropped := hub.Stats().Dropped; (dropped == 1) != tt.wantGap {
				t.Errorf("Stats().Dropped = %d", dropped)
			}

			// The gap is reported once, and the subscription works again.
			realtimetest.Publish(t, hub, publications("news", 1, 1)...)
			if got, gap := sub.Take(); len(got) != 1 || gap {
				t.Errorf("afterwards Take returned %d publications and gap %t", len(got), gap)
			}
		})
	}
}

func TestNothingSlipsInBehindADroppedPublication(t *testing.T) {
	t.Parallel()
	hub := realtimetest.StartHub(t, realtime.NewMemoryBus())
	sub := realtimetest.Subscribe(t, hub, "news")
	large := publications("news", 1, realtime.MaxBufferedBytes-10)
	realtimetest.Publish(t, hub, large[0],
		realtime.Publication{Topic: "news", Version: 2, Payload: make([]byte, 11)}, // does not fit
		realtime.Publication{Topic: "news", Version: 3, Payload: make([]byte, 1)})  // would
	if got, gap := sub.Take(); len(got) != 1 || !gap {
		t.Errorf("Take returned %d publications and gap %t, want only the first, and a gap", len(got), gap)
	}
}

func TestASlowSubscriberHoldsUpNobody(t *testing.T) {
	t.Parallel()
	hub := realtimetest.StartHub(t, realtime.NewMemoryBus())
	slow, quick := realtimetest.Subscribe(t, hub, "news"), realtimetest.Subscribe(t, hub, "news")
	for range 20 {
		realtimetest.Publish(t, hub, publications("news", 100, 10)...)
		realtimetest.Receive(t, quick, 100)
	}
	if pubs, gap := slow.Take(); len(pubs) != realtime.MaxBufferedPublications || !gap {
		t.Errorf("the subscriber that never looked gets %d publications and gap %t", len(pubs), gap)
	}
}

func TestNudge(t *testing.T) {
	t.Parallel()
	hub := realtimetest.StartHub(t, realtime.NewMemoryBus())
	sub := realtimetest.Subscribe(t, hub, "news")
	sub.Nudge()
	realtimetest.Publish(t, hub, publications("news", 1, 1)...)
	<-sub.Wake()
	if pubs, gap := sub.Take(); len(pubs) != 1 || !gap {
		t.Errorf("after a nudge Take returned %d publications and gap %t, want 1 and true", len(pubs), gap)
	}
}

func TestClosedSubscriptionGetsNothing(t *testing.T) {
	t.Parallel()
	hub := realtimetest.StartHub(t, realtime.NewMemoryBus())
	var subs []*realtime.Subscription
	for range 3 {
		subs = append(subs, realtimetest.Subscribe(t, hub, "news"))
	}
	realtimetest.Publish(t, hub, publications("news", 1, 1)...)
	subs[0].Close()
	subs[0].Close()
	realtimetest.Publish(t, hub, publications("news", 1, 1)...)

	if pubs, gap := subs[0].Take(); len(pubs) != 0 || gap {
		t.Errorf("closed: Take returned %d publications and gap %t", len(pubs), gap)
	}
	for _, sub := range subs[1:] {
		realtimetest.Receive(t, sub, 2)
	}
	if diff := cmp.Diff(realtime.Stats{Topics: 1, Subscriptions: 2, Published: 2}, hub.Stats()); diff != "" {
		t.Errorf("Stats (-want +got):\n%s", diff)
	}
}

func TestPublishRefusesWhatNobodyCouldReceive(t *testing.T) {
	t.Parallel()
	hub := realtimetest.StartHub(t, realtime.NewMemoryBus())
	sub := realtimetest.Subscribe(t, hub, "news")
	realtimetest.Publish(t, hub, publications("news", 1, realtime.MaxPayload)...)
	realtimetest.Receive(t, sub, 1)

	err := hub.Publish(t.Context(), []realtime.Publication{
		{Topic: "news", Version: 1},
		{Topic: "news", Version: 2, Payload: make([]byte, realtime.MaxPayload+1)},
		{Topic: "news", Version: 3},
	})
	want := &realtime.PayloadTooLargeError{Topic: "news", Size: realtime.MaxPayload + 1, Limit: realtime.MaxPayload}
	var got *realtime.PayloadTooLargeError
	if !errors.As(err, &got) || *got != *want {
		t.Errorf("Publish: %v, want %v", err, want)
	}
	pubs := realtimetest.Receive(t, sub, 2)
	if pubs[0].Version != 1 || pubs[1].Version != 3 {
		t.Errorf("the others arrived as versions %d and %d", pubs[0].Version, pubs[1].Version)
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	bus := realtime.NewMemoryBus()
	hub := realtimetest.StartHub(t, bus)
	if hub.Wanted("news") {
		t.Error("wanted, though nobody has subscribed")
	}
	sub := realtimetest.Subscribe(t, hub, "news")
	if !hub.Wanted("news") || hub.Wanted("weather") {
		t.Error("a subscribed topic must be wanted, and no other")
	}
	sub.Close()
	if hub.Wanted("news") {
		t.Error("still wanted after the last subscriber has gone")
	}
	bus.Peer()
	if !hub.Wanted("news") {
		t.Error("not wanted, though another node may have subscribers")
	}
}

func TestSubscribeEndsWithItsContextAndWithTheHub(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	hub := realtime.NewHub(realtime.NewMemoryBus()) // not running: nothing confirms
	gone := errors.New("the client has gone")
	cancel(gone)
	if _, err := hub.Subscribe(ctx, "news"); !errors.Is(err, gone) {
		t.Errorf("Subscribe: %v, want the cause of its context", err)
	}
	if n := hub.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
	if err := hub.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := hub.Subscribe(t.Context(), "news"); !errors.Is(err, realtime.ErrClosed) {
		t.Errorf("Subscribe after Run: %v, want ErrClosed", err)
	}
}

// callRecorder is a memory bus that writes down what is subscribed and unsubscribed.
type callRecorder struct {
	*realtime.MemoryBus
	mu    sync.Mutex
	calls []string
}

func (b *callRecorder) Subscribe(ctx context.Context, topics ...string) error {
	b.record("+", topics)
	return b.MemoryBus.Subscribe(ctx, topics...)
}

func (b *callRecorder) Unsubscribe(topics ...string) { b.record("-", topics) }

func (b *callRecorder) record(sign string, topics []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, topic := range topics {
		b.calls = append(b.calls, sign+topic)
	}
}

func (b *callRecorder) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.calls = nil }()
	return b.calls
}

func TestUnsubscribeIsDelayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := &callRecorder{MemoryBus: realtime.NewMemoryBus()}
		hub := realtimetest.StartHub(t, bus)
		expect := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := bus.take(); !slices.Equal(got, want) {
				t.Errorf("%s: the bus saw %q, want %q", when, got, want)
			}
		}
		first, second := realtimetest.Subscribe(t, hub, "news"), realtimetest.Subscribe(t, hub, "news")
		expect("two subscribers", "+news")
		first.Close()
		time.Sleep(2 * realtime.UnsubscribeDelay)
		expect("one has left")
		second.Close()
		time.Sleep(realtime.UnsubscribeDelay - 1)
		third := realtimetest.Subscribe(t, hub, "news")
		time.Sleep(2 * realtime.UnsubscribeDelay)
		expect("somebody came back in time")
		third.Close()
		time.Sleep(realtime.UnsubscribeDelay)
		expect("the last has left", "-news")
		if n := hub.Stats().Topics; n != 0 {
			t.Errorf("%d topics are left", n)
		}
		realtimetest.Subscribe(t, hub, "news")
		expect("and anew", "+news")
	})
}

func TestSubscribersAreLetThroughWhileTheBusIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus := &callRecorder{MemoryBus: realtime.NewMemoryBus()}
		hub := realtime.NewHub(bus) // Run comes late
		start := time.Now()
		sub := realtimetest.Subscribe(t, hub, "news")
		if waited := time.Since(start); waited != realtime.ConfirmTimeout {
			t.Errorf("Subscribe took %v, want %v", waited, realtime.ConfirmTimeout)
		}
		if _, gap := sub.Take(); !gap {
			t.Error("let through without a gap")
		}
		left := realtimetest.Subscribe(t, hub, "left")
		left.Close()
		time.Sleep(5 * realtime.UnsubscribeDelay)
		if want := []string{"+news", "+left"}; !slices.Equal(bus.take(), want) {
			t.Error("a topic was unsubscribed before its subscription was confirmed")
		}

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- hub.Run(ctx) }()
		synctest.Wait()
		if _, gap := sub.Take(); !gap {
			t.Error("no gap after the late confirmation")
		}
		time.Sleep(realtime.UnsubscribeDelay)
		synctest.Wait()
		if got := bus.take(); !slices.Equal(got, []string{"-left"}) {
			t.Errorf("the bus saw %q after the confirmation, want -left", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// Publishers, subscribers and gaps all at once, for the race detector; who stays to the end hears the end.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	hub := realtimetest.StartHub(t, realtime.NewMemoryBus())
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 300 {
				topic := fmt.Sprint("topic-", i%7)
				sub, err := hub.Subscribe(t.Context(), topic)
				if err != nil {
					t.Errorf("Subscribe: %v", err)
					return
				}
				go sub.Nudge()
				if err := hub.Publish(t.Context(), publications(topic, 3, worker)); err != nil {
					t.Errorf("Publish: %v", err)
				}
				hub.Gap(nil)
				sub.Take()
				sub.Close()
				hub.Stats()
				hub.Wanted(topic)
			}
		})
	}
	wg.Wait()
	sub := realtimetest.Subscribe(t, hub, "topic-0")
	realtimetest.Publish(t, hub, publications("topic-0", 1, 0)...)
	realtimetest.Receive(t, sub, 1)
}

func TestSubscribeFuncCallsInsteadOfSignalling(t *testing.T) {
	t.Parallel()
	hub := realtimetest.StartHub(t, realtime.NewMemoryBus())
	woken := make(chan struct{}, 10)
	sub, err := hub.SubscribeFunc(t.Context(), "news", func() { woken <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	if sub.Wake() != nil {
		t.Error("it has a channel too")
	}
	realtimetest.Publish(t, hub, publications("news", 2, 1)...)
	sub.Nudge()
	for range 3 {
		<-woken
	}
	if pubs, gap := sub.Take(); len(pubs) != 2 || !gap {
		t.Errorf("Take returned %d publications and gap %t", len(pubs), gap)
	}
}

// What several subscribers of a node receive they may decode once for all of them.
func TestSubscribersShareWhatTheyMakeOfAPublication(t *testing.T) {
	t.Parallel()
	hub := realtimetest.StartHub(t, realtime.NewMemoryBus())
	for _, n := range []int{1, 2, 3} {
		topic := fmt.Sprint("topic-", n)
		var subs []*realtime.Subscription
		for range n {
			subs = append(subs, realtimetest.Subscribe(t, hub, topic))
		}
		realtimetest.Publish(t, hub, publications(topic, 2, 1)...)
		var made int
		for _, sub := range subs {
			pubs, _ := sub.Take()
			for _, pub := range pubs {
				if shared := pub.Memo != nil; shared != (n > 1) {
					t.Errorf("of %d subscribers one has a memo: %v", n, shared)
				}
				pub.Memo.Do("key", func() any { made++; return nil })
			}
		}
		if made != 2 {
			t.Errorf("%d subscribers made %d things of 2 publications", n, made)
		}
	}
}
