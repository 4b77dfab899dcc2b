package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// load reads what the claimed runs need to be advanced: versions, people, variables, batches, statuses, cancellations.
// Everything is one query for all of them.
func (e *Engine) load(ctx context.Context, tx *postgres.Tx, c *claim) (*surroundings, error) {
	s := &surroundings{scopes: map[*trigger]Scope{}, decided: decisions{}, vars: map[belfry.EnvironmentID]map[string]any{}}
	for _, r := range c.runs {
		if err := e.assignVersion(ctx, tx, r); err != nil {
			return nil, err
		}
	}
	var err error
	var digests recipient.SetDigests
	if s.people, digests, err = loadPeople(ctx, tx, c.runs); err != nil {
		return nil, err
	}
	if err := loadPreferences(ctx, tx, c.runs, s.people, digests); err != nil {
		return nil, err
	}
	if err := s.loadReach(ctx, tx, c.runs); err != nil {
		return nil, err
	}
	loadSubscriptions(c.runs, s.people)
	if err := e.loadMemberships(ctx, tx, c.runs, s); err != nil {
		return nil, err
	}
	if err := s.loadVariables(ctx, tx, c.runs); err != nil {
		return nil, err
	}
	if err := e.loadLinks(ctx, tx, c.runs); err != nil {
		return nil, err
	}
	if err := loadTombstones(ctx, tx, c.runs); err != nil {
		return nil, err
	}
	if err := loadOccurrences(ctx, tx, c.runs); err != nil {
		return nil, err
	}
	var waited []*run
	for _, r := range c.runs {
		if r.state = r.loaded; r.fanOut == nil {
			waited = append(waited, r)
		}
	}
	left, err := e.loadSummaries(ctx, tx, waited)
	if err != nil {
		return nil, err
	}
	c.leave(left)
	return s, e.loadStatuses(ctx, tx, waited)
}

// surroundings is what runs of a batch see besides their own.
type surroundings struct {
	people  map[belfry.RecipientID]*belfry.Recipient
	decided decisions
	reach   map[belfry.RecipientID]reach
	vars    map[belfry.EnvironmentID]map[string]any
	scopes  map[*trigger]Scope // what all runs of a trigger see
}

// assignVersion gives the run the version that it goes on with: the one that its trigger pinned, or, behind a batch that
// lives through new versions, the newest that still has the step.
func (e *Engine) assignVersion(ctx context.Context, tx *postgres.Tx, r *run) (err error) {
	t := r.trigger
	if t.version == nil {
		if t.version, err = e.version(ctx, tx, t.versionID); err != nil {
			return fmt.Errorf("read workflow version %d: %w", t.versionID, err)
		}
	}
	r.version = t.version
	if r.loaded.Version != 0 {
		if r.version, err = e.version(ctx, tx, r.loaded.Version); err != nil {
			return fmt.Errorf("read workflow version %d: %w", r.loaded.Version, err)
		}
	}
	if r.closing {
		err = e.renew(ctx, tx, r)
	}
	return err
}

func loadPeople(ctx context.Context, tx *postgres.Tx, runs []*run) (map[belfry.RecipientID]*belfry.Recipient, recipient.SetDigests, error) {
	ids := make([]belfry.RecipientID, 0, len(runs)+2)
	seen := map[*trigger]bool{}
	for _, r := range runs {
		ids = append(ids, r.recipient)
		if s := r.loaded.Subscription; s != nil {
			ids = append(ids, s.Object)
		}
		if t := r.trigger; !seen[t] {
			seen[t] = true
			for _, id := range []belfry.RecipientID{t.actor, t.tenant} {
				if id != 0 {
					ids = append(ids, id)
				}
			}
		}
	}
	people, digests, err := recipient.LoadWithDigests(ctx, tx, environmentsOf(runs), ids)
	if err != nil {
		return nil, nil, fmt.Errorf("load recipients: %w", err)
	}
	return people, digests, nil
}

