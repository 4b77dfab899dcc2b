package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

var errDown = errors.New("the host is down")

func TestASentMessageIsSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	w.advance(time.Second)
	w.work()
	w.work()
	got := w.read(id)
	want := []Attempt{{Number: 1, At: start.Add(time.Second), Outcome: belfry.Sent, Provider: "test"}}
	if diff := cmp.Diff(want, got.Attempts); diff != "" || got.Status != belfry.Sent || got.ProviderID != fmt.Sprint("receipt ", id.Seq) || w.queued() != 0 {
		t.Errorf("%+v, %d queued; attempts (-want +got):\n%s", got, w.queued(), diff)
	}
	told := all[string](w, `SELECT concat_ws('|', kind, environment_id, recipient_id, user_id, seq, channel, channel_type, workflow, step_ref, count) FROM told`)
	if diff := cmp.Diff([]string{fmt.Sprint("message.sent|1|3|user 3|", id.Seq, "|main-5|email|welcome|tell|1")}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestAReceiptMaySayThatItArrived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provider.answer = func(context.Context, *Outgoing) (Receipt, error) { return Receipt{Delivered: true}, nil }
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	w.work()
	if got := w.read(id).Status; got != belfry.Delivered {
		t.Errorf("status %s", got)
	}
	if diff := cmp.Diff([]string{"message.sent", "message.delivered"}, w.heard(id)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Eight attempts, ever further apart, within about half an hour; then it is over.
func TestFailuresAreTriedAgainForHalfAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provider.answer = fails(errDown)
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	var waits []time.Duration
	last := start
	for w.queued() > 0 {
		if w.work() == 0 {
			w.advance(time.Second)
			continue
		}
		waits = append(waits, w.now().Sub(last))
		last = w.now()
		if got := w.read(id).Status; len(waits) < MaxAttempts && got != belfry.DeliveryAttempted {
			t.Fatalf("after attempt %d the status is %s", len(waits), got)
		}
	}
	calls := w.provider.calls()
	if len(calls) != MaxAttempts {
		t.Fatalf("%d attempts, want %d", len(calls), MaxAttempts)
	}
	for i, wait := range waits[1:] {
		if base := firstDelay << i; wait < base*3/4 || wait > base*5/4+time.Second {
			t.Errorf("wait %d was %v, want about %v", i+1, wait, base)
		}
	}
	if took := last.Sub(start); took < 20*time.Minute || took > 40*time.Minute {
		t.Errorf("all of it took %v, want about half an hour", took)
	}
	for i, c := range calls {
		if c.Attempt != i+1 || c.IdempotencyKey != calls[0].IdempotencyKey || len(c.IdempotencyKey) != 32 {
			t.Errorf("call %d: attempt %d, key %q", i, c.Attempt, c.IdempotencyKey)
		}
	}
	got := w.read(id)
	if got.Status != belfry.Undelivered || len(got.Attempts) != MaxAttempts || got.Attempts[7].Outcome != belfry.Undelivered || got.Attempts[6].Error != errDown.Error() {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]string{"message.undelivered"}, w.heard(id)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if stats := w.Stats(); stats.Failed != MaxAttempts || stats.Undelivered != 1 || stats.Sent != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestMessagesThatFailTogetherDontComeBackTogether(t *testing.T) {
	t.Parallel()
	seen := make(map[time.Duration]bool)
	var sum time.Duration
	const n = 1000
	for id := range int64(n) {
		d := delay(firstID+id, 3)
		seen[d], sum = true, sum+d
		if d != delay(firstID+id, 3) {
			t.Fatal("the delay of an attempt should always be the same")
		}
	}
	if mean := sum / n; len(seen) < n*9/10 || mean < 53*time.Second || mean > 59*time.Second {
		t.Errorf("%d different delays of about %v; want as many as messages, and about %v", len(seen), mean, firstDelay*4)
	}
}

func TestWhatAnErrorSaysOfTheMessage(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		answer func(context.Context, *Outgoing) (Receipt, error)
		want   belfry.DeliveryStatus
		least  time.Duration // until the next attempt
		text   string
		told   []string
	}{
		"unknown":             {fails(errDown), belfry.DeliveryAttempted, firstDelay * 3 / 4, errDown.Error(), nil},
		"permanent":           {fails(fmt.Errorf("send: %w", Permanent(errDown))), belfry.Undelivered, 0, "send: the host is down", []string{"message.undelivered"}},
		"bounced":             {fails(Bounced(errors.New("no such box"))), belfry.Bounced, 0, "no such box", []string{"message.bounced"}},
		"retry after":         {fails(RetryAfter(errDown, 10*time.Minute)), belfry.DeliveryAttempted, 10 * time.Minute, errDown.Error(), nil},
		"retry after ages":    {fails(RetryAfter(errDown, time.Hour)), belfry.DeliveryAttempted, maxRetryAfter, errDown.Error(), nil},
		"retry after no time": {fails(RetryAfter(errDown, -time.Hour)), belfry.DeliveryAttempted, firstDelay * 3 / 4, errDown.Error(), nil},
		"panic":               {func(context.Context, *Outgoing) (Receipt, error) { panic("at the disco") }, belfry.DeliveryAttempted, firstDelay * 3 / 4, "the provider panicked", nil},
		"unfit text":          {fails(errors.New("a\x00b\xff" + strings.Repeat("x", 1000))), belfry.DeliveryAttempted, 0, "ab" + strings.Repeat("x", maxTextLength-4), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.provider.answer = row.answer
			id := w.enqueue(message(3, belfry.Email, "x"))[0]
			w.work()
			got := w.read(id)
			if got.Status != row.want || len(got.Attempts) != 1 || got.Attempts[0].Error != row.text || got.Attempts[0].Outcome != row.want {
				t.Errorf("%+v", got)
			}
			if diff := cmp.Diff(row.told, w.heard(id)); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			again := row.want == belfry.DeliveryAttempted
			if (w.queued() == 1) != again {
				t.Errorf("%d queued", w.queued())
			}
			if !again {
				return
			}
			w.advance(row.least - time.Second)
			if w.work() != 0 {
				t.Errorf("it is tried again before %v", row.least)
			}
			w.advance(row.least/2 + firstDelay)
			if w.work() != 1 {
				t.Errorf("it isn't tried again long after %v", row.least)
			}
		})
	}
}

func TestAMediumWithoutProviderIsUndelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(message(3, belfry.Push, "x"))[0]
	w.work()
	if got := w.read(id); got.Status != belfry.Undelivered || !strings.Contains(got.Attempts[0].Error, "no provider sends push messages") {
		t.Errorf("%+v", got)
	}
}

func TestASilentProviderTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.timeout = time.Millisecond
	w.provider.answer = func(ctx context.Context, _ *Outgoing) (Receipt, error) { <-ctx.Done(); return Receipt{}, ctx.Err() }
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	w.work()
	if got := w.read(id); got.Status != belfry.DeliveryAttempted || got.Attempts[0].Error != context.DeadlineExceeded.Error() {
		t.Errorf("%+v", got)
	}
}

func TestSendAtIsHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := message(3, belfry.Email, "x")
	m.SendAt = start.Add(10 * time.Minute)
	w.enqueue(m)
	w.advance(10*time.Minute - time.Microsecond)
	if w.work() != 0 {
		t.Error("it was sent too early")
	}
	w.advance(time.Microsecond)
	if w.work() != 1 {
		t.Error("it wasn't sent in time")
	}
}

func TestLagIsOfWhatIsOverdue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lag := func() time.Duration {
		t.Helper()
		d, err := w.Lag(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	later := message(1, belfry.InApp, "later")
	later.SendAt = start.Add(time.Minute)
	m := message(3, belfry.Email, "x")
	m.SendAt = start.Add(2 * time.Minute)
	w.enqueue(later, m)
	for _, row := range []struct{ at, want time.Duration }{{0, 0}, {time.Minute, 0}, {90 * time.Second, 30 * time.Second}, {3 * time.Minute, 2 * time.Minute}} {
		w.advance(row.at - w.now().Sub(start))
		if got := lag(); got != row.want {
			t.Errorf("after %v the lag is %v, want %v", row.at, got, row.want)
		}
	}
	w.lease(w.Service) // being sent is not being done
	if got := lag(); got != 2*time.Minute {
		t.Errorf("the lag is %v", got)
	}
	w.advance(time.Minute + minLease)
	w.work()
	if got := lag(); got != 0 {
		t.Errorf("with all sent the lag is %v", got)
	}
}
