package feed

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/postgres/pgtest"
)

// The properties are checked a few times only, because most need a database. For more:
//
//	go test -race -run 'Agrees|EveryVersion' ./feed -rapid.checks=500
const defaultChecks = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		_ = flag.Set("rapid.checks", defaultChecks)
	}
	_ = flag.Set("rapid.nofailfile", "true") // what depends on the order of goroutines can't be replayed
	pgtest.Main(m)
}

func TestStatementsPrepare(t *testing.T) {
	t.Parallel()
	pgtest.Prepare(t, statements)
}

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// env is the environment of most tests.
const env belfry.EnvironmentID = 1

// world is a Service on a database of its own, and everything around it.
type world struct {
	*Service
	bus *testBus

	mu       sync.Mutex
	clock    time.Time
	people   map[string]belfry.RecipientID
	observed []belfry.StatusChange
	events   []event                                   // of each message, in the order of their commits if there is one caller
	inTx     func(context.Context, *postgres.Tx) error // what Observe does besides, if anything
	eachInTx func(context.Context, *postgres.Tx) error // and ObserveEach
}

func newWorld(t testing.TB) *world { return newWorldOn(pgtest.New(t)) }

func newWorldOn(pool *pgxpool.Pool) *world {
	w := &world{
		bus:    newTestBus(),
		clock:  time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC),
		people: make(map[string]belfry.RecipientID),
	}
	w.Service = &Service{Pool: pool, Bus: w.bus, UserID: w.userID, TenantIDs: w.tenantIDs, Recipients: w.recipients, ItemsOf: w.itemsOf, Observe: w.observe, ObserveEach: w.observeEach, Now: w.tick, Log: slog.New(slog.DiscardHandler)}
	return w
}

// tick is a clock whose every reading is later than the last, with more digits than PostgreSQL keeps.
func (w *world) tick() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(time.Millisecond + 17*time.Nanosecond)
	return w.clock
}

func (w *world) observe(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
	w.mu.Lock()
	w.observed = append(w.observed, changes...)
	w.mu.Unlock()
	w.remember(tx, changes)
	if w.inTx != nil {
		return w.inTx(ctx, tx)
	}
	return nil
}

// told returns what was observed since the last call.
func (w *world) told() []belfry.StatusChange {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.observed = nil }()
	return w.observed
}

func (w *world) userID(_ context.Context, env belfry.EnvironmentID, user string) (belfry.RecipientID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.people[fmt.Sprint(env, "/", user)], nil
}

// tenantIDs knows the tenants of tenantNames, in every environment.
func (w *world) tenantIDs(_ context.Context, _ belfry.EnvironmentID, names []string) (map[string]belfry.RecipientID, error) {
	out := make(map[string]belfry.RecipientID)
	for _, name := range names {
		if id := tenantNames[name]; id != 0 {
			out[name] = id
		}
	}
	return out, nil
}

func (w *world) recipients(_ context.Context, _ *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[belfry.RecipientID]*belfry.Recipient{}
	for k, id := range w.people {
		if _, user, _ := strings.Cut(k, "/"); slices.Contains(ids, id) {
			out[id] = &belfry.Recipient{ID: id, RecipientRef: belfry.User(user)}
		}
	}
	return out, nil
}

// itemsOf says what the runs of a trigger made, and something that they didn't.
func (w *world) itemsOf(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, trigger [16]byte, behind belfry.RecipientID, n int) (
	ids []belfry.MessageID, last belfry.RecipientID, more bool, err error) {
	rows, err := tx.Query(ctx, `SELECT DISTINCT recipient_id FROM feed_items WHERE environment_id = $1 AND recipient_id > $2 ORDER BY 1 LIMIT $3`, env, behind, n)
	if err != nil {
		return nil, 0, false, err
	}
	recipients, err := pgx.CollectRows(rows, pgx.RowTo[belfry.RecipientID])
	if err != nil || len(recipients) == 0 {
		return nil, 0, false, err
	}
	for _, r := range recipients {
		for seq := range int64(4) {
			ids = append(ids, belfry.MessageID{Recipient: r, Channel: belfry.DefaultFeed, Seq: seq})
		}
	}
	return ids, recipients[len(recipients)-1], len(recipients) == n, nil
}

// know makes a user known, and names the user's default feed.
func (w *world) know(env belfry.EnvironmentID, user string) Ref {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := fmt.Sprint(env, "/", user)
	if w.people[k] == 0 {
		w.people[k] = belfry.RecipientID(len(w.people) + 1)
	}
	return Ref{env, user, belfry.DefaultFeed}
}

// message is a message to a feed. Its label tells it from others.
func (w *world) message(ref Ref, label string) belfry.Message {
	id, _ := w.userID(context.Background(), ref.Environment, ref.User)
	return belfry.Message{
		Environment: ref.Environment, Recipient: id, UserID: ref.User, Channel: ref.Channel, ChannelType: belfry.InApp,
		Trigger: [16]byte{1}, Workflow: "welcome", Version: 7, StepRef: "tell", Categories: []string{},
		Content: belfry.Content{Body: belfry.Body{Format: belfry.TextBody, Content: label, Rendered: label}},
	}
}

