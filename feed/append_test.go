package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func asError(err error, target **belfry.Error) bool { return errors.As(err, target) }

// full is a message that uses every field there is.
func full(w *world, ref Ref) belfry.Message {
	m := w.message(ref, "<b>héllo</b> \u2028 \"quoted\"")
	m.Actor, m.Tenant, m.Categories = 8, 9, []string{"billing", "q & a"}
	m.Content.Body.Format = belfry.MarkdownBody
	m.Content.ActionURL = "https://example.com/?a=1&b=2"
	m.Content.Buttons = []belfry.Button{{Label: "Yes", Action: "/yes"}, {Label: "No", Action: "/no"}}
	m.Content.Data = map[string]any{
		"text": "x", "int": 42.0, "big": 1e21, "small": -1.5e-9, "yes": true, "none": nil,
		"list": []any{1.0, "two", nil, map[string]any{"deep": []any{}}}, "empty": map[string]any{},
	}
	return m
}

func TestAppendedItemsReadBackAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.loud = true
	ann := w.know(env, "ann")
	m := full(w, ann)
	if err := w.append(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	page := w.page(t, ann, 10)
	got := page.Items[0]
	want := &Item{
		ID: belfry.MessageID{Recipient: 1, Channel: belfry.DefaultFeed, Seq: 1}, Epoch: page.Position.Epoch, Actor: 8, TotalActivities: 1, Tenant: 9,
		Workflow: "welcome", StepRef: "tell", Categories: m.Categories, Content: m.Content, CreatedAt: got.CreatedAt, State: State{Version: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read from the database (-want +got):\n%s", diff)
	}
	var e Event
	if err := json.Unmarshal(w.bus.sent[0].Payload, &e); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Event{Kind: Upserted, Position: page.Position, Badge: page.Badge, Item: want}, e); diff != "" {
		t.Errorf("heard on the bus (-want +got):\n%s", diff)
	}
	if n := w.bus.sent[0]; n.Version != 1 || n.Topic != "1/in-app/ann" {
		t.Errorf("notice %+v", n)
	}
}

// Whether a mark is read from the database or heard on the bus must make no difference.
func TestMarkEventsReadBackAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.loud = true
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 3)
	w.mark(t, ann, belfry.Seen, ids[2], ids[0])
	w.markAll(t, ann, belfry.Read)
	past, err := w.past(t.Context(), ann, &belfry.Position{Epoch: w.page(t, ann, 1).Position.Epoch, Version: 3}, false)
	if err != nil || len(past) != 3 {
		t.Fatalf("past = %+v, %v; want two marks and the end", past, err)
	}
	for i := range 2 {
		var live Event
		if err := json.Unmarshal(w.bus.sent[3+i].Payload, &live); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(past[i], live, cmpopts.IgnoreFields(Event{}, "Badge")); diff != "" || live.At.IsZero() {
			t.Errorf("heard on the bus (-from the database +heard):\n%s", diff)
		}
	}
}

func TestAppendNumbersMessagesInTheirOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	other := ann
	other.Channel = "alerts"
	err := w.append(t.Context(), w.message(bob, "b1"), w.message(ann, "a1"), w.message(other, "o1"), w.message(ann, "a2"), w.message(bob, "b2"))
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[Ref][]string{ann: {"a2", "a1"}, bob: {"b2", "b1"}, other: {"o1"}} {
		var got []string
		for _, it := range w.page(t, ref, 10).Items {
			got = append(got, it.Content.Body.Content)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("feed of %v, newest first (-want +got):\n%s", ref, diff)
		}
	}
	told := w.told()
	if len(told) != 2 || told[0].Kind != belfry.MessageSent || told[0].Count+told[1].Count != 5 {
		t.Errorf("observed %+v; want one change a channel, of 5 messages in all", told)
	}
}

// Callers hand on the ids of what they appended, in their own order.
func TestAppendSetsTheSeqOfTheCallersMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	w.fill(t, bob, 7)
	messages := []belfry.Message{w.message(bob, "b1"), w.message(ann, "a1"), w.message(bob, "b2"), w.message(ann, "a2")}
	if err := w.append(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{8, 1, 9, 2} {
		m := &messages[i]
		ref := Ref{env, m.UserID, m.Channel}
		it, err := w.Item(t.Context(), ref, m.ID())
		if m.Seq != want || err != nil || it.Content.Body.Content != m.Content.Body.Content {
			t.Errorf("message %d has seq %d, want %d; it reads %+v, %v", i, m.Seq, want, it, err)
		}
	}
}

