package delivery

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// later is an in-app message that waits for a minute.
func later(recipient int64, body string) belfry.Message {
	m := message(recipient, belfry.InApp, body)
	m.SendAt = start.Add(time.Minute)
	return m
}

func TestAnInAppMessageMovesToTheFeedInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(message(1, belfry.InApp, "first"))
	id := w.enqueue(later(1, "later"))[0]
	w.advance(time.Minute - time.Microsecond)
	if w.work() != 0 {
		t.Fatal("it moved too early")
	}
	if got := w.read(id); got.Status != belfry.Queued || got.Moved != (belfry.MessageID{}) {
		t.Errorf("while it waits: %+v", got)
	}
	w.advance(time.Microsecond)
	if w.work() != 1 || w.work() != 0 {
		t.Fatal("it should move once")
	}
	item := belfry.MessageID{Recipient: 1, Channel: id.Channel, Seq: 2}
	if got := w.read(id); got.Status != belfry.Sent || got.Moved != item || len(got.Attempts) != 0 || w.queued() != 0 {
		t.Errorf("%+v; want it to be item %v", got, item)
	}
	if diff := cmp.Diff([]string{"first", "later"}, all[string](w, `SELECT body FROM shown ORDER BY seq`)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if told := w.heard(id); told != nil {
		t.Errorf("told %v; want nothing, for the feed tells of its item", told)
	}
	statuses, moved, err := w.Statuses(t.Context(), w.pool, env, []belfry.MessageID{id})
	if err != nil || len(statuses) != 0 || moved[id] != item {
		t.Errorf("statuses %v, moved %v, %v", statuses, moved, err)
	}
	if stats := w.Stats(); stats.Moved != 1 || stats.Sent != 0 || len(w.provider.calls()) != 0 {
		t.Errorf("%+v", stats)
	}
}

// Appending, marking and leaving the queue are one transaction: if it fails at the very end, nothing has happened.
func TestAMoveThatFailsHasNotHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.enqueue(later(1, "a"), later(2, "b"))
	w.exec(`ALTER TABLE messages ADD CONSTRAINT trouble CHECK (moved_to IS NULL)`)
	w.advance(time.Minute)
	if _, err := w.moveDue(t.Context()); err == nil {
		t.Fatal("want an error")
	}
	if n := len(all[string](w, `SELECT body FROM shown`)); n != 0 || w.queued() != 2 || w.read(ids[0]).Status != belfry.Queued {
		t.Errorf("%d are shown, %d queued", n, w.queued())
	}
	w.exec(`ALTER TABLE messages DROP CONSTRAINT trouble`)
	w.work()
	w.work()
	if n := len(all[string](w, `SELECT body FROM shown`)); n != 2 || w.queued() != 0 {
		t.Errorf("%d are shown, %d queued", n, w.queued())
	}
}

// A message that the feed refuses holds up no other, and is given up in the end.
func TestAMessageThatTheFeedRefusesHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.enqueue(later(1, "a"), later(2, "refuse me"), later(3, "c"), later(4, "d"))
	w.advance(time.Minute)
	w.work()
	if diff := cmp.Diff([]string{"a", "c", "d"}, all[string](w, `SELECT body FROM shown ORDER BY body`)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if got := w.read(ids[1]); got.Status != belfry.DeliveryAttempted || len(got.Attempts) != 1 || got.Attempts[0].Provider != "feed" {
		t.Errorf("%+v", got)
	}
	for w.queued() > 0 {
		w.advance(time.Minute)
		w.work()
	}
	if got := w.read(ids[1]); got.Status != belfry.Undelivered || len(got.Attempts) != MaxAttempts {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]string{"message.undelivered"}, w.heard(ids[1])); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// If the connection is lost it is nobody's fault, and no attempt is counted.
func TestALostConnectionCountsAsNoAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.enqueue(later(1, "a"), later(2, "b"))[0]
	w.advance(time.Minute)
	node := w.node(func(c *Config) {
		c.InApp = func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
			_ = tx.Conn().PgConn().Conn().Close()
			_, err := tx.Exec(ctx, `SELECT 1`)
			return errors.Join(err, errors.New("lost"))
		}
	})
	if _, err := node.moveDue(t.Context()); err == nil {
		t.Error("want an error")
	}
	w.waitUntil("the server notices that its client is gone", func() bool { return w.work() == 2 })
	if got := w.read(id); got.Status != belfry.Sent || len(got.Attempts) != 0 {
		t.Errorf("%+v", got)
	}
	if attempts := all[int](w, `SELECT count(*) FROM attempts`); attempts[0] != 0 {
		t.Errorf("%d attempts", attempts[0])
	}
}

// Two nodes share the work, and show each message once.
func TestNodesMoveEachMessageOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 200
	messages := make([]belfry.Message, n)
	for i := range messages {
		messages[i] = later(int64(i), "x")
	}
	w.enqueue(messages...)
	w.advance(time.Minute)
	small := func(c *Config) { c.BatchSize = 7 }
	w.run(w.node(small))
	w.run(w.node(small))
	w.waitUntil("all are shown", func() bool { return w.queued() == 0 })
	if shown := all[int](w, `SELECT count(*) FROM shown`)[0]; shown != n {
		t.Errorf("%d are shown, want %d", shown, n)
	}
}

// What goes wrong without anybody's message being at fault is done again, whole, and counts for no message.
func TestAnErrorThatIsNobodysFaultCountsAsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(context.Context, *postgres.Tx) error{
		"a deadlock": func(ctx context.Context, tx *postgres.Tx) error {
			_, err := tx.Exec(ctx, `DO $$ BEGIN RAISE 'held up' USING ERRCODE = 'deadlock_detected'; END $$`)
			return err
		},
		"a timeout": func(ctx context.Context, tx *postgres.Tx) error {
			_, err := tx.Exec(ctx, `DO $$ BEGIN RAISE 'too slow' USING ERRCODE = 'query_canceled'; END $$`)
			return err
		},
		"a bug": func(context.Context, *postgres.Tx) error { return errors.New("oh dear") },
	} {
		w := newWorld(t)
		ids := w.enqueue(later(1, "a"), later(2, "b"))
		w.advance(time.Minute)
		calls := 0
		node := w.node(func(c *Config) {
			c.InApp = func(ctx context.Context, tx *postgres.Tx, _ []belfry.Message) error {
				calls++
				return fails(ctx, tx)
			}
		})
		if n, err := node.moveDue(t.Context()); n != 0 || err == nil || calls != 1 {
			t.Errorf("%s: %d moved, %v, after %d calls; want an error at once", name, n, err, calls)
		}
		if n := all[int](w, `SELECT sum(attempt) FROM deliveries`)[0]; n != 0 || w.read(ids[0]).Status != belfry.Queued {
			t.Errorf("%s counted as %d attempts", name, n)
		}
		if n := w.work(); n != 2 {
			t.Errorf("%s: %d moved when it was over, want 2", name, n)
		}
	}
}

// Feeds are locked in the order of recipients, in halves too: two nodes that moved in another order would deadlock.
func TestFeedsAreLockedInTheOrderOfRecipients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, m := range []belfry.Message{later(4, "refuse me"), later(3, "c"), later(2, "b"), later(1, "a")} {
		w.enqueue(m) // one by one: they are claimed in this order
	}
	w.advance(time.Minute)
	var locked []belfry.RecipientID
	node := w.node(func(c *Config) {
		c.InApp = func(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
			err := show(ctx, tx, messages)
			for _, m := range messages {
				if err == nil { // otherwise the locks are given up
					locked = append(locked, m.Recipient)
				}
			}
			return err
		}
	})
	if _, err := node.moveDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]belfry.RecipientID{1, 2, 3}, locked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
