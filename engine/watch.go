package engine

import (
	"context"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/watch"
	"github.com/belfryhq/belfry/postgres"
)

// watchInterval is how often a watched run is read: what this node does itself is told at once, what another one does
// within this time. Runs are watched by a few people, so no bus has to carry every run of everybody.
const watchInterval = time.Second

// announce tells whoever waits for what has been written, once it is committed.
func (e *Engine) announce(tx *postgres.Tx, runs []*run) {
	e.announceFetches(tx, runs)
	tx.AfterCommit(func() { e.watchers.Ring(keysOf(runs)) })
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
	told := -1 // entries of the log
	return watch.Follow(ctx, &e.watchers, runKey{recipient, trigger}, watchInterval, func() (r *Run, news, over bool) {
		r, err := e.RunByKey(ctx, env, recipient, trigger)
		if err != nil {
			return nil, false, belfry.CodeOf(err) != belfry.NotFound
		}
		over = r.Status != Waiting
		news = over || len(r.Log) != told
		told = len(r.Log)
		return r, news, over
	})
}