// Live, from a page and replayed: an item tells of its batch, and others that they are of none.
func TestItemsRememberTheirBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, 1)
	start := w.page(t, ann, 1).Position
	live := w.subscribe(t, ann, &start)
	live.want(t, Synced, 1)
	crowd := make([]belfry.RecipientID, belfry.MaxActors+1)
	for i := range crowd {
		crowd[i] = belfry.RecipientID(100 - i)
	}
	messages := make([]belfry.Message, 5)
	for i := range messages {
		messages[i] = w.message(ann, fmt.Sprint(i))
		messages[i].Actor = 100
	}
	messages[1].Actors, messages[1].TotalActivities = crowd[:2], 3
	messages[2].TotalActivities = 4 // of one actor
	messages[3].Actors, messages[3].TotalActivities = crowd, belfry.MaxActors+1
	messages[4].Actors, messages[4].TotalActivities = crowd[:1], 1
	if err := w.append(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	wantActors := [][]belfry.RecipientID{nil, crowd[:2], nil, crowd[:belfry.MaxActors], nil}
	wantTotals := []int{1, 3, 4, belfry.MaxActors + 1, 1}
	page := w.page(t, ann, 10).Items
	past, err := w.past(t.Context(), ann, &start, false)
	if err != nil || len(past) != 6 {
		t.Fatalf("past = %+v, %v", past, err)
	}
	for i := range messages {
		heard := live.want(t, Upserted, int64(i)+2).Item
		for from, it := range map[string]*Item{"live": heard, "page": page[4-i], "replay": past[i].Item} {
			if diff := cmp.Diff(wantActors[i], it.Actors); diff != "" || it.TotalActivities != wantTotals[i] || it.Actor != 100 {
				t.Errorf("%s: item %d of %d activities, want %d; actors (-want +got):\n%s", from, i, it.TotalActivities, wantTotals[i], diff)
			}
		}
	}
}

