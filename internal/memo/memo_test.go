package memo_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/belfryhq/belfry/internal/memo"
)

func TestWhatIsSharedIsMadeOnce(t *testing.T) {
	t.Parallel()
	var m memo.Memo
	var made atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			for _, key := range []any{"a", "b", 1} {
				got := m.Do(key, func() any {
					made.Add(1)
					return key
				})
				if got != key {
					t.Errorf("Do(%v) = %v", key, got)
				}
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 3 {
		t.Errorf("made %d times, want once for each of 3 keys", n)
	}
}

func TestWhatNobodySharesIsMadeEachTime(t *testing.T) {
	t.Parallel()
	var m *memo.Memo
	made := 0
	for range 2 {
		m.Do("key", func() any {
			made++
			return nil
		})
	}
	if made != 2 {
		t.Errorf("made %d times, want 2", made)
	}
}

func TestOthersGetNilAfterAPanic(t *testing.T) {
	t.Parallel()
	var m memo.Memo
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		m.Do("key", func() any { panic("test") })
	}()
	if got := m.Do("key", func() any { return 1 }); got != nil {
		t.Errorf("got %v, want nil", got)
	}
}

// Ten thousand who want something different each mustn't search what the others have made.
func TestFewResultsAreKept(t *testing.T) {
	t.Parallel()
	var m memo.Memo
	for round := range 2 {
		for key := range memo.MaxResults + 1 {
			made := false
			if got := m.Do(key, func() any { made = true; return key }); got != key {
				t.Errorf("Do(%d) = %v", key, got)
			}
			if want := round == 0 || key >= memo.MaxResults; made != want {
				t.Errorf("made %v for key %d in round %d, want %v", made, key, round, want)
			}
		}
	}
}
