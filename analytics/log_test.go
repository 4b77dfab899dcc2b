package analytics

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// stored returns the environment's events in the order of their ids.
func (f *fixture) stored() []event {
	f.Helper()
	rows, _ := f.pool.Query(f.Context(), `
		SELECT id, kind, at, channel, channel_type, workflow, step_ref, covers_all, count, recipient_ids, user_ids, seqs
		FROM events WHERE environment_id = $1 ORDER BY id`, int64(f.env))
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e event, err error) {
		err = row.Scan(&e.id, &e.kind, &e.at, &e.channel, &e.channelType, &e.workflow, &e.stepRef, &e.all, &e.count,
			&e.recipients, &e.users, &e.seqs)
		e.at = e.at.UTC()
		return e, err
	})
	if err != nil {
		f.Fatal(err)
	}
	return events
}

func TestRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	all := belfry.StatusChange{
		Environment: f.env, Kind: belfry.Seen.Event(), At: start, Channel: "in-app", ChannelType: belfry.InApp,
		Messages: []belfry.MessageRef{{Recipient: 4, UserID: "dan", Seq: 99}}, All: true, Count: 42,
	}
	each := all
	each.Each = true // its messages come one by one
	f.record(f.sent(1, 2), each, all)
	want := []event{
		{id: 1, kind: "message.sent", at: start, channel: "in-app", channelType: "in_app", workflow: "comments", stepRef: "inbox",
			count: 2, recipients: []int64{1, 2}, users: []string{"user-1", "user-2"}, seqs: []int64{7, 7}},
		{id: 2, kind: "message.seen", at: start, channel: "in-app", channelType: "in_app",
			all: true, count: 42, recipients: []int64{4}, users: []string{"dan"}, seqs: []int64{99}},
	}
	if diff := cmp.Diff(want, f.stored(), cmp.AllowUnexported(event{})); diff != "" {
		t.Error(diff)
	}
}

func TestRecordSplitsLongChanges(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.record(f.sent(1, MaxMessagesPerEvent), f.sent(5001, MaxMessagesPerEvent+1))
	var sizes []int
	for _, e := range f.stored() {
		if e.count != len(e.seqs) {
			t.Errorf("count is %d, want %d", e.count, len(e.seqs))
		}
		sizes = append(sizes, e.count)
	}
	if want := []int{MaxMessagesPerEvent, MaxMessagesPerEvent, 1}; !slices.Equal(sizes, want) {
		t.Errorf("got events of %v messages, want %v", sizes, want)
	}
}

func TestRecordLeavesNoTraceOfNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	nothing := f.sent(1, 1)
	nothing.All, nothing.Count = true, 0
	f.record()
	f.record(f.sent(1, 0), nothing)
	if got := f.stored(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestRecordIsPartOfTheTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	undo := errors.New("undo")
	err := postgres.InTx(t.Context(), f.pool, func(tx *postgres.Tx) error {
		if err := new(Log).Record(t.Context(), tx, []belfry.StatusChange{f.sent(1, 1)}); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) || len(f.stored()) != 0 {
		t.Errorf("got %v and %d events, want none", err, len(f.stored()))
	}
}

func TestRecordRefusesAMarkOnEverythingOfNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	nobody := f.sent(1, 0)
	nobody.All, nobody.Count = true, 3
	err := postgres.InTx(t.Context(), f.pool, func(tx *postgres.Tx) error {
		return new(Log).Record(t.Context(), tx, []belfry.StatusChange{nobody})
	})
	if err == nil {
		t.Error("got no error: whose mark it was would be lost silently")
	}
}