// What messages share is sent once; what they don't share must not be mixed up.
func TestMessagesOfManyOriginsKeepTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 60
	messages := make([]belfry.Message, n)
	for i := range messages {
		m := w.message(w.know(env, fmt.Sprint("user ", i%7)), fmt.Sprint(i))
		m.Trigger, m.Version = [16]byte{byte(i % 3)}, int64(i%5)
		m.Actor, m.Tenant = belfry.RecipientID(i%4), belfry.RecipientID(i%6)
		m.Workflow, m.StepRef, m.Channel = fmt.Sprint("w", i%3), fmt.Sprint("s", i%8), fmt.Sprint("c", i%2)
		m.Categories = slices.Repeat([]string{"c"}, i%3)
		messages[i] = m
	}
	if err := w.append(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		m := &messages[i]
		var trigger [16]byte
		var version int64
		err := w.Pool.QueryRow(t.Context(), `SELECT trigger_id, version_id FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND seq = $3`,
			m.Recipient, m.Channel, m.Seq).Scan(&trigger, &version)
		if err != nil || trigger != m.Trigger || version != m.Version {
			t.Errorf("message %d: trigger %v, version %d, %v", i, trigger, version, err)
		}
		got, err := w.Item(t.Context(), Ref{env, m.UserID, m.Channel}, m.ID())
		if err != nil {
			t.Fatal(err)
		}
		want := &Item{ID: m.ID(), Epoch: got.Epoch, Actor: m.Actor, TotalActivities: 1, Tenant: m.Tenant, Workflow: m.Workflow, StepRef: m.StepRef,
			Categories: m.Categories, Content: m.Content, CreatedAt: got.CreatedAt, State: State{Version: m.Seq}}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("message %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestAppendThatIsRolledBackLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.loud = true
	ann := w.know(env, "ann")
	w.fill(t, ann, 1)
	refused := errors.New("refused")
	err := postgres.InTx(t.Context(), w.Pool, func(tx *postgres.Tx) error {
		if err := w.Append(t.Context(), tx, []belfry.Message{w.message(ann, "never")}); err != nil {
			return err
		}
		return refused
	})
	if !errors.Is(err, refused) || len(w.bus.sent) != 1 {
		t.Errorf("err %v, %d notices; want the one of before", err, len(w.bus.sent))
	}
	w.recount(t, t, ann, 1)
}

// A huge message must not fill the buffers of the bus: only that there is something is told.
func TestHugeMessagesTravelWithoutPayload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	events := w.subscribe(t, ann, nil)
	events.want(t, Synced, 0)
	m := w.message(ann, strings.Repeat("x", maxPayload))
	if err := w.append(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if n := w.bus.sent[0]; len(n.Payload) != 0 {
		t.Errorf("the payload has %d bytes, want none", len(n.Payload))
	}
	if e := events.want(t, Upserted, 1); e.Item.Content.Body.Content != m.Content.Body.Content {
		t.Error("the listener got another message")
	}
	small := w.message(ann, strings.Repeat("x", maxPayload/2-1000)) // twice: content and rendered
	if err := w.append(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	if n := w.bus.sent[1]; len(n.Payload) == 0 || len(n.Payload) > maxPayload {
		t.Errorf("the payload has %d bytes, want it sent, with at most %d", len(n.Payload), maxPayload)
	}
	events.want(t, Upserted, 2)
}

func TestEnvironmentsAndFeedsAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const staging belfry.EnvironmentID = 2
	ann, twin, bob := w.know(env, "ann"), w.know(staging, "ann"), w.know(env, "bob")
	alerts := ann
	alerts.Channel = "alerts"
	elsewhere := ann // ann's feed, asked for in the name of another environment, whatever ids say
	elsewhere.Environment = staging
	ids := w.fill(t, ann, 3)
	before := w.page(t, ann, 10)
	events := w.subscribe(t, ann, &before.Position)
	events.want(t, Synced, 3)

	for name, ref := range map[string]Ref{"another environment": twin, "another user": bob, "another channel": alerts} {
		if got := w.page(t, ref, 10); len(got.Items) != 0 || got.Badge != (belfry.Badge{}) || got.Position != (belfry.Position{}) {
			t.Errorf("%s sees %+v", name, got)
		}
		if _, err := w.Item(t.Context(), ref, ids[0]); belfry.CodeOf(err) != belfry.NotFound {
			t.Errorf("%s reads the item: %v", name, err)
		}
		w.fill(t, ref, 1) // with a row of its own it is no different
		if got := w.mark(t, ref, belfry.Read, ids...); got.Changed != 0 || len(got.NotFound) != 3 {
			t.Errorf("%s marks the items: %+v", name, got)
		}
		if got := w.markAll(t, ref, belfry.Archived); got.Changed != 1 {
			t.Errorf("%s marks all: %+v; want its own only", name, got)
		}
	}
	if diff := cmp.Diff(before, w.page(t, ann, 10)); diff != "" {
		t.Errorf("the feed changed (-before +after):\n%s", diff)
	}
	events.wantNothing(t)

	// Even with the same internal id, which can't be.
	w.mu.Lock()
	w.people["2/ann"] = w.people["1/ann"]
	w.mu.Unlock()
	if got := w.page(t, elsewhere, 10); len(got.Items) != 0 || got.Position != (belfry.Position{}) {
		t.Errorf("the other environment sees %+v", got)
	}
	if got := w.markAll(t, elsewhere, belfry.Read); got.Changed != 0 {
		t.Errorf("the other environment marks %+v", got)
	}
	if err := w.append(t.Context(), w.message(elsewhere, "intruder")); belfry.CodeOf(err) != belfry.Conflict {
		t.Errorf("the other environment appends: %v; want it refused", err)
	}
	if diff := cmp.Diff(before, w.page(t, ann, 10)); diff != "" {
		t.Errorf("the feed changed (-before +after):\n%s", diff)
	}
}

func TestAppendRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.message(w.know(env, "ann"), "x")
	m.Content.Data = map[string]any{"n": math.NaN()}
	if err := w.append(t.Context(), m); err == nil || !strings.Contains(err.Error(), `step "tell"`) {
		t.Errorf("err = %v; want it to name the step", err)
	}
}

// The engine leaves out a run whose messages are refused as data; anything else it would try again for ever.
func TestAppendRefusesNUL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	for _, text := range []string{"a\x00b", `a\` + "\x00b"} {
		if err := w.append(t.Context(), w.message(ann, "fine"), w.message(ann, text)); !postgres.IsDataException(err) {
			t.Errorf("%q: err = %v; want a data exception", text, err)
		}
	}
	if err := w.append(t.Context(), w.message(ann, `a\u0000b`)); err != nil { // says it, but is none
		t.Error(err)
	}
	w.recount(t, t, ann, 1)
}
