package feed

import (
	"encoding/json"
	"errors"
	"math"
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
		ID: belfry.MessageID{Recipient: 1, Channel: belfry.DefaultFeed, Seq: 1}, Epoch: page.Position.Epoch, Actor: 8, Tenant: 9,
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
	past, err := w.past(t.Context(), ann, &belfry.Position{Epoch: w.page(t, ann, 1).Position.Epoch, Version: 3})
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
	if err := w.append(t.Context(), w.message(elsewhere, "intruder")); err == nil {
		t.Error("the other environment appends")
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
