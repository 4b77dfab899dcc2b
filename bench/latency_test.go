package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A server that stalls must show in every latency that it delayed, and must not slow the schedule down.
func TestStallsDelayNoOtherCallAndCountFromTheSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stalled := time.Now().Add(500 * time.Millisecond) // the server answers nothing before this
		began := time.Now()
		book := newLedger()
		sent := openLoop(t.Context(), 100, time.Second, func(n int, due time.Time) {
			if want := began.Add(time.Duration(n) * 10 * time.Millisecond); due != want || !time.Now().Equal(due) {
				t.Errorf("call %d was due after %s and made after %s, want both after %s", n, due.Sub(began), time.Since(began), want.Sub(began))
			}
			book.sent(n, due)
			time.Sleep(time.Until(stalled))
			book.back(n, time.Now())
		})
		times, err := book.settle(t.Context(), sent, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(times) != 100 || quantile(times, 1) != 500*time.Millisecond || quantile(times, 0.5) != 0 || quantile(times, 0.75) != 250*time.Millisecond {
			t.Errorf("%d calls, max %s, p50 %s, p75 %s", len(times), quantile(times, 1), quantile(times, 0.5), quantile(times, 0.75))
		}
	})
}

func TestOpenLoopStopsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 95*time.Millisecond)
		defer cancel()
		if sent := openLoop(ctx, 100, time.Hour, func(int, time.Time) {}); sent != 10 {
			t.Errorf("%d calls were made in 95 ms at 100/s, want 10", sent)
		}
	})
}

func TestLedgerWantsEverythingBackOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, test := range []struct {
		name string
		book func(*ledger)
		want string // part of the error; empty: none
	}{
		{"all back", func(l *ledger) { l.back(0, now); l.back(1, now) }, ""},
		{"one missing", func(l *ledger) { l.back(0, now) }, "2 were sent, 1 came back"},
		{"one twice", func(l *ledger) { l.back(0, now); l.back(1, now); l.back(1, now) }, "came back twice"},
		{"one unknown", func(l *ledger) { l.back(0, now); l.back(1, now); l.back(7, now) }, "never sent"},
		{"one failed", func(l *ledger) { l.back(0, now); l.failed(1, errors.New("502")) }, "502"},
	} {
		l := newLedger()
		l.sent(0, now)
		l.sent(1, now)
		test.book(l)
		_, err := l.settle(t.Context(), 2, time.Millisecond)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: want %q, got %v", test.name, test.want, err)
		}
	}
}

func TestSettleWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		l.sent(0, time.Now())
		var late sync.WaitGroup
		late.Go(func() {
			time.Sleep(time.Second)
			l.back(0, time.Now())
		})
		times, err := l.settle(t.Context(), 1, time.Minute)
		late.Wait()
		if err != nil || len(times) != 1 || times[0] != time.Second {
			t.Errorf("got %v, %v", times, err)
		}
	})
}

func TestQuantilesAndMedians(t *testing.T) {
	t.Parallel()
	var times []time.Duration
	for i := 100; i > 0; i-- {
		times = append(times, time.Duration(i))
	}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.9: 90, 0.99: 99, 0.991: 100, 1: 100} {
		if got := quantile(times, share); got != want {
			t.Errorf("quantile %v is %d, want %d", share, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
	if a, b := median([]float64{3, 1, 2}), median([]float64{4, 1, 2, 3}); a != 2 || b != 2.5 {
		t.Errorf("medians are %v and %v, want 2 and 2.5", a, b)
	}
}

func TestPacedEndsBeforeItsTimeWhenToldTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		time.AfterFunc(95*time.Millisecond, func() { close(end) })
		times, err := paced(t.Context(), pace{rate: 100, duration: time.Hour, end: end}, func(context.Context, int) error { return nil })
		if err != nil || len(times) != 10 {
			t.Errorf("%d calls were timed in 95 ms at 100/s, want 10 (%v)", len(times), err)
		}
	})
}
