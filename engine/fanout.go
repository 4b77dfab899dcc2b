package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// A trigger to an object is also for its subscribers, and one to an audience for its members. They aren't listed when it is
// accepted: its fan-out keeps a cursor, and whoever claims it reads the next ones. One fan-out is claimed by one worker at a
// time, so looking whether somebody has a run of the trigger already is enough to give nobody two.

// fanOut is a stretch of a trigger's recipients.
type fanOut struct {
	trigger    *trigger
	lane       lane
	recipients []belfry.RecipientID // named ones, to be turned into runs now
	remaining  int                  // named ones of the whole row
	sources    []recipient.Source   // where more are to be found
	reading    reading              // how far sources had been read
	found      []finding            // to be turned into runs behind the named ones
	end        reading              // behind all that has been read now
	known      map[belfry.RecipientID]bool
	looked     int // users looked at for audiences with a condition, whether found or not
	planned    int // to be turned into runs now
	taken      int // turned into runs, in the end
}

// reading is how far the sources of a trigger have been read.
type reading struct {
	Source int              `json:"source,omitempty"` // its index
	At     recipient.Cursor `json:"at,omitzero"`
	Found  int              `json:"found,omitempty"` // how many became runs
}

// finding is somebody in a source.
type finding struct {
	recipient.Found
	at reading // behind them; without Found
}

// subscription is what a run remembers of the one that it is for. It stays as it was when the run began.
type subscription struct {
	Object     belfry.RecipientID `json:"object"`
	Properties map[string]any     `json:"properties,omitempty"`
}

// ready is how many can be turned into runs.
func (f *fanOut) ready() int { return len(f.recipients) + len(f.found) }

// readable reports whether there are sources left to read now: named recipients come first.
func (f *fanOut) readable() bool {
	return f.end.Source < len(f.sources) && len(f.recipients) == f.remaining
}

// begin makes r the i-th run.
func (f *fanOut) begin(r *run, i int) {
	r.trigger, r.fanOut = f.trigger, f
	if i < len(f.recipients) {
		r.recipient = f.recipients[i]
		return
	}
	found := &f.found[i-len(f.recipients)]
	if r.recipient = found.Recipient; found.Object != 0 {
		r.loaded.Subscription = &subscription{found.Object, found.Properties}
	}
}

// left reports whether there will be more when those that are planned have become runs.
func (f *fanOut) left() bool {
	return f.planned < f.remaining+len(f.found) || f.end.Source < len(f.sources)
}

// settled says how far the fan-out is when as many have become runs as were taken: how many of them were named, and where
// to go on reading.
func (f *fanOut) settled() (named int, at reading) {
	named = min(f.taken, len(f.recipients))
	n := f.taken - named
	switch {
	case named < f.remaining || n == 0 && len(f.found) > 0:
		at = f.reading
	case n == len(f.found):
		at = f.end
	default:
		at = f.found[n-1].at
	}
	at.Found = f.reading.Found + n
	return named, at
}

// readings is how often one claim reads on: sources of a trigger are read one after the other, and may turn out short.
const readings = 8

