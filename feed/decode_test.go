package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/memo"
)

// anyEvent is an event with something in every field that can travel.
func anyEvent() *Event {
	at := time.Date(2026, 5, 4, 9, 30, 0, 123456000, time.UTC)
	return &Event{
		Kind: Upserted, Position: belfry.Position{Epoch: 1 << 40, Version: 12}, Badge: belfry.Badge{Total: 3, Unseen: 2, Unread: 1},
		Item: &Item{
			ID: belfry.MessageID{Recipient: 7, Channel: "in-app", Seq: 12}, Epoch: 1 << 40, Actor: 8, Actors: []belfry.RecipientID{8, 9}, TotalActivities: 5, Tenant: 10,
			Workflow: "new-comment", StepRef: "inbox", Categories: []string{"comments", ""},
			Content: belfry.Content{
				Body:      belfry.Body{Format: belfry.MarkdownBody, Content: "**Zoë** \"said\"\n\t<b>&amp;", Rendered: "<p>Zoë \\ \u2028 🎉 \x01</p>\n"},
				ActionURL: "https://example.com/?a=1&b=2", Buttons: []belfry.Button{{Label: "Go", Action: "/go"}, {}},
				Data: map[string]any{"n": 1.5e300, "list": []any{nil, true, false, -0.25, "x", map[string]any{}, []any{}}, "": map[string]any{"deep": "er"}},
			},
			CreatedAt: at, State: State{Version: 12, Level: Read, Archived: true, SeenAt: &at, ReadAt: &at, InteractedAt: &at, ArchivedAt: &at},
		},
		Mark: belfry.Read, Recipient: 7, Seqs: []int64{1, 2, 3}, UpTo: 11, At: at,
	}
}

// An event of the present release is read without encoding/json.
func TestEventsAreScanned(t *testing.T) {
	t.Parallel()
	for _, e := range []*Event{anyEvent(), {}, {Item: &Item{Categories: []string{}}}} {
		payload, err := appendEvent(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		sameAsJSON(t, payload)
		s, got := scanner{b: payload}, &Event{}
		if s.event(got); s.failed || len(s.b) > 0 {
			t.Errorf("failed before %q of %s", s.b, payload)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("decoded (-want +got)\n%s", diff)
		}
	}
}

// sameAsJSON checks that a payload means what encoding/json says.
func sameAsJSON(t rapid.TB, payload []byte) {
	t.Helper()
	want := &Event{}
	wantErr := json.Unmarshal(payload, want)
	got, err := decodeEvent(payload)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("decode %s: %v, want %v", payload, err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(want, got) {
		t.Fatalf("decode %s (-want +got)\n%s", payload, cmp.Diff(want, got))
	}
}

// Nodes of other releases write other things, and a bus may bring anything.
func TestWhateverIsDecodedMeansTheSameAsJSON(t *testing.T) {
	t.Parallel()
	mine, err := encodeEvent(anyEvent())
	if err != nil {
		t.Fatal(err)
	}
	escaped, err := json.Marshal(anyEvent()) // as nodes of before wrote it
	if err != nil {
		t.Fatal(err)
	}
	const instead = `"\{],0-.en` + "\x00\xff"
	for _, payload := range [][]byte{mine, escaped} {
		sameAsJSON(t, payload)
		for i := range payload {
			sameAsJSON(t, payload[:i])
			changed := bytes.Clone(payload)
			changed[i] = instead[i%len(instead)]
			sameAsJSON(t, changed)
		}
	}
	for _, payload := range []string{
		"", "null", "{}", "{} ", " {}", "[]", `{"kind":null}`, `{"KIND":"synced"}`, `{"kind":"synced","news":{"of":["tomorrow"]}}`, `{"item":null}`, `{"item":{}}`,
		`{"at":"2026-05-04T09:30:00+02:00"}`, `{"at":"2026-05-04 09:30"}`, `{"at":""}`, `{"at":null}`, `{"badge":{"Total":1.0}}`, `{"badge":{"Total":01}}`, `{"badge":{"Total":9223372036854775808}}`,
		`{"kind":"\u00e9\ud83c\udf89\ud83c"}`, `{"kind":"\x"}`, `{"kind":"\u12"}`, `{"kind":"\u+123"}`, `{"seqs":null}`, `{"seqs":[]}`, `{"seqs":[1,]}`, `{"seqs":[null]}`,
		`{"item":{"Content":{"data":null}}}`, `{"item":{"Content":{"data":"x"}}}`, `{"item":{"Content":{"data":{"a":1,"a":{"b":2}}}}}`, `{"item":{"Content":{"data":{"n":1e999}}}}`,
		`{"item":{"Content":{"data":{"n":-0,"m":1E+2,"o":-1.50e-2}}}}`, `{"item":{"Content":{"subject":"s","headers":{"a":"b"}}}}`, `{"item":{"State":{"Level":2,"Archived":null}}}`,
		`{"item":{"State":{"Level":70000}}}`, `{"item":{"State":{"Level":-1}}}`,
	} {
		sameAsJSON(t, []byte(payload))
	}
	for _, depth := range []int{maxScanDepth - 1, maxScanDepth, maxScanDepth + 1, 9999, 10001} {
		sameAsJSON(t, fmt.Appendf(nil, `{"item":{"Content":{"data":{"a":%s1%s}}}}`, bytes.Repeat([]byte("["), depth), bytes.Repeat([]byte("]"), depth)))
	}
}

func TestRandomEventsMeanTheSameAsJSON(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.StringN(0, 8, 20), rapid.SampledFrom([]string{"<p>\u2028</p>", "\x00\x1f\"\\/", "\xff\xed\xa0\x80", "🎉"}))
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent()
		e.Item.Content.Body.Rendered, e.Item.Workflow = text.Draw(t, "rendered"), text.Draw(t, "workflow")
		e.Item.Content.Data = rapid.MapOf(text, rapid.OneOf(text.AsAny(), rapid.Float64().AsAny(), rapid.Int64().AsAny(), rapid.SliceOf(text).AsAny())).Draw(t, "data")
		e.Seqs = rapid.SliceOf(rapid.Int64()).Draw(t, "seqs")
		payload, err := encodeEvent(e)
		if err != nil {
			t.Skip(err) // numbers that JSON hasn't
		}
		sameAsJSON(t, payload)
		n, err := NewNotice("t", e)
		if err != nil {
			t.Fatal(err)
		}
		sameAsJSON(t, n.Payload)
		want, _ := decodeEvent(payload)
		got := *n.decode()
		got.Memo = nil
		if want.Memo = nil; !reflect.DeepEqual(*want, got) {
			t.Fatalf("handed over (-encoded +notice)\n%s", cmp.Diff(*want, got))
		}
	})
}

