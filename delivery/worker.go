package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/belfryhq/belfry/postgres"
)

const (
	shutdownGrace = 5 * time.Second  // for attempts that are under way when we are told to end
	recordTimeout = 10 * time.Second // of the transaction that records outcomes
	recordTries   = 5                // then its messages are sent again once their leases end
	firstBackoff  = 50 * time.Millisecond
	maxBackoff    = 5 * time.Second // between attempts while the database fails
)

// Run sends messages until ctx ends. Attempts that are under way get a little longer, and what they achieved is recorded;
// those that are cut off then don't count.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.dispatch(ctx) })
	wg.Go(func() { s.moveInApp(ctx) })
	wg.Wait()
	return nil
}

// dispatch leases as many messages as there are free workers, again and again.
func (s *Service) dispatch(ctx context.Context) {
	sending, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(s.grace, abort) })
	defer stop()

	busy := make(chan struct{}, s.Workers)
	freed := make(chan struct{}, 1)
	outcomes := make(chan *outcome, s.Workers)
	var attempts, recorder sync.WaitGroup
	recorder.Go(func() { s.recordAll(context.WithoutCancel(ctx), outcomes, busy, freed) })
	defer recorder.Wait()
	defer close(outcomes)
	defer attempts.Wait()

	poll := newPoll(s.PollInterval)
	defer poll.stop()
	for ctx.Err() == nil {
		free := s.Workers - len(busy)
		// A claim is finished even if ctx ends meanwhile: an attempt is lost to whoever claims and doesn't look.
		leases, err := s.claim(context.WithoutCancel(ctx), s.Pool, false, min(free, s.BatchSize))
		for _, l := range leases {
			busy <- struct{}{}
			attempts.Go(func() { outcomes <- s.try(sending, l) })
		}
		if err == nil && len(leases) > 0 && len(leases) < free {
			continue // environments share: there may be more
		}
		s.rest(ctx, poll, err, s.wake, freed)
	}
}

// recordAll records outcomes as they come, those that wait for it together, and frees their workers.
func (s *Service) recordAll(ctx context.Context, outcomes <-chan *outcome, busy <-chan struct{}, freed chan<- struct{}) {
	for first := range outcomes {
		batch := []*outcome{first}
	gather:
		for len(batch) < s.BatchSize {
			select {
			case o, ok := <-outcomes:
				if !ok {
					break gather
				}
				batch = append(batch, o)
			default:
				break gather
			}
		}
		s.recordCarefully(ctx, batch)
		for range batch {
			<-busy
		}
		select {
		case freed <- struct{}{}:
		default:
		}
	}
}

// recordCarefully records a batch. If the database doesn't take it, it is tried again, and what it refuses is left out: such
// a message is sent again when its lease ends.
func (s *Service) recordCarefully(ctx context.Context, batch []*outcome) {
	backoff := firstBackoff
	for try := 1; ; try++ {
		err := s.commit(ctx, batch)
		if err == nil {
			return
		}
		s.stats.errors.Add(1)
		if postgres.IsDataException(err) && len(batch) > 1 {
			for _, o := range batch {
				s.recordCarefully(ctx, []*outcome{o})
			}
			return
		}
		if try == recordTries || postgres.IsDataException(err) {
			s.Log.Error("the outcome of deliveries could not be recorded; the messages are sent again when their lease ends",
				"messages", len(batch), "error", err)
			return
		}
		s.Log.Warn("the outcome of deliveries could not be recorded; it is tried again", "messages", len(batch), "error", err)
		time.Sleep(backoff)
		backoff = min(4*backoff, maxBackoff)
	}
}

// commit records outcomes in a transaction of its own.
func (s *Service) commit(ctx context.Context, batch []*outcome) error {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	var held []*outcome
	err := postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) (err error) {
		held, err = s.record(ctx, tx, batch)
		return err
	})
	if err != nil {
		return err
	}
	s.stats.count(held)
	if outdated := len(batch) - len(held); outdated > 0 {
		s.stats.outdated.Add(int64(outdated))
		s.Log.Warn("deliveries took longer than their lease: their outcome doesn't count", "messages", outdated)
	}
	return nil
}

// poll is when to look again.
type poll struct {
	timer    *time.Timer
	interval time.Duration
	backoff  time.Duration // while the database fails
}

func newPoll(interval time.Duration) *poll {
	return &poll{timer: time.NewTimer(interval), interval: interval}
}

func (p *poll) stop() { p.timer.Stop() }

// rest waits until there may be work: for a signal, or a while. After an error it waits longer each time, whatever
// the signals say.
func (s *Service) rest(ctx context.Context, p *poll, err error, wake, freed <-chan struct{}) {
	wait := p.interval
	if err == nil {
		p.backoff = 0
	} else {
		p.backoff = min(max(2*p.backoff, firstBackoff), maxBackoff)
		wait, wake, freed = p.backoff, nil, nil
		s.stats.errors.Add(1)
		s.Log.Error("messages could not be delivered because the database failed; it is tried again", "retry_in", wait, "error", err)
	}
	p.timer.Reset(wait)
	select {
	case <-ctx.Done():
	case <-p.timer.C:
	case <-wake:
	case <-freed:
	}
}
