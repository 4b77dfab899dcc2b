package feed

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

// An item that is updated stays where it is and what it is; only what it shows is new.
func TestItemsAreUpdatedInPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	job := belfry.ItemOptions{ResourceKey: "job:1"}
	if err := w.append(t.Context(), w.about(ann, "old job", job), w.about(ann, "job", job), w.message(ann, "other")); err != nil {
		t.Fatal(err)
	}
	items := w.page(t, ann, 3).Items
	w.mark(t, ann, belfry.Read, items[1].ID)
	start := w.page(t, ann, 1).Position
	heard := w.subscribe(t, ann, nil)
	heard.want(t, Synced, 4)
	w.told()
	body, url := belfry.Body{Format: belfry.TextBody, Content: "90 %", Rendered: "90 %"}, "/jobs/1"
	got, at, err := w.Update(t.Context(), ann, nil, "job:1", ContentChange{Body: &body, ActionURL: &url, Buttons: []belfry.Button{{Label: "Stop", Action: "/stop"}}, Data: map[string]any{"done": 90.0}})
	if err != nil || at.Version != 5 {
		t.Fatal(err)
	}
	want := *items[1]
	want.Content = belfry.Content{Body: body, ActionURL: url, Buttons: []belfry.Button{{Label: "Stop", Action: "/stop"}}, Data: map[string]any{"done": 90.0}, Item: &job}
	want.State = got.State
	if diff := cmp.Diff(&want, got); diff != "" || got.State.Level != Read {
		t.Errorf("%+v (-want +got):\n%s", got.State, diff)
	}
	for _, l := range []listener{heard, w.subscribe(t, ann, &start)} {
		if e := l.want(t, Upserted, 5); !cmp.Equal(e.Item, got) || e.Badge != (belfry.Badge{Total: 3, Unseen: 2, Unread: 2}) {
			t.Errorf("%+v", e)
		}
	}
	none := ""
	got, _, err = w.Update(t.Context(), ann, &items[1].ID, "", ContentChange{ActionURL: &none, Buttons: []belfry.Button{}})
	if err != nil || got.Content.ActionURL != "" || len(got.Content.Buttons) != 0 || got.Content.Body != body {
		t.Errorf("%+v, %v", got, err)
	}
	if told := w.told(); len(told) != 0 {
		t.Errorf("observed %+v: nobody was sent anything", told)
	}
	for code, err := range map[belfry.Code]error{
		belfry.NotFound: third(w.Update(t.Context(), ann, &belfry.MessageID{Recipient: 9, Channel: ann.Channel, Seq: 1}, "", ContentChange{})),
		belfry.Invalid:  third(w.Update(t.Context(), ann, nil, "", ContentChange{})),
		belfry.TooLarge: third(w.Update(t.Context(), ann, nil, "job:1", ContentChange{Data: map[string]any{"x": strings.Repeat("x", MaxContent)}})),
	} {
		if belfry.CodeOf(err) != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	if _, _, err := w.Update(t.Context(), ann, nil, "none", ContentChange{}); belfry.CodeOf(err) != belfry.NotFound {
		t.Error(err)
	}
}

// What an update doesn't change stays as it was stored, digit by digit.
func TestUpdatesKeepWhatTheyDontChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	m := w.about(ann, "<b>job</b>", belfry.ItemOptions{ResourceKey: "job:1"})
	m.Content.ActionURL = "/jobs/1?a=1&b=2"
	m.Content.Data = map[string]any{"id": int64(9007199254740993), "price": json.Number("0.10"), "none": nil}
	if err := w.append(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	stored := func() (content map[string]json.RawMessage) {
		t.Helper()
		if err := w.Pool.QueryRow(t.Context(), `SELECT content FROM feed_items`).Scan(&content); err != nil {
			t.Fatal(err)
		}
		return content
	}
	update := func(c ContentChange) {
		t.Helper()
		if _, _, err := w.Update(t.Context(), ann, nil, "job:1", c); err != nil {
			t.Fatal(err)
		}
	}
	want := stored()
	update(ContentChange{Body: &belfry.Body{Format: belfry.TextBody, Content: "<i>&", Rendered: "<i>&"}})
	want["body"] = json.RawMessage(`{"format":"text","content":"<i>&","rendered":"<i>&"}`)
	if diff := cmp.Diff(want, stored()); diff != "" {
		t.Errorf("the body was updated (-want +got):\n%s", diff)
	}
	none := ""
	update(ContentChange{ActionURL: &none})
	delete(want, "actionUrl")
	if diff := cmp.Diff(want, stored()); diff != "" {
		t.Errorf("the action was removed (-want +got):\n%s", diff)
	}
	update(ContentChange{Data: map[string]any{"id": json.Number("9007199254740995")}})
	want["data"] = json.RawMessage(`{"id":9007199254740995}`)
	if diff := cmp.Diff(want, stored()); diff != "" {
		t.Errorf("the data was updated (-want +got):\n%s", diff)
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }
