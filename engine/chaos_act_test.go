package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// chaosWorkflows have every step that waits, or shares something with other runs. Their messages name the triggers that
// they are about by data.n, which is unique.
var chaosWorkflows = map[string][]workflow.Step{
	"direct": {step("message", "", "{{ data.text }}")},
	"delayed": {
		{Ref: "delay", Delay: &workflow.Delay{Window: within(20)}},
		step("message", "", "{{ data.text }}"),
	},
	"gather": {
		{Ref: "delay", Condition: "data.k == 0", Delay: &workflow.Delay{Window: within(5)}},
		{Ref: "batch", Batch: &workflow.Batch{Window: within(30), Key: "data.k", MaxItems: 4, RenderLimit: 100}},
		step("sum", "", chaosSum),
		{Ref: "pause", Delay: &workflow.Delay{Window: within(10)}},
		step("after", "", "after"),
	},
	"slide": {
		{Ref: "batch", Batch: &workflow.Batch{Window: within(20), Type: workflow.Sliding, ExtensionLimit: within(50).For, LeadingFlush: true, RenderLimit: 100}},
		step("sum", "", chaosSum),
	},
	"throttled": {
		{Ref: "throttle", Throttle: &workflow.Throttle{Window: within(30), Limit: 2, Key: "data.k"}},
		step("message", "", "message"),
	},
	"waiting": {
		step("first", "", "first"),
		{Ref: "paid", WaitForEvent: &workflow.WaitForEvent{Event: workflow.WaitEvent{Type: workflow.CustomEvent, Name: "paid"},
			Timeout: within(30).For, OnTimeout: workflow.Continue}},
		{Ref: "read", WaitForEvent: &workflow.WaitForEvent{Event: workflow.WaitEvent{Type: workflow.MessageEvent, Name: "read", Step: "first"},
			Timeout: within(30).For, OnTimeout: workflow.Continue}},
		step("matched", "refs.read.matched == true", "matched"),
		step("missed", "refs.read.matched == false", "missed"),
	},
	"fetching": {
		{Ref: "fetch", Fetch: &workflow.Fetch{URL: "https://example.com/{{ data.n }}"}},
		step("message", "", "{{ data.n }} got {{ data.got }}"),
	},
	"parent": {
		{Ref: "child", TriggerWorkflow: &workflow.TriggerWorkflow{Workflow: "direct"}},
		step("message", "", "parent"),
	},
}

const chaosSum = `{{ total_activities }}: {% for a in activities %}{{ a.data.n }} {% endfor %}`

func within(seconds int) workflow.Window {
	return workflow.Window{For: &calendar.Duration{Unit: calendar.Seconds, Value: seconds}}
}

// act has something happen.
func (c *chaos) act() {
	n := c.nodes[c.random.IntN(chaosNodes)]
	switch chance := c.random.IntN(100); {
	case chance < 38 || c.depth > 0 && c.random.IntN(2) == 0:
		n.worker.floors.began = time.Now() // how old they are is not a matter of how busy the machine is
		if c.random.IntN(4) > 0 {
			n.worker.floors = floors{}
		}
		n.do("work", func(ctx context.Context) error { _, err := n.worker.work(ctx); return err })
	case chance < 60:
		c.request(n)
	case chance < 70:
		c.revoke(n)
	case chance < 76:
		c.happen(n)
	case chance < 82:
		n.do("lease requests", func(ctx context.Context) error {
			leased, err := n.leaseFetches(ctx, fetchesAtOnce)
			for _, f := range leased {
				c.fetches = append(c.fetches, chaosFetch{n, f})
			}
			return err
		})
	case chance < 88:
		c.respond()
	case chance < 90:
		c.tell("node %d restarts", n.number)
		n.restart()
	case chance < 91 && c.depth == 0: // within a transaction time only goes on
		c.jump(time.Duration(c.random.IntN(601)-300) * time.Second)
	default:
		c.jump(time.Duration(c.random.IntN(30)) * time.Second)
	}
}

func (c *chaos) jump(by time.Duration) {
	c.tell("clocks jump by %v", by)
	c.clock.add(by)
}

func (c *chaos) pick(list ...string) string { return list[c.random.IntN(len(list))] }

func (c *chaos) some() []belfry.RecipientRef {
	var out []belfry.RecipientRef
	for _, i := range c.random.Perm(chaosUsers)[:1+c.random.IntN(3)] {
		out = append(out, belfry.User(fmt.Sprintf("u%d", i)))
	}
	return out
}

func (c *chaos) key() string {
	return c.pick("gather", "gather", "gather", "slide", "slide", "direct", "delayed", "delayed", "throttled", "throttled", "throttled", "waiting", "waiting", "fetching", "fetching", "parent")
}

// request triggers. With an idempotency key it is tried again until there is an answer.
func (c *chaos) request(n *chaosNode) {
	c.triggers++
	number := c.triggers
	r := &Request{Workflow: c.key(), CancellationKey: c.pick("", "x", "y"), Data: map[string]any{"n": number, "k": c.random.IntN(2), "text": "text"}}
	if c.random.IntN(20) == 0 && (r.Workflow == "direct" || r.Workflow == "delayed") {
		r.Data["text"] = "forbidden"
	}
	for _, ref := range c.some() {
		r.Recipients = append(r.Recipients, Party{Ref: ref})
	}
	if c.random.IntN(3) == 0 && slices.Contains([]string{"direct", "delayed", "throttled", "fetching"}, r.Workflow) {
		r.Recipients = append(r.Recipients, Party{Ref: chaosProject})
	}
	attempts := 1
	if c.random.IntN(2) == 0 {
		r.IdempotencyKey, attempts = fmt.Sprint(number), 5
	}
	for range attempts {
		what := fmt.Sprintf("trigger %s %d %+v for %v, cancellation key %q", r.Workflow, number, r.Data, r.Recipients, r.CancellationKey)
		if n.do(what, func(ctx context.Context) error { _, err := n.Trigger(ctx, c.env, r); return err }) {
			c.acknowledged[number] = true
			return
		}
		n = c.nodes[c.random.IntN(chaosNodes)]
	}
}

// chaosProject is an object to which everybody is subscribed, some of them as members of a team, some in both ways. The team
// is subscribed to itself, and the project to the team.
var chaosProject = belfry.RecipientRef{Collection: "projects", ExternalID: "p"}

