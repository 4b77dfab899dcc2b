package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// updateQuestion asks to change what is known of somebody.
type updateQuestion struct{ update *workflow.Update }

type updateAnswer struct {
	person *belfry.Recipient // as it is now
	err    error             // a *belfry.Error: why it was not changed
}

// updateRecipient merges properties into a user, object or tenant. If that is the run's recipient, actor or tenant, the
// steps that follow see them as they are now.
func (c *course) updateRecipient(op *workflow.Op) flow {
	a, ok := c.answer.(*updateAnswer)
	if !ok {
		update, err := op.Update.Render(c.ctx, c.scope)
		if err != nil {
			return c.failed(op.Step, err)
		}
		return c.question(&updateQuestion{update})
	}
	c.answer = nil
	if a.err != nil {
		return c.fail(op.Step, "invalid_properties", a.err.Error())
	}
	fresh := a.person.Scope()
	for _, root := range []string{"recipient", "actor", "tenant"} {
		old, ok := c.scope[root].(map[string]any)
		if !ok || old["id"] != fresh["id"] || old["collection"] != fresh["collection"] {
			continue
		}
		c.scope[root], c.own = fresh, true
		if root == "recipient" && c.state.Subscription != nil {
			seen := maps.Clone(fresh) // the actor may be the same, but has no subscription
			seen["subscription"] = old["subscription"]
			c.scope[root] = seen
		}
	}
	c.scope.schedule(c.trigger.occurrence)
	c.note(LogEntry{Step: op.Step, Outcome: OutcomeUpdated, Detail: a.person.Collection + " " + a.person.ExternalID})
	return forward
}

// updates changes the recipients that runs ask for: all together, and one by one if some of it is refused.
func (e *Engine) updates(ctx context.Context, tx *postgres.Tx, runs []*run) error {
	asking := map[belfry.EnvironmentID][]*run{}
	for _, r := range runs {
		if _, ok := r.ask.(*updateQuestion); ok {
			asking[r.trigger.env] = append(asking[r.trigger.env], r)
		}
	}
	for _, env := range slices.Sorted(maps.Keys(asking)) { // everybody locks in this order
		group := asking[env]
		err := e.update(ctx, tx, env, group)
		if _, refused := errors.AsType[*belfry.Error](err); !refused {
			if err != nil {
				return fmt.Errorf("update recipients: %w", err)
			}
			continue
		}
		for _, r := range group {
			err := e.update(ctx, tx, env, []*run{r})
			if _, refused := errors.AsType[*belfry.Error](err); refused {
				r.reply(&updateAnswer{err: err})
			} else if err != nil {
				return fmt.Errorf("update recipients: %w", err)
			}
		}
	}
	return nil
}

// update changes the recipients that runs of an environment ask for: all of them or none. Whom a refused update made known
// is unknown again.
func (e *Engine) update(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, runs []*run) error {
	identities, fields := make([]recipient.Identity, len(runs)), make([]string, len(runs))
	for i, r := range runs {
		u := r.ask.(*updateQuestion).update
		identities[i], fields[i] = recipient.Identity{RecipientRef: u.Ref, Properties: u.Properties}, "properties"
		if err := identities[i].Validate(fields[i]); err != nil {
			return err
		}
	}
	var ids map[belfry.RecipientRef]belfry.RecipientID
	if err := tx.Savepoint(ctx, func() (err error) {
		ids, err = e.Recipients.Identify(ctx, tx, env, identities, fields)
		return err
	}); err != nil {
		return unstorable(err, "properties")
	}
	all := make([]belfry.RecipientID, 0, len(ids))
	for _, id := range ids {
		all = append(all, id)
	}
	people, err := recipient.Load(ctx, tx, []belfry.EnvironmentID{env}, all)
	if err != nil {
		return err
	}
	for i, r := range runs {
		r.reply(&updateAnswer{person: people[ids[identities[i].RecipientRef]]})
	}
	return nil
}
