package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Run is one workflow for one recipient, as far as it has got.
type Run struct {
	Environment belfry.EnvironmentID
	Recipient   belfry.RecipientID
	Trigger     uuid.UUID
	VersionID   int64
	Status      Status
	WaitingFor  string     // delay, batch, fetch, event; empty unless it waits
	DueAt       *time.Time // when it goes on by itself, if it does
	StartedAt   time.Time
	FinishedAt  *time.Time
	Log         []LogEntry

	workflow string // key
	tenant   belfry.RecipientID
}

// HasErrors reports whether something went wrong at a step, be it that the run went on without it.
func (r *Run) HasErrors() bool {
	for _, e := range r.Log {
		if e.Outcome == OutcomeFailed || e.Reason == "condition_error" || e.Reason == "invalid_window" || e.Reason == "invalid_key" {
			return true
		}
	}
	return r.Status == Failed
}

// RunFilter says which runs. Everything that is given must hold.
type RunFilter struct {
	Recipient      belfry.RecipientID // 0: any
	Trigger        uuid.UUID          // Nil: any
	Workflow       string             // key
	Tenant         belfry.RecipientID
	Statuses       []Status
	HasErrors      *bool
	AcceptedFrom   time.Time // inclusive
	AcceptedBefore time.Time // exclusive
}

// RunCursor is a place in a list of runs: behind this one.
type RunCursor struct {
	Trigger   uuid.UUID
	Recipient belfry.RecipientID
}

// Limits of lists of runs.
const (
	MaxRunPage = 100
	// maxRunsScanned is how many runs one page looks at. What is filtered out beyond that leaves the page short; it says so,
	// and where to go on.
	maxRunsScanned = 5000
)

// RunPage is a page of runs, the newest trigger first.
type RunPage struct {
	Runs []Run
	More bool      // there may be more behind End
	End  RunCursor // the last run that was looked at, or trigger without one
}

// RunByKey reads a run; NotFound if it is not in the environment.
func (e *Engine) RunByKey(ctx context.Context, env belfry.EnvironmentID, recipient belfry.RecipientID, trigger uuid.UUID) (*Run, error) {
	rows, err := e.Pool.Query(ctx, selectRun, env, recipient, trigger)
	if err != nil {
		return nil, err
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRun)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "no such run: it may not have begun yet")
	}
	return &r, err
}

// Runs reads a page of runs.
func (e *Engine) Runs(ctx context.Context, env belfry.EnvironmentID, f RunFilter, after *RunCursor, limit int) (*RunPage, error) {
	if limit < 1 || limit > MaxRunPage {
		return nil, belfry.Beyond("first", MaxRunPage, "runs on a page")
	}
	page := &RunPage{}
	err := postgres.InSnapshot(ctx, e.Pool, func(tx pgx.Tx) error {
		cursor := after
		for scanned := 0; scanned < maxRunsScanned && len(page.Runs) < limit; {
			runs, err := e.scanRuns(ctx, tx, env, &f, cursor, runsAtOnce)
			if err != nil {
				return err
			}
			for i := range runs {
				r := &runs[i]
				page.End = RunCursor{r.Trigger, r.Recipient}
				if f.matches(r) {
					page.Runs = append(page.Runs, *r)
				}
				if len(page.Runs) == limit {
					page.More = i+1 < len(runs) || len(runs) == runsAtOnce
					return nil
				}
			}
			if page.More = len(runs) == runsAtOnce; !page.More {
				return nil
			}
			end := page.End
			cursor = &end
			scanned += len(runs)
		}
		return nil
	})
	return page, err
}

// runsAtOnce is how many rows one query reads: runs, and recipients and triggers without any.
const runsAtOnce = 500

