package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
)

// startQuestion asks to trigger another workflow.
type startQuestion struct {
	step  string
	start *workflow.Start
	data  map[string]any
}

type startAnswer struct {
	accepted *Accepted
	err      error // a *belfry.Error: why it was not
}

// MaxDepth is how many workflows may trigger each other in a row.
const MaxDepth = 10

// triggerWorkflow triggers another workflow, once for this run.
func (c *course) triggerWorkflow(op *workflow.Op) flow {
	a, ok := c.answer.(*startAnswer)
	if !ok {
		if c.trigger.depth >= MaxDepth {
			return c.fail(op.Step, "too_deep", fmt.Sprintf("at most %d workflows may trigger each other in a row", MaxDepth))
		}
		start, err := op.Start.Render(c.ctx, c.scope)
		if err != nil {
			return c.failed(op.Step, err)
		}
		q := &startQuestion{step: op.Step, start: start, data: start.Data}
		if q.data == nil {
			q.data = c.data()
		}
		return c.question(q)
	}
	c.answer = nil
	switch code := belfry.CodeOf(a.err); {
	case a.err == nil:
		entry := LogEntry{Step: op.Step, Outcome: OutcomeStarted, Detail: a.accepted.Trigger.ID.String()}
		if len(a.accepted.Rejected) > 0 {
			entry.Reason, entry.Detail = "rejected", entry.Detail+": "+a.accepted.Rejected[0].Message
		}
		c.note(entry)
		return forward
	case code == belfry.WorkflowInactive || code == belfry.NotFound && !strings.HasPrefix(fieldOf(a.err), "input.actor"):
		return c.skip(LogEntry{Step: op.Step, Reason: "workflow_unavailable", Detail: a.err.Error()})
	}
	return c.fail(op.Step, "invalid_trigger", a.err.Error())
}

// fieldOf is what an error is about.
func fieldOf(err error) string {
	if e, ok := errors.AsType[*belfry.Error](err); ok {
		return e.Field
	}
	return ""
}

// starts triggers the workflows that runs ask for, in the transaction that the runs are part of.
func (e *Engine) starts(ctx context.Context, tx *postgres.Tx, runs []*run) error {
	for _, r := range runs {
		q, ok := r.ask.(*startQuestion)
		if !ok {
			continue
		}
		accepted, err := e.startChild(ctx, tx, r, q)
		if _, known := errors.AsType[*belfry.Error](err); err != nil && !known {
			return fmt.Errorf("trigger %q: %w", q.start.Workflow, err)
		}
		r.reply(&startAnswer{accepted, err})
	}
	return nil
}

func (e *Engine) startChild(ctx context.Context, tx *postgres.Tx, r *run, q *startQuestion) (*Accepted, error) {
	request := &Request{
		Workflow: q.start.Workflow, Data: q.data, Tenant: q.start.Tenant, CancellationKey: q.start.CancellationKey,
		Sandbox: r.trigger.sandbox, SkipDelay: r.trigger.skipDelay, Priority: r.trigger.priority,
		source: SourceStep, depth: r.trigger.depth + 1, own: r.recipient,
	}
	for _, id := range q.start.Recipients {
		request.Recipients = append(request.Recipients, Party{Ref: belfry.RecipientRef{Collection: q.start.Collection, ExternalID: id}})
	}
	if q.start.Actor != "" {
		request.Actor = &Party{Ref: belfry.RecipientRef{Collection: q.start.ActorCollection, ExternalID: q.start.Actor}}
	}
	data, err := request.validate()
	if err != nil {
		return nil, err
	}
	accepted := &Accepted{}
	// What the database refuses must not undo what other runs of the batch decided.
	err = tx.Savepoint(ctx, func() error { return e.accept(ctx, tx, r.trigger.env, request, data, accepted) })
	return accepted, err
}
