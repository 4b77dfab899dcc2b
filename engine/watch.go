package engine

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// watchInterval is how often a watched run is read: what this node does itself is told at once, what another one does
// within this time. Runs are watched by a few people, so no bus has to carry every run of everybody.
const watchInterval = time.Second

// watchers are those who watch runs through this node.
type watchers struct {
	mu   sync.Mutex
	runs map[runKey][]chan struct{}
}

// listen returns a channel that gets a value when the run may have changed, and a function to stop.
func (w *watchers) listen(k runKey) (<-chan struct{}, func()) {
	ring := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runs == nil {
		w.runs = make(map[runKey][]chan struct{})
	}
	w.runs[k] = append(w.runs[k], ring)
	return ring, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		rest := w.runs[k][:0:0]
		for _, other := range w.runs[k] {
			if other != ring {
				rest = append(rest, other)
			}
		}
		if w.runs[k] = rest; len(rest) == 0 {
			delete(w.runs, k)
		}
	}
}

// ring tells those who watch the runs.
func (w *watchers) ring(runs iter.Seq[runKey]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.runs) == 0 {
		return
	}
	for k := range runs {
		for _, ring := range w.runs[k] {
			select {
			case ring <- struct{}{}:
			default: // it has been told
			}
		}
	}
}

// announce tells whoever waits for what has been written, once it is committed.
func (e *Engine) announce(tx *postgres.Tx, runs []*run) {
	e.announceFetches(tx, runs)
	tx.AfterCommit(func() { e.watchers.ring(keysOf(runs)) })
}

func keysOf(runs []*run) iter.Seq[runKey] {
	return func(yield func(runKey) bool) {
		for _, r := range runs {
			if !yield(runKey{r.recipient, r.trigger.id}) {
				return
			}
		}
	}
}

// Watch tells how a run goes on: its present state, then each that follows, until it has ended. One that hasn't begun is
// waited for. The channel is closed then, when ctx ends, or when the database can't be read.
func (e *Engine) Watch(ctx context.Context, env belfry.EnvironmentID, recipient belfry.RecipientID, trigger uuid.UUID) <-chan *Run {
	rings, stop := e.watchers.listen(runKey{recipient, trigger})
	out := make(chan *Run)
	go func() {
		defer close(out)
		defer stop()
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for told := -1; ; { // entries of the log
			r, err := e.RunByKey(ctx, env, recipient, trigger)
			if err != nil && belfry.CodeOf(err) != belfry.NotFound {
				return
			}
			if err == nil && (len(r.Log) != told || r.Status != Waiting) {
				told = len(r.Log)
				select {
				case out <- r:
				case <-ctx.Done():
					return
				}
				if r.Status != Waiting {
					return
				}
			}
			select {
			case <-rings:
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