// scanRuns reads the runs behind a cursor: fewer than the limit are the last ones. A recipient who has no run yet is one
// without a status, and so is a trigger without recipients: a list goes on behind them.
func (e *Engine) scanRuns(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, f *RunFilter, after *RunCursor, limit int) ([]Run, error) {
	var afterTrigger *uuid.UUID
	var afterRecipient belfry.RecipientID
	if after != nil {
		afterTrigger, afterRecipient = &after.Trigger, after.Recipient
	}
	low, high := f.triggers()
	var rows pgx.Rows
	var err error
	if f.Recipient != 0 {
		rows, err = tx.Query(ctx, selectRunsOfRecipient, env, f.Recipient, afterTrigger, low, high, limit)
	} else {
		rows, err = tx.Query(ctx, selectRuns, env, afterTrigger, afterRecipient, low, high, f.Workflow, f.Tenant, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	return pgx.CollectRows(rows, scanRun)
}

// MessagesOf finds the messages that the runs of a trigger have made, by the ids that they had then, for so many of
// its recipients: those behind one, in the order of their ids. It also returns the last of those recipients, and whether there
// may be more.
func (e *Engine) MessagesOf(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, trigger uuid.UUID, behind belfry.RecipientID, recipients int) (
	ids []belfry.MessageID, last belfry.RecipientID, more bool, err error) {
	runs, err := e.scanRuns(ctx, tx, env, &RunFilter{Trigger: trigger}, &RunCursor{trigger, behind}, recipients)
	if err != nil {
		return nil, 0, false, err
	}
	for i := range runs {
		last = runs[i].Recipient
		for _, entry := range runs[i].Log {
			if id, err := belfry.ParseMessageID(entry.Message); err == nil {
				ids = append(ids, id)
			}
		}
	}
	return ids, last, len(runs) == recipients, nil
}

// triggers bounds the ids of triggers that may pass: from low on, and before high.
func (f *RunFilter) triggers() (low, high *uuid.UUID) {
	from := func(id uuid.UUID) {
		if low == nil || bytes.Compare(id[:], low[:]) > 0 {
			low = &id
		}
	}
	before := func(id uuid.UUID) {
		if high == nil || bytes.Compare(id[:], high[:]) < 0 {
			high = &id
		}
	}
	if !f.AcceptedFrom.IsZero() {
		from(firstID(f.AcceptedFrom))
	}
	if !f.AcceptedBefore.IsZero() {
		before(firstID(f.AcceptedBefore))
	}
	if f.Trigger != uuid.Nil {
		from(f.Trigger)
		before(nextID(f.Trigger))
	}
	return low, high
}

// matches applies what the query doesn't.
func (f *RunFilter) matches(r *Run) bool {
	if r.Status == "" {
		return false
	}
	if f.Trigger != uuid.Nil && r.Trigger != f.Trigger || f.Workflow != "" && r.workflow != f.Workflow || f.Tenant != 0 && r.tenant != f.Tenant {
		return false
	}
	if f.HasErrors != nil && r.HasErrors() != *f.HasErrors {
		return false
	}
	if len(f.Statuses) == 0 {
		return true
	}
	for _, s := range f.Statuses {
		if r.Status == s {
			return true
		}
	}
	return false
}

func scanRun(row pgx.CollectableRow) (Run, error) {
	var r Run
	var log []byte
	err := row.Scan(&r.Environment, &r.Recipient, &r.Trigger, &r.VersionID, &r.Status, &r.WaitingFor, &r.DueAt, &r.StartedAt, &r.FinishedAt, &log, &r.workflow, &r.tenant)
	if err != nil {
		return r, err
	}
	if err := decode(log, &r.Log); err != nil {
		return r, fmt.Errorf("log of run %d of %s: %w", r.Recipient, r.Trigger, err)
	}
	for i := range r.Log {
		if r.Log[i].At == nil {
			r.Log[i].At = &r.StartedAt
		}
	}
	return r, nil
}

// Progress counts the runs of a trigger.
type Progress struct {
	Recipients, Pending, Waiting, Done, Failed, Cancelled int
	// Expanding: subscribers or members are still to be found, so Recipients and Pending are that many at least.
	Expanding bool
}

// Progress counts the runs of a trigger; NotFound if it is not in the environment.
func (e *Engine) Progress(ctx context.Context, env belfry.EnvironmentID, trigger uuid.UUID) (*Progress, error) {
	var p Progress
	err := e.Pool.QueryRow(ctx, selectProgress, env, trigger).Scan(&p.Recipients, &p.Waiting, &p.Done, &p.Failed, &p.Cancelled, &p.Expanding)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "no trigger has the id %s", trigger)
	}
	p.Pending = p.Recipients - p.Waiting - p.Done - p.Failed - p.Cancelled
	return &p, err
}

