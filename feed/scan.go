package feed

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

const (
	// longFeed is how many versions a feed has that isn't read as a whole under its lock, or by many at a time.
	longFeed = 5000
	// maxScans is how many long feeds a node reads at a time, and maxScansOfOne how many of those may be of one environment: the
	// others wait, and leave the database to shorter questions.
	maxScans      = 2
	maxScansOfOne = 1
	// scanPatience is how long they wait.
	scanPatience = 5 * time.Second
)

// scans are the long feeds that a node reads. The zero value is ready.
type scans struct {
	mu   sync.Mutex
	node chan struct{} // holds one for each
	of   map[belfry.EnvironmentID]*scansOfOne
}

// scansOfOne are those of an environment.
type scansOfOne struct {
	slots chan struct{}
	users int // who hold a slot, or wait for one
}

// errBusy is a Conflict, like other work that has to wait for work of the same kind.
var errBusy = belfry.Errorf(belfry.Conflict, "too many long feeds are being counted: try again in a few seconds, or leave data and times out of filters")

// turn waits until a long feed may be read. done ends that. Environments wait in line for the node, one call of each at a time, so
// that none keeps others out. Who waits for too long gets errBusy.
func (s *scans) turn(ctx context.Context, env belfry.EnvironmentID) (done func(), err error) {
	ctx, stop := context.WithTimeoutCause(ctx, scanPatience, errBusy)
	defer stop()
	own := s.join(env)
	if err := enter(ctx, own.slots); err != nil {
		s.leave(env)
		return nil, err
	}
	if err := enter(ctx, s.node); err != nil {
		<-own.slots
		s.leave(env)
		return nil, err
	}
	return func() {
		<-s.node
		<-own.slots
		s.leave(env)
	}, nil
}

func enter(ctx context.Context, slots chan<- struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *scans) join(env belfry.EnvironmentID) *scansOfOne {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.node, s.of = make(chan struct{}, maxScans), make(map[belfry.EnvironmentID]*scansOfOne)
	}
	own := s.of[env]
	if own == nil {
		own = &scansOfOne{slots: make(chan struct{}, maxScansOfOne)}
		s.of[env] = own
	}
	own.users++
	return own
}

func (s *scans) leave(env belfry.EnvironmentID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.of[env]; own.users > 1 {
		own.users--
	} else {
		delete(s.of, env)
	}
}

// eachItem calls fn with the items between two sequence numbers (the first excluded), in their true state, oldest first.
// What it is given is good until it returns. Their data is there only if it is asked for.
func eachItem(ctx context.Context, tx pgx.Tx, h *header, after, upTo int64, data bool, fn func(*stored)) error {
	if after >= upTo {
		return nil
	}
	var limit *int64 // none: rows are read as they come
	rows, err := tx.Query(ctx, selectStates, h.recipient, h.channel, h.env, max(after, 0), upTo, limit, data || h.watermarks.needData())
	if err != nil {
		return err
	}
	var it stored
	_, err = pgx.ForEachRow(rows, it.allFields(), func() error {
		it.State = h.watermarks.Effective(it.seq, &it.Attributes, it.State)
		fn(&it)
		it.Data = nil
		return nil
	})
	return err
}

// countAfter counts the items that came after a sequence number, by state.
func countAfter(ctx context.Context, tx pgx.Tx, h *header, seq int64) (c Cells, err error) {
	err = eachItem(ctx, tx, h, seq, h.lastSeq, false, func(it *stored) { c.Add(it.State, 1) })
	return c, err
}

// settlePiece is how many items one mark settles at most.
const settlePiece = 2000

// settle writes what the watermarks say to the next n items, at most, and drops the watermarks that are done with. The first is
// done with when all the items that it reaches were written since it was made; what was made in between takes part in the next
// round, and is written along in this one, for it comes after.
func settle(ctx context.Context, tx pgx.Tx, h *header, n int) error {
	if len(h.watermarks) == 0 {
		return nil
	}
	from, reach := h.watermarks[0].Settled, int64(0)
	for _, w := range h.watermarks {
		reach = max(reach, w.UpTo)
	}
	after := from
	for n > 0 && after < reach {
		size := min(n, scanChunk)
		rows, err := tx.Query(ctx, selectStretch, h.recipient, h.channel, h.env, after, reach, size, h.watermarks.needData())
		if err != nil {
			return err
		}
		chunk, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m markable, err error) {
			return m, row.Scan(m.allFields()...)
		})
		if err != nil {
			return err
		}
		if after = reach; len(chunk) == size {
			after = chunk[size-1].seq
		}
		n -= size
		if err := writeStates(ctx, tx, h.key, settled(h, chunk)); err != nil {
			return err
		}
	}
	h.watermarks = h.watermarks.settled(from, after)
	return nil
}

// settled is those of some items to which the watermarks did anything, as they are. What is written is told of.
func settled(h *header, items []markable) (changed []stored) {
	for _, it := range items {
		changes := h.watermarks.changes(it.seq, &it.Attributes, it.State)
		it.overtake(h.watermarks)
		if !changes && len(it.unexpanded) == 0 {
			continue
		}
		h.tell(&it)
		it.Version = h.watermarks[len(h.watermarks)-1].Version
		changed = append(changed, stored{seq: it.seq, State: it.State})
	}
	return changed
}

// selectStretch reads what settling a stretch of a feed needs, oldest first.
const selectStretch = `SELECT ` + stateColumns + `, ` + attributeColumns + `, CASE WHEN $7 THEN content->'data' END, step_ref
  FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq > $4 AND seq <= $5
 ORDER BY seq LIMIT $6`