// Several who hear the same notice share what it was decoded to; nobody else does.
func TestANoticeIsDecodedOnce(t *testing.T) {
	t.Parallel()
	payload, err := encodeEvent(anyEvent())
	if err != nil {
		t.Fatal(err)
	}
	alone := Notice{Payload: payload}
	if one, other := alone.decode(), alone.decode(); one == other || one.Memo != nil {
		t.Error("shared although it is for one")
	}
	shared := Notice{Payload: payload, Memo: &memo.Memo{}}
	again := shared
	if e := shared.decode(); e == nil || e != again.decode() || e.Memo != shared.Memo {
		t.Error("not shared")
	}
	unreadable := Notice{Payload: []byte("{"), Memo: &memo.Memo{}}
	if e := unreadable.decode(); e != nil {
		t.Errorf("decoded %+v", e)
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	payload, err := encodeEvent(anyEvent())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("scanned", func(b *testing.B) {
		for b.Loop() {
			_, _ = decodeEvent(payload)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			_ = json.Unmarshal(payload, &Event{})
		}
	})
}

// What an event is handed over as in one process is what other nodes decode.
func TestAnEventIsHandedOverOnlyIfItIsWhatOthersDecode(t *testing.T) {
	t.Parallel()
	shown := func(change func(*belfry.Content)) *Event {
		e := anyEvent()
		change(&e.Item.Content)
		return e
	}
	for name, tt := range map[string]struct {
		event      *Event
		handedOver bool
	}{
		"anyEvent":             {anyEvent(), true},
		"a mark":               {&Event{Kind: Patched, Mark: belfry.Seen, Seqs: []int64{1}, Recipient: 1}, true},
		"no data":              {shown(func(c *belfry.Content) { c.Data = nil }), true},
		"data without members": {shown(func(c *belfry.Content) { c.Data = map[string]any{} }), false},
		"a literal number":     {shown(func(c *belfry.Content) { c.Data["x"] = json.Number("1.50") }), false},
		"an int":               {shown(func(c *belfry.Content) { c.Data["x"] = 1 }), false},
		"one within":           {shown(func(c *belfry.Content) { c.Data["x"] = []any{map[string]any{"y": int64(1)}} }), false},
		"no UTF-8":             {shown(func(c *belfry.Content) { c.Body.Rendered = "\xff" }), false},
		"as a key":             {shown(func(c *belfry.Content) { c.Data["\xff"] = 1.0 }), false},
		"mail":                 {shown(func(c *belfry.Content) { c.Subject = "x" }), false},
		"a payload at the limit": {shown(func(c *belfry.Content) {
			empty, _ := NewNotice("t", shown(func(c *belfry.Content) { c.ActionURL = "" }))
			c.ActionURL = strings.Repeat("x", maxPayload-len(empty.Payload)-len(`"actionUrl":"",`))
		}), true},
	} {
		n, err := NewNotice("t", tt.event)
		if err != nil || n.Version != tt.event.Position.Version || len(n.Payload) == 0 {
			t.Errorf("%s: %d bytes, version %d, %v", name, len(n.Payload), n.Version, err)
			continue
		}
		sameAsJSON(t, n.Payload)
		if got := n.decode() == tt.event; got != tt.handedOver {
			t.Errorf("%s: handed over: %v, want %v", name, got, tt.handedOver)
		}
		remote := Notice{Payload: n.Payload}
		local := *n.decode()
		local.Memo = nil
		if !reflect.DeepEqual(*remote.decode(), local) {
			t.Errorf("%s (-remote +local)\n%s", name, cmp.Diff(*remote.decode(), local))
		}
	}
	large := shown(func(c *belfry.Content) { c.ActionURL = strings.Repeat("x", maxPayload) })
	if n, err := NewNotice("t", large); err != nil || n.Payload != nil || n.Memo != nil {
		t.Errorf("too large: %d bytes, %v, %v", len(n.Payload), n.Memo, err)
	}
}
