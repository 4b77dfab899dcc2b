package recipient

import (
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/belfryhq/belfry"
)

// Epoch names a stretch of time in which nobody left the recipients of an environment: whoever had an id has it still. It is read
// from the database with what is to be true in it, in one statement.
type Epoch struct {
	ID pgtype.UUID // recipient_epochs.epoch; null as long as nobody has ever left
	// Server is when PostgreSQL was started: one that took over from another may lack the last of its recipients, and give their
	// ids to others.
	Server time.Time
}

// CurrentEpoch is the columns of the Epoch of environment $2.
const CurrentEpoch = `(SELECT epoch FROM recipient_epochs WHERE environment_id = $2), pg_postmaster_start_time()`

// remembered is an id that was found.
type remembered struct {
	id     belfry.RecipientID
	during *Epoch // one of epochs, compared by address
}

// epochs is the last Epoch that was seen of each environment.
type epochs struct {
	mu   sync.Mutex
	last map[belfry.EnvironmentID]*Epoch
}

func (e *epochs) see(env belfry.EnvironmentID, epoch Epoch) *Epoch {
	epoch.Server = epoch.Server.UTC()
	e.mu.Lock()
	defer e.mu.Unlock()
	if last := e.last[env]; last != nil && *last == epoch {
		return last
	}
	if e.last == nil {
		e.last = make(map[belfry.EnvironmentID]*Epoch)
	}
	e.last[env] = &epoch
	return &epoch
}

func (e *epochs) of(env belfry.EnvironmentID) *Epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last[env]
}

// Remembered returns the ids of all these recipients, in their order, and the epoch in which they were found; nil if they
// aren't remembered to have been found in one. They are a guess: whoever uses them makes sure, in the statement that does, that the
// epoch lasts.
func (s *Service) Remembered(env belfry.EnvironmentID, refs []belfry.RecipientRef) ([]belfry.RecipientID, Epoch) {
	epoch := s.epochs.of(env)
	if epoch == nil {
		return nil, Epoch{}
	}
	out := make([]belfry.RecipientID, len(refs))
	for i, ref := range refs {
		known, ok := s.remembered.Get(address{env, ref})
		if !ok || known.during != epoch {
			return nil, Epoch{}
		}
		out[i] = known.id
	}
	return out, *epoch
}

// Remember keeps what recipients' ids were in an epoch: one for each of refs.
func (s *Service) Remember(env belfry.EnvironmentID, epoch Epoch, refs []belfry.RecipientRef, ids []belfry.RecipientID) {
	during := s.epochs.see(env, epoch)
	for i, ref := range refs {
		a := address{env, ref}
		if !s.remembered.Contains(a) {
			a = a.own()
		}
		s.remembered.Add(a, remembered{ids[i], during})
	}
}
