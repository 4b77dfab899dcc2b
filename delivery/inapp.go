package delivery

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// moveInApp hands in-app messages to their feeds when their time comes, until ctx ends.
func (s *Service) moveInApp(ctx context.Context) {
	poll := newPoll(s.PollInterval)
	defer poll.stop()
	for ctx.Err() == nil {
		// A transaction is finished even if ctx ends meanwhile: it is short, and undoing it is no gain.
		n, err := s.moveDue(context.WithoutCancel(ctx))
		if err != nil || n == 0 {
			s.rest(ctx, poll, err, nil, nil)
		}
	}
}

// moveDue claims due in-app messages, appends them to their feeds and marks them, in one transaction: so it happens
// exactly once. It returns how many there were.
func (s *Service) moveDue(ctx context.Context) (int, error) {
	var done []*outcome
	err := postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
		leases, err := s.claim(ctx, tx, true, s.BatchSize)
		if err != nil || len(leases) == 0 {
			return err
		}
		// InApp is called several times if it refuses something: it takes its locks in the order of recipients all the same.
		slices.SortStableFunc(leases, func(a, b *lease) int { return cmp.Compare(a.Recipient, b.Recipient) })
		var outcomes []*outcome
		leases = slices.DeleteFunc(leases, func(l *lease) bool {
			if l.unreadable == nil {
				return false
			}
			o := &outcome{lease: l, at: s.now(), provider: "feed"}
			s.refuseUnreadable(o)
			outcomes = append(outcomes, o)
			return true
		})
		if len(leases) > 0 {
			outcomes, err = s.moveInHalves(ctx, tx, leases, outcomes)
		}
		if err != nil {
			return err
		}
		done, err = s.record(ctx, tx, outcomes)
		return err
	})
	if err != nil {
		return 0, err
	}
	s.stats.count(done)
	return len(done), nil
}

// refused reports whether an error of InApp says that a message can't be put into a feed: the database won't take it, or
// the feed is none of its environment's. Whatever else goes wrong (deadlocks, timeouts, a lost connection) isn't about it.
func refused(err error) bool {
	return postgres.IsDataException(err) || belfry.CodeOf(err) != belfry.Internal
}

// moveInHalves appends messages to their feeds. If something is refused it tries one half, then the other; a single message
// that is refused gets another attempt later. Without that, one bad message would hold up all others.
func (s *Service) moveInHalves(ctx context.Context, tx *postgres.Tx, leases []*lease, outcomes []*outcome) ([]*outcome, error) {
	messages := make([]belfry.Message, len(leases))
	for i, l := range leases {
		messages[i] = l.Message.Message
	}
	at := s.now()
	err := tx.Savepoint(ctx, func() error { return s.InApp(ctx, tx, messages) })
	switch {
	case err == nil:
		for i, l := range leases {
			outcomes = append(outcomes, &outcome{lease: l, status: belfry.Sent, at: at, movedTo: messages[i].Seq})
		}
		return outcomes, nil
	case !refused(err): // no message's fault: all of it is done again
		return nil, err
	case len(leases) == 1:
		s.Log.Error("an in-app message could not be put into its feed", "message", leases[0].ID().String(), "attempt", leases[0].attempt, "error", err)
		o := &outcome{lease: leases[0], at: at, provider: "feed"}
		// What the database says is not for everybody who may see the message.
		o.fail(errors.New("the message could not be put into the feed"), at)
		return append(outcomes, o), nil
	}
	half := len(leases) / 2
	outcomes, err = s.moveInHalves(ctx, tx, leases[:half], outcomes)
	if err != nil {
		return nil, err
	}
	return s.moveInHalves(ctx, tx, leases[half:], outcomes)
}
