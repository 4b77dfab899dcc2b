package delivery

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// merge makes recipient 1 a part of 2, as far as that can be done now, and says when to go on.
func (w *world) merge(t *testing.T, since time.Time) (again time.Time) {
	t.Helper()
	for {
		err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) (err error) {
			again, err = w.Merge(t.Context(), tx, belfry.Merge{Environment: env, From: 1, Into: 2, User: "user 2", Since: since})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if again.IsZero() || again.After(w.now()) {
			return again
		}
	}
}

// bodies is what the messages of a recipient say, in the order of their ids, and their status.
func (w *world) bodies(recipient int64) []string {
	return append([]string{}, all[string](w, `SELECT concat_ws(' ', content->'body'->>'content', status, user_id) FROM messages WHERE recipient_id = $1 ORDER BY id`, recipient)...)
}

func TestMergedMessagesKeepTheirHistoryAndTheirTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := message(1, belfry.Email, "old")
	old.CreatedAt = start.Add(-time.Hour)
	oldWaiting := message(1, belfry.InApp, "old")
	oldWaiting.CreatedAt, oldWaiting.SendAt = old.CreatedAt, start.Add(time.Minute)
	shown := message(1, belfry.InApp, "shown")
	shown.SendAt = start.Add(time.Second)
	waiting := message(1, belfry.InApp, "waiting")
	waiting.SendAt = start.Add(time.Minute)
	ids := w.enqueue(old, oldWaiting, shown, message(1, belfry.Email, "sent"), waiting, message(2, belfry.Email, "own"))
	w.advance(2 * time.Second)
	w.work()
	w.enqueue(message(1, belfry.SMS, "queued"))

	if again := w.merge(t, start); !again.IsZero() {
		t.Errorf("there is more at %v", again)
	}
	if diff := cmp.Diff([]string{"sent sent user 2", "waiting queued user 2", "own sent user 2", "queued queued user 2"}, w.bodies(2)); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
	for _, table := range []string{"messages", "deliveries", "attempts"} {
		if n := all[int](w, `SELECT count(*) FROM `+table+` WHERE recipient_id = 1`)[0]; n != 0 {
			t.Errorf("%d %s are left", n, table)
		}
	}
	sent := ids[3]
	sent.Recipient = 2
	if got := w.read(sent); len(got.Attempts) != 1 || got.ProviderID == "" {
		t.Errorf("the attempts of a message are %+v", got.Attempts)
	}
	w.advance(time.Hour)
	w.work()
	if diff := cmp.Diff([]string{"old", "own", "queued", "sent"}, sentBodies(w)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"2 waiting"}, all[string](w, `SELECT recipient_id || ' ' || body FROM shown WHERE body <> 'shown'`)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

// sentBodies is what was sent, sorted.
func sentBodies(w *world) (out []string) {
	for _, m := range w.provider.calls() {
		out = append(out, m.Content.Body.Content)
	}
	slices.Sort(out)
	return out
}

// What somebody is sending is left alone until they are done, or dead.
func TestWhatIsBeingSentIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enqueue(message(1, belfry.Email, "done"), message(1, belfry.Email, "crashed"))
	leases := w.lease(w.Service)
	w.enqueue(message(1, belfry.Email, "free"))
	again := w.merge(t, start)
	if !again.Equal(leases[0].until) {
		t.Errorf("it goes on at %v, want the end of the lease, %v", again, leases[0].until)
	}
	if diff := cmp.Diff([]string{"free queued user 2"}, w.bodies(2)); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
	for _, l := range leases {
		sent := w.try(t.Context(), l)
		if l.Content.Body.Content == "done" {
			if err := w.commit(t.Context(), []*outcome{sent}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.advance(again.Sub(w.now()) + time.Second)
	if again := w.merge(t, start); !again.IsZero() {
		t.Errorf("there is more at %v", again)
	}
	if diff := cmp.Diff([]string{"done sent user 2", "crashed queued user 2", "free queued user 2"}, w.bodies(2)); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
	w.work()
	if diff := cmp.Diff([]string{"crashed", "crashed", "done", "free"}, sentBodies(w)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	keys := map[string]bool{} // the provider can tell that it has had one of them
	for _, m := range w.provider.calls() {
		keys[m.IdempotencyKey] = true
	}
	if len(keys) != 3 {
		t.Errorf("%d keys of 3 messages", len(keys))
	}
}

func TestManyMessagesAreMergedInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var many []belfry.Message
	for i := range mergeChunk + 1 {
		many = append(many, message(1, belfry.Email, fmt.Sprint(i)))
	}
	w.enqueue(many...)
	var again time.Time
	err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) (err error) {
		again, err = w.Merge(t.Context(), tx, belfry.Merge{Environment: env, From: 1, Into: 2, User: "user 2", Since: start})
		return err
	})
	if err != nil || !again.Equal(start) || len(w.bodies(1)) != 1 || len(w.bodies(2)) != mergeChunk {
		t.Errorf("%d are left after the first part (%v, %v)", len(w.bodies(1)), again, err)
	}
	if again := w.merge(t, start); !again.IsZero() || len(w.bodies(2)) != mergeChunk+1 {
		t.Errorf("%d in the end (%v)", len(w.bodies(2)), again)
	}
}
