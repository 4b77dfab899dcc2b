package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func TestALeasedMessageIsLeftAloneUntilTheLeaseEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(message(3, belfry.Email, "x"))
	other := w.node()
	if n := len(w.lease(w.Service)); n != 1 {
		t.Fatalf("leased %d", n)
	}
	w.advance(minLease - time.Microsecond)
	if n := len(w.lease(other)); n != 0 {
		t.Errorf("another node leased %d of a message that is leased", n)
	}
	w.advance(time.Microsecond)
	if n := len(w.lease(other)); n != 1 {
		t.Errorf("another node leased %d after the lease ended", n)
	}
}

// A worker that dies after it sent leaves a message that another sends again: with the same key, so that the provider
// can tell.
func TestAMessageIsSentAgainAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	w.try(t.Context(), w.lease(w.Service)[0]) // and the outcome is never recorded
	w.advance(minLease)
	w.work(w.node())
	calls := w.provider.calls()
	if len(calls) != 2 || calls[0].IdempotencyKey != calls[1].IdempotencyKey || calls[0].Attempt != 1 || calls[1].Attempt != 2 {
		t.Fatalf("calls %+v", calls)
	}
	got := w.read(id)
	if got.Status != belfry.Sent || len(got.Attempts) != 1 || got.Attempts[0].Number != 2 {
		t.Errorf("%+v; want the second attempt alone to be known", got)
	}
	if diff := cmp.Diff([]string{"message.sent"}, w.heard(id)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// Whoever lost the lease has nothing to say any more, whichever of both is first.
func TestAnOutdatedWorkerCannotRecord(t *testing.T) {
	t.Parallel()
	for _, firstIsOutdated := range []bool{true, false} {
		w := newWorld(t)
		id := w.enqueue(message(3, belfry.Email, "x"))[0]
		old, current := w.Service, w.node()
		outdated := old.try(t.Context(), w.lease(old)[0])
		w.advance(minLease)
		w.provider.answer = fails(errDown)
		valid := current.try(t.Context(), w.lease(current)[0])
		commit := func(s *Service, o *outcome) {
			if err := s.commit(t.Context(), []*outcome{o}); err != nil {
				t.Fatal(err)
			}
		}
		if firstIsOutdated {
			commit(old, outdated)
			if got := w.read(id).Status; got != belfry.Queued {
				t.Errorf("the outdated worker made it %s", got)
			}
			commit(current, valid)
		} else {
			commit(current, valid)
			commit(old, outdated)
		}
		if got := w.read(id); got.Status != belfry.DeliveryAttempted || len(got.Attempts) != 1 || got.Attempts[0].Number != 2 || w.queued() != 1 {
			t.Errorf("outdated first %v: %+v", firstIsOutdated, got)
		}
		if old.Stats().Outdated != 1 || old.Stats().Sent != 0 || current.Stats().Outdated != 0 || len(w.heard(id)) != 0 {
			t.Errorf("outdated first %v: old %+v, current %+v, told %v", firstIsOutdated, old.Stats(), current.Stats(), w.heard(id))
		}
	}
}

// An attempt counts when it begins: a message that kills its worker isn't tried for ever.
func TestAMessageThatKillsItsWorkerIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	for range MaxAttempts {
		if n := len(w.lease(w.Service)); n != 1 {
			t.Fatalf("leased %d", n)
		}
		w.advance(minLease)
	}
	w.work()
	got := w.read(id)
	if got.Status != belfry.Undelivered || len(got.Attempts) != 1 || got.Attempts[0].Number != MaxAttempts || len(w.provider.calls()) != 0 || w.queued() != 0 {
		t.Errorf("%+v, sent %d times", got, len(w.provider.calls()))
	}
}

// What was sent is recorded, even when observing fails for a while.
func TestRecordingIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var calls atomic.Int64
	node := w.node(func(c *Config) {
		c.Observe = func(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
			if calls.Add(1) <= 2 {
				return errors.New("not now")
			}
			return tell(ctx, tx, changes)
		}
	})
	w.run(node)
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	w.waitUntil("the outcome is recorded", func() bool { return w.read(id).Status == belfry.Sent })
	if n := len(w.provider.calls()); n != 1 || node.Stats().Errors != 2 {
		t.Errorf("sent %d times, want once; %+v", n, node.Stats())
	}
}

// An outcome that can't be recorded doesn't keep others from being so.
func TestAnOutcomeThatIsRefusedHarmsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`ALTER TABLE told ADD CHECK (recipient_id <> 13)`)
	ids := w.enqueue(message(12, belfry.Email, "x"), message(13, belfry.Email, "x"), message(14, belfry.Email, "x"))
	var batch []*outcome
	for _, l := range w.lease(w.Service) {
		batch = append(batch, w.try(t.Context(), l))
	}
	w.recordCarefully(t.Context(), batch)
	for i, want := range []belfry.DeliveryStatus{belfry.Sent, belfry.Queued, belfry.Sent} {
		if got := w.read(ids[i]).Status; got != want {
			t.Errorf("message %d is %s, want %s", i, got, want)
		}
	}
}

