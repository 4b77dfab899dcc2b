package feed

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
)

// means reports whether a mark is for an item as it is, spelled out anew.
func (w *Watermark) means(a *Attributes, s State) bool {
	level := map[Status]string{"": "012", StatusUnseen: "0", StatusSeen: "12", StatusUnread: "01", StatusRead: "2"}[w.Status]
	archived := map[ArchivedScope]string{"": "false true", ArchivedExclude: "false", ArchivedOnly: "true"}[w.Archived]
	state := strings.Contains(level, string('0'+rune(s.Level))) && strings.Contains(archived, map[bool]string{true: "true", false: "false"}[s.Archived])
	return state && (w.Scope == nil || (w.Scope.Workflows == nil || slices.Contains(w.Scope.Workflows, a.Workflow)) &&
		(w.Scope.Tenants == nil || slices.Contains(w.Scope.Tenants, a.Tenant)))
}

// markEach is the oracle: what every item would be had each mark been written to it.
func markEach(all Watermarks, seq int64, a *Attributes, s State) State {
	for _, w := range all {
		if w.Version > s.Version && seq <= w.UpTo && w.means(a, s) {
			s = s.Apply(w.Mark, w.At)
		}
	}
	return s
}

// kinds are what items are like, for those scopes.
var kinds = []Attributes{{Workflow: "invoice", Tenant: 1}, {Workflow: "invoice", Tenant: 2}, {Workflow: "welcome", Tenant: 1}, {Workflow: "welcome"}}

func drawScope(t *rapid.T) *Scope {
	return rapid.SampledFrom([]*Scope{nil, nil, {Workflows: []string{"invoice"}}, {Tenants: []belfry.RecipientID{1}}, {Tenants: []belfry.RecipientID{0, 2}, Workflows: []string{"invoice", "welcome"}}}).Draw(t, "scope")
}

func drawCondition(t *rapid.T) Condition {
	return Condition{
		Status:   rapid.SampledFrom([]Status{"", "", "", StatusUnseen, StatusSeen, StatusUnread, StatusRead}).Draw(t, "status"),
		Archived: rapid.SampledFrom([]ArchivedScope{"", ArchivedExclude, ArchivedExclude, ArchivedOnly}).Draw(t, "archived"),
	}
}

func drawWatermark(t *rapid.T, i int, upTo int64) Watermark {
	return Watermark{Mark: rapid.SampledFrom(marks).Draw(t, "mark"), UpTo: upTo, Version: 100 + int64(i), At: instant(i)}
}

func TestWatermarksAgreeWithMarkingEach(t *testing.T) {
	t.Parallel()
	for name, scoped := range map[string]bool{"on everything": false, "on what filters select": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				for range 300 {
					var all, kept Watermarks
					for i := range rapid.IntRange(0, 16).Draw(t, "n") {
						w := drawWatermark(t, i, rapid.Int64Range(0, 6).Draw(t, "upTo")) // reaches further, or less far
						if scoped {
							w.Scope, w.Condition = drawScope(t), drawCondition(t)
						}
						all, kept = append(all, w), kept.Push(w)
					}
					start := State{
						Version:  rapid.Int64Range(99, 116).Draw(t, "written at"), // before, among or after the marks
						Level:    rapid.SampledFrom([]Level{Unseen, Seen, Read}).Draw(t, "level"),
						Archived: rapid.Bool().Draw(t, "archived"),
					}
					for seq := int64(1); seq <= 7; seq++ {
						for _, a := range kinds {
							if diff := cmp.Diff(markEach(all, seq, &a, start), kept.Effective(seq, &a, start)); diff != "" {
								t.Fatalf("item %d, %+v, in %+v: all %v, kept %v (-want +got):\n%s", seq, a, start, all, kept, diff)
							}
						}
					}
				}
			})
		})
	}
}

