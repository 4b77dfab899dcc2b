package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// Limits of a trigger.
const (
	MaxRecipients            = 1000
	MaxDataSize              = 512 << 10 // bytes of JSON; of all recipients' own data together, too
	MaxIdempotencyKeyLength  = 255       // characters
	MaxCancellationKeyLength = 255       // characters
)

// Source is what caused a trigger.
type Source string

const (
	SourceAPI      Source = "api"
	SourceSchedule Source = "schedule"
	SourceStep     Source = "workflow_step"
)

// Party names somebody in a trigger: by id alone, or identified on the spot.
type Party struct {
	Ref      belfry.RecipientRef // ignored if Identify says who it is
	Identify *recipient.Identity // nil: has to be known
	Data     map[string]any      // recipients: laid over the trigger's data for this one alone
	Audience string              `json:",omitempty"` // recipients: the key of an audience, and nobody by name
}

func (p *Party) ref() belfry.RecipientRef {
	if p.Identify != nil {
		return p.Identify.RecipientRef
	}
	return p.Ref
}

// Request asks to run a workflow for some recipients.
type Request struct {
	Workflow       string // key
	Recipients     []Party
	Data           map[string]any
	Actor          *Party
	Tenant         string // external id; made known if it isn't
	IdempotencyKey string // empty: none

	CancellationKey string   // empty: it can't be cancelled
	Priority        Priority // default Normal
	Sandbox         bool     // messages are made and kept, but handed to nobody
	SkipDelay       bool     // delay steps are skipped

	source   Source // default SourceAPI
	depth    int
	schedule uuid.UUID
	own      belfry.RecipientID // of the run whose step triggers: it is meant alone, without subscribers
}

// Trigger is an accepted request.
type Trigger struct {
	ID         uuid.UUID
	VersionID  int64
	Data       map[string]any `json:"-"` // kept once, in triggers
	Recipients int
	AcceptedAt time.Time

	Source             Source
	Priority           Priority
	CancellationKey    string
	Sandbox, SkipDelay bool
}

// Rejected is a recipient who was left out, and why.
type Rejected struct {
	Index   int
	Code    belfry.Code
	Message string
}

// Accepted is the answer to a request.
type Accepted struct {
	Trigger  Trigger
	Rejected []Rejected
	Replayed bool `json:"-"` // the idempotency key had been seen: this is the first answer again
}

