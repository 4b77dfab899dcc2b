package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/belfryhq/belfry/postgres"
)

// worker does one batch at a time.
type worker struct {
	engine *Engine
	floors floors
	// How many fan-outs to claim of each environment: as many as made a full batch last time.
	rows, bulkRows int
	// careful is set when the database refused the last batch: it is done again, by whoever claims it, in such a way that
	// the runs that are refused can be told from the others.
	careful bool
	// nimble workers leave bulk work to others while there is other work: that doesn't wait for a large batch then.
	nimble bool
	more   bool // there may be more to do than the last batch did
	fewer  int  // how often batches are to be halved, for the last ones took too long
}

// maxBatchTime bounds a whole transaction, so that a database that stopped answering doesn't keep the worker for ever.
const maxBatchTime = 2 * time.Minute

// work claims a batch, does it and commits. It returns how much it saw to; 0 means that there is nothing to do.
func (w *worker) work(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, maxBatchTime)
	defer cancel()
	e := w.engine
	if _, err := w.floors.refresh(ctx, e, floorsFor); err != nil {
		return 0, err
	}
	n, err := w.batch(ctx)
	if n > 0 || err != nil {
		return n, err
	}
	if fresh, err := w.floors.refresh(ctx, e, e.idleFloors); err != nil || !fresh {
		return 0, err
	}
	return w.batch(ctx)
}

// batch is one transaction.
func (w *worker) batch(ctx context.Context) (int, error) {
	e := w.engine
	var c *claim
	refused := false
	err := postgres.InTxKeepingPlans(ctx, e.Pool, func(tx *postgres.Tx) (err error) {
		if c, err = e.claim(ctx, tx, w); err != nil {
			return err
		}
		if len(c.runs) == 0 {
			return e.settle(ctx, tx, c)
		}
		s, err := e.load(ctx, tx, c)
		if err != nil {
			return err
		}
		if !w.careful {
			_, err = e.carry(ctx, tx, c.runs, s, c)
			refused = postgres.IsDataException(err)
			return err
		}
		// Enqueue is called several times: it takes its locks in the order of recipients all the same.
		slices.SortStableFunc(c.runs, func(a, b *run) int { return cmp.Compare(a.recipient, b.recipient) })
		patience := maxConversing
		if w.limit() == 1 { // fewer it can't be: a few all the same, for those that have waited come in beside a new one
			patience = maxBatchTime
		}
		if err := e.carryCarefully(ctx, tx, c.runs, s, e.now().Add(patience)); err != nil {
			return err
		}
		return e.settle(ctx, tx, c)
	})
	if errors.Is(err, errTooMuch) {
		w.careful = w.careful || w.limit() == 1 // a claim may have a few even so
		w.fewer, w.more = w.fewer+1, true
		e.Log.Warn("a batch of runs took too long; the next one is smaller", "runs", len(c.runs), "limit", w.limit())
		return len(c.runs), nil
	}
	if refused {
		e.Log.Warn("the database refused a batch of runs; it is done again to find out which", "error", err)
		w.careful, w.more = true, true
		return len(c.runs), nil
	}
	if postgres.IsDeadlock(err) { // what the others did stands, so it won't happen for ever
		e.Log.Warn("two batches of runs held each other up; one of them is done again", "error", err)
		w.more = true
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("do a batch of runs: %w", err)
	}
	w.careful, w.more, w.fewer = false, c.full, max(w.fewer-1, 0)
	if c.full {
		e.Wake() // there is likely more than one worker can do
		if !e.busy() {
			e.wakeHelpers()
		}
	}
	e.stats.count(c.runs)
	return len(c.runs) + len(c.batches) + len(c.stale) + c.empty, nil
}

// limit is how many runs the next batch may have.
func (w *worker) limit() int { return max(w.engine.BatchSize>>min(w.fewer, 30), 1) }

// learn chooses how many fan-outs to claim next. Triggers for one recipient fill a batch with hundreds of rows; of
// triggers for a thousand, one row does, and claiming more would only keep them from other workers.
func (w *worker) learn(found []*fanOut, limit int) {
	var rows, recipients [2]int // small and bulk
	for _, f := range found {
		kind := 0
		if f.lane == laneBulk {
			kind = 1
		} else {
			w.engine.beBusy()
		}
		rows[kind]++
		recipients[kind] += max(f.ready(), f.looked)
	}
	w.rows = adapt(w.rows, rows[0], recipients[0], limit)
	w.bulkRows = adapt(w.bulkRows, rows[1], recipients[1], limit)
}

// busyFor is for how long after other work bulk work is done in small portions only.
const busyFor = time.Second

// beBusy notes that there is other than bulk work.
func (e *Engine) beBusy() { e.lastSmall.Store(time.Now().UnixNano()) }

// busy reports whether there was other than bulk work a moment ago: more of it is likely to come, and would wait for as
// long as a batch takes.
func (e *Engine) busy() bool { return time.Since(time.Unix(0, e.lastSmall.Load())) < busyFor }

func adapt(asked, rows, recipients, limit int) int {
	switch {
	case recipients >= limit:
		return max(1, rows*limit/recipients)
	case rows >= asked:
		return min(2*max(asked, 1), limit)
	}
	return max(asked, 1)
}