func (w *world) append(ctx context.Context, messages ...belfry.Message) error {
	return postgres.InTx(ctx, w.Pool, func(tx *postgres.Tx) error { return w.Append(ctx, tx, messages) })
}

// fill appends n messages to a feed and returns their ids, oldest first.
func (w *world) fill(t testing.TB, ref Ref, n int) []belfry.MessageID {
	t.Helper()
	from := w.page(t, ref, 1).Position.Version
	messages := make([]belfry.Message, n)
	ids := make([]belfry.MessageID, n)
	for i := range messages {
		messages[i] = w.message(ref, fmt.Sprint("message ", i+1))
		ids[i] = belfry.MessageID{Recipient: messages[i].Recipient, Channel: ref.Channel, Seq: from + int64(i) + 1}
	}
	if err := w.append(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	return ids
}

func (w *world) page(t testing.TB, ref Ref, first int) *Page {
	t.Helper()
	page, err := w.Page(t.Context(), ref, everyItem, first, 0)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func (w *world) mark(t testing.TB, ref Ref, m belfry.Mark, ids ...belfry.MessageID) Marked {
	t.Helper()
	got, err := w.Mark(t.Context(), ref, m, ids)
	if err != nil {
		t.Fatalf("mark %s: %v", m, err)
	}
	return got
}

func (w *world) markAll(t testing.TB, ref Ref, m belfry.Mark, upTo ...belfry.Position) Marked {
	t.Helper()
	var to *belfry.Position
	if len(upTo) > 0 {
		to = &upTo[0]
	}
	got, err := w.MarkAll(t.Context(), ref, m, to)
	if err != nil {
		t.Fatalf("mark all %s: %v", m, err)
	}
	return got
}

func (w *world) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := w.Pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// seqs is the sequence numbers of items, in their order.
func seqs(items []*Item) []int64 {
	out := make([]int64, len(items))
	for i, it := range items {
		out[i] = it.ID.Seq
	}
	return out
}

// marks is all there are.
var marks = []belfry.Mark{belfry.Seen, belfry.Unseen, belfry.Read, belfry.Unread, belfry.Interacted, belfry.Archived, belfry.Unarchived}

// waitUntil polls until ok, or fails the test.
func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}

// testBus is a bus within the process that treats notices as its fate says: it is there to go wrong on purpose.
type testBus struct {
	mu    sync.Mutex
	lines map[string][]*testLine
	fate  func(Notice) fate // nil: all arrive
	held  []Notice          // delayed until something else has arrived
	loud  bool              // Wanted even if nobody listens
	sent  []Notice
}

// fate is what becomes of a notice for one listener.
type fate int

const (
	arrives    fate = iota
	lost            // without a word
	lostLoudly      // the line reports a gap
	doubled
	delayed // overtaken by the next
)

func newTestBus() *testBus { return &testBus{lines: make(map[string][]*testLine)} }

func (b *testBus) Wanted(topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.loud || len(b.lines[topic]) > 0
}

func (b *testBus) Publish(notices []Notice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, notices...)
	for _, n := range notices {
		overtaken := b.held
		b.held = nil
		for _, l := range b.lines[n.Topic] {
			f := arrives
			if b.fate != nil {
				f = b.fate(n)
			}
			switch f {
			case arrives:
				l.put(false, n)
			case doubled:
				l.put(false, n, n)
			case lostLoudly:
				l.put(true)
			case delayed:
				b.held = append(b.held, n)
			}
		}
		b.release(overtaken)
	}
	return nil
}

// release delivers late notices, to every listener: some get them a second time.
func (b *testBus) release(notices []Notice) {
	for _, n := range notices {
		for _, l := range b.lines[n.Topic] {
			l.put(false, n)
		}
	}
}

func (b *testBus) Listen(topic string, wake func()) (Line, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &testLine{bus: b, topic: topic, wake: wake}
	b.lines[topic] = append(b.lines[topic], l)
	return l, nil
}

type testLine struct {
	bus   *testBus
	topic string
	wake  func()

	mu      sync.Mutex
	notices []Notice
	gap     bool
}

func (l *testLine) put(gap bool, notices ...Notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notices, l.gap = append(l.notices, notices...), l.gap || gap
	l.wake()
}

func (l *testLine) Nudge() { l.put(true) }

func (l *testLine) Take() ([]Notice, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.notices, l.gap = nil, false }()
	return l.notices, l.gap
}

func (l *testLine) Close() {
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	l.bus.lines[l.topic] = slices.DeleteFunc(l.bus.lines[l.topic], func(o *testLine) bool { return o == l })
}