// read finds more recipients for the fan-outs whose named ones are all about to become runs. In each lane of an environment
// it is no more than a claim may take.
func (e *Engine) read(ctx context.Context, tx *postgres.Tx, found []*fanOut, limit int) error {
	type queue struct {
		env  belfry.EnvironmentID
		lane lane
	}
	queues, envs := map[queue]int{}, map[belfry.EnvironmentID]bool{}
	for _, f := range found {
		envs[f.trigger.env] = true
	}
	for _, f := range found {
		most := limit
		if f.lane == laneBulk && e.busy() {
			most = min(most, bulkBesideOthers)
		}
		queues[queue{f.trigger.env, f.lane}] = max(most/len(envs), 1)
	}
	for range readings {
		var reading []*fanOut
		var stretches []recipient.Stretch
		for _, f := range found {
			left := queues[queue{f.trigger.env, f.lane}]
			if !f.readable() || left == 0 {
				continue
			}
			s := f.sources[f.end.Source]
			n := left
			if s.AtMost <= recipient.SmallSource {
				n = min(n, s.AtMost+1) // one more than there can be, to see that it is over
			}
			queues[queue{f.trigger.env, f.lane}] -= n
			reading = append(reading, f)
			stretches = append(stretches, recipient.Stretch{Source: s, Environment: f.trigger.env, Tenant: f.trigger.tenant, From: f.end.At, Limit: n})
		}
		if len(reading) == 0 {
			return nil
		}
		chunks, err := e.Recipients.Read(ctx, tx, stretches)
		if err != nil {
			return fmt.Errorf("read recipients of fan-outs: %w", err)
		}
		had, err := runsOf(ctx, tx, reading, chunks)
		if err != nil {
			return fmt.Errorf("look for runs of recipients that were found: %w", err)
		}
		for i, f := range reading {
			before := len(f.found)
			f.add(&chunks[i], had)
			if stretches[i].Dynamic {
				f.looked += stretches[i].Limit
			} else {
				queues[queue{f.trigger.env, f.lane}] += stretches[i].Limit - (len(f.found) - before)
			}
		}
	}
	return nil
}

// add adds a chunk, but the actor and those who have, or get, a run of the trigger already.
func (f *fanOut) add(c *recipient.Chunk, had map[runKey]bool) {
	if f.known == nil {
		f.known = map[belfry.RecipientID]bool{f.trigger.actor: true}
		for _, id := range f.recipients {
			f.known[id] = true
		}
	}
	for _, x := range c.Found {
		if !f.known[x.Recipient] && !had[runKey{x.Recipient, f.trigger.id}] {
			f.found = append(f.found, finding{x, reading{Source: f.end.Source, At: x.At}})
		}
		f.known[x.Recipient] = true
	}
	if f.end.At = c.Next; c.Over {
		f.end = reading{Source: f.end.Source + 1}
	}
}

// runsOf finds the runs that exist already.
func runsOf(ctx context.Context, tx *postgres.Tx, fanOuts []*fanOut, chunks []recipient.Chunk) (map[runKey]bool, error) {
	var recipients []int64
	var triggers [][16]byte
	for i, f := range fanOuts {
		for _, x := range chunks[i].Found {
			recipients, triggers = append(recipients, int64(x.Recipient)), append(triggers, f.trigger.id)
		}
	}
	if len(recipients) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, selectRunsOfFound, recipients, triggers)
	if err != nil {
		return nil, err
	}
	out := map[runKey]bool{}
	var k runKey
	_, err = pgx.ForEachRow(rows, []any{&k.recipient, &k.trigger}, func() error {
		out[k] = true
		return nil
	})
	return out, err
}

// openSources finds where else the recipients of a request are: subscribers of objects that are named, and audiences. A
// schedule's object is notified alone, and so is a run's own recipient by a step: the others have runs of their own.
func (e *Engine) openSources(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, r *Request, who *parties) ([]recipient.Source, error) {
	var sources []recipient.Source
	if r.source != SourceSchedule {
		objects := slices.DeleteFunc(slices.Clone(who.objects), func(id belfry.RecipientID) bool { return id == r.own })
		opened, err := e.Recipients.OpenObjects(ctx, tx, env, objects)
		if err != nil {
			return nil, fmt.Errorf("open objects: %w", err)
		}
		sources = opened
	}
	var keys []string
	var asking []int // recipients of the request, by index
	for i := range r.Recipients {
		key := r.Recipients[i].Audience
		if key == "" || slices.ContainsFunc(who.rejected, func(x Rejected) bool { return x.Index == i }) {
			continue
		}
		asking = append(asking, i)
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return sources, nil
	}
	audiences, err := e.Recipients.OpenAudiences(ctx, tx, env, keys)
	if err != nil {
		return nil, fmt.Errorf("open audiences: %w", err)
	}
	for _, key := range keys {
		if x, ok := audiences[key]; ok {
			sources = append(sources, x)
		}
	}
	for _, i := range asking {
		key := r.Recipients[i].Audience
		if _, ok := audiences[key]; ok {
			continue
		}
		who.rejected = append(who.rejected, Rejected{i, belfry.NotFound, fmt.Sprintf("no audience has the key %.100q: store it first", key)})
	}
	slices.SortFunc(who.rejected, func(a, b Rejected) int { return a.Index - b.Index })
	return sources, nil
}

