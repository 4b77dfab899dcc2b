package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
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
	request   belfry.Request
	attempt   int // from 1
	fence     int64
	secret    []byte
}

// fetcher makes the requests of fetch steps, until ctx ends. No transaction is open meanwhile. A response is a signal to
// the run; a node that lost its lease has nothing to say.
func (e *Engine) fetcher(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wakeFetch:
		case <-timer.C:
		}
		for ctx.Err() == nil {
			n, err := e.fetchDue(ctx)
			if err != nil && ctx.Err() == nil {
				e.stats.errors.Add(1)
				e.Log.Error("requests of workflows could not be made; it is tried again", "error", err)
			}
			if n == 0 || err != nil {
				break
			}
		}
		timer.Reset(e.PollInterval)
	}
}

// fetchDue makes the requests that are due, and returns how many there were.
func (e *Engine) fetchDue(ctx context.Context) (int, error) {
	leased, err := e.leaseFetches(ctx)
	if err != nil {
		return 0, err
	}
	results := make([]error, len(leased))
	var wg sync.WaitGroup
	for i, f := range leased {
		wg.Go(func() {
			r, again := e.fetch(ctx, f)
			// What has been fetched is kept even if ctx ends meanwhile.
			results[i] = e.fetched(context.WithoutCancel(ctx), f, r, again)
		})
	}
	wg.Wait()
	return len(leased), errors.Join(results...)
}

func (e *Engine) leaseFetches(ctx context.Context) ([]*fetch, error) {
	now := e.now()
	rows, err := e.Pool.Query(ctx, leaseFetches, now, now.Add(fetchLease), fetchesAtOnce)
	if err != nil {
		return nil, fmt.Errorf("lease requests: %w", err)
	}
	defer rows.Close()
	var out []*fetch
	for rows.Next() {
		f := &fetch{}
		var request []byte
		if err := rows.Scan(&f.recipient, &f.trigger, &f.env, &request, &f.attempt, &f.fence, &f.secret); err != nil {
			return nil, err
		}
		if err := decode(request, &f.request); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// fetch makes one attempt. again says that another one may do better.
func (e *Engine) fetch(ctx context.Context, f *fetch) (r response, again bool) {
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
		r.Error = clip(err.Error())
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
	if again && f.attempt <= len(fetchRetries) {
		_, err := e.Pool.Exec(ctx, retryFetch, f.recipient, f.trigger, f.fence, now.Add(fetchRetries[f.attempt-1]))
		return err
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

func finish(ctx context.Context, tx *postgres.Tx, f *fetch, r response, now time.Time) error {
	payload, err := encode(signal{Response: &r})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, finishFetch, f.recipient, f.trigger, f.fence, now, string(payload))
	return err
}

// announceFetches wakes whoever makes requests.
func (e *Engine) announceFetches(tx *postgres.Tx, runs []*run) {
	for _, r := range runs {
		if r.fetch != nil && r.status == Waiting {
			tx.AfterCommit(func() {
				select {
				case e.wakeFetch <- struct{}{}:
				default: // it has been told
				}
			})
			return
		}
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
RETURNING f.recipient_id, f.trigger_id, f.environment_id, f.request, f.attempts, f.fence, e.request_secret`

const retryFetch = `UPDATE fetches SET due_at = $4 WHERE recipient_id = $1 AND trigger_id = $2 AND fence = $3`

const finishFetch = `WITH done AS (
  DELETE FROM fetches WHERE recipient_id = $1 AND trigger_id = $2 AND fence = $3 RETURNING environment_id)
INSERT INTO signals (environment_id, recipient_id, trigger_id, at, payload) SELECT environment_id, $1, $2, $4, $5::jsonb FROM done`
