package engine

import (
	"cmp"
	"context"
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
	busy           bool // there was other than bulk work a moment ago
	// careful is set when the database refused the last batch: it is done again, by whoever claims it, in such a way that
	// the runs that are refused can be told from the others.
	careful bool
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
	err := postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) (err error) {
		if c, err = e.claim(ctx, tx, w); err != nil {
			return err
		}
		if len(c.runs) > 0 {
			s, err := e.load(ctx, tx, c)
			if err != nil {
				return err
			}
			if w.careful {
				// Enqueue is called several times: it takes its locks in the order of recipients all the same.
				slices.SortStableFunc(c.runs, func(a, b *run) int { return cmp.Compare(a.recipient, b.recipient) })
				err = e.carryCarefully(ctx, tx, c.runs, s)
			} else {
				var done int
				done, err = e.carry(ctx, tx, c.runs, s)
				if refused = postgres.IsDataException(err); err == nil {
					c.full = c.full || done < len(c.runs)
					c.runs = c.runs[:done]
				}
			}
			if err != nil {
				return err
			}
		}
		return e.settle(ctx, tx, c)
	})
	if refused {
		e.Log.Warn("the database refused a batch of runs; it is done again to find out which", "error", err)
		w.careful = true
		return len(c.runs), nil
	}
	if postgres.IsDeadlock(err) { // what the others did stands, so it won't happen for ever
		e.Log.Warn("two batches of runs held each other up; one of them is done again", "error", err)
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("do a batch of runs: %w", err)
	}
	w.careful = false
	if c.full {
		e.Wake() // there is likely more than one worker can do
	}
	e.stats.count(c.runs)
	return len(c.runs) + len(c.batches), nil
}

// learn chooses how many fan-outs to claim next. Triggers for one recipient fill a batch with hundreds of rows; of
// triggers for a thousand, one row does, and claiming more would only keep them from other workers.
func (w *worker) learn(found []*fanOut, limit int) {
	w.busy = false
	var rows, recipients [2]int // small and bulk
	for _, f := range found {
		kind := 0
		if f.lane == laneBulk {
			kind = 1
		} else {
			w.busy = true
		}
		rows[kind]++
		recipients[kind] += len(f.recipients)
	}
	w.rows = adapt(w.rows, rows[0], recipients[0], limit)
	w.bulkRows = adapt(w.bulkRows, rows[1], recipients[1], limit)
}

func adapt(asked, rows, recipients, limit int) int {
	switch {
	case recipients >= limit:
		return max(1, rows*limit/recipients)
	case rows >= asked:
		return min(2*max(asked, 1), limit)
	}
	return max(asked, 1)
}
