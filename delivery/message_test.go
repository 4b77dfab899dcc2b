package delivery

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func TestMessagesOfARunAreItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provider.answer = fails(errDown)
	other := message(3, belfry.Email, "of another trigger")
	other.Trigger = [16]byte{2}
	sandbox := message(3, belfry.SMS, "sandbox")
	sandbox.Sandbox = true
	ids := w.enqueue(message(3, belfry.Email, "mail"), message(4, belfry.Email, "of another recipient"), other, message(3, belfry.InApp, "shown"), sandbox)
	w.work()
	got, err := w.MessagesOf(t.Context(), env, 3, [16]byte{1})
	if err != nil || len(got) != 2 || got[0].ID() != ids[0] || got[1].ID() != ids[4] {
		t.Fatalf("%+v, %v; want the mail and the sandbox", got, err)
	}
	if diff := cmp.Diff([]Message{*w.read(ids[0]), *w.read(ids[4])}, got); diff != "" || len(got[0].Attempts) != 1 {
		t.Errorf("one by one they are different (-one by one +of the run):\n%s", diff)
	}
	if got, err := w.MessagesOf(t.Context(), 2, 3, [16]byte{1}); err != nil || len(got) != 0 {
		t.Errorf("another environment sees %+v, %v", got, err)
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
		if _, err := w.Message(t.Context(), env, id); belfry.CodeOf(err) != belfry.NotFound {
			t.Errorf("%v in environment %d: %v", id, env, err)
		}
		if _, err := w.Report(t.Context(), env, id, belfry.Bounced); belfry.CodeOf(err) != belfry.NotFound {
			t.Errorf("report on %v in environment %d: %v", id, env, err)
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

func TestReportsMoveAStatusForwardOnly(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		reports []belfry.DeliveryStatus
		want    belfry.DeliveryStatus
		told    []string
	}{
		{"delivered", []belfry.DeliveryStatus{belfry.Delivered, belfry.Delivered}, belfry.Delivered, []string{"message.delivered"}},
		{"undelivered", []belfry.DeliveryStatus{belfry.Undelivered, belfry.Delivered}, belfry.Undelivered, []string{"message.undelivered"}},
		{"bounced", []belfry.DeliveryStatus{belfry.Bounced, belfry.Undelivered, belfry.Delivered}, belfry.Bounced, []string{"message.bounced"}},
		{"bounced behind the host", []belfry.DeliveryStatus{belfry.Delivered, belfry.Bounced}, belfry.Bounced, []string{"message.delivered", "message.bounced"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.enqueue(message(3, belfry.Email, "x"))[0]
			w.work()
			news := 0
			for i, status := range row.reports {
				isNews, err := w.Report(t.Context(), env, id, status)
				if err != nil {
					t.Fatalf("report %d: %v", i, err)
				}
				if isNews {
					news++
				}
			}
			if news != len(row.told) {
				t.Errorf("%d reports were news, want %d", news, len(row.told))
			}
			if got := w.read(id).Status; got != row.want {
				t.Errorf("status %s, want %s", got, row.want)
			}
			if diff := cmp.Diff(append([]string{"message.sent"}, row.told...), w.heard(id)); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

// Providers can be quicker with their word than we with ours.
func TestAReportMayComeBeforeTheOutcome(t *testing.T) {
	t.Parallel()
	for status, told := range map[belfry.DeliveryStatus][]string{
		belfry.Delivered: {"message.sent", "message.delivered"}, belfry.Undelivered: {"message.undelivered"}, belfry.Bounced: {"message.bounced"},
	} {
		w := newWorld(t)
		id := w.enqueue(message(3, belfry.Email, "x"))[0]
		o := w.try(t.Context(), w.lease(w.Service)[0])
		if news, err := w.Report(t.Context(), env, id, status); !news || err != nil {
			t.Fatalf("report: %v, %v", news, err)
		}
		if err := w.commit(t.Context(), []*outcome{o}); err != nil {
			t.Fatal(err)
		}
		w.advance(minLease)
		if n := w.work(); n != 0 || w.queued() != 0 {
			t.Errorf("%s: %d more attempts, %d queued", status, n, w.queued())
		}
		if got := w.read(id).Status; got != status {
			t.Errorf("status %s, want %s", got, status)
		}
		if diff := cmp.Diff(told, w.heard(id)); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	}
}

func TestReportsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sandbox := message(3, belfry.SMS, "x")
	sandbox.Sandbox = true
	ids := w.enqueue(message(3, belfry.Email, "x"), sandbox, later(3, "x"))
	for _, status := range []belfry.DeliveryStatus{belfry.Queued, belfry.Sent, belfry.NotSent, belfry.DeliveryAttempted, "", "read"} {
		if _, err := w.Report(t.Context(), env, ids[0], status); belfry.CodeOf(err) != belfry.Invalid {
			t.Errorf("report %q: %v; want it to be invalid", status, err)
		}
	}
	if news, err := w.Report(t.Context(), env, ids[1], belfry.Delivered); news || err != nil || w.read(ids[1]).Status != belfry.NotSent {
		t.Errorf("a sandbox message was delivered: %v, %v", news, err)
	}
	if _, err := w.Report(t.Context(), env, ids[2], belfry.Delivered); belfry.CodeOf(err) != belfry.NotFound || w.queued() != 2 {
		t.Errorf("no provider knows an in-app message: %v", err)
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
	m.Seq++
	add()
	m.Recipient++
	add()
	m.Channel = "other"
	add()
	m.Trigger[15]++ // another installation may have the same numbers, but not the same triggers
	add()
	if len(seen) != 5 {
		t.Errorf("%d keys of 5 messages", len(seen))
	}
}
