package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// CreateSchedules stores schedules: those that are right, whatever is wrong with others. The results are in the order of
// the inputs. An error means that nothing was stored.
func (e *Engine) CreateSchedules(ctx context.Context, env belfry.EnvironmentID, inputs []ScheduleInput) ([]ScheduleResult, error) {
	if len(inputs) == 0 {
		return nil, belfry.Errorf(belfry.Invalid, "give at least one schedule").At("input.schedules")
	}
	if len(inputs) > MaxSchedules {
		return nil, belfry.Beyond("input.schedules", MaxSchedules, "schedules")
	}
	now := e.now()
	drafts := make([]*draft, len(inputs))
	for i := range inputs {
		drafts[i] = newDraft(&inputs[i], fmt.Sprintf("input.schedules[%d]", i), newID(now), now)
		drafts[i].env = env
	}
	err := postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		if err := e.draftWorkflows(ctx, tx, env, drafts); err != nil {
			return fmt.Errorf("find workflows: %w", err)
		}
		if err := e.draftParties(ctx, tx, env, drafts); err != nil {
			return fmt.Errorf("find recipients: %w", err)
		}
		if err := draftTimes(ctx, tx, env, drafts, now); err != nil {
			return fmt.Errorf("load recipients: %w", err)
		}
		tx.AfterCommit(e.wakeScheduler)
		return storeDrafts(ctx, tx, env, drafts)
	})
	if err != nil {
		return nil, err
	}
	results := make([]ScheduleResult, len(drafts))
	for i, d := range drafts {
		if results[i].Err = d.err; d.err == nil {
			results[i].Schedule = &d.Schedule
		}
	}
	return results, nil
}

// good are the drafts that nothing is wrong with so far.
func good(drafts []*draft) []*draft {
	return slices.DeleteFunc(slices.Clone(drafts), func(d *draft) bool { return d.err != nil })
}

// draftWorkflows finds the workflows, and holds the data against their schemas. One that is inactive may be scheduled.
func (e *Engine) draftWorkflows(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, drafts []*draft) error {
	var keys []string
	for _, d := range good(drafts) {
		keys = append(keys, d.Workflow)
	}
	rows, err := tx.Query(ctx, selectWorkflowsByKey, env, keys)
	if err != nil {
		return err
	}
	type found struct{ id, version int64 }
	workflows := map[string]found{}
	var key string
	var f found
	if _, err := pgx.ForEachRow(rows, []any{&key, &f.id, &f.version}, func() error {
		workflows[key] = f
		return nil
	}); err != nil {
		return err
	}
	for _, d := range good(drafts) {
		f, ok := workflows[d.Workflow]
		if d.workflowID, d.version = f.id, f.version; !ok {
			d.err = belfry.Errorf(belfry.NotFound, "no workflow has the key %.100q: store it with upsertWorkflow first", d.Workflow).At("%s.workflow", d.field)
			continue
		}
		if err := e.checkData(ctx, tx, d.version, &Request{Data: d.Data}); err != nil {
			if err := d.refuse(err); err != nil {
				return err
			}
		}
	}
	return nil
}

// draftParties finds everybody, and identifies whom the inputs identify.
func (e *Engine) draftParties(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, drafts []*draft) error {
	var refs []belfry.RecipientRef
	for _, d := range good(drafts) {
		refs = append(refs, d.input.Recipient.ref())
		if d.input.Actor != nil {
			refs = append(refs, d.input.Actor.ref())
		}
		if d.input.Tenant != "" {
			refs = append(refs, tenantRef(d.input.Tenant))
		}
	}
	known, err := e.Recipients.Find(ctx, tx, env, refs)
	if err != nil {
		return err
	}
	for _, d := range good(drafts) { // before anybody is identified: what comes to nothing leaves no trace
		d.expect(&d.input.Recipient, "recipient", known)
		d.expect(d.input.Actor, "actor", known)
	}
	if err := e.identifyParties(ctx, tx, env, drafts, known); err != nil {
		return err
	}
	for _, d := range good(drafts) {
		d.Recipient = known[d.input.Recipient.ref()]
		if d.input.Actor != nil {
			d.Actor = known[d.input.Actor.ref()]
		}
		if d.input.Tenant != "" {
			d.Tenant = known[tenantRef(d.input.Tenant)]
		}
	}
	return nil
}

