package engine

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

var project = belfry.RecipientRef{Collection: "projects", ExternalID: "p"}

// subscribers makes n users known, u0, u1, …, who are subscribed to the project.
func (w *world) subscribers(n int) {
	w.t.Helper()
	w.users(n)
	w.exec(`INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)`,
		w.env, project.Collection, project.ExternalID, epoch)
	w.exec(`INSERT INTO subscriptions (object_id, recipient_id, environment_id, nested, properties, created_at, updated_at)
		SELECT o.id, u.id, $1, false, '{}', $3, $3 FROM recipients o, recipients u
		 WHERE o.environment_id = $1 AND o.collection = $2 AND u.environment_id = $1 AND u.collection = '$users'`, w.env, project.Collection, epoch)
}

func (w *world) triggerProject(key string, more ...Party) uuid.UUID {
	w.t.Helper()
	return w.trigger(Request{Workflow: key, Recipients: append([]Party{{Ref: project}}, more...), CancellationKey: "k"}).Trigger.ID
}

// Nodes that share the work, in small chunks, give each subscriber one run, and one message.
func TestSubscribersAreSharedByNodes(t *testing.T) {
	t.Parallel()
	configure := func(c *Config) { c.BatchSize, c.Workers = 37, 3 }
	w := newWorld(t, configure)
	w.subscribers(500)
	w.workflow("w", step("a", "", "x"))
	var triggers []uuid.UUID
	for range 4 {
		triggers = append(triggers, w.triggerProject("w", refer(490, 10)...))
	}
	w.start(w.Engine)
	w.start(w.node(configure))
	w.eventuallyZero(openFanOuts)
	for _, id := range triggers {
		if n := one[int](w, `SELECT count(*) FROM runs WHERE trigger_id = $1`, id); n != 501 {
			t.Errorf("%d runs, want 501", n)
		}
		if n := one[int](w, `SELECT count(*) FROM sent WHERE trigger_id = $1`, id); n != 500 {
			t.Errorf("%d messages, want 500", n)
		}
		p, err := w.Progress(t.Context(), w.env, id)
		if err != nil || *p != (Progress{Recipients: 501, Done: 501}) {
			t.Errorf("progress: %+v, %v", p, err)
		}
	}
}

// What was found is listed with what was named, by recipient, page by page; and cancelled, however much it is.
func TestFoundRecipientsAreLikeNamedOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize = 7 })
	w.subscribers(250)
	w.workflow("w", delayStep("d", 600), step("a", "", "x"))
	id := w.triggerProject("w", refer(0, 20)...)
	w.drain()
	var after *RunCursor
	seen := map[belfry.RecipientID]bool{}
	for {
		page, err := w.Engine.Runs(t.Context(), w.env, RunFilter{Trigger: id}, after, 30)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Runs {
			if seen[r.Recipient] || after != nil && r.Recipient <= after.Recipient {
				t.Errorf("%d is listed twice, or not in order", r.Recipient)
			}
			seen[r.Recipient] = true
		}
		if after = &page.End; !page.More {
			break
		}
	}
	expect(t, "listed", len(seen), 251)
	c, err := w.Cancel(t.Context(), w.env, "w", "k", nil)
	if err != nil || *c != (CancelResult{Cancelled: 251}) {
		t.Errorf("cancelled %+v, %v", c, err)
	}
	p, err := w.Progress(t.Context(), w.env, id)
	if err != nil || *p != (Progress{Recipients: 251, Cancelled: 251}) {
		t.Errorf("progress: %+v, %v", p, err)
	}
}

// A cancellation stops the search for subscribers, and nobody who is found by then goes on.
func TestCancellingStopsTheSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize = 10 })
	w.subscribers(100)
	w.workflow("w", delayStep("d", 600), step("a", "", "x"))
	id := w.triggerProject("w")
	worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
	for range 3 {
		if _, err := worker.work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p, err := w.Progress(t.Context(), w.env, id)
	if err != nil || !p.Expanding || p.Recipients < 20 || p.Recipients > 40 {
		t.Errorf("progress: %+v, %v", p, err)
	}
	c, err := w.Cancel(t.Context(), w.env, "w", "k", nil)
	if err != nil || *c != (CancelResult{Cancelled: p.Recipients, Uncounted: true}) {
		t.Errorf("cancelled %+v, %v", c, err)
	}
	w.drain()
	expect(t, "runs", one[int](w, `SELECT count(*) FROM runs`), p.Recipients)
	expect(t, "fan-outs", one[int](w, openFanOuts), 0)
	if c, err = w.Cancel(t.Context(), w.env, "w", "k", nil); err != nil || *c != (CancelResult{AlreadyFinished: p.Recipients}) {
		t.Errorf("cancelled again: %+v, %v", c, err)
	}
	if err := w.pruneOnce(t.Context()); err != nil {
		t.Error(err)
	}
}