// loadReach reads where recipients have devices and connections, if any of the programs sends to those.
func (s *surroundings) loadReach(ctx context.Context, tx *postgres.Tx, runs []*run) error {
	var ids []belfry.RecipientID
	for _, r := range runs {
		if r.version.program != nil && r.version.program.Reach {
			ids = append(ids, r.recipient)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var err error
	if s.reach, err = recipient.LoadReach(ctx, tx, environmentsOf(runs), ids); err != nil {
		return fmt.Errorf("load channel data: %w", err)
	}
	return nil
}

// loadVariables reads the environments' variables, if any of the programs mentions them, or a preference.
func (s *surroundings) loadVariables(ctx context.Context, tx *postgres.Tx, runs []*run) error {
	mentioned := slices.ContainsFunc(runs, func(r *run) bool {
		return r.version.program != nil && r.version.program.Variables || r.preferences.Variables()
	})
	if !mentioned {
		return nil
	}
	var err error
	s.vars, err = readVariables(ctx, tx, environmentsOf(runs))
	return err
}

// loadMemberships reads who belongs to the audiences that conditions ask for: of the programs, and of preferences.
func (e *Engine) loadMemberships(ctx context.Context, tx *postgres.Tx, runs []*run, s *surroundings) error {
	var keys []string
	var asking []*run
	var who []belfry.RecipientID
	for _, r := range runs {
		if r.version.program == nil {
			continue
		}
		wanted := slices.Concat(r.version.program.Audiences, r.preferences.Audiences())
		if len(wanted) > 0 {
			asking, who = append(asking, r), append(who, r.recipient)
			keys = append(keys, wanted...)
		}
	}
	if len(asking) == 0 {
		return nil
	}
	slices.Sort(keys)
	m, err := e.Recipients.LoadMemberships(ctx, tx, environmentsOf(asking), slices.Compact(keys), who)
	if err != nil {
		return err
	}
	for _, r := range asking {
		r.memberships = m
	}
	return nil
}

// loadTombstones marks the new runs that have been cancelled before they began. The others were cancelled as they wait.
func loadTombstones(ctx context.Context, tx *postgres.Tx, runs []*run) error {
	triggers := map[uuid.UUID]bool{}
	for _, r := range runs {
		if r.fanOut != nil && r.trigger.cancellationKey != "" {
			triggers[r.trigger.id] = true
		}
	}
	if len(triggers) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, selectTombstones, slices.Collect(maps.Keys(triggers)))
	if err != nil {
		return fmt.Errorf("read cancellations: %w", err)
	}
	defer rows.Close()
	dead := map[runKey]bool{}
	for rows.Next() {
		var k runKey
		if err := rows.Scan(&k.recipient, &k.trigger); err != nil {
			return err
		}
		dead[k] = true
	}
	for _, r := range runs {
		r.tombstone = r.fanOut != nil && (dead[runKey{r.recipient, r.trigger.id}] || dead[runKey{0, r.trigger.id}])
	}
	return rows.Err()
}

// loadStatuses reads what became of messages that runs sent before they waited, if their conditions ask for that, or what
// they wake for doesn't say it.
func (e *Engine) loadStatuses(ctx context.Context, tx *postgres.Tx, runs []*run) error {
	wanted := map[belfry.EnvironmentID][]belfry.MessageID{}
	for _, r := range runs {
		if r.version.program == nil {
			continue
		}
		steps := r.version.program.Refs
		if r.cause != nil && slices.ContainsFunc(r.cause.signals, func(s signal) bool { return s.Event != nil && s.Event.Some }) {
			steps = slices.Collect(maps.Keys(r.state.Refs))
		}
		for _, step := range steps {
			if ref := r.state.Refs[step]; ref != nil {
				if id, ok := ref.message(r.recipient); ok {
					wanted[r.trigger.env] = append(wanted[r.trigger.env], id)
				}
			}
		}
	}
	for env, ids := range wanted {
		statuses, err := e.Statuses(ctx, tx, env, ids)
		if err != nil {
			return fmt.Errorf("read message statuses: %w", err)
		}
		for _, r := range runs {
			if r.trigger.env == env {
				r.statuses = statuses
			}
		}
	}
	return nil
}

// carry takes runs as far as they get, answers what they ask, and writes what they decided. Done again with the same runs
// in another savepoint it decides the same. It stops early when that becomes too much for one transaction, and returns how
// many runs it did. If c isn't nil, runs are its runs: it gives up those that weren't done, and is settled.
func (e *Engine) carry(ctx context.Context, tx *postgres.Tx, runs []*run, s *surroundings, c *claim) (int, error) {
	now := e.now()
	done := e.decide(ctx, runs, s, now)
	runs = runs[:done]
	if err := ctx.Err(); err != nil {
		return 0, err // runs failed that shouldn't have
	}
	if err := e.converse(ctx, tx, runs, now); err != nil {
		return 0, err
	}
	if c != nil {
		c.full = c.full || done < len(c.runs)
		c.runs = runs
	}
	if err := e.write(ctx, tx, runs, now, c); err != nil {
		return 0, err
	}
	return done, nil
}

// decide takes runs as far as they get without asking, until that has become too much for one transaction, and returns how
// many it took.
func (e *Engine) decide(ctx context.Context, runs []*run, s *surroundings, now time.Time) (done int) {
	var c course
	for size := 0; done < len(runs); {
		together, cancel := context.WithTimeout(ctx, maxRunTime)
		for range min(runsTogether, len(runs)-done) {
			if done > 0 && (size >= maxDecided || e.now().Sub(now) >= maxDeciding) {
				cancel()
				return done
			}
			r := runs[done]
			r.reset()
			r.decided = s.decided
			r.reach = s.reach[r.recipient]
			r.prepare(s.scope(r, now), s.people[r.recipient], now)
			if r.status == "" {
				r.advance(together, &c, now)
			}
			size += r.size
			done++
		}
		cancel()
	}
	return done
}

// scope is what all runs of the run's trigger see.
func (s *surroundings) scope(r *run, now time.Time) Scope {
	if r.version.program == nil || r.trigger.unreadable != nil {
		return nil
	}
	if r.version != r.trigger.version {
		return r.trigger.scope(r.version, s.people, s.vars[r.trigger.env], now)
	}
	shared := s.scopes[r.trigger]
	if shared == nil {
		shared = r.trigger.scope(r.version, s.people, s.vars[r.trigger.env], now)
		s.scopes[r.trigger] = shared
	}
	return shared
}

// converse answers the questions of runs until none asks any more. If that takes too long for one transaction fewer runs
// have to be claimed; a single one is hurried up instead: what it computes from then on fails.
func (e *Engine) converse(ctx context.Context, tx *postgres.Tx, runs []*run, now time.Time) error {
	bounded, cancel := context.WithTimeout(ctx, maxConversing)
	defer cancel()
	for {
		asking := make([]*run, 0)
		for _, r := range runs {
			if r.ask != nil {
				asking = append(asking, r)
			}
		}
		if len(asking) == 0 {
			return nil
		}
		if err := e.reply(ctx, tx, asking, now); err != nil {
			return err
		}
		for _, r := range asking {
			r.advanceFor(bounded, maxRunTime, now)
			if len(runs) > 1 && e.now().Sub(now) >= maxConversing {
				return errTooMuch
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// errTooMuch is returned for runs that are too many for one transaction.
var errTooMuch = errors.New("these runs together take too long for one transaction")

// reply answers questions, kind by kind.
func (e *Engine) reply(ctx context.Context, tx *postgres.Tx, asking []*run, now time.Time) error {
	if err := firsts(ctx, tx, asking); err != nil {
		return err
	}
	if err := throttles(ctx, tx, asking, now); err != nil {
		return err
	}
	if err := joinBatches(ctx, tx, asking, now, e.Wake); err != nil {
		return err
	}
	if err := e.updates(ctx, tx, asking); err != nil {
		return err
	}
	return e.starts(ctx, tx, asking)
}

// carryCarefully is carry for runs of which the database refuses something: in halves, until the one that is refused is
// alone, and fails. It does all of them, or returns errTooMuch if that isn't done in time.
func (e *Engine) carryCarefully(ctx context.Context, tx *postgres.Tx, runs []*run, s *surroundings, until time.Time) error {
	for len(runs) > 0 {
		if e.now().After(until) {
			return errTooMuch
		}
		done, half := 0, len(runs)/2
		err := tx.Savepoint(ctx, func() (err error) {
			done, err = e.carry(ctx, tx, runs, s, nil)
			return err
		})
		switch refused := postgres.IsDataException(err); {
		case refused && half == 0:
			done, err = 1, e.refuse(ctx, tx, runs[0], err)
		case refused || errors.Is(err, errTooMuch):
			done, err = half, e.carryCarefully(ctx, tx, runs[:half], s, until)
		}
		if err != nil {
			return err
		}
		runs = runs[done:]
	}
	return nil
}

// refuse writes a run as failed whose outcome the database doesn't take.
func (e *Engine) refuse(ctx context.Context, tx *postgres.Tx, r *run, cause error) error {
	r.reset()
	r.fail("", "refused", cause.Error())
	err := tx.Savepoint(ctx, func() error { return e.write(ctx, tx, []*run{r}, e.now(), nil) })
	if postgres.IsDataException(err) {
		e.Log.Error("what became of a run cannot be written; only that it failed is", "trigger", r.trigger.id, "recipient", r.recipient, "error", err)
		return e.writeOff(ctx, tx, r)
	}
	return err
}

// writeOff writes a run as failed, and nothing that could be refused for what it is about. If a new run exists already,
// by whatever magic, that one counts. A refusal of this isn't the run's fault: the batch is tried again.
func (e *Engine) writeOff(ctx context.Context, tx *postgres.Tx, r *run) error {
	now := e.now()
	log, err := encode([]LogEntry{{Outcome: OutcomeFailed, Reason: "refused", At: &now}})
	if err != nil {
		return err
	}
	recipients, triggers := []int64{int64(r.recipient)}, [][16]byte{r.trigger.id}
	batch := &pgx.Batch{}
	if r.fanOut != nil {
		batch.Queue(insertFailedRun, r.recipient, [16]byte(r.trigger.id), r.trigger.env, r.version.ID, string(log), now)
	} else {
		batch.Queue(failRun, r.recipient, [16]byte(r.trigger.id), string(log), now)
		batch.Queue(deleteWaits, recipients, triggers)
		batch.Queue(deleteFetches, recipients, triggers)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write a run off: %w", err)
	}
	e.announce(tx, []*run{r})
	return nil
}

const insertFailedRun = `INSERT INTO runs (recipient_id, trigger_id, environment_id, version_id, status, log, finished_at)
VALUES ($1, $2, $3, $4, 'failed', $5, $6) ON CONFLICT DO NOTHING`

const failRun = `UPDATE runs SET status = 'failed', log = $3, state = NULL, due_at = NULL, waiting_for = NULL, finished_at = $4
 WHERE recipient_id = $1 AND trigger_id = $2`

const selectTombstones = `SELECT recipient_id, trigger_id FROM cancellations WHERE trigger_id = ANY($1)`
