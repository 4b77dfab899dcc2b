package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/recipient"
)

// belfrySide runs whole workflows.
type belfrySide struct {
	url    string
	users  int
	env    belfry.EnvironmentID
	title  string
	tenant string // of its triggers

	*node
	opened time.Time
	before tally
	called atomic.Pointer[time.Time] // when the first trigger was handed over since opened
}

// newBelfrySide prepares a database: an environment, the workflows, and users who all have a feed already, for each was
// sent one message when it was identified.
func newBelfrySide(ctx context.Context, s *server, name string, users int) (_ *belfrySide, err error) {
	b := &belfrySide{users: users, title: "Belfry"}
	if b.url, err = s.create(ctx, name); err != nil {
		return nil, err
	}
	if b.node, err = openNode(ctx, b.url, nil); err != nil {
		return nil, err
	}
	defer b.node.close()
	b.run(ctx)
	e, err := b.auth.CreateEnvironment(ctx, environment)
	if err != nil {
		return nil, err
	}
	b.env = e.ID
	for _, t := range tasks {
		if _, problems, err := b.engine.Upsert(ctx, b.env, t.key, &t.definition); err != nil || len(problems) > 0 {
			return nil, fmt.Errorf("store the workflow %s: %v %w", t.key, problems, err)
		}
	}
	return b, b.identify(ctx)
}

func (b *belfrySide) identify(ctx context.Context) error {
	for first := 0; first < b.users; first += engine.MaxRecipients {
		request := engine.Request{Workflow: plain.key, Data: orderData(first)}
		for i := first; i < min(b.users, first+engine.MaxRecipients); i++ {
			identity := recipient.Identity{RecipientRef: belfry.User(userID(i)), Properties: map[string]any{
				"name": fmt.Sprintf("User %d", i), "email": userID(i) + "@example.com", "timezone": "Europe/Berlin", "plan": "pro"}}
			request.Recipients = append(request.Recipients, engine.Party{Ref: identity.RecipientRef, Identify: &identity})
		}
		if _, err := b.engine.Trigger(ctx, b.env, &request); err != nil {
			return fmt.Errorf("identify users: %w", err)
		}
	}
	_, err := await(ctx, b, &load{task: &plain, units: b.users})
	return err
}

func (b *belfrySide) name() string     { return b.title }
func (b *belfrySide) database() string { return b.url }

func (b *belfrySide) open(ctx context.Context, l *load) (err error) {
	if b.node, err = openNode(ctx, b.url, nil); err != nil {
		return err
	}
	b.run(ctx)
	b.opened = time.Now()
	b.called.Store(nil)
	if b.before, err = countAll(ctx, b.pool, l.task, b.opened); err != nil {
		b.node.close()
	}
	return err
}

func (b *belfrySide) close() { b.node.close() }

// accept triggers the workflow for as many users as the batch is large: the next ones, round and round. Where messages sum
// up triggers there are just so few users that each gets all that one message needs.
func (b *belfrySide) accept(ctx context.Context, l *load, call int) error {
	now := time.Now()
	b.called.CompareAndSwap(nil, &now)
	return b.trigger(ctx, l.task, call, call*l.batch%min(b.users, l.units/l.task.joins), l.batch)
}

// trigger triggers a workflow for so many users, from the first on, round and round.
func (b *belfrySide) trigger(ctx context.Context, t *task, n, first, count int) error {
	request := engine.Request{Workflow: t.key, Data: orderData(n), Tenant: b.tenant, Recipients: make([]engine.Party, count)}
	for i := range count {
		request.Recipients[i].Ref = belfry.User(userID((first + i) % b.users))
	}
	accepted, err := b.engine.Trigger(ctx, b.env, &request)
	if err == nil && accepted.Trigger.Recipients != count {
		err = fmt.Errorf("%d of %d recipients were accepted", accepted.Trigger.Recipients, count)
	}
	return err
}

