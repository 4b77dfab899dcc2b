package feed

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func TestStatusesAreWhatMarksMadeOfItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	ids := append(w.fill(t, ann, 5), w.fill(t, bob, 2)...)
	w.mark(t, ann, belfry.Read, ids[0])
	w.mark(t, ann, belfry.Interacted, ids[1])
	w.markAll(t, ann, belfry.Seen)
	ids = append(ids, w.fill(t, ann, 1)...) // after the watermark
	w.mark(t, ann, belfry.Archived, ids[2])
	w.mark(t, ann, belfry.Unseen, ids[3])
	unknown := []belfry.MessageID{
		{Recipient: 1, Channel: belfry.DefaultFeed, Seq: 99}, {Recipient: 1, Channel: "alerts", Seq: 1}, {Recipient: 99, Channel: belfry.DefaultFeed, Seq: 1},
	}
	got, err := Statuses(t.Context(), w.Pool, env, append(unknown, append(ids, ids...)...))
	if err != nil {
		t.Fatal(err)
	}
	sent := belfry.MessageStatus{Delivery: belfry.Sent}
	seen := belfry.MessageStatus{Delivery: belfry.Sent, Seen: true}
	want := map[belfry.MessageID]belfry.MessageStatus{
		ids[0]: {Delivery: belfry.Sent, Seen: true, Read: true},
		ids[1]: {Delivery: belfry.Sent, Seen: true, Read: true, Interacted: true},
		ids[2]: {Delivery: belfry.Sent, Seen: true, Archived: true},
		ids[3]: sent, ids[4]: seen, ids[5]: sent, ids[6]: sent, ids[7]: sent,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, read := range map[string]func() (map[belfry.MessageID]belfry.MessageStatus, error){
		"another environment": func() (map[belfry.MessageID]belfry.MessageStatus, error) {
			return Statuses(t.Context(), w.Pool, 2, ids)
		},
		"nothing asked": func() (map[belfry.MessageID]belfry.MessageStatus, error) {
			return Statuses(t.Context(), w.Pool, env, nil)
		},
	} {
		if got, err := read(); err != nil || len(got) != 0 {
			t.Errorf("%s: %v, %v; want none", name, got, err)
		}
	}
}

// A run may ask for a message that it sent in the very same transaction.
func TestStatusesSeeTheTransactionsOwnWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	messages := []belfry.Message{w.message(w.know(env, "ann"), "x")}
	err := postgres.InTx(t.Context(), w.Pool, func(tx *postgres.Tx) error {
		if err := w.Append(t.Context(), tx, messages); err != nil {
			return err
		}
		id := messages[0].ID()
		mine, err := Statuses(t.Context(), tx, env, []belfry.MessageID{id})
		if err != nil {
			return err
		}
		others, err := Statuses(t.Context(), w.Pool, env, []belfry.MessageID{id})
		if mine[id].Delivery != belfry.Sent || len(others) != 0 {
			t.Errorf("the transaction sees %v, others see %v", mine, others)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStatusesKnowFilteredMarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fillKinds(t, ann, 6) // n is 0, 1, 2, none, 1, 2
	for m, f := range map[belfry.Mark]Filter{belfry.Read: {Data: map[string]any{"n": 1}}, belfry.Archived: {Tenant: TenantFilter{Scope: TenantExact}}} {
		if _, err := w.MarkWhere(t.Context(), ann, m, f, nil); err != nil {
			t.Fatal(err)
		}
	}
	ids := make([]belfry.MessageID, 6)
	for i := range ids {
		ids[i] = belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: int64(i) + 1}
	}
	statuses, err := Statuses(t.Context(), w.Pool, env, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if got, read, archived := statuses[id], i == 1 || i == 4, i%3 == 0; got.Read != read || got.Archived != archived {
			t.Errorf("item %d: %+v, want read %v, archived %v", i+1, got, read, archived)
		}
	}
}
