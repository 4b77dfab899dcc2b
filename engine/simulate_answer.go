package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/recipient"
)

// answer answers a run's question from memory; about whom it doesn't know yet, it reads.
func (s *simulation) answer(ctx context.Context, r *run) error {
	switch q := r.ask.(type) {
	case *firstQuestion:
		r.reply(&firstAnswer{first: true})
	case *throttleQuestion:
		r.reply(s.throttle(r, q))
	case *joinQuestion:
		r.reply(s.join(r, q))
	case *updateQuestion:
		a, err := s.update(ctx, q)
		if err != nil {
			return err
		}
		r.reply(a)
	case *startQuestion:
		a, err := s.start(ctx, r, q)
		if err != nil {
			return err
		}
		r.reply(a)
	default:
		return fmt.Errorf("a test run has no answer to %T", q)
	}
	return nil
}

// throttle counts the runs of the simulation only.
func (s *simulation) throttle(r *run, q *throttleQuestion) *throttleAnswer {
	key := throttleKey{r.recipient, r.trigger.workflow, q.step, q.key}
	if s.throttles[key] == nil {
		s.throttles[key] = &throttleRow{}
	}
	return s.throttles[key].admit(q, s.now)
}

func (s *simulation) join(r *run, q *joinQuestion) *joinAnswer {
	key := q.of(r)
	var open *openBatch
	for _, b := range s.batches {
		if b.openKey == key && !b.full {
			open = b
		}
	}
	if open == nil {
		open = &openBatch{openKey: key, opener: r.trigger.id, env: s.env, closes: q.closes, length: q.closes.Sub(s.now), last: q.last, fresh: true}
		s.batches = append(s.batches, open)
	}
	a := open.join(r, q, s.now)
	if a.role != ahead {
		data := q.data
		if data == nil {
			data = r.trigger.data
		}
		s.activities[a.key.batchKey] = append(s.activities[a.key.batchKey], activity{trigger: r.trigger.id, actorID: r.trigger.actor, at: r.trigger.acceptedAt, data: data})
	}
	return a
}

func (s *simulation) update(ctx context.Context, q *updateQuestion) (*updateAnswer, error) {
	u := q.update
	identity := recipient.Identity{RecipientRef: u.Ref, Properties: u.Properties}
	if err := identity.Validate("properties"); err != nil {
		return &updateAnswer{err: err}, nil
	}
	if s.ids[u.Ref] == 0 {
		if err := s.snapshot(ctx, []belfry.RecipientRef{u.Ref}); err != nil {
			return nil, err
		}
	}
	person, err := s.change(u.Ref, u.Properties, "properties")
	return &updateAnswer{person: person, err: err}, nil
}

// start only finds out whether the other workflow could be triggered.
func (s *simulation) start(ctx context.Context, r *run, q *startQuestion) (*startAnswer, error) {
	request := &Request{Workflow: q.start.Workflow, Data: q.data, Tenant: q.start.Tenant, CancellationKey: q.start.CancellationKey}
	for _, id := range q.start.Recipients {
		request.Recipients = append(request.Recipients, Party{Ref: belfry.RecipientRef{Collection: q.start.Collection, ExternalID: id}})
	}
	if q.start.Actor != "" {
		request.Actor = &Party{Ref: belfry.RecipientRef{Collection: q.start.ActorCollection, ExternalID: q.start.Actor}}
	}
	if _, err := request.validate(); err != nil {
		return &startAnswer{err: err}, nil
	}
	var workflowID, versionID int64
	var active bool
	err := s.engine.Pool.QueryRow(ctx, selectTriggered, s.env, request.Workflow).Scan(&workflowID, &versionID, &active)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return &startAnswer{err: belfry.Errorf(belfry.NotFound, "no workflow has the key %.100q", request.Workflow)}, nil
	case err != nil:
		return nil, err
	case !active:
		return &startAnswer{err: belfry.Errorf(belfry.WorkflowInactive, "the workflow %q is switched off", request.Workflow)}, nil
	}
	s.started[q.step] = request.Workflow
	return &startAnswer{accepted: &Accepted{}}, nil
}
