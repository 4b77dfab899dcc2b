package feed

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Service is the feeds of all people. Fill in every field; it is safe for concurrent use.
type Service struct {
	Pool *pgxpool.Pool
	Bus  Bus
	// UserID finds a user's internal id by environment and external id; 0 if the user is not known.
	UserID func(context.Context, belfry.EnvironmentID, string) (belfry.RecipientID, error)
	// TenantIDs finds tenants' internal ids by external ids; those that are not known are left out.
	TenantIDs func(context.Context, belfry.EnvironmentID, []string) (map[string]belfry.RecipientID, error)
	// Recipients finds recipients by their internal ids, as the transaction sees them; those who are deleted are left out.
	Recipients func(context.Context, *postgres.Tx, belfry.EnvironmentID, []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error)
	// ItemsOf finds the items that runs of a trigger made for so many of its recipients, those behind one, in the order of their
	// ids; the last of those recipients, and whether there may be more.
	ItemsOf func(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, trigger [16]byte, behind belfry.RecipientID, recipients int) (
		items []belfry.MessageID, last belfry.RecipientID, more bool, err error)
	// Observe records what happens to messages, in the transaction in which it happens.
	Observe func(context.Context, *postgres.Tx, []belfry.StatusChange) error
	// ObserveEach records what marks on everything did to each message, of which Observe has heard as a whole (StatusChange.Each):
	// in the same transaction, or in later ones. Where marks come too fast what is left of each is told as a number (All).
	ObserveEach func(context.Context, *postgres.Tx, []belfry.StatusChange) error
	Now         func() time.Time
	Log         *slog.Logger

	drift     atomic.Int64
	mu        sync.Mutex
	followers map[*follower]struct{}
	scans     scans

	lookAtOnce, lookLater int // items, to expand marks; 0: expandAtOnce and expandPiece. Tests look at fewer
}

const (
	// MaxPageSize is how many items a page may hold.
	MaxPageSize = 100
	// MaxMarkIDs is how many items one call may mark by id.
	MaxMarkIDs = 100

	maxReplay       = 500                // events told to a subscriber that comes back; beyond, it is reset
	replayChunk     = 32                 // of those that are read at a time: what a subscriber that doesn't take them holds
	changeRetention = 7 * 24 * time.Hour // how long marks can be replayed
	sweepInterval   = 30 * time.Second   // how often connected feeds are compared with the database
	pruneInterval   = time.Hour          // how often changes beyond changeRetention are dropped
	pruneBatch      = 20_000             // changes dropped by one statement, so that none runs for long
	scanChunk       = 200                // rows read at a time while looking for items that match a filter
	maxScan         = 2000               // rows looked at for one page; beyond, the page is short
)

// now is the current instant as PostgreSQL will give it back: in UTC, to the microsecond.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// Run does the housekeeping until ctx ends: it finds changes whose bell was lost, drops changes too old to be replayed, and
// does to items what is due. Several nodes may run it.
func (s *Service) Run(ctx context.Context) error {
	var upkeep sync.WaitGroup
	upkeep.Go(func() { s.upkeep(ctx, "timers", timerInterval, s.FireTimers) })
	upkeep.Go(func() { s.upkeep(ctx, "marks", timerInterval, s.ExpandMarks) })
	upkeep.Go(func() { s.upkeep(ctx, "operations", timerInterval, s.RunOperations) })
	upkeep.Go(func() { s.upkeep(ctx, "retention", walkInterval, s.Trim) })
	upkeep.Go(func() { s.upkeep(ctx, "audit", walkInterval, s.Audit) })
	defer upkeep.Wait()
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	prune := time.NewTicker(pruneInterval)
	defer prune.Stop()
	err := s.prune(ctx) // at once too: a node may not live for an interval
	for {
		if err != nil && ctx.Err() == nil {
			s.Log.Error("feed housekeeping failed; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			err = s.Sweep(ctx)
		case <-prune.C:
			err = s.prune(ctx)
		}
	}
}

// upkeep does something again and again, until ctx ends. What fails is tried again.
func (s *Service) upkeep(ctx context.Context, what string, interval time.Duration, do func(context.Context) error) {
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			if err := do(ctx); err != nil && ctx.Err() == nil {
				s.Log.Error("the upkeep of feeds failed; it is tried again", "of", what, "error", err)
			}
		}
	}
}

// Stats are counts since the service was made.
type Stats struct {
	BadgeDrift int64 // feeds whose counters were not what their items say: it must stay 0
}

// Stats reads the counts.
func (s *Service) Stats() Stats { return Stats{BadgeDrift: s.drift.Load()} }

// prune drops the changes that are too old to be replayed.
func (s *Service) prune(ctx context.Context) error {
	for {
		tag, err := s.Pool.Exec(ctx, deleteChanges, s.now().Add(-changeRetention), pruneBatch)
		if err != nil || tag.RowsAffected() < pruneBatch {
			return err
		}
	}
}