// Trigger accepts a request: when it returns, the trigger is stored and each recipient that isn't in Rejected will get
// a run. Any error means that nothing was stored. Naming a recipient twice is the same as once.
func (e *Engine) Trigger(ctx context.Context, env belfry.EnvironmentID, r *Request) (*Accepted, error) {
	own := *r // the caller's stays as it is
	r = &own
	data, err := r.validate()
	if err != nil {
		return nil, err
	}
	if accepted, err := e.acceptAtOnce(ctx, env, r, data); err != nil || accepted != nil {
		if err == nil {
			e.stats.triggers.Add(1)
		}
		return accepted, err
	}
	accepted := &Accepted{}
	err = postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		if r.IdempotencyKey != "" {
			replay, err := e.claimKey(ctx, tx, env, r)
			if err != nil || replay != nil {
				accepted = replay
				return err
			}
		}
		if err := e.accept(ctx, tx, env, r, data, accepted); err != nil {
			return err
		}
		if r.IdempotencyKey != "" {
			return storeResult(ctx, tx, env, r.IdempotencyKey, accepted)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return accepted, nil
}

// validate checks everything that can be checked without the database, fills in defaults, and returns the data as JSON.
func (r *Request) validate() ([]byte, error) {
	if r.Data == nil {
		r.Data = map[string]any{}
	}
	if r.Priority == "" {
		r.Priority = Normal
	}
	if r.source == "" {
		r.source = SourceAPI
	}
	if r.Workflow == "" {
		return nil, belfry.Errorf(belfry.Invalid, "say which workflow, by its key").At("input.workflow")
	}
	if len(r.Recipients) == 0 {
		return nil, belfry.Errorf(belfry.Invalid, "name at least one recipient").At("input.recipients")
	}
	if len(r.Recipients) > MaxRecipients {
		return nil, belfry.Beyond("input.recipients", MaxRecipients, "recipients a trigger")
	}
	if len([]rune(r.IdempotencyKey)) > MaxIdempotencyKeyLength {
		return nil, belfry.Beyond("input.idempotencyKey", MaxIdempotencyKeyLength, "characters")
	}
	if err := belfry.ValidateText(r.IdempotencyKey, "input.idempotencyKey"); err != nil {
		return nil, err
	}
	if len([]rune(r.CancellationKey)) > MaxCancellationKeyLength {
		return nil, belfry.Beyond("input.cancellationKey", MaxCancellationKeyLength, "characters")
	}
	if err := belfry.ValidateText(r.CancellationKey, "input.cancellationKey"); err != nil {
		return nil, err
	}
	if r.Tenant != "" {
		if err := belfry.ValidateExternalID(r.Tenant, "input.tenant"); err != nil {
			return nil, err
		}
	}
	if r.Actor != nil {
		if err := r.Actor.validate("input.actor"); err != nil {
			return nil, err
		}
	}
	return encodeObject(r.Data, "input.data")
}

// validate checks a party's id or identity.
func (p *Party) validate(field string) error {
	if p.Audience != "" {
		if p.Data != nil {
			return belfry.Errorf(belfry.Invalid, "data of a recipient's own are for one who is named, not for an audience").At("%s.data", field)
		}
		return belfry.ValidateKey(p.Audience, field+".audience")
	}
	if p.Identify != nil {
		return p.Identify.Validate(field + ".identify")
	}
	if p.Ref.Collection != belfry.Users {
		return belfry.ValidateExternalID(p.Ref.ExternalID, field+".object.id")
	}
	return belfry.ValidateExternalID(p.Ref.ExternalID, field+".user")
}

// accept resolves everybody and stores the trigger and its fan-out. The request has been validated.
func (e *Engine) accept(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, r *Request, data []byte, out *Accepted) error {
	var workflowID, versionID int64
	var active bool
	err := tx.QueryRow(ctx, selectTriggered, env, r.Workflow).Scan(&workflowID, &versionID, &active)
	if errors.Is(err, pgx.ErrNoRows) {
		return belfry.Errorf(belfry.NotFound, "no workflow has the key %.100q: store it with upsertWorkflow first", r.Workflow).At("input.workflow")
	}
	if err != nil {
		return err
	}
	if !active {
		return belfry.Errorf(belfry.WorkflowInactive, "the workflow %q is switched off: activate it first", r.Workflow).At("input.workflow")
	}
	if err := e.checkData(ctx, tx, versionID, r); err != nil {
		return err
	}
	e.currents.Add(workflowKey{env, r.Workflow}, versionID)
	who, err := e.resolve(ctx, tx, env, r)
	if err != nil {
		return err
	}
	sources, err := e.openSources(ctx, tx, env, r, who)
	if err != nil {
		return err
	}
	overlays, err := who.overlays(r)
	if err != nil {
		return err
	}
	now := e.now()
	stored, reach := sourcesOf(sources)
	reach += len(who.recipients)
	out.Rejected = who.rejected
	out.Trigger = r.accepted(newID(now), versionID, len(who.recipients), now)
	tx.AfterCommit(func() { e.stats.triggers.Add(1) })
	if reach > 0 {
		tx.AfterCommit(e.Wake)
	}
	recipients := who.recipients
	if recipients == nil {
		recipients = []belfry.RecipientID{}
	}
	var schedule *uuid.UUID
	if r.schedule != uuid.Nil {
		schedule = &r.schedule
	}
	_, err = tx.Exec(ctx, insertTrigger, [16]byte(out.Trigger.ID), env, workflowID, versionID, who.actor, who.tenant, data, recipients, overlays,
		r.source, r.Priority, r.CancellationKey, r.Sandbox, r.SkipDelay, r.depth, schedule, now, r.Priority.lane(reach), stored)
	return unstorable(err, "input.data")
}

// sourcesOf is what a trigger remembers of its sources, nil if there are none, and how many recipients they have at most, as
// far as that decides on the lane.
func sourcesOf(sources []recipient.Source) (stored []recipient.Source, reach int) {
	for _, s := range sources {
		reach += s.AtMost
	}
	return sources, reach
}

// accepted is the trigger that the request becomes.
func (r *Request) accepted(id uuid.UUID, version int64, recipients int, now time.Time) Trigger {
	return Trigger{ID: id, VersionID: version, Data: r.Data, Recipients: recipients, AcceptedAt: now,
		Source: r.source, Priority: r.Priority, CancellationKey: r.CancellationKey, Sandbox: r.Sandbox, SkipDelay: r.SkipDelay}
}

// checkData holds the data against the workflow's schema.
func (e *Engine) checkData(ctx context.Context, tx *postgres.Tx, versionID int64, r *Request) error {
	v, err := e.version(ctx, tx, versionID)
	if err != nil || v.program == nil || v.program.Schema == nil {
		return err
	}
	violations := v.program.Violations(r.Data)
	if len(violations) == 0 {
		return nil
	}
	return &SchemaError{Violations: violations}
}

// SchemaError says how the data of a trigger fails to meet the schema of its workflow.
type SchemaError struct{ Violations []workflow.Violation }

func (e *SchemaError) Error() string { return e.Unwrap().Error() }

// Unwrap gives the error in the form of all others: INVALID, about input.data.
func (e *SchemaError) Unwrap() error {
	first := e.Violations[0]
	more := ""
	if n := len(e.Violations) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return belfry.Errorf(belfry.Invalid, "the data doesn't meet the workflow's schema: %s: %s%s", cmp.Or(first.Path, "/"), first.Message, more).At("input.data")
}

// TriggerByID reads a trigger; NotFound if it is not in the environment.
func (e *Engine) TriggerByID(ctx context.Context, env belfry.EnvironmentID, id uuid.UUID) (*Trigger, error) {
	var t Trigger
	var data []byte
	err := e.Pool.QueryRow(ctx, selectTrigger, env, id).Scan(&t.ID, &t.VersionID, &data, &t.Recipients, &t.Source, &t.Priority, &t.CancellationKey,
		&t.Sandbox, &t.SkipDelay, &t.AcceptedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "no trigger has the id %s", id)
	}
	if err != nil {
		return nil, err
	}
	t.Data, err = decodeObject(data)
	return &t, err
}
