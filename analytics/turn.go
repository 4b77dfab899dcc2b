package analytics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// turnMessages is about how many messages of one destination are delivered before the next destination's turn. It
// bounds memory: a turn holds at most this many and one event.
const turnMessages = 1000

// recordTimeout bounds the statement that records what a request achieved. It runs even when we are shutting down:
// what is not recorded is sent again.
const recordTimeout = 5 * time.Second

// errLeaseLost says that the destination was changed, removed, or taken over by another node.
var errLeaseLost = errors.New("the lease on the destination is lost")

// lease is the right to send to one destination for some time.
type lease struct {
	env                belfry.EnvironmentID
	writeKey, endpoint string
	fence              int64
	failures           int
	cursor             cursor
}

// cursor is a place in an environment's log: the last event delivered, and how many messages of the one after it.
type cursor struct {
	xid   uint64
	id    int64
	index int
}

// claim leases up to limit destinations that are due and have events to deliver.
func (s *Segment) claim(ctx context.Context, limit int) ([]lease, error) {
	if limit <= 0 {
		return nil, nil
	}
	now := s.cfg.Now()
	rows, _ := s.cfg.Pool.Query(ctx, claimDue, now, now.Add(s.cfg.Lease), limit) // an error is also in rows
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l lease, err error) {
		err = row.Scan(&l.env, &l.writeKey, &l.endpoint, &l.fence, &l.failures, &l.cursor.xid, &l.cursor.id, &l.cursor.index)
		return l, err
	})
}

// turn delivers a bounded amount of what a destination misses and gives up the lease. It reports whether there may be
// more to deliver at once.
func (s *Segment) turn(ctx context.Context, l lease) (more bool) {
	delivered, err := s.deliver(ctx, &l)
	if err == nil {
		s.record(ctx, l, "release", releaseLease, s.cfg.Now())
		return delivered
	}
	var refused *deliveryError
	switch {
	case errors.Is(err, errLeaseLost):
		s.cfg.Log.InfoContext(ctx, "analytics: somebody else took over a Segment destination", "environment", l.env)
	case ctx.Err() != nil:
		s.record(ctx, l, "release", releaseLease, s.cfg.Now())
	case errors.As(err, &refused):
		s.failed.Add(1)
		s.retryLater(ctx, l, refused, refused.delay(l.failures))
	default: // our own trouble, such as the database's
		s.retryLater(ctx, l, err, transient.delay(l.failures))
	}
	return false
}

// deliver sends the next events batch by batch, moving the cursor after each.
func (s *Segment) deliver(ctx context.Context, l *lease) (progress bool, err error) {
	key, err := s.cfg.EnvironmentKey(ctx, l.env)
	if err != nil {
		return false, fmt.Errorf("look up the environment's key: %w", err)
	}
	events, err := s.read(ctx, l)
	if err != nil {
		return false, err
	}
	for b := range s.batches(l, key, events) {
		if err := s.send(ctx, l, b.tracks); err != nil {
			return progress, err
		}
		s.sent.Add(int64(len(b.tracks)))
		if err := s.advance(ctx, l, b.through); err != nil {
			return progress, err
		}
		progress, l.failures = true, 0
	}
	return progress, nil
}

func (s *Segment) read(ctx context.Context, l *lease) ([]event, error) {
	rows, _ := s.cfg.Pool.Query(ctx, readEvents, int64(l.env), l.cursor.xid, l.cursor.id, turnMessages)
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e event, err error) {
		err = row.Scan(&e.xid, &e.id, &e.kind, &e.at, &e.channel, &e.channelType, &e.workflow, &e.stepRef,
			&e.all, &e.count, &e.recipients, &e.users, &e.seqs)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

// advance moves the cursor and renews the lease for the next request.
func (s *Segment) advance(ctx context.Context, l *lease, to cursor) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	tag, err := s.cfg.Pool.Exec(ctx, advanceCursor, int64(l.env), l.fence, to.xid, to.id, to.index,
		s.cfg.Now().Add(s.cfg.Lease))
	if err != nil {
		return fmt.Errorf("move the cursor: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errLeaseLost
	}
	return nil
}

// retryLater frees the destination for whichever node comes first after the delay.
func (s *Segment) retryLater(ctx context.Context, l lease, cause error, delay time.Duration) {
	level, todo := slog.LevelWarn, "nothing, unless it goes on: it is tried again, and no event is lost"
	notice := "events could not be read; the server's log says why"
	if refused, ok := errors.AsType[*deliveryError](cause); ok {
		notice = refused.notice()
		if refused.class() == lasting {
			level, todo = slog.LevelError, refused.todo()
			notice += "; " + todo
		}
	}
	s.cfg.Log.Log(ctx, level, "analytics: cannot deliver events to Segment", "environment", l.env,
		"error", cause, "failures", l.failures+1, "next_attempt_in", delay.Round(time.Millisecond), "to_do", todo)
	s.record(ctx, l, "postpone", postpone, s.cfg.Now().Add(delay), excerpt(notice, maxErrorLength))
}

// record runs an update of the lease whose failure costs nothing but time: the lease ends by itself.
func (s *Segment) record(ctx context.Context, l lease, what, update string, args ...any) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if _, err := s.cfg.Pool.Exec(ctx, update, append([]any{int64(l.env), l.fence}, args...)...); err != nil {
		s.cfg.Log.WarnContext(ctx, "analytics: cannot update a Segment destination; its lease will end by itself",
			"update", what, "environment", l.env, "error", err)
	}
}
