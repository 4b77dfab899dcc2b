package engine

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// modelFactor: a check of the model is quick, so there are more of them than of other properties. -rapid.checks is for
// each time.
const modelFactor = 7

// model is a workflow on the engine and in the oracle.
type model struct {
	*world
	rapid    *rapid.T
	oracle   oracle
	triggers int
	keys     int // refs drawn so far
}

// Whatever workflow, triggers and cancellations: the engine does what the oracle says, and in the end nothing is left.
func TestEngineDoesWhatTheOracleSays(t *testing.T) {
	t.Parallel()
	shared := newWorld(t)
	shared.users(3)
	check := func(r *rapid.T) {
		w := *shared
		w.exec(forgetRuns + `; DELETE FROM workflow_versions; DELETE FROM workflows`)
		w.clock = &clock{at: epoch}
		w.Engine = w.node()
		m := &model{world: &w, rapid: r, oracle: oracle{now: epoch, throttles: map[string]*oracleThrottle{}, had: map[string]bool{}}}
		m.publish()
		for range rapid.IntRange(1, 25).Draw(r, "actions") {
			m.act()
		}
		m.finish()
	}
	for range modelFactor {
		if rapid.Check(t, check); t.Failed() {
			return
		}
		if flag.Lookup("rapid.seed").Value.String() != "0" {
			return // it would be the same again
		}
	}
}

// forgetRuns is quicker than TRUNCATE for a few rows, and than a new database.
const forgetRuns = `DELETE FROM sent; DELETE FROM fan_outs; DELETE FROM runs; DELETE FROM cancellations; DELETE FROM batch_activities;
	DELETE FROM batches; DELETE FROM throttles; DELETE FROM first_runs; DELETE FROM waits; DELETE FROM signals; DELETE FROM fetches;
	DELETE FROM triggers; DELETE FROM found_recipients; DELETE FROM idempotency_keys`

func (m *model) act() {
	switch rapid.SampledFrom([]string{"trigger", "trigger", "trigger", "trigger", "go on", "go on", "go on", "lag", "drain", "cancel", "cancel",
		"publish", "toggle"}).Draw(m.rapid, "action") {
	case "trigger":
		m.request()
	case "go on":
		m.advance()
		m.settle()
	case "lag": // no engine runs meanwhile: much is due at once
		m.advance()
	case "drain":
		m.settle()
	case "cancel":
		m.revoke()
	case "publish":
		m.publish()
	case "toggle":
		m.oracle.inactive = !m.oracle.inactive
		if _, err := m.SetActive(m.t.Context(), m.env, "w", !m.oracle.inactive); err != nil {
			m.rapid.Fatal(err)
		}
	}
}

// advance lets time pass.
func (m *model) advance() {
	m.clock.add(time.Duration(rapid.IntRange(1, 40).Draw(m.rapid, "seconds")) * time.Second)
	m.oracle.now = m.clock.now()
}

// settle has everything done that is to be done now, and compares.
func (m *model) settle() {
	worker := &worker{engine: m.Engine, rows: m.BatchSize, bulkRows: m.BatchSize}
	for turn := 0; ; turn++ {
		n, err := worker.work(m.t.Context())
		if err != nil || turn == enough {
			m.rapid.Fatal(turn, err)
		}
		if n == 0 {
			break
		}
	}
	m.oracle.drain()
	rows, err := m.pool.Query(m.t.Context(), selectModel, epoch)
	if err != nil {
		m.rapid.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		m.rapid.Fatal(err)
	}
	if diff := cmp.Diff(m.oracle.lines(), got); diff != "" {
		m.rapid.Fatalf("the engine does not what the oracle says (-oracle +engine):\n%s", diff)
	}
}

// finish lets all windows pass: everything comes to an end.
func (m *model) finish() {
	for range 20 {
		m.clock.add(100 * time.Second)
		m.oracle.now = m.clock.now()
		m.settle()
	}
	for _, r := range m.oracle.runs {
		if r.status == Waiting || r.status == "" {
			m.rapid.Fatalf("the run of %s and trigger %d does not come to an end", r.user, r.trigger)
		}
	}
}

func (m *model) users() []string {
	first := rapid.IntRange(0, 2).Draw(m.rapid, "first user")
	var out []string
	for i := first; i < min(3, first+rapid.IntRange(1, 3).Draw(m.rapid, "users")); i++ {
		out = append(out, fmt.Sprintf("u%d", i))
	}
	return out
}

func (m *model) request() {
	m.clock.add(time.Millisecond) // ids are in the order of time
	m.oracle.now = m.clock.now()
	users := m.users()
	r := &Request{
		Workflow: "w", CancellationKey: rapid.SampledFrom([]string{"", "x", "y"}).Draw(m.rapid, "key"),
		SkipDelay: rapid.IntRange(0, 9).Draw(m.rapid, "skip delay") == 0,
		Data:      map[string]any{"k": rapid.IntRange(0, 1).Draw(m.rapid, "k"), "c": rapid.IntRange(0, 2).Draw(m.rapid, "c"), "n": m.triggers + 1},
	}
	if rapid.IntRange(0, 5).Draw(m.rapid, "low priority") == 0 {
		r.Priority = Low
	}
	for _, u := range users {
		r.Recipients = append(r.Recipients, Party{Ref: belfry.User(u)})
	}
	_, err := m.Trigger(m.t.Context(), m.env, r)
	if m.oracle.inactive {
		if belfry.CodeOf(err) != belfry.WorkflowInactive {
			m.rapid.Fatalf("a workflow that is switched off was triggered: %v", err)
		}
		return
	}
	if err != nil {
		m.rapid.Fatal(err)
	}
	m.triggers++
	m.oracle.trigger(m.triggers, users, r)
}

