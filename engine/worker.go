package engine

import (
	"context"
	"time"

	"github.com/belfryhq/belfry/postgres"
)

// worker does one batch at a time.
type worker struct {
	engine *Engine
	rows   int // how many fan-outs to claim: as many as made a full batch last time
	// careful is set when the database refused the last batch: it is done again, by whoever claims it, in such a way that
	// the runs that are refused can be told from the others.
	careful bool
}

// maxBatchTime bounds a whole transaction, so that a database that stopped answering doesn't keep the worker for ever.
const maxBatchTime = 2 * time.Minute

// work claims a batch, does it and commits. It returns how many runs it saw to; 0 means that there is nothing to do.
func (w *worker) work(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, maxBatchTime)
	defer cancel()
	e := w.engine
	rows := min(max(w.rows, 1), e.BatchSize)
	var b *batch
	taken := true
	err := postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) (err error) {
		if b, err = claim(ctx, tx, rows, e.BatchSize); err != nil || len(b.fanOuts) == 0 {
			return err
		}
		if err = e.decide(ctx, tx, b); err != nil {
			return err
		}
		if w.careful {
			return e.writeCarefully(ctx, tx, b)
		}
		err = e.write(ctx, tx, b.runs, b.fanOuts)
		taken = !postgres.IsDataException(err)
		return err
	})
	if !taken {
		e.Log.Warn("the database refused a batch of runs; it is done again to find out which", "runs", len(b.runs), "error", err)
		w.careful = true
		return len(b.runs), nil
	}
	if err != nil {
		return 0, err
	}
	w.careful = false
	w.adapt(rows, b)
	if b.full {
		e.Wake() // there is likely more than one worker can do
	}
	e.stats.count(b.runs)
	return len(b.runs), nil
}

// adapt chooses how many fan-outs to claim next. Triggers for one recipient fill a batch with hundreds of rows; of
// triggers for a thousand, one row does, and claiming more would only keep them from other workers.
func (w *worker) adapt(rows int, b *batch) {
	if b.full {
		w.rows = max(1, len(b.fanOuts))
	} else if len(b.fanOuts) == rows {
		w.rows = min(2*rows, w.engine.BatchSize)
	}
}
