package analytics

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Two transactions overlap. Whichever took its transaction id, its event id or its commit first: both events arrive,
// although the sink looks after every commit.
func TestALateCommitIsNotSkipped(t *testing.T) {
	t.Parallel()
	const a, b = 0, 1
	for _, firstXID := range []int{a, b} {
		for _, firstEvent := range []int{a, b} {
			for _, firstCommit := range []int{a, b} {
				t.Run(fmt.Sprintf("xid %c, event %c, commit %c", 'A'+firstXID, 'A'+firstEvent, 'A'+firstCommit), func(t *testing.T) {
					t.Parallel()
					lateCommit(newFixture(t), firstXID, firstEvent, firstCommit)
				})
			}
		}
	}
}

func lateCommit(f *fixture, firstXID, firstEvent, firstCommit int) {
	f.connect(f.env, "key")
	var txs [2]pgx.Tx
	var xids [2]uint64
	for i := range txs {
		tx, err := f.pool.Begin(f.Context())
		if err != nil {
			f.Fatal(err)
		}
		defer tx.Rollback(f.Context())
		txs[i] = tx
	}
	for _, i := range []int{firstXID, 1 - firstXID} {
		if err := txs[i].QueryRow(f.Context(), `SELECT pg_current_xact_id()`).Scan(&xids[i]); err != nil {
			f.Fatal(err)
		}
	}
	for _, i := range []int{firstEvent, 1 - firstEvent} {
		change := []belfry.StatusChange{f.sent(1+i, 1)}
		if err := new(Log).Record(f.Context(), &postgres.Tx{Tx: txs[i]}, change); err != nil {
			f.Fatal(err)
		}
	}

	s := f.segment()
	f.run(s)
	if err := txs[firstCommit].Commit(f.Context()); err != nil {
		f.Fatal(err)
	}
	if xids[firstCommit] < xids[1-firstCommit] {
		f.collector.awaitDistinct(1) // nothing that still runs can come before it
	} else if early := f.claim(s); len(early) != 0 {
		f.Error("the event of the later transaction may be sent while the earlier one runs: it would be skipped")
	}
	if err := txs[1-firstCommit].Commit(f.Context()); err != nil {
		f.Fatal(err)
	}
	tracks := f.collector.awaitDistinct(2)
	checkUsers(f.T, tracks, 1, 2)
	if first := fmt.Sprintf("user-%d", 1+firstXID); tracks[0].UserID != first {
		f.Errorf("got %s first, want %s: order is that of transaction ids", tracks[0].UserID, first)
	}
}

// What was still running when a destination was made belongs to its present, not to its past.
func TestANewDestinationSeesTransactionsThatWereRunning(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tx, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if err := new(Log).Record(t.Context(), &postgres.Tx{Tx: tx}, []belfry.StatusChange{f.sent(1, 1)}); err != nil {
		t.Fatal(err)
	}
	f.connect(f.env, "key")
	f.run(f.segment())
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkUsers(t, f.collector.awaitDistinct(1), 1, 1)
}

func TestLagIsTheAgeOfTheOldestUndeliveredEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.connect(f.env, "key")
	s := f.segment()
	f.record(f.sent(1, 1))
	f.clock.advance(time.Minute - time.Second)
	if lag, err := s.Lag(t.Context()); err != nil || lag != time.Minute {
		t.Errorf("got %v (%v), want a minute", lag, err)
	}
	f.run(s)
	if stats := f.awaitIdle(s); stats.Sent != 1 {
		t.Errorf("got %+v", stats)
	}
}