// queueFanOuts deletes those that are used up, and notes of the others how far they are.
func queueFanOuts(batch *pgx.Batch, claimed []*fanOut) error {
	var doneEnvs, movedEnvs []int64
	var doneLanes, movedLanes []int16
	var doneTriggers, movedTriggers [][16]byte // not uuid.UUID: pgx would write each as text first
	var moved []int32
	var cursors []*string
	for _, f := range claimed {
		named, at := f.settled()
		f.queueFound(batch, named)
		switch {
		case named == f.remaining && at.Source >= len(f.sources):
			doneEnvs, doneLanes, doneTriggers = append(doneEnvs, int64(f.trigger.env)), append(doneLanes, int16(f.lane)), append(doneTriggers, f.trigger.id)
		case f.taken > 0 || at != f.reading:
			var cursor *string
			if f.sources != nil {
				b, err := encode(at)
				if err != nil {
					return fmt.Errorf("encode cursor: %w", err)
				}
				s := string(b)
				cursor = &s
			}
			movedEnvs, movedLanes, movedTriggers = append(movedEnvs, int64(f.trigger.env)), append(movedLanes, int16(f.lane)), append(movedTriggers, f.trigger.id)
			moved, cursors = append(moved, int32(named)), append(cursors, cursor)
		}
	}
	if len(doneEnvs) > 0 {
		batch.Queue(deleteFanOuts, doneEnvs, doneLanes, doneTriggers)
	}
	if len(movedEnvs) > 0 {
		batch.Queue(moveFanOuts, movedEnvs, movedLanes, movedTriggers, moved, cursors)
	}
	return nil
}

// queueFound remembers who was found and became a run: from then on they are recipients like those that were named.
func (f *fanOut) queueFound(batch *pgx.Batch, named int) {
	if n := f.taken - named; n > 0 {
		ids := make([]int64, n)
		for i := range ids {
			ids[i] = int64(f.found[i].Recipient)
		}
		batch.Queue(insertFound, [16]byte(f.trigger.id), f.reading.Found, ids)
	}
}

// loadSubscriptions gives runs what they see of the subscription that they are for.
func loadSubscriptions(runs []*run, people map[belfry.RecipientID]*belfry.Recipient) {
	for _, r := range runs {
		if s := r.loaded.Subscription; s != nil {
			r.subscription = make(map[string]any, len(s.Properties)+1)
			for k, v := range s.Properties {
				r.subscription[k] = v
			}
			r.subscription["object"] = party(people[s.Object])
		}
	}
}

// subscription adds what a run sees of the subscription that it is for: recipient.subscription.
func (s Scope) subscription(properties map[string]any) {
	if person, ok := s["recipient"].(map[string]any); ok && properties != nil {
		person["subscription"] = properties
	}
}

// expanding is whether a trigger t has sources that haven't been read to their end.
const expanding = `(t.sources IS NOT NULL AND EXISTS (SELECT FROM fan_outs f
   WHERE f.environment_id = t.environment_id AND f.lane IN (0, 1, 2) AND f.trigger_id = t.id
     AND coalesce((f.cursor ->> 'source')::int, 0) < jsonb_array_length(t.sources)))`

const selectRunsOfFound = `SELECT r.recipient_id, r.trigger_id
  FROM unnest($1::bigint[], $2::uuid[]) AS k (recipient_id, trigger_id) JOIN runs r USING (recipient_id, trigger_id)`

const insertFound = `INSERT INTO found_recipients (trigger_id, n, recipient_ids) VALUES ($1, $2, $3)`

// recipientsOf is everybody who has, or will have, a run of a trigger t, as far as they have been found.
const recipientsOf = `(SELECT unnest(t.recipient_ids) AS id
   UNION ALL SELECT unnest(f.recipient_ids) FROM found_recipients f WHERE f.trigger_id = t.id)`
