package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/egress"
	"github.com/belfryhq/belfry/postgres"
)

// How requests are made.
const (
	fetchesAtOnce = 32
	// fetchLease is how long a request belongs to the node that makes it: longer than it can take.
	fetchLease = time.Minute
)

// fetchRetries is how long after a failed attempt the next one follows. The number of attempts is one more.
var fetchRetries = []time.Duration{30 * time.Second, time.Minute}

// fetch is a request that a run waits for, leased.
type fetch struct {
	recipient belfry.RecipientID
	trigger   uuid.UUID
	env       belfry.EnvironmentID
	step      string // ref
	request   belfry.Request
	attempt   int // from 1
	fence     int64
	secret    []byte

	unreadable error // the request, as it is stored
}

// fetcher makes the requests of fetch steps. No transaction is open meanwhile. A response is a signal to the run; a node
// that lost its lease has nothing to say.
type fetcher struct {
	engine *Engine
	slots  chan struct{} // one taken for each request that is under way
	more   atomic.Bool   // there may be requests that are due and had no slot
	under  sync.WaitGroup
}

func newFetcher(e *Engine) *fetcher {
	return &fetcher{engine: e, slots: make(chan struct{}, fetchesAtOnce)}
}

// run makes requests until ctx ends.
func (f *fetcher) run(ctx context.Context) {
	defer f.under.Wait()
	f.engine.loop(ctx, f.engine.wakeFetch, "requests of workflows could not be made; it is tried again", func(ctx context.Context) (bool, error) {
		_, err := f.begin(ctx)
		return false, err // a slot that falls free wakes us
	})
}

// begin leases as many requests that are due as there are free slots, and begins them. It doesn't wait for them: a server
// that is slow has only its own slot. It returns how many there were.
func (f *fetcher) begin(ctx context.Context) (int, error) {
	free := cap(f.slots) - len(f.slots)
	if free == 0 {
		return 0, nil
	}
	f.more.Store(true)
	leased, err := f.engine.leaseFetches(ctx, free)
	if err != nil {
		return 0, err
	}
	for _, one := range leased {
		f.slots <- struct{}{}
		f.under.Go(func() {
			f.engine.makeFetch(ctx, one)
			if <-f.slots; f.more.Load() {
				f.engine.announceFetch()
			}
		})
	}
	f.more.Store(len(leased) == free)
	return len(leased), nil
}

// makeFetch makes a request, and tells the run.
func (e *Engine) makeFetch(ctx context.Context, f *fetch) {
	r, again := e.fetch(ctx, f)
	// What has been fetched is kept even if ctx ends meanwhile.
	if err := e.fetched(context.WithoutCancel(ctx), f, r, again); err != nil {
		e.stats.errors.Add(1)
		e.Log.Error("the response to a request of a workflow could not be kept; the request is made again", "recipient", f.recipient, "trigger", f.trigger, "error", err)
	}
}

func (e *Engine) leaseFetches(ctx context.Context, limit int) ([]*fetch, error) {
	now := e.now()
	rows, err := e.Pool.Query(ctx, leaseFetches, now, now.Add(fetchLease), limit)
	if err != nil {
		return nil, fmt.Errorf("lease requests: %w", err)
	}
	defer rows.Close()
	var out []*fetch
	for rows.Next() {
		f := &fetch{}
		var request []byte
		if err := rows.Scan(&f.recipient, &f.trigger, &f.env, &f.step, &request, &f.attempt, &f.fence, &f.secret); err != nil {
			return nil, err
		}
		f.unreadable = decode(request, &f.request)
		out = append(out, f)
	}
	return out, rows.Err()
}

