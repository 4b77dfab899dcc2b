package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// lease is the right to make one attempt to send a message, until some instant.
type lease struct {
	Message
	fence      int64
	attempt    int
	until      time.Time
	unreadable error // of the stored message; another release may be able to read it
}

// claim leases up to limit due messages: in-app ones, or the others. Environments that have some take turns.
func (s *Service) claim(ctx context.Context, q Querier, inApp bool, limit int) ([]*lease, error) {
	if limit <= 0 {
		return nil, nil
	}
	turn := &s.next.others
	if inApp {
		turn = &s.next.inApp
	}
	now := s.now()
	until := now.Add(s.Lease)
	rows, err := q.Query(ctx, claimDue, inApp, now, limit, turn.Load(), until)
	if err != nil {
		return nil, fmt.Errorf("claim due messages: %w", err)
	}
	var last int64
	leases, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*lease, error) {
		l := &lease{until: until}
		err := l.scan(row, &last, &l.fence, &l.attempt)
		if e, ok := errors.AsType[*unreadableError](err); ok { // its own failure: the others have nothing to do with it
			l.unreadable, err = e, nil
		}
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("claim due messages: %w", err)
	}
	if len(leases) > 0 {
		turn.Store(last)
	}
	return leases, nil
}