func (m *model) revoke() {
	var users []string
	var refs []belfry.RecipientRef
	if rapid.Bool().Draw(m.rapid, "for some") {
		for _, u := range m.users() {
			users, refs = append(users, u), append(refs, belfry.User(u))
		}
	}
	key := rapid.SampledFrom([]string{"x", "y"}).Draw(m.rapid, "key")
	got, err := m.Cancel(m.t.Context(), m.env, "w", key, refs)
	if err != nil {
		m.rapid.Fatal(err)
	}
	if want := m.oracle.cancel(key, users); *got != want {
		m.rapid.Fatalf("Cancel of %s for %v = %+v, want %+v", key, users, *got, want)
	}
}

// modelBody shows all that differs between messages.
const modelBody = `v{{ workflow.version }} k{{ data.k }} n{{ data.n }} of {{ total_activities }}: {% for a in activities %}{{ a.n }} {% endfor %}`

// publish stores a random version. Steps are called alike in all versions, whatever they do.
func (m *model) publish() {
	m.keys = 0
	nodes := rapid.IntRange(0, 4).Draw(m.rapid, "nodes")
	d := &workflow.Definition{Name: "w", Steps: m.steps(&nodes, 0)}
	if rapid.IntRange(0, 7).Draw(m.rapid, "only once") == 0 {
		d.Frequency = workflow.OncePerRecipient
	}
	if rapid.IntRange(0, 7).Draw(m.rapid, "trigger condition") == 0 {
		d.Condition = "data.c > 0"
	}
	v, problems, err := m.Upsert(m.t.Context(), m.env, "w", d)
	if err != nil || len(problems) > 0 {
		m.rapid.Fatalf("%v %v", err, problems)
	}
	definition, _ := encode(d)
	m.rapid.Logf("version %d is %s", v.Number, definition)
	if v.Number > len(m.oracle.versions) {
		m.oracle.versions = append(m.oracle.versions, d)
	}
}

// steps draws steps, with so many nodes that aren't messages. Mostly there is a message between two of them.
func (m *model) steps(nodes *int, depth int) []workflow.Step {
	var out []workflow.Step
	for *nodes > 0 {
		if rapid.IntRange(0, 2).Draw(m.rapid, "message") == 0 {
			out = append(out, step(m.ref(), m.condition(), modelBody))
		}
		*nodes--
		out = append(out, m.control(nodes, depth))
		if depth > 0 && rapid.Bool().Draw(m.rapid, "end of branch") {
			break
		}
	}
	return append(out, step(m.ref(), m.condition(), modelBody))
}

func (m *model) ref() string {
	m.keys++
	return fmt.Sprintf("s%d", m.keys)
}

// condition is mostly none.
func (m *model) condition() string {
	return rapid.SampledFrom([]string{"", "", "", "", "data.c == 0", "data.c > 0", "run.total_activities > 1"}).Draw(m.rapid, "condition")
}

func (m *model) control(nodes *int, depth int) workflow.Step {
	s := workflow.Step{Ref: m.ref()}
	window := workflow.Window{For: m.duration()}
	key := rapid.SampledFrom([]string{"", "data.k"}).Draw(m.rapid, "key")
	kinds := []string{"delay", "batch", "batch", "batch", "throttle", "branch"}
	if depth == 2 {
		kinds = kinds[:5]
	}
	switch rapid.SampledFrom(kinds).Draw(m.rapid, "kind") {
	case "delay":
		s.Condition = m.condition()
		s.Delay = &workflow.Delay{Window: window}
	case "batch":
		s.Batch = m.batch(window, key)
	case "throttle":
		s.Condition = m.condition()
		s.Throttle = &workflow.Throttle{Window: window, Limit: rapid.IntRange(0, 2).Draw(m.rapid, "limit"), Key: key}
	case "branch":
		s.Branch = &workflow.Branch{}
		for range rapid.IntRange(1, 2).Draw(m.rapid, "branches") {
			condition := rapid.SampledFrom([]string{"data.c == 1", "data.c > 0", "run.total_activities > 1"}).Draw(m.rapid, "branch condition")
			s.Branch.Branches = append(s.Branch.Branches, workflow.BranchPath{Condition: condition, Steps: m.steps(nodes, depth+1),
				Terminates: rapid.IntRange(0, 3).Draw(m.rapid, "terminates") == 0})
		}
		if rapid.Bool().Draw(m.rapid, "default") {
			s.Branch.Default = workflow.BranchPath{Steps: m.steps(nodes, depth+1), Terminates: rapid.IntRange(0, 3).Draw(m.rapid, "terminates") == 0}
		}
	}
	return s
}

func (m *model) batch(window workflow.Window, key string) *workflow.Batch {
	b := &workflow.Batch{Window: window, Key: key, LeadingFlush: rapid.IntRange(0, 3).Draw(m.rapid, "leading") == 0}
	if rapid.Bool().Draw(m.rapid, "sliding") {
		b.Type, b.ExtensionLimit = workflow.Sliding, m.duration()
	}
	if rapid.Bool().Draw(m.rapid, "limited") {
		b.MaxItems = rapid.IntRange(2, 4).Draw(m.rapid, "max items")
	}
	if rapid.IntRange(0, 3).Draw(m.rapid, "pinned") == 0 {
		b.VersionMode = workflow.Pinned
	}
	b.RenderLimit = rapid.IntRange(0, 2).Draw(m.rapid, "render limit")
	if rapid.Bool().Draw(m.rapid, "last") {
		b.Order = workflow.LastActivities
	}
	return b
}

func (m *model) duration() *calendar.Duration {
	return &calendar.Duration{Unit: calendar.Seconds, Value: rapid.SampledFrom([]int{1, 10, 20, 60}).Draw(m.rapid, "seconds")}
}
