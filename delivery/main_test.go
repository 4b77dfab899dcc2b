package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// env is the environment of most tests.
const env belfry.EnvironmentID = 1

// start is when the tests' clocks begin.
var start = time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)

// world is a Service on a database of its own, with one provider for all media, and a feed that is a table.
type world struct {
	*Service
	t        testing.TB
	pool     *pgxpool.Pool
	provider *provider

	mu    sync.Mutex
	clock time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, pool: pgtest.New(t), clock: start, provider: &provider{}}
	// No unique keys: what happened twice must show.
	w.exec(`CREATE TABLE shown (recipient_id bigint, channel text, seq bigint, body text)`)
	w.exec(`CREATE TABLE told (n bigint GENERATED ALWAYS AS IDENTITY, kind text, environment_id bigint, recipient_id bigint, user_id text, seq bigint,
		channel text, channel_type text, workflow text, step_ref text, at timestamptz, count int)`)
	w.Service = w.node()
	return w
}

// node is another service on the same database.
func (w *world) node(configure ...func(*Config)) *Service {
	c := Config{Pool: w.pool, InApp: show, Observe: tell, Now: w.now, Log: slog.New(slog.DiscardHandler), PollInterval: 5 * time.Millisecond,
		Providers: map[belfry.ChannelType]Provider{belfry.Email: w.provider, belfry.SMS: w.provider}}
	for _, f := range configure {
		f(&c)
	}
	return New(c)
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// show is an InApp that numbers the messages of each recipient. It refuses bodies that say so.
func show(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
	for i := range messages {
		m := &messages[i]
		if m.Content.Body.Content == "refuse me" {
			return belfry.Errorf(belfry.Conflict, "refused")
		}
		err := tx.QueryRow(ctx, `INSERT INTO shown SELECT $1::bigint, $2::text, 1 + count(*), $3 FROM shown WHERE recipient_id = $1 AND channel = $2 RETURNING seq`,
			m.Recipient, m.Channel, m.Content.Body.Content).Scan(&m.Seq)
		if err != nil {
			return err
		}
	}
	return nil
}

// tell is an Observe that writes down what it hears.
func tell(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
	batch := &pgx.Batch{}
	for _, c := range changes {
		for _, m := range c.Messages {
			batch.Queue(`INSERT INTO told (kind, environment_id, recipient_id, user_id, seq, channel, channel_type, workflow, step_ref, at, count)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
				c.Kind, c.Environment, m.Recipient, m.UserID, m.Seq, c.Channel, c.ChannelType, c.Workflow, c.StepRef, c.At, c.Count)
		}
	}
	return tx.SendBatch(ctx, batch).Close()
}

// provider writes down what it is told to send, and answers as answer says.
type provider struct {
	mu     sync.Mutex
	sent   []*Outgoing
	answer func(ctx context.Context, m *Outgoing) (Receipt, error)
}

func (p *provider) String() string { return "test" }

func (p *provider) Send(ctx context.Context, m *Outgoing) (Receipt, error) {
	p.mu.Lock()
	p.sent = append(p.sent, m)
	answer := p.answer
	p.mu.Unlock()
	if answer == nil {
		return Receipt{ID: fmt.Sprint("receipt ", m.Seq)}, nil
	}
	return answer(ctx, m)
}

// calls returns what was sent so far.
func (p *provider) calls() []*Outgoing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Outgoing(nil), p.sent...)
}

// fails makes a provider's answer an error.
func fails(err error) func(context.Context, *Outgoing) (Receipt, error) {
	return func(context.Context, *Outgoing) (Receipt, error) { return Receipt{}, err }
}

// message is a message to a recipient by a medium.
func message(recipient int64, medium belfry.ChannelType, body string) belfry.Message {
	return belfry.Message{
		Environment: env, Recipient: belfry.RecipientID(recipient), UserID: fmt.Sprint("user ", recipient), Channel: "main-" + fmt.Sprint(len(medium)),
		ChannelType: medium, Trigger: [16]byte{1}, Workflow: "welcome", Version: 7, StepRef: "tell", Categories: []string{}, CreatedAt: start,
		Content: belfry.Content{Body: belfry.Body{Format: belfry.TextBody, Content: body, Rendered: body}},
	}
}

// enqueue hands messages over and returns their ids.
func (w *world) enqueue(messages ...belfry.Message) []belfry.MessageID {
	w.t.Helper()
	if err := w.tryEnqueue(messages); err != nil {
		w.t.Fatal(err)
	}
	ids := make([]belfry.MessageID, len(messages))
	for i := range messages {
		ids[i] = messages[i].ID()
	}
	return ids
}

func (w *world) tryEnqueue(messages []belfry.Message) error {
	return postgres.InTx(w.t.Context(), w.pool, func(tx *postgres.Tx) error { return w.Enqueue(w.t.Context(), tx, messages) })
}

// work sends what is due, once, as a node does, and returns how much that was.
func (w *world) work(nodes ...*Service) (n int) {
	w.t.Helper()
	for _, s := range append(nodes, w.Service)[:max(1, len(nodes))] {
		for _, l := range w.lease(s) {
			if err := s.commit(w.t.Context(), []*outcome{s.try(w.t.Context(), l)}); err != nil {
				w.t.Fatal(err)
			}
			n++
		}
		moved, err := s.moveDue(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		n += moved
	}
	return n
}

// lease claims everything that is due for providers.
func (w *world) lease(s *Service) []*lease {
	w.t.Helper()
	leases, err := s.claim(w.t.Context(), w.pool, false, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return leases
}

func (w *world) read(id belfry.MessageID) *Message {
	w.t.Helper()
	found, err := w.Messages(w.t.Context(), env, []belfry.MessageID{id})
	if err != nil {
		w.t.Fatal(err)
	}
	if found[id] == nil {
		w.t.Fatalf("there is no message %v", id)
	}
	return found[id]
}

// heard is the kinds of events of a message so far; nil if there were none.
func (w *world) heard(id belfry.MessageID) (kinds []string) {
	return append(kinds, all[string](w, `SELECT kind FROM told WHERE recipient_id = $1 AND seq = $2 ORDER BY n`, id.Recipient, id.Seq)...)
}

// queued is how many messages are in the queue.
func (w *world) queued() int {
	return all[int](w, `SELECT count(*) FROM deliveries`)[0]
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// all reads one column.
func all[T any](w *world, sql string, args ...any) []T {
	w.t.Helper()
	rows, _ := w.pool.Query(w.t.Context(), sql, args...)
	out, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// waitUntil polls until ok, or fails the test.
func (w *world) waitUntil(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("gave up waiting: %s", what)
		}
	}
}

// run runs a node until the test, or stop, ends it.
func (w *world) run(s *Service) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}