// resting is until the first run may be due: what the engine is late counts.
func (b *belfrySide) resting(l *load) bool {
	s, called := b.engine.Stats(), b.called.Load()
	return l.task.delay > 0 && called != nil && time.Since(*called) < l.task.delay && s.Waits == int64(l.units) && s.RunsDone+s.RunsFailed == 0
}

// done counts runs after their commit. In the end the database is asked whether nothing is left to be done.
func (b *belfrySide) done(ctx context.Context, want int) (int, error) {
	stats := b.engine.Stats()
	n := int(stats.RunsDone + stats.RunsFailed)
	if n < want {
		return n, nil
	}
	var left int
	if err := b.pool.QueryRow(ctx, "SELECT count(*) FROM fan_outs").Scan(&left); err != nil || left > 0 {
		return n - 1, err
	}
	return n, nil
}

// tally is what runs leave in the database.
type tally struct {
	Triggered int64 // recipients that triggers were accepted for
	FanOuts   int64 // rows of work still to be done
	Runs      int64
	Done      int64 // runs that went through
	Sent      int64 // runs that are done, and whose log says that the message was sent
	Items     int64 // messages in feeds
	Rendered  int64 // of them those with the expected text, as HTML
	Versions  int64 // sum of the feeds' versions: one a message
	Unseen    int64 // sum of the feeds' counters
	Events    int64 // messages that the event log says were sent
}

// selectTally looks closely only at what came of triggers since $3: there is more of the rest with each round.
const selectTally = `SELECT * FROM
  (SELECT coalesce(sum(recipients), 0) AS triggered FROM triggers) t,
  (SELECT count(*) AS fan_outs FROM fan_outs) o,
  (SELECT count(*) AS runs, count(*) FILTER (WHERE status = 'done') AS done,
          count(*) FILTER (WHERE trigger_id >= $3 AND status = 'done' AND log::jsonb @> '[{"step": "shipped", "outcome": "sent"}]') AS sent FROM runs) r,
  (SELECT count(*) AS items, count(*) FILTER (WHERE trigger_id >= $3 AND content::text ~ $2) AS rendered FROM feed_items) i,
  (SELECT coalesce(sum(version), 0)::bigint AS versions, coalesce(sum(unseen), 0) AS unseen FROM feeds) f,
  (SELECT coalesce(sum(count), 0) AS events FROM events WHERE kind = $1) e`

// countAll counts messages of a task closely if they came of triggers since an instant.
func countAll(ctx context.Context, pool *pgxpool.Pool, t *task, since time.Time) (tally, error) {
	var first uuid.UUID // of the triggers: their ids begin with the milliseconds
	binary.BigEndian.PutUint64(first[:], uint64(since.UnixMilli())<<16)
	rows, err := pool.Query(ctx, selectTally, string(belfry.MessageSent), t.rendered, first)
	if err != nil {
		return tally{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[tally])
}

// verify wants exactly one run a unit, one item, version, count and event a message, and no work left.
func (b *belfrySide) verify(ctx context.Context, l *load) error {
	after, err := countAll(ctx, b.pool, l.task, b.opened)
	if err != nil {
		return err
	}
	return after.check(b.before, l.units, l.units/l.task.joins)
}

// check returns an error unless the tally is larger than another by exactly so many runs, all done, and messages.
func (t tally) check(was tally, runs, messages int) error {
	n, m := int64(runs), int64(messages)
	got := tally{t.Triggered - was.Triggered, t.FanOuts, t.Runs - was.Runs, t.Done - was.Done, t.Sent - was.Sent, t.Items - was.Items,
		t.Rendered - was.Rendered, t.Versions - was.Versions, t.Unseen - was.Unseen, t.Events - was.Events}
	if want := (tally{n, 0, n, n, m, m, m, m, m, m}); got != want {
		return fmt.Errorf("the database does not hold %d full runs: want %+v, got %+v", n, want, got)
	}
	return nil
}

var _ contender = (*belfrySide)(nil)
