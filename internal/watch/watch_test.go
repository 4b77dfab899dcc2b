package watch

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What this node does is told at once, what others do with the next look, and the last state ends it.
func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bells Bells[string]
		var state atomic.Int64
		told := -1
		states := Follow(t.Context(), &bells, "a", time.Second, func() (int, bool, bool) {
			now := int(state.Load())
			news := now != told
			told = now
			return now, news, now == 3
		})
		began := time.Now()
		got := []int{<-states}
		synctest.Wait()
		state.Store(1)
		bells.Ring(slices.Values([]string{"b", "a"}))
		got = append(got, <-states)
		if d := time.Since(began); d != 0 {
			t.Errorf("a ring was heard after %v", d)
		}
		synctest.Wait()
		state.Store(2) // elsewhere
		got = append(got, <-states)
		if d := time.Since(began); d != time.Second {
			t.Errorf("what another node did was seen after %v", d)
		}
		synctest.Wait()
		state.Store(3)
		for s := range states {
			got = append(got, s)
		}
		if diff := cmp.Diff([]int{0, 1, 2, 3}, got); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if len(bells.watchers) != 0 {
			t.Errorf("%d are still listening", len(bells.watchers))
		}
	})
}
