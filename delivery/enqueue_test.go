package delivery

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// full is a message that uses every field there is.
func full() belfry.Message {
	m := message(3, belfry.Email, "<b>héllo</b> \u2028 \"quoted\"")
	m.Categories, m.Actor, m.Actors, m.TotalActivities, m.Tenant = []string{"billing", "q & a"}, 8, []belfry.RecipientID{8, 12}, 4, 9
	m.SendAt = start.Add(time.Hour)
	m.Content.Subject, m.Content.To, m.Content.ActionURL = "Hi <you>", "ann@example.com", "https://example.com/?a=1&b=2"
	m.Content.Buttons = []belfry.Button{{Label: "Yes", Action: "/yes"}}
	m.Content.Data = map[string]any{"list": []any{1.0, "two", nil, map[string]any{}}}
	m.Content.Request = &belfry.Request{Method: "POST", URL: "https://example.com", Headers: map[string]string{"a": "b"}, Body: "{}"}
	return m
}

func TestMessagesReadBackAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := full()
	id := w.enqueue(m)[0]
	if back, err := belfry.ParseMessageID(id.String()); err != nil || back != id || !Owns(id) {
		t.Errorf("id %v reads back as %v, %v", id, back, err)
	}
	m.Seq = id.Seq
	want := &Message{Message: m, Status: belfry.Queued, StatusAt: start}
	if diff := cmp.Diff(want, w.read(id)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.advance(time.Hour)
	w.work()
	if diff := cmp.Diff(m, w.provider.calls()[0].Message); diff != "" {
		t.Errorf("the provider got another (-want +got):\n%s", diff)
	}
}

// Each kind of message goes where it belongs, and learns its id.
func TestEnqueueSortsMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := message(1, belfry.InApp, "later")
	later.SendAt = start.Add(time.Microsecond)
	past := message(1, belfry.InApp, "past")
	past.SendAt = start
	sandbox := message(1, belfry.InApp, "in-app sandbox")
	sandbox.Sandbox = true
	mailSandbox := message(1, belfry.Email, "sandbox")
	mailSandbox.Sandbox, mailSandbox.SendAt = true, start.Add(time.Hour)
	messages := []belfry.Message{
		message(2, belfry.InApp, "now"), message(2, belfry.Email, "mail"), later, past, sandbox, mailSandbox, message(2, belfry.InApp, "now too"),
	}
	ids := w.enqueue(messages...)
	shown := all[string](w, `SELECT body || ' ' || seq FROM shown`)
	if diff := cmp.Diff([]string{"now 1", "past 1", "now too 2"}, shown); diff != "" {
		t.Errorf("shown at once (-want +got):\n%s", diff)
	}
	for i, want := range []int64{1, 0, 0, 1, 0, 0, 2} {
		if want != 0 && ids[i].Seq != want || want == 0 && !Owns(ids[i]) {
			t.Errorf("message %d: seq %d, want %d (0: one of ours)", i, ids[i].Seq, want)
		}
	}
	for i, want := range map[int]belfry.DeliveryStatus{1: belfry.Queued, 2: belfry.Queued, 4: belfry.NotSent, 5: belfry.NotSent} {
		if got := w.read(ids[i]); got.Status != want || got.Sandbox != (want == belfry.NotSent) {
			t.Errorf("message %d is %s (sandbox %v), want %s", i, got.Status, got.Sandbox, want)
		}
	}
	for _, i := range []int{4, 5} {
		if diff := cmp.Diff([]string{"message.not_sent"}, w.heard(ids[i])); diff != "" {
			t.Errorf("message %d was reported so (-want +got):\n%s", i, diff)
		}
	}
	if n := w.queued(); n != 2 {
		t.Errorf("%d messages are queued, want the mail and the later one", n)
	}
	w.advance(2 * time.Hour)
	w.work()
	if calls := w.provider.calls(); len(calls) != 1 || calls[0].Seq != ids[1].Seq {
		t.Errorf("sent %v, want the mail alone: a sandbox sends nothing", calls)
	}
}

func TestMessagesExistExactlyIfTheTransactionCommitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused := errors.New("refused")
	messages := []belfry.Message{message(1, belfry.Email, "a"), message(1, belfry.InApp, "b"), full()}
	err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		if err := w.Enqueue(t.Context(), tx, messages); err != nil {
			return err
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if found, err := w.Messages(t.Context(), env, []belfry.MessageID{messages[0].ID()}); err != nil || len(found) != 0 || w.queued() != 0 {
		t.Errorf("of a transaction that was undone there is a message (%v), %d queued", err, w.queued())
	}
	w.enqueue(message(1, belfry.Email, "a"))
	if w.work() != 1 || w.work() != 0 || len(w.provider.calls()) != 1 {
		t.Error("a message that was enqueued once should be sent once")
	}
	if err := w.tryEnqueue(nil); err != nil {
		t.Errorf("no messages: %v", err)
	}
}

// The engine leaves out a run whose messages are refused as data; anything else it would try again for ever.
func TestWhatTheDatabaseRefusesIsADataException(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, spoil := range map[string]func(*belfry.Message){
		"NUL in the content": func(m *belfry.Message) { m.Content.Subject = "a\x00b" },
		"NUL in a category":  func(m *belfry.Message) { m.Categories = []string{"a\x00b"} },
		"bad UTF-8":          func(m *belfry.Message) { m.UserID = "a\xffb" },
	} {
		m := message(1, belfry.Email, "bad")
		spoil(&m)
		if err := w.tryEnqueue([]belfry.Message{message(1, belfry.Email, "good"), m}); !postgres.IsDataException(err) {
			t.Errorf("%s: err = %v; want a data exception", name, err)
		}
	}
	w.enqueue(message(1, belfry.Email, `says \u0000 only`))
	if w.queued() != 1 {
		t.Errorf("%d messages are queued, want the good one", w.queued())
	}
}

func TestEnqueueWakesAWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	node := w.node(func(c *Config) { c.PollInterval = time.Hour })
	w.Service = node
	w.run(node)
	for i := range 3 {
		w.enqueue(message(1, belfry.Email, "x"))
		w.waitUntil("the message is sent", func() bool { return node.Stats().Sent == int64(i+1) })
	}
}

// A message of a large batch remembers as many actors as its feed item would.
func TestAMessageRemembersTheOldestActors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	crowd := make([]belfry.RecipientID, belfry.MaxActors+1)
	for i := range crowd {
		crowd[i] = belfry.RecipientID(100 + i)
	}
	for n, want := range map[int][]belfry.RecipientID{0: nil, 1: nil, 2: crowd[:2], belfry.MaxActors: crowd[:belfry.MaxActors], belfry.MaxActors + 1: crowd[:belfry.MaxActors]} {
		m := message(3, belfry.Email, "x")
		m.Actors = crowd[:n]
		if diff := cmp.Diff(want, w.read(w.enqueue(m)[0]).Actors); diff != "" {
			t.Errorf("of %d (-want +got):\n%s", n, diff)
		}
	}
}
