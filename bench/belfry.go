package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/engine"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

const (
	environment = "bench"
	workflowKey = "order-shipped"
)

// definition is what every run goes through: a condition that reads the recipient and the data, and an in-app message
// of Liquid and Markdown. The message hands its number to the client, which is how latency finds its trigger again.
var definition = workflow.Definition{Name: "Order shipped", Categories: []string{"orders"}, Steps: []workflow.Step{{
	Ref: "shipped", Condition: `data.total > 100 and recipient.plan == "pro"`,
	InApp: &workflow.InApp{Channel: belfry.DefaultFeed, Format: workflow.Markdown,
		Body:      "Hi {{ recipient.name }}, order **{{ data.order }}** is on its way: {{ data.items }} {% if data.items == 1 %}item{% else %}items{% endif %}, {{ data.total }} €.",
		ActionURL: "/orders/{{ data.order }}",
		Data:      map[string]any{"n": "{{ data.n }}"}},
}}}

func orderData(n int) map[string]any {
	return map[string]any{"order": fmt.Sprintf("BF-%d", n), "items": 3, "total": 128.5, "n": n}
}

func userID(i int) string { return fmt.Sprintf("user-%06d", i) }

// belfrySide runs whole workflows.
type belfrySide struct {
	url   string
	users int
	env   belfry.EnvironmentID

	*node
	before tally
}

// newBelfrySide prepares a database: an environment, the workflow, and users who all have a feed already, for each was
// sent one message when it was identified.
func newBelfrySide(ctx context.Context, s *server, name string, users int) (_ *belfrySide, err error) {
	b := &belfrySide{users: users}
	if b.url, err = s.create(ctx, name); err != nil {
		return nil, err
	}
	if b.node, err = openNode(ctx, b.url); err != nil {
		return nil, err
	}
	defer b.node.close()
	e, err := b.auth.CreateEnvironment(ctx, environment)
	if err != nil {
		return nil, err
	}
	b.env = e.ID
	if _, problems, err := b.engine.Upsert(ctx, b.env, workflowKey, &definition); err != nil || len(problems) > 0 {
		return nil, fmt.Errorf("store the workflow: %v %w", problems, err)
	}
	return b, b.identify(ctx)
}

func (b *belfrySide) identify(ctx context.Context) error {
	for first := 0; first < b.users; first += engine.MaxRecipients {
		request := engine.Request{Workflow: workflowKey, Data: orderData(first)}
		for i := first; i < min(b.users, first+engine.MaxRecipients); i++ {
			identity := recipient.Identity{RecipientRef: belfry.User(userID(i)), Properties: map[string]any{
				"name": fmt.Sprintf("User %d", i), "email": userID(i) + "@example.com", "timezone": "Europe/Berlin", "plan": "pro"}}
			request.Recipients = append(request.Recipients, engine.Party{Ref: identity.RecipientRef, Identify: &identity})
		}
		if _, err := b.engine.Trigger(ctx, b.env, &request); err != nil {
			return fmt.Errorf("identify users: %w", err)
		}
	}
	return await(ctx, b, b.users)
}

func (b *belfrySide) name() string     { return "Belfry" }
func (b *belfrySide) database() string { return b.url }

func (b *belfrySide) open(ctx context.Context) (err error) {
	if b.node, err = openNode(ctx, b.url); err != nil {
		return err
	}
	if b.before, err = b.count(ctx); err != nil {
		b.node.close()
	}
	return err
}

func (b *belfrySide) close() { b.node.close() }

// accept triggers the workflow for as many users as the batch is large: the next ones, round and round.
func (b *belfrySide) accept(ctx context.Context, call, batch int) error {
	request := engine.Request{Workflow: workflowKey, Data: orderData(call), Recipients: make([]engine.Party, batch)}
	for i := range batch {
		request.Recipients[i].Ref = belfry.User(userID((call*batch + i) % b.users))
	}
	accepted, err := b.engine.Trigger(ctx, b.env, &request)
	if err == nil && accepted.Trigger.Recipients != batch {
		err = fmt.Errorf("%d of %d recipients were accepted", accepted.Trigger.Recipients, batch)
	}
	return err
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
	Sent      int64 // runs that are done, and whose log says that the message was sent
	Items     int64 // messages in feeds
	Rendered  int64 // of them those with the expected text, as HTML
	Versions  int64 // sum of the feeds' versions: one a message
	Unseen    int64 // sum of the feeds' counters
	Events    int64 // messages that the event log says were sent
}

const selectTally = `SELECT
  (SELECT coalesce(sum(recipients), 0) FROM triggers) AS triggered,
  (SELECT count(*) FROM fan_outs) AS fan_outs,
  (SELECT count(*) FROM runs) AS runs,
  (SELECT count(*) FROM runs WHERE status = 'done' AND log @> '[{"step": "shipped", "outcome": "sent"}]') AS sent,
  (SELECT count(*) FROM feed_items) AS items,
  (SELECT count(*) FROM feed_items WHERE content::text ~ '<strong>BF-[0-9]+</strong> is on its way: 3 items') AS rendered,
  (SELECT coalesce(sum(version), 0)::bigint FROM feeds) AS versions,
  (SELECT coalesce(sum(unseen), 0) FROM feeds) AS unseen,
  (SELECT coalesce(sum(count), 0) FROM events WHERE kind = $1) AS events`

func (b *belfrySide) count(ctx context.Context) (tally, error) {
	rows, err := b.pool.Query(ctx, selectTally, string(belfry.MessageSent))
	if err != nil {
		return tally{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[tally])
}

// verify wants exactly one run, item, version, count and event a unit, and no work left.
func (b *belfrySide) verify(ctx context.Context, units int) error {
	after, err := b.count(ctx)
	if err != nil {
		return err
	}
	n, was := int64(units), b.before
	got := tally{after.Triggered - was.Triggered, after.FanOuts, after.Runs - was.Runs, after.Sent - was.Sent, after.Items - was.Items,
		after.Rendered - was.Rendered, after.Versions - was.Versions, after.Unseen - was.Unseen, after.Events - was.Events}
	if want := (tally{n, 0, n, n, n, n, n, n, n}); got != want {
		return fmt.Errorf("the database does not hold %d full runs: want %+v, got %+v", units, want, got)
	}
	return nil
}

var _ contender = (*belfrySide)(nil)