// expect refuses the draft if a party is neither known nor identified.
func (d *draft) expect(p *Party, name string, known map[belfry.RecipientRef]belfry.RecipientID) {
	if p != nil && p.Identify == nil && known[p.Ref] == 0 && d.err == nil {
		d.err = belfry.Errorf(belfry.NotFound, "nobody has the id %q: identify the %s first, or on the spot", p.Ref.ExternalID, name).At("%s.%s", d.field, name)
	}
}

// identifyParties makes known whom the inputs identify, and tenants that are new. One that is refused makes the others try
// again without it, which is rare: nearly everything was checked before.
func (e *Engine) identifyParties(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, drafts []*draft, known map[belfry.RecipientRef]belfry.RecipientID) error {
	for {
		var identities []recipient.Identity
		var fields []string
		var of []*draft
		add := func(d *draft, identity recipient.Identity, field string) {
			identities, fields, of = append(identities, identity), append(fields, d.field+field), append(of, d)
		}
		for _, d := range good(drafts) {
			if p := &d.input.Recipient; p.Identify != nil {
				add(d, *p.Identify, ".recipient.identify")
			}
			if p := d.input.Actor; p != nil && p.Identify != nil {
				add(d, *p.Identify, ".actor.identify")
			}
			if ref := tenantRef(d.input.Tenant); d.input.Tenant != "" && known[ref] == 0 {
				add(d, recipient.Identity{RecipientRef: ref}, ".tenant")
			}
		}
		if len(identities) == 0 {
			return nil
		}
		err := tx.Savepoint(ctx, func() error {
			identified, err := e.Recipients.Identify(ctx, tx, env, identities, fields)
			for ref, id := range identified {
				known[ref] = id
			}
			return err
		})
		refused, ok := errors.AsType[*belfry.Error](err)
		if !ok {
			return err
		}
		i := slices.IndexFunc(fields, func(field string) bool { return strings.HasPrefix(refused.Field, field) })
		if i < 0 {
			return err
		}
		of[i].err = refused
	}
}

// draftTimes finds the first occurrences.
func draftTimes(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, drafts []*draft, now time.Time) error {
	var ids []belfry.RecipientID
	for _, d := range good(drafts) {
		ids = append(ids, d.Recipient)
	}
	people, err := recipient.Load(ctx, tx, []belfry.EnvironmentID{env}, ids)
	if err != nil {
		return err
	}
	for _, d := range good(drafts) {
		person := people[d.Recipient]
		if person == nil {
			d.err = belfry.Errorf(belfry.NotFound, "the recipient was deleted a moment ago").At("%s.recipient", d.field)
			continue
		}
		if d.plan(now, timezoneOf(person)); d.NextAt == nil {
			d.err = d.errNever(d.field)
		}
	}
	return nil
}

// storeDrafts writes all at once, or one by one if the database refuses the data of some.
func storeDrafts(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, drafts []*draft) error {
	drafts = good(drafts)
	err := tx.Savepoint(ctx, func() error { return insertDrafts(ctx, tx, env, drafts) })
	if !postgres.IsDataException(err) {
		return err
	}
	for _, d := range drafts {
		err := tx.Savepoint(ctx, func() error { return insertDrafts(ctx, tx, env, []*draft{d}) })
		if err := unstorable(err, d.field+".data"); err != nil {
			if err := d.refuse(err); err != nil {
				return err
			}
		}
	}
	return nil
}

func insertDrafts(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, drafts []*draft) error {
	var ids [][16]byte
	var workflows, recipients, actors, tenants []int64
	var data, rules, timezones []string
	var starts, created []time.Time
	var ends, nexts []*time.Time
	for _, d := range drafts {
		encoded, err := encodeRules(d.Rules)
		if err != nil {
			return err
		}
		ids, workflows, recipients = append(ids, d.ID), append(workflows, d.workflowID), append(recipients, int64(d.Recipient))
		actors, tenants = append(actors, int64(d.Actor)), append(tenants, int64(d.Tenant))
		data, rules, timezones = append(data, string(d.data)), append(rules, encoded), append(timezones, d.timezone)
		starts, ends, nexts = append(starts, d.StartsAt), append(ends, d.EndsAt), append(nexts, d.NextAt)
		created = append(created, d.CreatedAt)
	}
	_, err := tx.Exec(ctx, insertSchedules, env, ids, workflows, recipients, actors, tenants, data, rules, starts, ends, nexts, timezones, created)
	return err
}

// encodeRules returns a list, and not null, of no rules.
func encodeRules(rules []calendar.Rule) (string, error) {
	if rules == nil {
		rules = []calendar.Rule{}
	}
	b, err := encode(rules)
	if err != nil {
		return "", fmt.Errorf("encode rules: %w", err)
	}
	return string(b), nil
}