// A search that finds nobody keeps its worker busy: it doesn't hold other searches, which others could go on with.
func TestASearchForNobodyHoldsNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize = 20 })
	w.users(300)
	w.workflow("w", step("a", "", "x"))
	if _, err := w.Recipients.UpsertAudience(t.Context(), w.env, recipient.Audience{Key: "nobody", Condition: "recipient.plan == 'none'"}); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		w.trigger(Request{Workflow: "w", Recipients: []Party{{Audience: "nobody"}}})
	}
	worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
	for range 6 {
		if _, err := worker.work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "fan-outs to be claimed next", worker.bulkRows, 1)
	w.drain()
	expect(t, "fan-outs", one[int](w, openFanOuts), 0)
}

// A few subscribers are like a few recipients; many are bulk work, beside which single triggers are done at once.
func TestManySubscribersAreBulk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize = 100 })
	w.subscribers(bulkSize - 1)
	w.workflow("w", step("a", "", "x"))
	w.triggerProject("w")
	expect(t, "lane", one[lane](w, `SELECT lane FROM fan_outs`), laneNormal)
	w.drain()
	w.users(400)
	w.exec(`INSERT INTO subscriptions (object_id, recipient_id, environment_id, nested, properties, created_at, updated_at)
		SELECT s.object_id, u.id, $1, false, '{}', $2, $2 FROM (SELECT object_id FROM subscriptions LIMIT 1) s, recipients u WHERE u.collection = '$users'
		ON CONFLICT DO NOTHING`, w.env, epoch)
	big := w.triggerProject("w")
	expect(t, "lane", one[lane](w, `SELECT lane FROM fan_outs`), laneBulk)
	single := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	if _, err := (&worker{engine: w.Engine, rows: 1, bulkRows: 1}).work(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, "runs of the single trigger", len(w.runs(single.Trigger.ID)), 1)
	if n := len(w.runs(big)); n == 0 || n > 100 {
		t.Errorf("%d runs of many", n)
	}
	w.drain()
	expect(t, "runs of many", len(w.runs(big)), 401)
}

// Environments share one claim: both get on.
func TestSearchesOfEnvironmentsTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize = 40 })
	other := *w
	other.env = w.environment("other")
	var triggers []uuid.UUID
	for _, x := range []*world{w, w, &other} {
		if len(triggers) != 1 {
			x.subscribers(200)
			x.workflow("w", step("a", "", "x"))
		}
		triggers = append(triggers, x.triggerProject("w"))
	}
	worker := &worker{engine: w.Engine, rows: 1, bulkRows: 2}
	for range 2 {
		if _, err := worker.work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := len(w.runs(triggers[0]))+len(w.runs(triggers[1])), len(w.runs(triggers[2])); a == 0 || b == 0 || a-b > 20 || b-a > 20 {
		t.Errorf("%d and %d runs", a, b)
	}
	w.drain()
	for _, id := range triggers {
		expect(t, "runs", len(w.runs(id)), 201)
	}
}

// One subscriber whose message the database refuses hurts nobody else.
func TestARefusedSubscriberFailsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.BatchSize = 16 })
	w.subscribers(40)
	w.workflow("w", step("a", "", "{% if recipient.number == 17 %}forbidden{% else %}x{% endif %}"))
	id := w.triggerProject("w")
	w.drain()
	p, err := w.Progress(t.Context(), w.env, id)
	if err != nil || *p != (Progress{Recipients: 41, Done: 40, Failed: 1}) {
		t.Errorf("progress: %+v, %v", p, err)
	}
	expect(t, "the run of u17", w.runs(id)["u17"].Status, Failed)
}

// A schedule's object is notified alone.
func TestASchedulesObjectIsNotifiedAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.subscribers(3)
	w.workflow("w", step("a", "", "x"))
	w.trigger(Request{Workflow: "w", Recipients: []Party{{Ref: project}}, source: SourceSchedule})
	w.drain()
	expect(t, "runs", one[int](w, `SELECT count(*) FROM runs`), 1)
}

// A step names another object: its subscribers are told.
func TestAStepMayNotifySubscribers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.subscribers(3)
	w.workflow("child", step("a", "", "x"))
	w.workflow("parent", workflow.Step{Ref: "go", TriggerWorkflow: &workflow.TriggerWorkflow{Workflow: "child"}})
	w.triggerProject("parent", refer(0, 2)...)
	w.drain()
	for user := range 3 {
		if n := one[int](w, `SELECT count(*) FROM sent s JOIN recipients p ON p.id = s.recipient_id WHERE p.external_id = $1`, fmt.Sprint("u", user)); n != 1 {
			t.Errorf("u%d has %d messages", user, n)
		}
	}
}

// Keys of audiences are checked like other names, and what a recipient brings is for one who is named.
func TestAudiencesInTriggersAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", step("a", "", "x"))
	a := w.trigger(Request{Workflow: "w", Recipients: []Party{{Audience: "none"}, refer(0, 1)[0], {Audience: "Bad Key"}, {Audience: "none", Data: map[string]any{"a": 1}}}})
	var got []string
	for _, r := range a.Rejected {
		got = append(got, fmt.Sprint(r.Index, " ", r.Code))
	}
	expect(t, "rejected", got, []string{"0 NOT_FOUND", "2 INVALID", "3 INVALID"})
	expect(t, "recipients", a.Trigger.Recipients, 1)
}
