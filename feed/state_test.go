package feed

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
)

func TestApply(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)
	was := at.Add(-time.Hour)
	untouched := State{}
	seen := State{Level: Seen, SeenAt: &was}
	read := State{Level: Read, SeenAt: &was, ReadAt: &was}
	acted := State{Level: Read, SeenAt: &was, ReadAt: &was, InteractedAt: &was}
	archived := State{Level: Seen, SeenAt: &was, Archived: true, ArchivedAt: &was}

	for _, row := range []struct {
		name    string
		before  State
		mark    belfry.Mark
		after   State
		changes bool
	}{
		{"see", untouched, belfry.Seen, State{Level: Seen, SeenAt: &at}, true},
		{"see again", seen, belfry.Seen, State{Level: Seen, SeenAt: &at}, false},
		{"see what was read", read, belfry.Seen, State{Level: Read, SeenAt: &at, ReadAt: &was}, false},
		{"unsee", seen, belfry.Unseen, State{}, true},
		{"unseeing unreads too", read, belfry.Unseen, State{}, true},
		{"unsee what wasn't seen", untouched, belfry.Unseen, State{}, false},
		{"unseeing keeps that somebody acted", acted, belfry.Unseen, State{InteractedAt: &was}, true},
		{"reading implies seeing", untouched, belfry.Read, State{Level: Read, SeenAt: &at, ReadAt: &at}, true},
		{"read again", read, belfry.Read, State{Level: Read, SeenAt: &at, ReadAt: &at}, false},
		{"unread keeps seen", read, belfry.Unread, seen, true},
		{"unread what wasn't read", seen, belfry.Unread, seen, false},
		{"unread what wasn't seen", untouched, belfry.Unread, untouched, false},
		{"acting implies reading", untouched, belfry.Interacted, State{Level: Read, SeenAt: &at, ReadAt: &at, InteractedAt: &at}, true},
		{"acting again counts", acted, belfry.Interacted, State{Level: Read, SeenAt: &at, ReadAt: &at, InteractedAt: &at}, true},
		{"archive", seen, belfry.Archived, State{Level: Seen, SeenAt: &was, Archived: true, ArchivedAt: &at}, true},
		{"archive again", archived, belfry.Archived, State{Level: Seen, SeenAt: &was, Archived: true, ArchivedAt: &at}, false},
		{"unarchive", archived, belfry.Unarchived, seen, true},
		{"unarchive what wasn't", seen, belfry.Unarchived, seen, false},
		{"read in the archive", archived, belfry.Read, State{Level: Read, SeenAt: &at, ReadAt: &at, Archived: true, ArchivedAt: &was}, true},
		{"an unknown mark is none", seen, "SHREDDED", seen, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(row.after, row.before.Apply(row.mark, at)); diff != "" {
				t.Errorf("state after (-want +got):\n%s", diff)
			}
			if got := row.before.Changes(row.mark); got != row.changes {
				t.Errorf("Changes = %v, want %v", got, row.changes)
			}
		})
	}
}

// A subscriber that comes back gets items as they are now, and then the marks that made them so.
func TestMarksAgreeWhenAppliedTwice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for range 200 {
			history := rapid.SliceOfN(rapid.SampledFrom(marks), 0, 8).Draw(t, "history")
			once := State{}
			for i, m := range history {
				once = once.Apply(m, instant(i))
			}
			twice := once
			for i, m := range history {
				twice = twice.Apply(m, instant(i))
			}
			if diff := cmp.Diff(once, twice); diff != "" {
				t.Fatalf("marking again changed it (-once +twice):\n%s", diff)
			}
		}
	})
}

func TestCellsMarkAgreesWithMarkingEach(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for range 200 {
			m, where := rapid.SampledFrom(marks).Draw(t, "mark"), drawCondition(t)
			items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) State {
				return State{Level: rapid.SampledFrom([]Level{Unseen, Seen, Read}).Draw(t, "level"), Archived: rapid.Bool().Draw(t, "archived")}
			}), 0, 12).Draw(t, "items")
			var before, want Cells
			wantChanged, wantAny := 0, false
			for _, s := range items {
				before.Add(s, 1)
				if w := (Watermark{Condition: where}); !w.means(nil, s) {
					want.Add(s, 1)
					continue
				}
				after := s.Apply(m, instant(0))
				want.Add(after, 1)
				wantAny = wantAny || s.Changes(m)
				if s.Changes(m) && (!s.Archived || !after.Archived) {
					wantChanged++
				}
			}
			got, changed, any := before.Mark(m, where)
			if got != want || changed != wantChanged || any != wantAny {
				t.Fatalf("%v marked %s where %v = %v, %d, %v; marking each gives %v, %d, %v", before, m, where, got, changed, any, want, wantChanged, wantAny)
			}
			if diff := got.minus(before).plus(before); diff != got {
				t.Fatalf("(%v - %v) + %[2]v = %v", got, before, diff)
			}
		}
	})
}

func TestBadgeLeavesOutTheArchived(t *testing.T) {
	t.Parallel()
	got := Cells{Active: [3]int{1, 2, 4}, Archived: [3]int{8, 16, 32}}.Badge()
	if want := (belfry.Badge{Total: 7, Unseen: 1, Unread: 3}); got != want {
		t.Errorf("badge = %+v, want %+v", got, want)
	}
}

// instant is the i-th of a row of different times.
func instant(i int) time.Time {
	return time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Minute)
}
