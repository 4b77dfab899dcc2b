package delivery

import (
	"slices"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
)

// flood queues n messages of an environment.
func (w *world) flood(env belfry.EnvironmentID, n int) {
	w.t.Helper()
	messages := make([]belfry.Message, n)
	for i := range messages {
		messages[i] = message(int64(env)*1000+int64(i), belfry.Email, "x")
		messages[i].Environment = env
	}
	w.enqueue(messages...)
	w.advance(time.Millisecond)
}

// claimed is how many messages of each environment a claim got.
func (w *world) claimed(limit int) map[belfry.EnvironmentID]int {
	w.t.Helper()
	leases, err := w.claim(w.t.Context(), w.pool, false, limit)
	if err != nil {
		w.t.Fatal(err)
	}
	n := make(map[belfry.EnvironmentID]int)
	for _, l := range leases {
		n[l.Environment]++
	}
	return n
}

func TestEnvironmentsShareAClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.flood(5, 500)
	w.flood(2, 3)
	w.flood(9, 30)
	for _, want := range []map[belfry.EnvironmentID]int{
		{2: 3, 5: 10, 9: 10}, // an equal share of 30; 2 has no more
		{5: 15, 9: 15},       // of what is left
		{5: 15, 9: 5},
		{5: 30},
	} {
		got := w.claimed(30)
		if len(got) != len(want) || got[2] != want[2] || got[5] != want[5] || got[9] != want[9] {
			t.Errorf("claimed %v, want %v", got, want)
		}
	}
}

// With one worker free at a time, a flood that came first must not be served first to its end.
func TestEnvironmentsTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.flood(5, 500)
	w.flood(2, 5)
	w.flood(9, 5)
	var served []belfry.EnvironmentID
	for range 18 {
		for e := range w.claimed(1) {
			served = append(served, e)
		}
	}
	// As long as all three have something, each gets one turn in three.
	for round := range slices.Chunk(served[:15], 3) {
		if slices.Sort(round); !slices.Equal(round, []belfry.EnvironmentID{2, 5, 9}) {
			t.Errorf("served %v", served)
			break
		}
	}
	if !slices.Equal(served[15:], []belfry.EnvironmentID{5, 5, 5}) {
		t.Errorf("in the end %v were served", served[15:])
	}
}

func TestAnEnvironmentsOldestGoFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []int64
	for range 20 {
		for _, id := range w.enqueue(message(3, belfry.Email, "x")) {
			want = append(want, id.Seq)
		}
		w.advance(time.Millisecond)
	}
	for len(want) > 0 {
		leases, err := w.claim(t.Context(), w.pool, false, 5)
		if err != nil || len(leases) != 5 {
			t.Fatalf("claimed %d, %v", len(leases), err)
		}
		for _, l := range leases {
			if !slices.Contains(want[:5], l.Seq) {
				t.Errorf("%d was claimed before some of %v", l.Seq, want[:5])
			}
		}
		want = want[5:]
	}
}
