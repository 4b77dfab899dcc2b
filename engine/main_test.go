package engine

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// Properties that need a database are checked a few times only; for more give -rapid.checks.
const defaultChecks = "15"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		_ = flag.Set("rapid.checks", defaultChecks)
	}
	_ = flag.Set("rapid.nofailfile", "true") // what depends on the order of goroutines can't be replayed
	if !testing.Verbose() {
		slog.SetDefault(slog.New(slog.DiscardHandler))
	}
	pgtest.Main(m)
}

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// epoch is when the tests' clocks begin.
var epoch = time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)

// clock stands still unless it is told otherwise.
type clock struct {
	mu   sync.Mutex
	at   time.Time
	step time.Duration // it goes on by that each time it is read
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(c.step)
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is an engine on a database of its own, whose messages go to the table sent.
type world struct {
	*Engine
	t     *testing.T
	pool  *pgxpool.Pool
	clock *clock
	env   belfry.EnvironmentID
}

func newWorld(t *testing.T, configure ...func(*Config)) *world {
	t.Helper()
	pool := pgtest.New(t)
	w := &world{t: t, pool: pool, clock: &clock{at: epoch}}
	// No unique key: a message that exists twice must show.
	w.exec(`CREATE TABLE sent (id bigint GENERATED ALWAYS AS IDENTITY, environment_id bigint, recipient_id bigint, trigger_id uuid, step text,
		content jsonb, body text CHECK (body <> 'forbidden'), created_at timestamptz)`)
	w.env = w.environment("production")
	w.Engine = w.node(configure...)
	return w
}

// node is another engine on the same database.
func (w *world) node(configure ...func(*Config)) *Engine {
	people := recipient.New(w.pool, w.clock.now)
	people.PublicURL = "https://notify.example.com"
	c := Config{Pool: w.pool, Recipients: people, Enqueue: record, Statuses: unread, Now: w.clock.now, Log: slog.New(slog.DiscardHandler)}
	if testing.Verbose() && os.Getenv("TEST_LOG") != "" {
		c.Log = slog.Default()
	}
	for _, f := range configure {
		f(&c)
	}
	e := New(c)
	e.idleFloors = 0 // clocks stand still here
	return e
}

// record is an Enqueue that writes messages down.
func record(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
	batch := &pgx.Batch{}
	for i := range messages {
		m := &messages[i]
		batch.Queue(`INSERT INTO sent (environment_id, recipient_id, trigger_id, step, content, body, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
			m.Environment, m.Recipient, m.Trigger, m.StepRef, m.Content, m.Content.Body.Content, m.CreatedAt).QueryRow(func(row pgx.Row) error { return row.Scan(&m.Seq) })
	}
	return tx.SendBatch(ctx, batch).Close()
}

// unread is a Statuses that knows every message as sent, and nothing else of it.
func unread(_ context.Context, _ *postgres.Tx, _ belfry.EnvironmentID, ids []belfry.MessageID) (map[belfry.MessageID]belfry.MessageStatus, error) {
	out := map[belfry.MessageID]belfry.MessageStatus{}
	for _, id := range ids {
		out[id] = belfry.MessageStatus{Delivery: belfry.Sent}
	}
	return out, nil
}

// advance takes a run through a program until it waits, asks or has ended.
func advance(ctx context.Context, p *workflow.Program, scope Scope, now time.Time) decision {
	c := course{ctx: ctx, program: p, version: &version{}, trigger: &trigger{}, scope: scope, now: now}
	c.advance()
	return c.decision
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// one reads a single value.
func one[T any](w *world, sql string, args ...any) (v T) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&v); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (w *world) environment(key string) belfry.EnvironmentID {
	w.t.Helper()
	return one[belfry.EnvironmentID](w, `INSERT INTO environments (key, created_at) VALUES ($1, $2) RETURNING id`, key, epoch)
}

// users makes n users known, u0, u1, …, with a name and a number.
func (w *world) users(n int) {
	w.t.Helper()
	w.exec(`INSERT INTO recipients (environment_id, collection, external_id, properties, created_at, updated_at)
		SELECT $1, '$users', 'u' || i, jsonb_build_object('name', 'User ' || i, 'number', i), $3, $3 FROM generate_series(0, $2 - 1) i
		ON CONFLICT DO NOTHING`, w.env, n, epoch)
}

// refer names to users by number.
func refer(first, n int) []Party {
	out := make([]Party, n)
	for i := range out {
		out[i].Ref = belfry.User(fmt.Sprintf("u%d", first+i))
	}
	return out
}

// step is an in-app step with a text body.
func step(ref, condition, body string) workflow.Step {
	return workflow.Step{Ref: ref, Condition: condition, InApp: &workflow.InApp{Channel: belfry.DefaultFeed, Format: workflow.Text, Body: body}}
}

// workflow stores a version of a workflow that has to be right.
func (w *world) workflow(key string, steps ...workflow.Step) *Version {
	w.t.Helper()
	v, problems, err := w.Upsert(w.t.Context(), w.env, key, &workflow.Definition{Name: key, Steps: steps})
	if err != nil || len(problems) > 0 {
		w.t.Fatalf("upsert %s: %v %v", key, err, problems)
	}
	return v
}

// trigger has a request accepted.
func (w *world) trigger(r Request) *Accepted {
	w.t.Helper()
	a, err := w.Trigger(w.t.Context(), w.env, &r)
	if err != nil {
		w.t.Fatalf("trigger %s: %v", r.Workflow, err)
	}
	return a
}

// drain works until there is nothing left to do.
func (w *world) drain() {
	w.t.Helper()
	worker := &worker{engine: w.Engine, rows: 1, bulkRows: 1}
	for range enough {
		n, err := worker.work(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	w.t.Fatalf("there is still something to do after %d transactions", enough)
}

// enough transactions for all that a test has to do at an instant.
const enough = 1000

// start runs an engine until the returned function is called, or the test ends.
func (w *world) start(e *Engine) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Run(ctx)
	}()
	stop = func() {
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			w.t.Error("Run did not return")
		}
	}
	w.t.Cleanup(stop)
	return stop
}

// eventually polls until a query says 0.
func (w *world) eventuallyZero(sql string, args ...any) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for one[int](w, sql, args...) != 0 {
		if time.Now().After(deadline) {
			w.t.Fatalf("not yet 0 after %s: %s", patience, sql)
		}
	}
}

// receive waits for what should come at once, or for a channel to be closed.
func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came for %s", patience)
		panic("not reached")
	}
}

const openFanOuts = `SELECT count(*) FROM fan_outs`

// expectExactlyOnce checks that nothing is left to do, that every run exists, and that every run that is done has exactly
// as many messages as it should.
func (w *world) expectExactlyOnce(runs, messagesPerRun int) {
	w.t.Helper()
	for what, sql := range map[string]string{
		"fan-outs left":                     openFanOuts,
		"accepted recipients without a run": `SELECT (SELECT coalesce(sum(recipients), 0) FROM triggers) - (SELECT count(*) FROM runs)`,
		"messages without a run that is done": `SELECT count(*) FROM sent s WHERE NOT EXISTS
			(SELECT FROM runs r WHERE r.recipient_id = s.recipient_id AND r.trigger_id = s.trigger_id AND r.status = 'done')`,
		"recipients, triggers and steps with two messages": `SELECT count(*) FROM (SELECT FROM sent GROUP BY recipient_id, trigger_id, step HAVING count(*) > 1) x`,
	} {
		if n := one[int](w, sql); n != 0 {
			w.t.Errorf("%s: %d, want none", what, n)
		}
	}
	if n := one[int](w, `SELECT count(*) FROM runs`); n != runs {
		w.t.Errorf("runs = %d, want %d", n, runs)
	}
	done := one[int](w, `SELECT count(*) FROM runs WHERE status = 'done'`)
	if n := one[int](w, `SELECT count(*) FROM sent`); n != done*messagesPerRun {
		w.t.Errorf("messages = %d, want %d", n, done*messagesPerRun)
	}
}

// storedRun is what runs holds of one run.
type storedRun struct {
	User   string
	Status Status
	Log    []LogEntry
}

// runs reads the runs of a trigger, by user.
func (w *world) runs(trigger uuid.UUID) map[string]storedRun {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `SELECT coalesce(p.external_id, 'gone'), r.status, r.log FROM runs r
		LEFT JOIN recipients p ON p.id = r.recipient_id WHERE r.trigger_id = $1`, trigger)
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(map[string]storedRun)
	var r storedRun
	var log []byte
	if _, err := pgx.ForEachRow(rows, []any{&r.User, &r.Status, &log}, func() error {
		r.Log = nil
		out[r.User] = r
		stored := r
		err := json.Unmarshal(log, &stored.Log)
		out[r.User] = stored
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// bodies reads what was sent, by user; of several, in order.
func (w *world) bodies(trigger uuid.UUID) map[string][]string {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `SELECT p.external_id, s.body FROM sent s JOIN recipients p ON p.id = s.recipient_id
		WHERE s.trigger_id = $1 ORDER BY s.id`, trigger)
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(map[string][]string)
	var user, body string
	if _, err := pgx.ForEachRow(rows, []any{&user, &body}, func() error {
		out[user] = append(out[user], body)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func expect[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Request{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// expectError checks an error's code, field and limit.
func expectError(t *testing.T, err error, code belfry.Code, field string, limit int) {
	t.Helper()
	var got belfry.Error
	if e, ok := errors.AsType[*belfry.Error](err); ok {
		got = *e
	}
	if got.Code != code || got.Field != field || got.Limit != limit {
		t.Errorf("error = %v (code %s, field %q, limit %d), want code %s, field %q, limit %d", err, got.Code, got.Field, got.Limit, code, field, limit)
	}
}