// Told to end, a node lets attempts finish and records them.
func TestAttemptsUnderWayAreFinishedWhenANodeEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	began, finish := make(chan struct{}), make(chan struct{})
	w.provider.answer = func(ctx context.Context, _ *Outgoing) (Receipt, error) {
		close(began)
		<-finish
		return Receipt{}, ctx.Err()
	}
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { _ = w.Run(ctx); close(done) }()
	select {
	case <-began:
	case <-time.After(patience):
		t.Error("the message isn't sent")
	}
	cancel()
	close(finish)
	<-done
	if got := w.read(id).Status; got != belfry.Sent {
		t.Errorf("status %s", got)
	}
}

// A node that has to end doesn't wait for a provider for ever. What it cuts off wasn't the message's fault: another node
// sends it at once, and no attempt is lost.
func TestAnAttemptThatIsCutOffByShutdownDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`ALTER TABLE deliveries ALTER attempt SET DEFAULT ` + fmt.Sprint(MaxAttempts-1)) // the last one is next
	began := make(chan struct{})
	w.provider.answer = func(ctx context.Context, _ *Outgoing) (Receipt, error) {
		close(began)
		<-ctx.Done()
		return Receipt{}, ctx.Err()
	}
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	node := w.node()
	node.grace = time.Millisecond
	stop := w.run(node)
	select {
	case <-began:
	case <-time.After(patience):
		t.Fatal("the message isn't sent")
	}
	stop()
	if got := w.read(id); got.Status != belfry.Queued || len(got.Attempts) != 0 || node.Stats() != (Stats{}) {
		t.Errorf("%+v, %+v; want it as it was", got, node.Stats())
	}
	w.provider.answer = nil
	if n := w.work(); n != 1 { // at once: its lease was given back
		t.Fatalf("%d attempts", n)
	}
	if got := w.read(id); got.Status != belfry.Sent || got.Attempts[0].Number != MaxAttempts {
		t.Errorf("%+v", got)
	}
}

// What a provider did say counts, even if the node had to end meanwhile.
func TestAnAnswerCountsWhenANodeEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	ctx, cancel := context.WithCancel(t.Context())
	w.provider.answer = func(context.Context, *Outgoing) (Receipt, error) {
		cancel()
		return Receipt{}, Bounced(errDown)
	}
	o := w.try(ctx, w.lease(w.Service)[0])
	if err := w.commit(t.Context(), []*outcome{o}); err != nil {
		t.Fatal(err)
	}
	if got := w.read(id).Status; got != belfry.Bounced {
		t.Errorf("status %s", got)
	}
}

// A worker that was asleep doesn't begin what another one will have been given before it is done.
func TestNoAttemptBeginsThatTheLeaseMayNotOutlast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(message(3, belfry.Email, "x"))
	l := w.lease(w.Service)[0]
	w.advance(minLease - SendTimeout + time.Microsecond)
	o := w.try(t.Context(), l)
	if n := len(w.provider.calls()); n != 0 {
		t.Errorf("sent %d times", n)
	}
	if err := w.commit(t.Context(), []*outcome{o}); err != nil {
		t.Fatal(err)
	}
	l = w.lease(w.Service)[0]
	w.advance(minLease - SendTimeout)
	if o := w.try(t.Context(), l); o.status != belfry.Sent || l.attempt != 1 {
		t.Errorf("attempt %d: %s; want the first, for the other was none", l.attempt, o.status)
	}
}

// A message that this release can't read fails alone. Those that were claimed with it go out.
func TestAnUnreadableMessageHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.enqueue(message(1, belfry.Email, "a"), message(2, belfry.Email, "b"), message(3, belfry.Email, "c"), later(4, "d"), later(5, "e"), later(6, "f"))
	for _, i := range []int{1, 4} {
		w.exec(`UPDATE messages SET content = '{"body": 7}' WHERE id = $1`, ids[i].Seq)
	}
	w.advance(time.Minute)
	w.work()
	status := func() []belfry.DeliveryStatus {
		return all[belfry.DeliveryStatus](w, `SELECT status FROM messages ORDER BY id`)
	}
	want := []belfry.DeliveryStatus{belfry.Sent, belfry.DeliveryAttempted, belfry.Sent, belfry.Sent, belfry.DeliveryAttempted, belfry.Sent}
	if diff := cmp.Diff(want, status()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.exec(`UPDATE messages SET content = '{}' WHERE id = $1`, ids[1].Seq) // a node that can read it
	for w.queued() > 0 {
		w.advance(time.Minute)
		w.work()
	}
	want[1], want[4] = belfry.Sent, belfry.Undelivered
	if diff := cmp.Diff(want, status()); diff != "" {
		t.Errorf("in the end (-want +got):\n%s", diff)
	}
}
