package belfry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
)

func TestMessageIDsSurviveTheRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := belfry.MessageID{
			Recipient: belfry.RecipientID(rapid.Int64Min(1).Draw(t, "recipient")),
			Channel:   rapid.StringMatching(`[a-z0-9_-]{1,40}`).Draw(t, "channel"),
			Seq:       rapid.Int64Min(1).Draw(t, "seq"),
		}
		got, err := belfry.ParseMessageID(id.String())
		if err != nil || got != id {
			t.Fatalf("got %v, %v", got, err)
		}
	})
}

func TestForgedMessageIDsAreUnknown(t *testing.T) {
	t.Parallel()
	good := belfry.MessageID{Recipient: 7, Channel: "in-app", Seq: 3}.String()
	for _, forged := range []string{"", "m", "!!!", good + "=", good[:4], "AAAA", good + "!", strings.Repeat("A", 513),
		belfry.MessageID{Recipient: 7, Channel: "", Seq: 3}.String(), belfry.MessageID{Recipient: 7, Channel: "NOT A KEY", Seq: 3}.String(),
		belfry.MessageID{Recipient: 0, Channel: "in-app", Seq: 3}.String(), belfry.MessageID{Recipient: -1, Channel: "in-app", Seq: 3}.String()} {
		if id, err := belfry.ParseMessageID(forged); belfry.CodeOf(err) != belfry.NotFound {
			t.Errorf("%q: got %v, %v", forged, id, err)
		}
	}
}

func FuzzParseMessageID(f *testing.F) {
	f.Add(belfry.MessageID{Recipient: 7, Channel: "in-app", Seq: 3}.String())
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := belfry.ParseMessageID(s); err == nil && id.String() != s {
			t.Errorf("%q is a second spelling of %v", s, id)
		}
	})
}