const runColumnsSQL = `r.environment_id, r.recipient_id, r.trigger_id, r.version_id, r.status, coalesce(r.waiting_for, ''), r.due_at,
       coalesce(r.started_at, r.finished_at), r.finished_at, r.log, w.key, coalesce(t.tenant_id, 0)`

const selectRun = `SELECT ` + runColumnsSQL + `
  FROM runs r JOIN triggers t ON t.id = r.trigger_id JOIN workflows w ON w.id = t.workflow_id
 WHERE r.environment_id = $1 AND r.recipient_id = $2 AND r.trigger_id = $3`

const selectRunsOfRecipient = `SELECT ` + runColumnsSQL + `
  FROM runs r JOIN triggers t ON t.id = r.trigger_id JOIN workflows w ON w.id = t.workflow_id
 WHERE r.environment_id = $1 AND r.recipient_id = $2 AND ($3::uuid IS NULL OR r.trigger_id < $3)
   AND ($4::uuid IS NULL OR r.trigger_id >= $4) AND ($5::uuid IS NULL OR r.trigger_id < $5)
 ORDER BY r.trigger_id DESC LIMIT $6`

// selectRuns goes from trigger to trigger, newest first, and within one by recipient. Each trigger but that of the cursor
// gives a row at least, so fewer rows than the limit are the end. One without recipients is behind the greatest of them.
const selectRuns = `SELECT t.environment_id, coalesce(who.id, 9223372036854775807), t.id, coalesce(r.version_id, 0), coalesce(r.status, ''), coalesce(r.waiting_for, ''), r.due_at,
       coalesce(r.started_at, r.finished_at, t.accepted_at), r.finished_at, coalesce(r.log, '[]'), coalesce(w.key, ''), coalesce(t.tenant_id, 0)
  FROM (SELECT * FROM triggers
         WHERE environment_id = $1 AND ($2::uuid IS NULL OR id <= $2) AND ($4::uuid IS NULL OR id >= $4) AND ($5::uuid IS NULL OR id < $5)
           AND ($7::bigint = 0 OR tenant_id = $7)
           AND ($6 = '' OR workflow_id = (SELECT id FROM workflows WHERE environment_id = $1 AND key = $6))
         ORDER BY id DESC LIMIT $8 + 1) t
  LEFT JOIN workflows w ON w.id = t.workflow_id
  LEFT JOIN LATERAL (SELECT id FROM ` + recipientsOf + ` AS x WHERE $2::uuid IS NULL OR t.id < $2 OR id > $3 ORDER BY id LIMIT $8) who ON true
  LEFT JOIN runs r ON r.recipient_id = who.id AND r.trigger_id = t.id AND w.id IS NOT NULL
 WHERE $2::uuid IS NULL OR t.id < $2 OR who.id IS NOT NULL
 ORDER BY t.id DESC, who.id LIMIT $8`

const selectProgress = `SELECT count(who.id), count(*) FILTER (WHERE r.status = 'waiting'), count(*) FILTER (WHERE r.status = 'done'),
       count(*) FILTER (WHERE r.status = 'failed'), count(*) FILTER (WHERE r.status = 'cancelled'),
       ` + expanding + `
  FROM triggers t
  LEFT JOIN LATERAL ` + recipientsOf + ` AS who ON true
  LEFT JOIN runs r ON r.recipient_id = who.id AND r.trigger_id = t.id
 WHERE t.environment_id = $1 AND t.id = $2
 GROUP BY t.id`
