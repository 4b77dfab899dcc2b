package feed

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
)

// markEach is the oracle: what every item would be had each mark been written to it.
func markEach(all Watermarks, seq int64, s State) State {
	for _, w := range all {
		if w.Version > s.Version && seq <= w.UpTo {
			s = s.Apply(w.Mark, w.At)
		}
	}
	return s
}

func drawWatermark(t *rapid.T, i int, upTo int64) Watermark {
	return Watermark{Mark: rapid.SampledFrom(marks).Draw(t, "mark"), UpTo: upTo, Version: 100 + int64(i), At: instant(i)}
}

func TestWatermarksAgreeWithMarkingEach(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for range 100 {
			var all, kept Watermarks
			for i := range rapid.IntRange(0, 16).Draw(t, "n") {
				w := drawWatermark(t, i, rapid.Int64Range(0, 6).Draw(t, "upTo")) // reaches further, or less far
				all, kept = append(all, w), kept.Push(w)
			}
			start := State{
				Version:  rapid.Int64Range(99, 116).Draw(t, "written at"), // before, among or after the marks
				Level:    rapid.SampledFrom([]Level{Unseen, Seen, Read}).Draw(t, "level"),
				Archived: rapid.Bool().Draw(t, "archived"),
			}
			for seq := int64(1); seq <= 7; seq++ {
				if diff := cmp.Diff(markEach(all, seq, start), kept.Effective(seq, start)); diff != "" {
					t.Fatalf("item %d in %+v: all %v, kept %v (-want +got):\n%s", seq, start, all, kept, diff)
				}
			}
		}
	})
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
	want := Watermarks{}.Push(Watermark{Mark: belfry.Read, UpTo: 1 << 60, Version: 1<<60 + 1, At: instant(1)})
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Watermarks
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