func TestPositionsCompareAsStrings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		epoch := rapid.Int64Range(0, 1<<53).Draw(t, "epoch")
		a := belfry.Position{Epoch: epoch, Version: rapid.Int64Range(0, 1<<50).Draw(t, "a")}
		b := belfry.Position{Epoch: epoch, Version: rapid.Int64Range(0, 1<<50).Draw(t, "b")}
		if (a.Version < b.Version) != (a.String() < b.String()) {
			t.Fatalf("%v and %v compare differently as strings", a, b)
		}
		if got, err := belfry.ParsePosition(a.String(), "since"); err != nil || got != a {
			t.Fatalf("got %v, %v", got, err)
		}
	})
	for _, bad := range []string{"", ".", "1", "1.", ".1", "1.2.3", "-1.2", "x y.1", strings.Repeat("z", 99) + ".1"} {
		var e *belfry.Error
		if _, err := belfry.ParsePosition(bad, "since"); !errors.As(err, &e) || e.Code != belfry.Invalid || e.Field != "since" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestExternalIDs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", belfry.MaxExternalIDLength)
	for id, want := range map[string]belfry.Code{
		"ana": "", "a b": "", long: "", long + "x": belfry.TooLarge, "": belfry.Invalid, "a/b": belfry.Invalid, "a#b": belfry.Invalid,
		"a\x00b": belfry.Invalid, "a\nb": belfry.Invalid, "\xff": belfry.Invalid,
	} {
		err := belfry.ValidateExternalID(id, "input.id")
		if (err == nil) != (want == "") || err != nil && belfry.CodeOf(err) != want {
			t.Errorf("%.20q: got %v, want %q", id, err, want)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", belfry.MaxKeyLength)
	for key, want := range map[string]belfry.Code{
		"in-app": "", "a_1": "", long: "", long + "k": belfry.TooLarge, "": belfry.Invalid, "A": belfry.Invalid, "a b": belfry.Invalid, "ä": belfry.Invalid,
	} {
		err := belfry.ValidateKey(key, "input.key")
		if (err == nil) != (want == "") || err != nil && belfry.CodeOf(err) != want {
			t.Errorf("%.20q: got %v, want %q", key, err, want)
		}
	}
}

// nested is a JSON value of so many levels.
func nested(levels int) any {
	var v any = "leaf"
	for range levels {
		v = map[string]any{"k": v}
	}
	return v
}

func TestJSONFromOutside(t *testing.T) {
	t.Parallel()
	deepest := any([]any{})
	for range belfry.MaxJSONDepth - 1 {
		deepest = map[string]any{"k": deepest}
	}
	for _, c := range []struct {
		name  string
		value any
		code  belfry.Code
		field string
	}{
		{"plain", map[string]any{"a": []any{1.0, "x", nil, true}}, "", ""},
		{"as deep as allowed", nested(belfry.MaxJSONDepth), "", ""},
		{"one level deeper", nested(belfry.MaxJSONDepth + 1), belfry.TooLarge, "input.data" + strings.Repeat(".k", belfry.MaxJSONDepth)},
		{"one level deeper, with nothing in it", map[string]any{"k": deepest}, belfry.TooLarge, "input.data" + strings.Repeat(".k", belfry.MaxJSONDepth)},
		{"NUL in a value", map[string]any{"a": []any{"x", "\x00"}}, belfry.Invalid, "input.data.a[1]"},
		{"NUL in a key", map[string]any{"\x00": 1.0}, belfry.Invalid, "input.data"},
		{"a large number", map[string]any{"a": json.Number("12345678901234567890")}, "", ""},
		{"a number beyond all", map[string]any{"a": json.Number("1e400")}, belfry.Invalid, "input.data.a"},
		{"not UTF-8", map[string]any{"a": "\xff"}, belfry.Invalid, "input.data.a"},
	} {
		err := belfry.ValidateJSON(c.value, "input.data")
		var e *belfry.Error
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.code != "" && (!errors.As(err, &e) || e.Code != c.code || e.Field != c.field):
			t.Errorf("%s: got %#v, want %s at %s", c.name, err, c.code, c.field)
		}
	}
}

func TestWhoseFeedAViewerMayUse(t *testing.T) {
	t.Parallel()
	backend, ana := belfry.Viewer{Environment: 1}, belfry.Viewer{Environment: 1, User: "ana"}
	for _, c := range []struct {
		name   string
		viewer belfry.Viewer
		asks   string
		owner  string
		code   belfry.Code
	}{
		{"a backend names the user", backend, "ana", "ana", ""},
		{"a backend names nobody", backend, "", "", belfry.Invalid},
		{"a backend names nonsense", backend, "a/b", "a/b", belfry.Invalid},
		{"a user needs no name", ana, "", "ana", ""},
		{"a user may say its own", ana, "ana", "ana", ""},
		{"a user names somebody else", ana, "ben", "", belfry.Forbidden},
		{"nobody", belfry.Viewer{}, "ana", "", belfry.Unauthenticated},
		{"a user of no environment", belfry.Viewer{User: "ana"}, "", "", belfry.Unauthenticated},
	} {
		owner, err := c.viewer.FeedOwner(c.asks, "feed.user")
		if c.code == "" && (err != nil || owner != c.owner) || c.code != "" && belfry.CodeOf(err) != c.code {
			t.Errorf("%s: got %q, %v", c.name, owner, err)
		}
	}
	for _, c := range []struct {
		viewer        belfry.Viewer
		backend, user belfry.Code
	}{{backend, "", belfry.Forbidden}, {ana, belfry.Forbidden, ""}, {belfry.Viewer{}, belfry.Unauthenticated, belfry.Unauthenticated}} {
		if err := c.viewer.RequireBackend(); (err == nil) != (c.backend == "") || err != nil && belfry.CodeOf(err) != c.backend {
			t.Errorf("%+v as a backend: %v", c.viewer, err)
		}
		if err := c.viewer.RequireUser(); (err == nil) != (c.user == "") || err != nil && belfry.CodeOf(err) != c.user {
			t.Errorf("%+v as a user: %v", c.viewer, err)
		}
	}
}

func TestErrorsKeepTheirCodeWhenWrapped(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("while doing: %w", belfry.Beyond("input.ids", 100, "ids"))
	if belfry.CodeOf(err) != belfry.TooLarge || !strings.Contains(err.Error(), "input.ids: at most 100 ids") {
		t.Errorf("got %v (%s)", err, belfry.CodeOf(err))
	}
	if belfry.CodeOf(errors.New("disk on fire")) != belfry.Internal {
		t.Error("an error of ours has a code for callers")
	}
}

func TestEveryMarkHasAnEvent(t *testing.T) {
	t.Parallel()
	for _, m := range []belfry.Mark{belfry.Seen, belfry.Unseen, belfry.Read, belfry.Unread, belfry.Interacted, belfry.Archived, belfry.Unarchived} {
		if want := belfry.EventKind("message." + strings.ToLower(string(m))); m.Event() != want {
			t.Errorf("%s causes %q, want %q", m, m.Event(), want)
		}
	}
}

func TestStatusChangesAreGroupedByStepAndKind(t *testing.T) {
	t.Parallel()
	var told belfry.StatusChanges
	group := belfry.StatusChange{Environment: 1, Kind: belfry.MessageSent, Channel: "in-app", ChannelType: belfry.InApp, Workflow: "w", StepRef: "s"}
	for seq := range int64(3) {
		told.Add(&group, belfry.MessageRef{Recipient: 1, Seq: seq})
		for _, change := range []func(*belfry.StatusChange){
			func(g *belfry.StatusChange) { g.Environment = 2 },
			func(g *belfry.StatusChange) { g.Kind = belfry.MessageBounced },
			func(g *belfry.StatusChange) { g.Channel = "other" },
			func(g *belfry.StatusChange) { g.ChannelType = belfry.Email },
			func(g *belfry.StatusChange) { g.Workflow = "other" },
			func(g *belfry.StatusChange) { g.StepRef = "other" },
		} {
			another := group
			change(&another)
			told.Add(&another, belfry.MessageRef{Recipient: 2, Seq: seq})
		}
	}
	if len(told) != 7 {
		t.Fatalf("%d changes, want 7", len(told))
	}
	for _, c := range told {
		if c.Count != 3 || len(c.Messages) != 3 || c.Messages[2].Seq != 2 {
			t.Errorf("%+v; want all three messages of the group", c)
		}
	}
}