func (c *chaos) subscribeAll() {
	team := belfry.RecipientRef{Collection: "teams", ExternalID: "t"}
	for object, who := range map[belfry.RecipientRef][]belfry.RecipientRef{
		chaosProject: {belfry.User("u0"), belfry.User("u1"), team}, team: {belfry.User("u1"), belfry.User("u2"), team, chaosProject},
	} {
		var parties []recipient.Party
		for _, ref := range who {
			parties = append(parties, recipient.Party{Identify: &recipient.Identity{RecipientRef: ref}})
		}
		if err := all(c.Recipients.Subscribe(c.t.Context(), c.env, object, parties, nil)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *chaos) revoke(n *chaosNode) {
	workflow, key := c.key(), c.pick("x", "y")
	var refs []belfry.RecipientRef
	if c.random.IntN(2) == 0 {
		refs = c.some()
	}
	var before []uuid.UUID // what is accepted from now on isn't cancelled
	if err := c.pool.QueryRow(c.t.Context(), `SELECT array_agg(id) FROM triggers WHERE cancellation_key = $1`, key).Scan(&before); err != nil {
		c.fail("%v", err)
	}
	if n.do(fmt.Sprintf("cancel %s %s for %v", workflow, key, refs), func(ctx context.Context) error {
		_, err := n.Cancel(ctx, c.env, workflow, key, refs)
		return err
	}) {
		users := []string{}
		for _, ref := range refs {
			users = append(users, ref.ExternalID)
		}
		c.exec(`INSERT INTO revoked SELECT a.recipient_id, a.trigger_id, (SELECT coalesce(max(id), 0) FROM sent) FROM accepted a
			JOIN recipients p ON p.id = a.recipient_id
			WHERE a.trigger_id = ANY($1) AND a.workflow = $2 AND ($3 OR p.external_id = ANY($4))
			UNION SELECT p.id, t.id, (SELECT coalesce(max(id), 0) FROM sent) FROM triggers t JOIN workflows w ON w.id = t.workflow_id
			CROSS JOIN recipients p WHERE t.sources IS NOT NULL AND t.id = ANY($1) AND w.key = $2 AND ($3 OR p.external_id = ANY($4))`, before, workflow, refs == nil, users)
	}
}

// happen is an event, or somebody reads the message that comes first.
func (c *chaos) happen(n *chaosNode) {
	user := c.some()[0]
	if c.random.IntN(2) == 0 {
		n.do("paid by "+user.ExternalID, func(ctx context.Context) error { return n.SendEvent(ctx, c.env, user.ExternalID, "paid", nil) })
		return
	}
	var m belfry.Message
	err := c.pool.QueryRow(c.t.Context(), `SELECT s.id, s.recipient_id FROM sent s JOIN waits w USING (recipient_id, trigger_id) WHERE s.step = 'first'
		ORDER BY s.id LIMIT 1`).Scan(&m.Seq, &m.Recipient)
	if errors.Is(err, pgx.ErrNoRows) {
		return
	}
	if err != nil {
		c.fail("%v", err)
	}
	m.Environment, m.Channel, m.ChannelType, m.Workflow, m.StepRef = c.env, belfry.DefaultFeed, belfry.InApp, "waiting", "first"
	n.do("the oldest message that somebody waits for is read", func(ctx context.Context) error {
		return postgres.InTx(ctx, n.pool, func(tx *postgres.Tx) error {
			return n.MessagesChanged(ctx, tx, []belfry.StatusChange{change(&m, "message.read", n.now())})
		})
	})
}

// respond lets a node hear of a response to a request that it leased some time ago: maybe it lost the lease meanwhile.
func (c *chaos) respond() {
	if len(c.fetches) == 0 {
		return
	}
	i := c.random.IntN(len(c.fetches))
	f := c.fetches[i]
	if c.random.IntN(4) > 0 { // otherwise it will hear of it twice
		c.fetches = append(c.fetches[:i:i], c.fetches[i+1:]...)
	}
	r, again := response{Status: 200, Body: `{"got": "it"}`}, false
	if c.random.IntN(4) == 0 {
		r, again = response{Status: 503, Error: "no"}, true
	}
	f.node.do(fmt.Sprintf("response for %d: %d", f.recipient, r.Status), func(ctx context.Context) error { return f.node.fetched(ctx, f.fetch, r, again) })
}

const chaosLeft = `SELECT (SELECT count(*) FROM runs WHERE status = 'waiting') + (SELECT count(*) FROM batches WHERE close_at IS NOT NULL)
	+ (SELECT count(*) FROM fan_outs) + (SELECT count(*) FROM signals)`

// heal ends everything: no more crashes, all windows pass.
func (c *chaos) heal() {
	for range 15 {
		leased, err := c.leaseFetches(c.t.Context(), fetchesAtOnce)
		if err != nil {
			c.fail("%v", err)
		}
		for _, f := range leased {
			if err := c.fetched(c.t.Context(), f, response{Status: 200, Body: `{"got": "it"}`}, false); err != nil {
				c.fail("%v", err)
			}
		}
		// What the connection of a crashed node held a moment ago may still be locked, and is done the next time.
		if c.drain(); one[int](c.world, chaosLeft) == 0 {
			return
		}
		c.clock.add(2 * time.Minute)
	}
	c.fail("the work does not come to an end")
}
