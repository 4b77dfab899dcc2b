package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
)

// What ends a batch before it has Config.BatchSize runs. Each batch does one run at least.
const (
	maxClaimedData = 16 << 20         // bytes of triggers' data
	maxDecided     = 8 << 20          // bytes of messages
	maxDeciding    = 5 * time.Second  // the database drops a transaction that is idle for a minute
	maxRunTime     = 10 * time.Second // of a single run: a usual one takes a tenth of a millisecond
)

// batch is what one transaction does.
type batch struct {
	fanOuts []*fanOut
	runs    []run
	full    bool // there may be more to do than this
}

// fanOut is a claimed row: a stretch of a trigger's recipients.
type fanOut struct {
	trigger    uuid.UUID
	n          int32
	env        belfry.EnvironmentID
	recipients []belfry.RecipientID // to be turned into runs now
	remaining  int                  // of the whole row
	version    int64
	actor      belfry.RecipientID
	tenant     belfry.RecipientID
	data       []byte // JSON
}

// run is one recipient of a claimed fan-out, and what was decided for it.
type run struct {
	fanOut    *fanOut
	version   *version
	recipient belfry.RecipientID
	user      string // external id
	decision
}

// claim locks up to rows fan-outs and takes at most limit recipients from them in all.
func claim(ctx context.Context, tx *postgres.Tx, rows, limit int) (*batch, error) {
	result, err := tx.Query(ctx, claimFanOuts, rows, limit)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	b := &batch{}
	size := 0
	// Locked rows that aren't taken are free again when the transaction ends.
	for !b.full && result.Next() {
		f := &fanOut{}
		if err := result.Scan(&f.trigger, &f.n, &f.env, &f.recipients, &f.remaining, &f.version, &f.actor, &f.tenant, &f.data); err != nil {
			return nil, fmt.Errorf("claim fan-outs: %w", err)
		}
		f.recipients = f.recipients[:min(len(f.recipients), limit)]
		limit -= len(f.recipients)
		size += len(f.data)
		b.fanOuts = append(b.fanOuts, f)
		b.full = limit == 0 || size >= maxClaimedData
	}
	result.Close()
	if err := result.Err(); err != nil {
		return nil, fmt.Errorf("claim fan-outs: %w", err)
	}
	return b, nil
}

// decide advances a run for every claimed recipient. If that turns out to be too much for a transaction, it gives up the
// rest of the claim.
func (e *Engine) decide(ctx context.Context, tx *postgres.Tx, b *batch) error {
	people, err := loadPeople(ctx, tx, b.fanOuts)
	if err != nil {
		return err
	}
	now, size := e.now(), 0
	for i, f := range b.fanOuts {
		v, scope, failed, err := e.prepare(ctx, tx, f, people, now)
		if err != nil {
			return err
		}
		for j, id := range f.recipients {
			if len(b.runs) > 0 && (size >= maxDecided || e.now().Sub(now) >= maxDeciding) {
				b.cut(i, j)
				return nil
			}
			r := run{fanOut: f, version: v, recipient: id, decision: failed}
			if failed.status == "" {
				r.decide(ctx, scope, people[id], now)
			}
			size += r.size
			b.runs = append(b.runs, r)
		}
	}
	return ctx.Err() // if ctx ended, runs failed that shouldn't have
}

// cut gives up everything from a recipient of a fan-out on.
func (b *batch) cut(fanOut, recipient int) {
	f := b.fanOuts[fanOut]
	f.recipients = f.recipients[:recipient]
	b.fanOuts = b.fanOuts[:fanOut]
	if recipient > 0 {
		b.fanOuts = append(b.fanOuts, f)
	}
	b.full = true
}

// prepare gets what all runs of a fan-out share. If they can never be run, it returns the decision that says so.
func (e *Engine) prepare(ctx context.Context, tx *postgres.Tx, f *fanOut, people map[belfry.RecipientID]*belfry.Recipient, now time.Time) (v *version, scope Scope, failed decision, err error) {
	v, err = e.version(ctx, tx, f.version)
	switch {
	case errors.Is(err, errUnusable):
		failed.fail("", "workflow_unusable", err.Error())
		return &version{Version: Version{ID: f.version}}, nil, failed, nil
	case err != nil:
		return nil, nil, failed, fmt.Errorf("read workflow version %d: %w", f.version, err)
	}
	data, err := decodeObject(f.data)
	if err != nil {
		failed.fail("", "data_unreadable", err.Error())
		return v, nil, failed, nil
	}
	return v, f.scope(v, data, people, now), failed, nil
}

// decide advances one run. person is nil if the recipient is gone.
func (r *run) decide(ctx context.Context, shared Scope, person *belfry.Recipient, now time.Time) {
	if person == nil {
		r.fail("", "recipient_gone", "the recipient was deleted after the trigger was accepted")
		return
	}
	r.user = person.ExternalID
	ctx, cancel := context.WithTimeout(ctx, maxRunTime)
	defer cancel()
	r.decision = advance(ctx, r.version.program, shared.with(person), now)
}

// loadPeople reads everybody that the claimed fan-outs name: recipients, actors and tenants.
func loadPeople(ctx context.Context, tx *postgres.Tx, claimed []*fanOut) (map[belfry.RecipientID]*belfry.Recipient, error) {
	var ids []belfry.RecipientID
	envs := make([]belfry.EnvironmentID, 0, 1)
	seen := make(map[belfry.EnvironmentID]bool)
	for _, f := range claimed {
		ids = append(ids, f.recipients...)
		for _, id := range []belfry.RecipientID{f.actor, f.tenant} {
			if id != 0 {
				ids = append(ids, id)
			}
		}
		if !seen[f.env] {
			seen[f.env] = true
			envs = append(envs, f.env)
		}
	}
	people, err := recipient.Load(ctx, tx, envs, ids)
	if err != nil {
		return nil, fmt.Errorf("load recipients: %w", err)
	}
	return people, nil
}