// What people do again and again leaves no more than the first time, or the list would be settled time after time.
func TestTheSameMarkAgainReplacesTheOldOne(t *testing.T) {
	t.Parallel()
	acme, active := &Scope{Tenants: []belfry.RecipientID{1}}, Condition{Archived: ArchivedExclude}
	for name, row := range map[string]struct {
		between []Watermark
		again   Watermark
		left    int
	}{
		"of one tenant":                      {nil, Watermark{Mark: belfry.Read, Scope: acme, Condition: active}, 1},
		"further":                            {nil, Watermark{Mark: belfry.Read, Scope: acme, Condition: active, UpTo: 10}, 1},
		"on everything":                      {nil, Watermark{Mark: belfry.Read}, 1},
		"of another tenant":                  {nil, Watermark{Mark: belfry.Read, Scope: &Scope{Tenants: []belfry.RecipientID{2}}, Condition: active}, 2},
		"less far":                           {nil, Watermark{Mark: belfry.Read, Scope: acme, Condition: active, UpTo: 8}, 2},
		"but those that are unread":          {nil, Watermark{Mark: belfry.Read, Scope: acme, Condition: Condition{StatusUnread, ArchivedExclude}}, 2},
		"after something was archived":       {[]Watermark{{Mark: belfry.Archived, Scope: acme}}, Watermark{Mark: belfry.Read, Scope: acme, Condition: active}, 3},
		"after some were seen":               {[]Watermark{{Mark: belfry.Seen, Condition: active}}, Watermark{Mark: belfry.Read, Condition: active}, 1},
		"after those that were read went":    {[]Watermark{{Mark: belfry.Archived, Condition: Condition{StatusRead, ""}}}, Watermark{Mark: belfry.Read}, 3},
		"after those that were active shone": {[]Watermark{{Mark: belfry.Seen, Condition: active}}, Watermark{Mark: belfry.Read, Scope: acme, Condition: active}, 2},
	} {
		ws := Watermarks{{Mark: belfry.Read, UpTo: 9, Version: 1, Scope: acme, Condition: active}}
		for i, w := range append(row.between, row.again) {
			if w.UpTo == 0 {
				w.UpTo = 9
			}
			w.Version = int64(i) + 2
			ws = ws.Push(w)
		}
		if len(ws) != row.left {
			t.Errorf("%s: %d are left, want %d: %+v", name, len(ws), row.left, ws)
		}
	}
}

func TestWatermarksThatReachEverFurtherAreAtMostFive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for range 100 {
			var kept Watermarks
			upTo := int64(1)
			for i := range rapid.IntRange(0, 40).Draw(t, "n") {
				upTo += rapid.Int64Range(0, 2).Draw(t, "step")
				if kept = kept.Push(drawWatermark(t, i, upTo)); len(kept) > 5 {
					t.Fatalf("%d are left: %v", len(kept), kept)
				}
			}
		}
	})
	var kept Watermarks // the bound is tight
	for i, m := range []belfry.Mark{belfry.Interacted, belfry.Read, belfry.Seen, belfry.Unread, belfry.Archived} {
		kept = kept.Push(Watermark{Mark: m, UpTo: 9, Version: int64(i), At: instant(i)})
	}
	if len(kept) != 5 {
		t.Errorf("%d are left of five that leave a trace each: %v", len(kept), kept)
	}
}

func TestWatermarksAreFull(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		n    int
		text int // bytes of a scope
		full bool
	}{
		"as many as may be":   {maxWatermarks, 0, false},
		"one more":            {maxWatermarks + 1, 0, true},
		"as large as may be":  {1, maxWatermarkBytes - 64, false},
		"one byte more":       {1, maxWatermarkBytes - 63, true},
		"many, and too large": {maxWatermarks, maxWatermarkBytes / maxWatermarks, true},
	} {
		ws := make(Watermarks, row.n)
		if row.text > 0 {
			for i := range ws {
				ws[i].Scope = &Scope{Workflows: []string{strings.Repeat("x", row.text)}}
			}
		}
		b, _ := json.Marshal(ws)
		if got := ws.full(); got != row.full {
			t.Errorf("%s: %d with %d bytes, full: %v", name, len(ws), len(b), got)
		}
	}
}

// Push must not write to the list it was called on: a transaction that rolls back keeps the old one.
func TestPushLeavesTheOldListAlone(t *testing.T) {
	t.Parallel()
	old := Watermarks{{Mark: belfry.Seen, UpTo: 1, Version: 1}, {Mark: belfry.Archived, UpTo: 9, Version: 2}}
	want := append(Watermarks{}, old...)
	_ = old.Push(Watermark{Mark: belfry.Seen, UpTo: 5, Version: 3})
	if diff := cmp.Diff(want, old); diff != "" {
		t.Error(diff)
	}
}

func TestWatermarksSurviveJSON(t *testing.T) {
	t.Parallel()
	at := instant(3)
	want := Watermarks{}.Push(Watermark{Mark: belfry.Read, UpTo: 1 << 60, Version: 1<<60 + 1, At: instant(1)}).
		Push(Watermark{Mark: belfry.Seen, UpTo: 7, Version: 9, At: instant(2), Settled: 3, Unexpanded: 2, Expanded: 5, Condition: Condition{StatusUnread, ArchivedOnly}, Scope: &Scope{
			Workflows: []string{"a"}, Categories: []string{"b"}, Tenants: []belfry.RecipientID{0, 1 << 60}, From: &at, Before: &at,
			Data: map[string]any{"t": "x", "n": 1.5, "b": true, "z": nil}}})
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Watermarks
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || !got[1].Scope.equal(want[1].Scope) {
		t.Error(diff)
	}
	// As releases before scopes wrote them.
	var old Watermarks
	if err := json.Unmarshal([]byte(`[{"m":"READ","u":5,"v":7,"t":"2026-05-04T09:00:00Z"}]`), &old); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Watermarks{{Mark: belfry.Read, UpTo: 5, Version: 7, At: time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)}}, old); diff != "" {
		t.Error(diff)
	}
}
