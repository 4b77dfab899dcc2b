package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/postgres"
)

// auditWalk counts some feeds every few seconds, and begins again when it has seen all.
var auditWalk = walk{name: "audit", step: 10 * time.Second, rest: time.Hour, size: 20}

const (
	walkInterval = 10 * time.Second // how often it is looked whether a walk goes on
	maxAudited   = 50_000           // items of a feed; longer ones aren't counted
)

// Audit recounts the next feeds of a round, each in a snapshot of its own, and compares: the counters with the items, those of
// groups too, the pins with what there is. What differs is a fault of this program: it is counted (Stats.BadgeDrift), logged, and put right under
// the feed's lock, and whoever listens is reset. Run calls it.
func (s *Service) Audit(ctx context.Context) error {
	feeds, err := s.stretch(ctx, auditWalk)
	if err != nil {
		return err
	}
	var failed []error
	for _, k := range feeds { // the walk has passed all of them: one that fails must not take the others' turn
		if err := s.audit(ctx, k); err != nil {
			failed = append(failed, fmt.Errorf("audit the feed of recipient %d on %q: %w", k.recipient, k.channel, err))
		}
	}
	return errors.Join(failed...)
}

func (s *Service) audit(ctx context.Context, k key) error {
	drifted := false
	err := postgres.InSnapshot(ctx, s.Pool, func(tx pgx.Tx) error {
		h, err := readHeader(ctx, tx, selectHeader, k)
		if err != nil || h.cells.total() > maxAudited {
			return err
		}
		truth, err := recount(ctx, tx, h)
		if err != nil {
			return err
		}
		drifted = truth.cells != h.cells || len(truth.pins) != len(h.pins)
		if h.groupedTo <= 0 {
			return nil
		}
		kept, err := readGroups(ctx, tx, h)
		drifted = drifted || !kept.equal(truth.groups)
		return err
	})
	if err != nil || !drifted {
		return err
	}
	return postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error { return s.heal(ctx, tx, k) })
}

// heal recounts under the lock. It takes a version of which there is no change: that nobody can replay, so listeners are reset.
func (s *Service) heal(ctx context.Context, tx *postgres.Tx, k key) error {
	h, err := readHeader(ctx, tx, lockHeader, k)
	if err != nil {
		return err
	}
	truth, err := recount(ctx, tx, h)
	if err != nil {
		return err
	}
	// After the count: whoever's items were seen to be gone is seen to be gone, too. A feed that is being forgotten goes piece by
	// piece, its row last: that its counters lag behind is no fault.
	owners, err := s.owners(ctx, tx, []key{k})
	if err != nil || owners[k].User == "" {
		return err
	}
	was := h.cells
	h.cells, h.pins, h.groupedTo = truth.cells, truth.pins, 0 // groups are made anew when somebody asks
	h.version++
	if err := s.writeHeader(ctx, tx, h); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		s.drift.Add(1)
		s.Log.Error("the counters of a feed were wrong and have been put right; please report this",
			"environment", k.env, "recipient", k.recipient, "channel", k.channel, "were", was, "are", truth.cells)
		s.publish([]addressed{{env: k.env, channel: k.channel, user: owners[k].User, version: h.version}})
	})
	return nil
}

// counted is what the items of a feed say.
type counted struct {
	cells  Cells
	pins   Pins   // those whose items are there
	groups *tally // of the items that are counted by group
}

// recount counts what there is.
func recount(ctx context.Context, tx pgx.Tx, h *header) (*counted, error) {
	c := &counted{groups: newTally()}
	pinned := h.pins.seqs()
	var found []int64
	err := eachItem(ctx, tx, h, 0, h.lastSeq, false, func(it *stored) {
		c.cells.Add(it.State, 1)
		if it.seq <= h.groupedTo {
			c.groups.add(&it.Attributes, it.State, 1)
		}
		if slices.Contains(pinned, it.seq) {
			found = append(found, it.seq)
		}
	})
	c.pins = slices.DeleteFunc(slices.Clone(h.pins), func(p Pin) bool { return !slices.Contains(found, p.Seq) })
	return c, err
}
