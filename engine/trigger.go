package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// Limits of a trigger.
const (
	MaxRecipients           = 1000
	MaxDataSize             = 512 << 10 // bytes of JSON
	MaxIdempotencyKeyLength = 255       // characters
)

// Party names somebody in a trigger: by id alone, or identified on the spot.
type Party struct {
	Ref      belfry.RecipientRef // ignored if Identify says who it is
	Identify *recipient.Identity // nil: has to be known
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
}

// Trigger is an accepted request.
type Trigger struct {
	ID         uuid.UUID
	VersionID  int64
	Data       map[string]any `json:"-"` // kept once, in triggers
	Recipients int
	AcceptedAt time.Time
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
	if r.Data == nil {
		empty := *r // the caller's stays as it is
		empty.Data = map[string]any{}
		r = &empty
	}
	data, err := r.validate()
	if err != nil {
		return nil, err
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
	if !accepted.Replayed {
		e.stats.triggers.Add(1)
	}
	return accepted, nil
}

// validate checks everything that can be checked without the database, and returns the data as JSON.
func (r *Request) validate() ([]byte, error) {
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
	if p.Identify != nil {
		return p.Identify.Validate(field + ".identify")
	}
	return belfry.ValidateExternalID(p.Ref.ExternalID, field+".user")
}

// accept resolves everybody and stores the trigger and its fan-out.
func (e *Engine) accept(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, r *Request, data []byte, out *Accepted) error {
	var versionID int64
	err := tx.QueryRow(ctx, selectCurrentVersionID, env, r.Workflow).Scan(&versionID)
	if errors.Is(err, pgx.ErrNoRows) {
		return belfry.Errorf(belfry.NotFound, "no workflow has the key %.100q: store it with upsertWorkflow first", r.Workflow).At("input.workflow")
	}
	if err != nil {
		return err
	}
	who, err := e.resolve(ctx, tx, env, r)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make a trigger id: %w", err)
	}
	out.Rejected = who.rejected
	out.Trigger = Trigger{ID: id, VersionID: versionID, Data: r.Data, Recipients: len(who.recipients), AcceptedAt: e.now()}
	batch := &pgx.Batch{}
	batch.Queue(insertTrigger, [16]byte(id), env, versionID, who.actor, who.tenant, data, len(who.recipients), out.Trigger.AcceptedAt)
	if len(who.recipients) > 0 {
		batch.Queue(insertFanOut, [16]byte(id), env, who.recipients)
		tx.AfterCommit(e.Wake)
	}
	return unstorable(tx.SendBatch(ctx, batch).Close(), "input.data")
}

// TriggerByID reads a trigger; NotFound if it is not in the environment.
func (e *Engine) TriggerByID(ctx context.Context, env belfry.EnvironmentID, id uuid.UUID) (*Trigger, error) {
	var t Trigger
	var data []byte
	err := e.Pool.QueryRow(ctx, selectTrigger, env, id).Scan(&t.ID, &t.VersionID, &data, &t.Recipients, &t.AcceptedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, belfry.Errorf(belfry.NotFound, "no trigger has the id %s", id)
	}
	if err != nil {
		return nil, err
	}
	t.Data, err = decodeObject(data)
	return &t, err
}
