package delivery

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func TestMessagesAreReadTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provider.answer = fails(errDown)
	sandbox := message(3, belfry.SMS, "sandbox")
	sandbox.Sandbox = true
	ids := w.enqueue(message(3, belfry.Email, "mail"), message(4, belfry.Email, "of another recipient"), sandbox)
	w.work()
	w.advance(time.Hour)
	w.work()
	got, err := w.Messages(t.Context(), env, append(ids, ids[0], belfry.MessageID{Recipient: 3, Channel: "x", Seq: 1}))
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, attempts := range []int{2, 2, 0} {
		m := got[ids[i]]
		if diff := cmp.Diff(w.read(ids[i]), m); diff != "" || len(m.Attempts) != attempts {
			t.Errorf("message %d has %d attempts, want %d; alone it is different (-alone +together):\n%s", i, len(m.Attempts), attempts, diff)
		}
	}
}

func TestMessagesAreFoundByTheirWholeIDInTheirEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(message(3, belfry.Email, "x"))[0]
	wrong := []belfry.MessageID{
		{Recipient: id.Recipient, Channel: id.Channel, Seq: id.Seq + 1},
		{Recipient: id.Recipient, Channel: "other", Seq: id.Seq},
		{Recipient: id.Recipient + 1, Channel: id.Channel, Seq: id.Seq},
	}
	check := func(env belfry.EnvironmentID, id belfry.MessageID) {
		t.Helper()
		if found, err := w.Messages(t.Context(), env, []belfry.MessageID{id}); err != nil || len(found) != 0 {
			t.Errorf("%v in environment %d: %v, %v", id, env, found, err)
		}
		if statuses, moved, err := w.Statuses(t.Context(), w.pool, env, []belfry.MessageID{id}); err != nil || len(statuses)+len(moved) != 0 {
			t.Errorf("statuses of %v in environment %d: %v, %v, %v", id, env, statuses, moved, err)
		}
	}
	check(2, id)
	for _, id := range wrong {
		check(env, id)
	}
	if got := w.read(id); got.Status != belfry.Queued || w.queued() != 1 {
		t.Errorf("after all that it is %s, with %d queued", got.Status, w.queued())
	}
}

func TestStatusesSeeTheTransactionsOwnWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sandbox := message(3, belfry.SMS, "x")
	sandbox.Sandbox = true
	before := w.enqueue(message(3, belfry.Email, "x"))
	w.work()
	messages := []belfry.Message{message(3, belfry.Email, "x"), sandbox}
	err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		if err := w.Enqueue(t.Context(), tx, messages); err != nil {
			return err
		}
		ids := append(before, messages[0].ID(), messages[1].ID(), belfry.MessageID{Recipient: 3, Channel: "x", Seq: 1})
		got, _, err := w.Statuses(t.Context(), tx, env, ids)
		want := map[belfry.MessageID]belfry.MessageStatus{ids[0]: {Delivery: belfry.Sent}, ids[1]: {Delivery: belfry.Queued}, ids[2]: {Delivery: belfry.NotSent}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestIdempotencyKeysDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	m := message(3, belfry.Email, "x")
	add := func() { seen[idempotencyKey(&m)] = true }
	m.Seq = firstID
	add()
	add() // the same
	m.Recipient++
	add() // still: it was given to somebody else
	m.Seq++
	add()
	m.Trigger[15]++ // another installation may have the same numbers, but not the same triggers
	add()
	if len(seen) != 3 {
		t.Errorf("%d keys of 3 messages", len(seen))
	}
}
