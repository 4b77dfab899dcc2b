package feed

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belfryhq/belfry"
)

// An environment reads one long feed at a time, and a node so many. Who waits is told to try again, after a while and not before.
func TestSoManyLongFeedsAreReadAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s scans
		var ends []func()
		for e := range belfry.EnvironmentID(maxScans) {
			done, err := s.turn(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, done)
		}
		for what, e := range map[string]belfry.EnvironmentID{"the same environment": 0, "the same node": maxScans} {
			began := time.Now()
			_, err := s.turn(t.Context(), e)
			if belfry.CodeOf(err) != belfry.Conflict || time.Since(began) != scanPatience {
				t.Errorf("one more of %s: %v after %v; want %v after %v", what, err, time.Since(began), errBusy, scanPatience)
			}
		}
		ends[0]()
		done, err := s.turn(t.Context(), maxScans)
		if err != nil {
			t.Error(err)
		}
		done()
		ends[1]()
		if len(s.of) != 0 || len(s.node) != 0 {
			t.Errorf("%d environments are remembered, and %d turns", len(s.of), len(s.node))
		}
	})
}

// However many calls of one environment wait, one of the next turns on the node is another's: as many end at the same instant as
// there are at a time, and who begins first of those that follow is the scheduler's.
func TestOneEnvironmentKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s scans
		order := make(chan belfry.EnvironmentID, 100)
		read := func(env belfry.EnvironmentID) {
			done, err := s.turn(t.Context(), env)
			if err != nil {
				t.Error(err)
				return
			}
			order <- env
			time.Sleep(scanPatience / 10) // of the bubble's clock
			done()
		}
		var readers sync.WaitGroup
		for range 4 {
			for env := range belfry.EnvironmentID(maxScans) {
				readers.Go(func() { read(env) })
			}
		}
		synctest.Wait()
		readers.Go(func() { read(maxScans) })
		readers.Wait()
		close(order)
		var at []belfry.EnvironmentID
		for env := range order {
			at = append(at, env)
		}
		if !slices.Contains(at[maxScans:2*maxScans], maxScans) {
			t.Errorf("the environments have read in the order %v; %d was to be among the %[3]d after the first %[3]d", at, maxScans, maxScans)
		}
	})
}

// Whoever has gone doesn't wait, and leaves no trace.
func TestWhoeverHasGoneGetsNoTurn(t *testing.T) {
	t.Parallel()
	var s scans
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.turn(gone, 1); !errors.Is(err, context.Canceled) || len(s.of) != 0 {
		t.Errorf("%v", err)
	}
}
