package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/postgres"
)

const (
	framePatience  = 15 * time.Second // for the last frames to arrive
	requestTimeout = 15 * time.Second
	tokenTTL       = time.Hour
)

const triggerMutation = `mutation($input: TriggerWorkflowInput!) { triggerWorkflow(input: $input) { trigger { id } rejected { message } } }`

// pace is how a latency is measured.
type pace struct {
	rate        int // triggers a second
	duration    time.Duration
	subscribers int // users with a device each; triggers go to one of them, in turn
	// end, when closed, ends it before its time; nil: nothing does.
	end <-chan struct{}
}

// latencies are the times of one round, in no order.
type latencies struct {
	commit   []time.Duration // one row inserted and committed: the floor of anything durable
	http     []time.Duration // GET /healthz: the floor of anything over HTTP
	mutation []time.Duration // triggerWorkflow, until its answer
	frame    []time.Duration // triggerWorkflow, until its message is at the subscriber
}

// latency measures rounds on one running server.
func (o options) latency(ctx context.Context, s *server, p *program, progress io.Writer) (out []latencies, err error) {
	fmt.Fprintln(progress, "Starting belfry serve …")
	t, err := newTarget(ctx, s, p, "latency", o.pace.subscribers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	warm := o.pace
	warm.duration = o.pace.duration / 5
	if _, err := t.measure(ctx, warm); err != nil {
		return nil, fmt.Errorf("warming up: %w", err)
	}
	for round := range o.rounds {
		fmt.Fprintf(progress, "round %d/%d, %d triggers/s for %s to %d subscribers: ", round+1, o.rounds, o.pace.rate, o.pace.duration, o.pace.subscribers)
		l, err := t.measure(ctx, o.pace)
		if err != nil {
			fmt.Fprintln(progress)
			return nil, err
		}
		fmt.Fprintf(progress, "trigger to frame p50 %s, p99 %s\n", milliseconds(quantile(l.frame, 0.5)), milliseconds(quantile(l.frame, 0.99)))
		out = append(out, l)
	}
	return out, nil
}

// target is a running server, with everything that a load generator needs to know of it.
type target struct {
	*served
	client      *http.Client
	pool        *pgxpool.Pool // of the same database, for the floor and for counting
	env         belfry.EnvironmentID
	secret      string
	credentials []map[string]any // of the users
	next        int              // number of the next trigger
}

// newTarget prepares a database and starts the server on it.
func newTarget(ctx context.Context, s *server, p *program, name string, users int) (_ *target, err error) {
	side, err := newBelfrySide(ctx, s, name, users)
	if err != nil {
		return nil, err
	}
	t := &target{env: side.env, client: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	if t.pool, err = postgres.Open(ctx, postgres.Config{URL: side.url, MaxConns: connections}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.pool.Close()
		}
	}()
	if _, err = t.pool.Exec(ctx, createFloor); err != nil {
		return nil, err
	}
	if err = t.makeKeys(ctx, side, users); err != nil {
		return nil, err
	}
	t.served, err = p.serve(side.url)
	return t, err
}

// makeKeys makes what the backend and the users' devices authenticate with.
func (t *target) makeKeys(ctx context.Context, side *belfrySide, users int) error {
	service := &auth.Service{Pool: t.pool, Now: time.Now}
	_, secret, err := service.CreateAPIKey(ctx, side.env, auth.Secret, "bench backend")
	if err != nil {
		return err
	}
	t.secret = secret
	_, public, err := service.CreateAPIKey(ctx, side.env, auth.Public, "bench frontend")
	if err != nil {
		return err
	}
	key, private, err := service.CreateSigningKey(ctx, side.env, auth.EdDSA, "bench")
	if err != nil {
		return err
	}
	for i := range users {
		token, err := auth.SignUserToken(private, key.KID, userID(i), tokenTTL, time.Now())
		if err != nil {
			return err
		}
		t.credentials = append(t.credentials, map[string]any{"authorization": "Bearer " + public, "userToken": token})
	}
	return nil
}

func (t *target) stop() error {
	t.client.CloseIdleConnections()
	t.pool.Close()
	return t.served.stop()
}

// measure takes one round: the floors first, each at the same rate for a third of the time.
func (t *target) measure(ctx context.Context, p pace) (out latencies, err error) {
	floor := p
	floor.duration = p.duration / 3
	if out.commit, err = paced(ctx, floor, t.commit); err != nil {
		return out, fmt.Errorf("commits: %w", err)
	}
	if out.http, err = paced(ctx, floor, func(ctx context.Context, _ int) error {
		return t.do(ctx, http.MethodGet, "/healthz", nil, func(b []byte) bool { return string(b) == "ok\n" })
	}); err != nil {
		return out, fmt.Errorf("HTTP requests: %w", err)
	}
	out.mutation, out.frame, err = t.frames(ctx, p, func() {})
	return out, err
}

// frames triggers the workflow for the subscribers, and returns how long each trigger took to its answer and to its frame.
// live is called when all subscribers are.
func (t *target) frames(ctx context.Context, p pace, live func()) (mutation, frame []time.Duration, err error) {
	book := newLedger()
	devices, err := connect(ctx, "ws://"+t.address+"/graphql", t.credentials, book)
	if err != nil {
		return nil, nil, err
	}
	live()
	first := t.next
	mutation, err = paced(ctx, p, func(ctx context.Context, n int) error {
		return t.trigger(ctx, first+n, map[string]any{"user": userID((first + n) % len(t.credentials))})
	}, func(n int, due time.Time) { book.sent(first+n, due) })
	t.next += len(mutation)
	if err == nil {
		frame, err = book.settle(ctx, len(mutation), framePatience)
	}
	if closed := devices.close(); err == nil && closed != nil {
		err = closed
	}
	if err != nil {
		return nil, nil, fmt.Errorf("triggers: %w", err)
	}
	return mutation, frame, nil
}

// paced makes calls at a rate and returns how long each took from when it was due. before is told of each call first.
func paced(ctx context.Context, p pace, call func(context.Context, int) error, before ...func(int, time.Time)) ([]time.Duration, error) {
	book := newLedger()
	loop, stop := context.WithCancel(ctx)
	defer stop()
	if p.end != nil {
		go func() {
			select {
			case <-p.end:
				stop()
			case <-loop.Done():
			}
		}()
	}
	sent := openLoop(loop, p.rate, p.duration, func(n int, due time.Time) {
		book.sent(n, due)
		for _, f := range before {
			f(n, due)
		}
		if err := call(ctx, n); err != nil {
			book.failed(n, err)
			return
		}
		book.back(n, time.Now())
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return book.settle(ctx, sent, 0)
}

// What is durable costs this at least.
const (
	createFloor = "CREATE TABLE floor (n bigint NOT NULL, payload text NOT NULL)"
	insertFloor = "INSERT INTO floor (n, payload) VALUES ($1, $2)"
)

func (t *target) commit(ctx context.Context, n int) error { return commitRow(ctx, t.pool, n) }

func commitRow(ctx context.Context, pool *pgxpool.Pool, n int) error {
	_, err := pool.Exec(ctx, insertFloor, n, triggerMutation)
	return err
}

// trigger runs the workflow for some users, over HTTP.
func (t *target) trigger(ctx context.Context, n int, recipients ...any) error {
	body, err := json.Marshal(map[string]any{"query": triggerMutation, "variables": map[string]any{"input": map[string]any{
		"workflow": plain.key, "data": orderData(n), "recipients": recipients,
	}}})
	if err != nil {
		return err
	}
	return t.do(ctx, http.MethodPost, "/graphql", body, func(b []byte) bool {
		var answer struct {
			Errors json.RawMessage
			Data   struct {
				TriggerWorkflow struct {
					Trigger  struct{ ID string }
					Rejected []any
				}
			}
		}
		return json.Unmarshal(b, &answer) == nil && len(answer.Errors) == 0 &&
			answer.Data.TriggerWorkflow.Trigger.ID != "" && len(answer.Data.TriggerWorkflow.Rejected) == 0
	})
}

// do makes a request whose answer must be good.
func (t *target) do(ctx context.Context, method, path string, body []byte, good func([]byte) bool) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+t.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+t.secret)
	request.Header.Set("Content-Type", "application/json")
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !good(answer)) {
		err = fmt.Errorf("%s %s: %s: %.500s", method, path, response.Status, answer)
	}
	return err
}
