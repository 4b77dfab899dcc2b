package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// scenario is a case that is under way.
type scenario struct {
	*world
	file   string
	line   int
	server *fetchServer

	triggers []uuid.UUID
	labels   map[string]uuid.UUID
	accepted bool // something was triggered: time only goes on from here
	stopped  bool
	expected map[int64]bool // messages
	failures map[string]bool
}

func newScenario(w *world, file string, server *fetchServer) *scenario {
	server.reset()
	return &scenario{world: w, file: file, server: server, labels: map[string]uuid.UUID{}, expected: map[int64]bool{}, failures: map[string]bool{}}
}

// fail ends the case, with everything that is known about its runs.
func (s *scenario) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s:%d: %s\n%s", s.file, s.line, fmt.Sprintf(format, args...), s.report())
}

func (s *scenario) check(err error) {
	s.t.Helper()
	if err != nil {
		s.fail("%v", err)
	}
}

const createMailbox = `CREATE TABLE mailbox (id bigint GENERATED ALWAYS AS IDENTITY, environment_id bigint, recipient_id bigint, channel text,
	trigger_id uuid, step text, message jsonb, delivery text, marks text[] NOT NULL DEFAULT '{}',
	held_back_as bigint)`

// enqueue is what feeds and providers do: it keeps the messages, and says of those in a feed that they have been sent.
func (s *scenario) enqueue(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
	var changes []belfry.StatusChange
	for i := range messages {
		m := &messages[i]
		status := belfry.Queued
		switch {
		case m.Sandbox:
			status = belfry.NotSent
		case m.ChannelType == belfry.InApp && m.SendAt.IsZero():
			status = belfry.Sent
		}
		if err := tx.QueryRow(ctx, `INSERT INTO mailbox (environment_id, recipient_id, channel, trigger_id, step, message, delivery)
			VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
			m.Environment, m.Recipient, m.Channel, uuid.UUID(m.Trigger), m.StepRef, m, status).Scan(&m.Seq); err != nil {
			return err
		}
		if status == belfry.Sent {
			changes = append(changes, change(m, belfry.MessageSent, m.CreatedAt))
		}
	}
	return s.MessagesChanged(ctx, tx, changes)
}

func change(m *belfry.Message, kind belfry.EventKind, at time.Time) belfry.StatusChange {
	return belfry.StatusChange{Environment: m.Environment, Kind: kind, At: at, Channel: m.Channel, ChannelType: m.ChannelType, Workflow: m.Workflow,
		StepRef: m.StepRef, Messages: []belfry.MessageRef{{Recipient: m.Recipient, UserID: m.UserID, Seq: m.Seq}}, Count: 1}
}

// statuses is what feeds and providers know.
func (s *scenario) statuses(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.MessageID) (map[belfry.MessageID]belfry.MessageStatus, error) {
	out := map[belfry.MessageID]belfry.MessageStatus{}
	for _, id := range ids {
		var delivery belfry.DeliveryStatus
		var marks []string
		var item int64
		err := tx.QueryRow(ctx, `SELECT delivery, marks, id FROM mailbox WHERE environment_id = $1 AND recipient_id = $2 AND channel = $3 AND $4 IN (id, held_back_as)`,
			env, id.Recipient, id.Channel, id.Seq).Scan(&delivery, &marks, &item)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		status := belfry.MessageStatus{Delivery: delivery}
		if item != id.Seq {
			status.Item = item
		}
		for _, m := range marks {
			switch m {
			case "seen":
				status.Seen = true
			case "read":
				status.Read = true
			case "interacted":
				status.Interacted = true
			case "link_clicked":
				status.LinkClicked = true
			case "archived":
				status.Archived = true
			}
		}
		out[id] = status
	}
	return out, nil
}

// implied says what else a message is that is marked: whoever reads something has seen it.
var implied = map[string][]string{
	"seen": {"seen"}, "read": {"seen", "read"}, "interacted": {"seen", "read", "interacted"}, "link_clicked": {"link_clicked"}, "archived": {"archived"},
}

// mark changes what became of a message, and says so, as feeds and providers do.
func (s *scenario) mark(id int64, m *belfry.Message, mark string) error {
	return postgres.InTx(s.t.Context(), s.pool, func(tx *postgres.Tx) error {
		ctx := s.t.Context()
		var err error
		switch mark {
		case "queued", "delivery_attempted", "not_sent", "sent", "delivered", "undelivered", "bounced":
			_, err = tx.Exec(ctx, `UPDATE mailbox SET delivery = $2 WHERE id = $1`, id, mark)
		case "unseen":
			_, err = tx.Exec(ctx, `UPDATE mailbox SET marks = '{}' WHERE id = $1`, id)
		case "unread":
			_, err = tx.Exec(ctx, `UPDATE mailbox SET marks = array_remove(array_remove(marks, 'read'), 'interacted') WHERE id = $1`, id)
		case "unarchived":
			_, err = tx.Exec(ctx, `UPDATE mailbox SET marks = array_remove(marks, 'archived') WHERE id = $1`, id)
		case "expired":
			_, err = tx.Exec(ctx, `UPDATE mailbox SET id = DEFAULT, environment_id = 0 WHERE id = $1`, id)
			return err
		default:
			if implied[mark] == nil {
				return fmt.Errorf("%q happens to no message", mark)
			}
			_, err = tx.Exec(ctx, `UPDATE mailbox SET marks = marks || $2 WHERE id = $1`, id, implied[mark])
		}
		if err != nil {
			return err
		}
		if mark == "sent" && m.ChannelType == belfry.InApp { // it was held back until now, and gets the id of an item
			err := tx.QueryRow(ctx, `UPDATE mailbox SET id = DEFAULT, held_back_as = id WHERE id = $1 RETURNING id`, id).Scan(&m.Seq)
			if err != nil {
				return err
			}
			s.expected[m.Seq] = s.expected[id]
			return s.ItemsAppended(ctx, tx, []belfry.Message{*m})
		}
		return s.MessagesChanged(ctx, tx, []belfry.StatusChange{change(m, belfry.EventKind("message."+mark), s.clock.now())})
	})
}

// identify makes somebody known.
func (s *scenario) identify(ref belfry.RecipientRef, properties map[string]any) error {
	identity := recipient.Identity{RecipientRef: ref, Properties: properties}
	if err := identity.Validate("user"); err != nil {
		return err
	}
	return postgres.InTx(s.t.Context(), s.pool, func(tx *postgres.Tx) error {
		_, err := s.Recipients.Identify(s.t.Context(), tx, s.env, []recipient.Identity{identity}, []string{"user"})
		return err
	})
}

// reach gives somebody a device or a connection.
func (s *scenario) reach(w *words) error {
	user, channel, medium := w.text(), w.text(), w.text()
	data := belfry.ChannelData{Channel: channel, Push: &belfry.PushData{Devices: []belfry.PushDevice{{Token: "t"}}}}
	if medium == string(belfry.Chat) {
		data = belfry.ChannelData{Channel: channel, Discord: &belfry.DiscordData{Connections: []belfry.DiscordConnection{{ChannelID: "1"}}}}
	}
	_, err := s.Recipients.SetChannelData(s.t.Context(), s.env, belfry.User(user), data, true)
	return err
}

// settle lets the engine do everything that can be done now.
func (s *scenario) settle() {
	s.t.Helper()
	if s.stopped {
		return
	}
	for {
		// A new worker looks everywhere: what it remembers is a hint that is a moment old, and here no moment passes.
		w := &worker{engine: s.Engine, rows: 100, bulkRows: 100}
		n, err := w.work(s.t.Context())
		s.check(err)
		if n > 0 {
			continue
		}
		f := newFetcher(s.Engine)
		n, err = f.begin(s.t.Context())
		s.check(err)
		if f.under.Wait(); n == 0 {
			return
		}
	}
}

// pass lets time pass, from one thing that falls due to the next.
func (s *scenario) pass(until time.Time) {
	s.t.Helper()
	now := s.clock.now()
	if until.Before(now) {
		s.fail("it is %s already", now.Format(time.RFC3339))
	}
	for range 10_000 {
		var next *time.Time
		s.check(s.pool.QueryRow(s.t.Context(), `SELECT min(at) FROM (
			SELECT due_at FROM runs WHERE environment_id = $1 AND due_at IS NOT NULL UNION ALL
			SELECT close_at FROM batches WHERE environment_id = $1 AND close_at IS NOT NULL UNION ALL
			SELECT due_at FROM fetches WHERE environment_id = $1) AS x (at)`, s.env).Scan(&next))
		if s.stopped || next == nil || next.After(until) {
			s.clock.add(until.Sub(s.clock.now()))
			s.settle()
			return
		}
		if next.After(s.clock.now()) {
			s.clock.add(next.Sub(s.clock.now()))
		}
		s.settle()
	}
	s.fail("there is always more to do")
}

// fetchServer answers the requests of fetch steps.
type fetchServer struct {
	url      string
	mu       sync.Mutex
	answers  map[string][]answer // by path, those to come; the first was the last one given, if it is spent
	spent    map[string]bool
	requests []request
}

type answer struct {
	status int // 0: the connection breaks
	body   string
}

type request struct {
	method, target, body string
	header               http.Header
}

func newFetchServer(t *testing.T) *fetchServer {
	f := &fetchServer{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fetchServer) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers, f.spent, f.requests = map[string][]answer{}, map[string]bool{}, nil
}

// respond adds an answer. The last one of a path stays.
func (f *fetchServer) respond(path, status, body string) error {
	n, err := strconv.Atoi(status)
	if err != nil && status != "drop" {
		return fmt.Errorf("%q is no status", status)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[path] = append(f.answers[path], answer{n, body})
	return nil
}

func (f *fetchServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.requests = append(f.requests, request{r.Method, r.URL.RequestURI(), string(body), r.Header})
	a := answer{status: http.StatusNotFound}
	path := r.URL.Path
	if f.spent[path] && len(f.answers[path]) > 1 {
		f.answers[path] = f.answers[path][1:]
	}
	if left := f.answers[path]; len(left) > 0 {
		a, f.spent[path] = left[0], true
	}
	f.mu.Unlock()
	if a.status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// taken takes the oldest request that nobody has expected yet.
func (f *fetchServer) taken() (request, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.requests {
		if r := f.requests[i]; r.method != "" {
			f.requests[i].method = ""
			return r, true
		}
	}
	return request{}, false
}

func (f *fetchServer) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

// report says how every run went, and which messages nobody expected.
func (s *scenario) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "It is %s.\n", s.clock.now().Format(time.RFC3339))
	for _, r := range s.allRuns() {
		fmt.Fprintf(&b, "  %s %s of %s: %s %s\n", s.label(r.trigger), r.workflow, r.user, r.Status, r.waitingFor)
		for i := range r.Log {
			e := &r.Log[i]
			fmt.Fprintf(&b, "      %s", e.line())
			if e.Detail != "" {
				fmt.Fprintf(&b, " %q", e.Detail)
			}
			b.WriteByte('\n')
		}
	}
	for _, m := range s.messages() {
		if !s.expected[m.Seq] {
			fmt.Fprintf(&b, "  not expected: message %s to=%s %q\n", m.StepRef, m.UserID, m.Content.Body.Content)
		}
	}
	return b.String()
}

// line is a log entry as scripts write it.
func (e *LogEntry) line() string {
	step := e.Step
	if step == "" {
		step = "run"
	}
	out := step + ": " + string(e.Outcome)
	if e.Reason != "" {
		out += " (" + e.Reason + ")"
	}
	if e.Until != nil {
		out += " until " + e.Until.UTC().Format(time.RFC3339)
	}
	return out
}

// markAll marks everything in a feed up to a message, but for what came of a step.
func (s *scenario) markAll(last *belfry.Message, mark, except string) error {
	return postgres.InTx(s.t.Context(), s.pool, func(tx *postgres.Tx) error {
		_, err := tx.Exec(s.t.Context(), `UPDATE mailbox SET marks = marks || $4 WHERE recipient_id = $1 AND channel = $2 AND id <= $3 AND step <> $5`,
			last.Recipient, last.Channel, last.Seq, implied[mark], except)
		if err != nil {
			return err
		}
		c := change(last, belfry.EventKind("message."+mark), s.clock.now())
		c.All, c.Some, c.Workflow, c.StepRef = true, except != "", "", ""
		return s.MessagesChanged(s.t.Context(), tx, []belfry.StatusChange{c})
	})
}
