package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// worker does one batch at a time.
type worker struct {
	engine   *Engine
	rows     int // how many fan-outs to claim: as many as made a full batch last time
	isolated int // runs still to be done one by one, after the database refused a batch
}

// fanOut is a claimed row: a stretch of a trigger's recipients.
type fanOut struct {
	trigger    uuid.UUID
	n          int32
	env        belfry.EnvironmentID
	recipients []belfry.RecipientID // to be turned into runs now
	remaining  int                  // of the whole row
	version    int64
	actor      belfry.RecipientID
	tenant     belfry.RecipientID
	data       map[string]any
	acceptedAt time.Time
}

// run is one recipient of a claimed fan-out, and what was decided for it.
type run struct {
	fanOut    *fanOut
	version   *version
	recipient belfry.RecipientID
	user      string // external id
	decision
}

// work claims a batch, does it and commits. It returns how many runs it did; 0 means that there is nothing to do.
func (w *worker) work(ctx context.Context) (int, error) {
	if w.isolated > 0 {
		return w.workIsolated(ctx)
	}
	rows := min(max(w.rows, 1), w.engine.BatchSize)
	var claimed []*fanOut
	var runs []run
	err := postgres.InTx(ctx, w.engine.Pool, func(tx *postgres.Tx) (err error) {
		if claimed, err = claim(ctx, tx, rows, w.engine.BatchSize); err != nil || len(claimed) == 0 {
			return err
		}
		if runs, err = w.engine.decide(ctx, tx, claimed); err != nil {
			return err
		}
		return w.engine.write(ctx, tx, claimed, runs)
	})
	if postgres.IsDataException(err) {
		// One run decided something that the database refuses. Do them one by one, to find out which.
		w.engine.Log.Warn("the database refused a batch of runs; they are done one by one", "runs", len(runs), "error", err)
		w.isolated = len(runs)
		return len(runs), nil
	}
	if err != nil {
		return 0, err
	}
	w.adapt(rows, len(claimed), len(runs))
	if len(runs) >= w.engine.BatchSize {
		w.engine.Wake() // there is likely more than one worker can do
	}
	w.engine.count(runs)
	return len(runs), nil
}

// adapt chooses how many fan-outs to claim next. Triggers for one recipient fill a batch with hundreds of rows; of
// triggers for a thousand, one row does, and claiming more would only keep them from other workers.
func (w *worker) adapt(rows, claimed, runs int) {
	if claimed == rows && runs < w.engine.BatchSize {
		w.rows = min(2*rows, w.engine.BatchSize)
	} else if runs >= w.engine.BatchSize {
		w.rows = max(1, claimed)
	}
}

// workIsolated does a single run. If the database refuses what it decided, it is written as failed instead.
func (w *worker) workIsolated(ctx context.Context) (int, error) {
	w.isolated--
	var runs []run
	err := postgres.InTx(ctx, w.engine.Pool, func(tx *postgres.Tx) error {
		claimed, err := claim(ctx, tx, 1, 1)
		if err != nil || len(claimed) == 0 {
			w.isolated = 0
			return err
		}
		if runs, err = w.engine.decide(ctx, tx, claimed); err != nil {
			return err
		}
		err = pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
			return w.engine.write(ctx, tx, claimed, runs)
		})
		if !postgres.IsDataException(err) {
			return err
		}
		for i := range runs {
			runs[i].decision = decision{}
			runs[i].fail("", "refused", err.Error())
		}
		return w.engine.write(ctx, tx, claimed, runs)
	})
	if err != nil {
		return 0, err
	}
	w.engine.count(runs)
	return len(runs), nil
}

func (e *Engine) count(runs []run) {
	failed := 0
	for i := range runs {
		if runs[i].status == Failed {
			failed++
		}
	}
	e.stats.batches.Add(1)
	e.stats.failed.Add(int64(failed))
	e.stats.done.Add(int64(len(runs) - failed))
}

// claim locks up to rows fan-outs and takes at most limit recipients from them in all.
func claim(ctx context.Context, tx *postgres.Tx, rows, limit int) ([]*fanOut, error) {
	result, err := tx.Query(ctx, claimFanOuts, rows, limit)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(result, func(row pgx.CollectableRow) (*fanOut, error) {
		f := &fanOut{}
		return f, row.Scan(&f.trigger, &f.n, &f.env, &f.recipients, &f.remaining, &f.version, &f.actor, &f.tenant, &f.data, &f.acceptedAt)
	})
	if err != nil {
		return nil, fmt.Errorf("claim fan-outs: %w", err)
	}
	for i, f := range all {
		if limit == 0 {
			return all[:i], nil // the rest is free again when this transaction ends
		}
		f.recipients = f.recipients[:min(len(f.recipients), limit)]
		limit -= len(f.recipients)
	}
	return all, nil
}

// decide advances a run for every claimed recipient.
func (e *Engine) decide(ctx context.Context, tx *postgres.Tx, claimed []*fanOut) ([]run, error) {
	people, err := loadPeople(ctx, tx, claimed)
	if err != nil {
		return nil, err
	}
	now := e.now()
	var runs []run
	for _, f := range claimed {
		v, err := e.version(ctx, tx, f.version)
		if err != nil {
			return nil, err
		}
		shared := f.scope(v, people, now)
		for _, id := range f.recipients {
			r := run{fanOut: f, version: v, recipient: id}
			if person := people[id]; person != nil {
				r.user = person.ExternalID
				r.decision = advance(ctx, v.program, shared.with(person), now)
			} else {
				r.fail("", "recipient_gone", "the recipient was deleted after the trigger was accepted")
			}
			runs = append(runs, r)
		}
	}
	return runs, nil
}

// loadPeople reads everybody that the claimed fan-outs name: recipients, actors and tenants.
func loadPeople(ctx context.Context, tx *postgres.Tx, claimed []*fanOut) (map[belfry.RecipientID]*belfry.Recipient, error) {
	var ids []belfry.RecipientID
	envs := make([]belfry.EnvironmentID, 0, 1)
	seen := make(map[belfry.EnvironmentID]bool)
	for _, f := range claimed {
		ids = append(ids, f.recipients...)
		for _, id := range []belfry.RecipientID{f.actor, f.tenant} {
			if id != 0 {
				ids = append(ids, id)
			}
		}
		if !seen[f.env] {
			seen[f.env] = true
			envs = append(envs, f.env)
		}
	}
	people, err := recipient.Load(ctx, tx, envs, ids)
	if err != nil {
		return nil, fmt.Errorf("load recipients: %w", err)
	}
	return people, nil
}

// scope is what all runs of the fan-out see.
func (f *fanOut) scope(v *version, people map[belfry.RecipientID]*belfry.Recipient, now time.Time) Scope {
	return Scope{
		"data":      f.data,
		"actor":     people[f.actor].Scope(),
		"tenant":    people[f.tenant].Scope(),
		"workflow":  map[string]any{"key": v.Key, "name": v.Definition.Name, "version": v.Number, "categories": anySlice(v.Definition.Categories)},
		"run":       map[string]any{"trigger_id": f.trigger.String()},
		"timestamp": now.Format(time.RFC3339Nano),
	}
}

// with is the scope of one recipient's run.
func (s Scope) with(r *belfry.Recipient) Scope {
	out := make(Scope, len(s)+1)
	for k, v := range s {
		out[k] = v
	}
	out["recipient"] = r.Scope()
	return out
}

// anySlice makes strings look as if they had been decoded from JSON.
func anySlice(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