// fetch makes one attempt. again says that another one may do better.
func (e *Engine) fetch(ctx context.Context, f *fetch) (r response, again bool) {
	if f.unreadable != nil {
		return response{Error: "the stored request cannot be read: " + clip(f.unreadable.Error()), Reason: "unreadable"}, false
	}
	header := http.Header{}
	for name, value := range f.request.Headers {
		header.Set(name, value)
	}
	if header.Get("Accept") == "" {
		header.Set("Accept", "application/json")
	}
	if f.request.Body != "" && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	answer, err := e.HTTP.Do(ctx, &egress.Request{Method: f.request.Method, URL: f.request.URL, Header: header, Body: []byte(f.request.Body), Secret: f.secret})
	if err != nil {
		r.Error, r.interrupted = clip(err.Error()), errors.Is(err, context.Canceled)
		if own, ok := errors.AsType[*egress.Error](err); ok {
			r.Reason, again = string(own.Reason), own.Retryable()
		}
		return r, again
	}
	r.Status = answer.Status
	switch {
	case r.Status == http.StatusOK || r.Status == http.StatusCreated || r.Status == http.StatusNoContent:
		r.Body = string(answer.Body)
		if len(r.Body) > MaxDataSize {
			r.Body, r.Error = "", fmt.Sprintf("the response is larger than %d bytes", MaxDataSize)
		}
	default:
		r.Error, r.Reason = fmt.Sprintf("the server answered with status %d", r.Status), "status"
		again = r.Status >= 500
	}
	return r, again
}

// fetched tells the run what came of its request, or has it made again later.
func (e *Engine) fetched(ctx context.Context, f *fetch, r response, again bool) error {
	now := e.now()
	switch {
	case r.interrupted: // by us: another node may make it at once
		return e.retry(ctx, f, now)
	case again && f.attempt <= len(fetchRetries):
		return e.retry(ctx, f, now.Add(fetchRetries[f.attempt-1]))
	}
	return postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		err := tx.Savepoint(ctx, func() error { return finish(ctx, tx, f, r, now) })
		if postgres.IsDataException(err) { // a NUL character, say
			r = response{Status: r.Status, Error: "the response cannot be stored: " + clip(err.Error())}
			err = finish(ctx, tx, f, r, now)
		}
		tx.AfterCommit(e.Wake)
		return err
	})
}

func (e *Engine) retry(ctx context.Context, f *fetch, at time.Time) error {
	_, err := e.Pool.Exec(ctx, retryFetch, f.recipient, f.trigger, f.step, f.fence, at)
	return err
}

func finish(ctx context.Context, tx *postgres.Tx, f *fetch, r response, now time.Time) error {
	payload, err := encode(signal{Response: &r})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, finishFetch, f.recipient, f.trigger, f.step, f.fence, now, string(payload))
	return err
}

// announceFetches wakes whoever makes requests.
func (e *Engine) announceFetches(tx *postgres.Tx, runs []*run) {
	for _, r := range runs {
		if r.fetch != nil && r.status == Waiting {
			tx.AfterCommit(e.announceFetch)
			return
		}
	}
}

// announceFetch tells the fetcher that there may be something to do. It never blocks.
func (e *Engine) announceFetch() {
	select {
	case e.wakeFetch <- struct{}{}:
	default: // it has been told
	}
}

// leaseFetches gives each environment its share. Attempts are counted when they begin.
const leaseFetches = `UPDATE fetches f SET attempts = f.attempts + 1, fence = f.fence + 1, due_at = $2
  FROM (SELECT d.recipient_id, d.trigger_id
          FROM environments e
         CROSS JOIN LATERAL (
           SELECT x.*, row_number() OVER () AS turn
             FROM (SELECT recipient_id, trigger_id FROM fetches
                    WHERE environment_id = e.id AND due_at <= $1
                    ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) x) d
         ORDER BY d.turn LIMIT $3) due, environments e
 WHERE f.recipient_id = due.recipient_id AND f.trigger_id = due.trigger_id AND e.id = f.environment_id
RETURNING f.recipient_id, f.trigger_id, f.environment_id, f.step_ref, f.request, f.attempts, f.fence, e.request_secret`

const retryFetch = `UPDATE fetches SET due_at = $5 WHERE recipient_id = $1 AND trigger_id = $2 AND step_ref = $3 AND fence = $4`

// finishFetch names the step, too: the fences of the request of a run's next step begin anew.
const finishFetch = `WITH done AS (
  DELETE FROM fetches WHERE recipient_id = $1 AND trigger_id = $2 AND step_ref = $3 AND fence = $4 RETURNING environment_id)
INSERT INTO signals (environment_id, recipient_id, trigger_id, at, payload) SELECT environment_id, $1, $2, $5, $6::jsonb FROM done`
