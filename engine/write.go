package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
)

// write stores everything that runs decided, set-based: messages, then runs with what they wait for in one round trip.
// If it isn't nil, their whole claim is settled with it.
func (e *Engine) write(ctx context.Context, tx *postgres.Tx, runs []*run, now time.Time, c *claim) error {
	if len(runs) == 0 {
		return nil
	}
	var events gathering
	for _, r := range runs {
		r.workflowEvents(now, events.add)
	}
	if messages := messagesOf(runs, now); len(messages) > 0 {
		if err := e.Enqueue(ctx, tx, messages); err != nil {
			return fmt.Errorf("enqueue messages: %w", err)
		}
		rememberMessages(runs, messages)
		for i := range messages {
			if m := &messages[i]; m.ChannelType == belfry.InApp && m.SendAt.IsZero() && !m.Sandbox {
				events.add(sentEvent(m, now))
			}
		}
	}
	batch := &pgx.Batch{}
	if err := queueRuns(batch, runs, now); err != nil {
		return err
	}
	queueWaits(batch, runs)
	if err := queueFetches(batch, runs, now); err != nil {
		return err
	}
	if err := queueEvents(batch, &events, now, func() { tx.AfterCommit(e.Wake) }); err != nil {
		return err
	}
	if c != nil {
		if err := queueSettled(batch, c); err != nil {
			return err
		}
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write runs: %w", err)
	}
	e.announce(tx, runs)
	return nil
}

// queueRuns writes runs: those that are new and done in one go, as most are, in the cheapest way.
func queueRuns(batch *pgx.Batch, runs []*run, now time.Time) error {
	var fresh, waited runColumns
	var done doneColumns
	var encoder logEncoder
	for _, r := range runs {
		if r.fanOut == nil {
			for i := range r.log {
				r.log[i].At = &now
			}
		}
		log, err := encoder.encode(r.log)
		if err != nil {
			return fmt.Errorf("encode run log: %w", err)
		}
		switch {
		case r.fanOut == nil:
			err = waited.add(r, log)
		case r.status == Done && !r.resumable():
			done.add(r, log)
		default:
			err = fresh.add(r, log)
		}
		if err != nil {
			return err
		}
	}
	if len(done.recipients) > 0 {
		batch.Queue(insertDone, done.recipients, done.origins, done.triggers, done.envs, done.versions, now, done.logs)
	}
	if len(fresh.recipients) > 0 {
		batch.Queue(insertRuns, fresh.recipients, fresh.triggers, fresh.envs, fresh.versions, fresh.statuses, fresh.logs, fresh.states, fresh.dues, fresh.kinds, now)
	}
	if len(waited.recipients) > 0 {
		batch.Queue(updateRuns, waited.recipients, waited.triggers, waited.versions, waited.statuses, waited.logs, waited.states, waited.dues, waited.kinds, now)
	}
	return nil
}

// messagesOf is the messages that the runs decided to send, in order.
func messagesOf(runs []*run, now time.Time) []belfry.Message {
	n := 0
	for _, r := range runs {
		n += len(r.effects)
	}
	out := make([]belfry.Message, 0, n) // they are large: growing would copy them several times over
	for _, r := range runs {
		for i := range r.effects {
			e := &r.effects[i]
			m := belfry.Message{
				Environment: r.trigger.env, Recipient: r.recipient, UserID: r.user,
				Channel: e.message.Channel, ChannelType: e.message.Type,
				Trigger: r.trigger.id, Workflow: r.version.Key, Version: r.version.ID, StepRef: e.step,
				Categories: r.version.Definition.Categories, Actor: r.trigger.actor, Tenant: r.trigger.tenant,
				Content: e.content, CreatedAt: now, SendAt: e.sendAt, Sandbox: r.trigger.sandbox,
			}
			if s := r.summary; s != nil {
				m.TotalActivities = s.total
				for _, a := range s.actors {
					m.Actors = append(m.Actors, a.ID)
				}
				m.Actor = 0
				if len(m.Actors) > 0 {
					m.Actor = m.Actors[0]
				}
				if len(m.Actors) < 2 {
					m.Actors = nil
				}
			}
			out = append(out, m)
		}
	}
	return out
}

// rememberMessages notes the ids that the messages got, in the order of messagesOf.
func rememberMessages(runs []*run, messages []belfry.Message) {
	n := 0
	for _, r := range runs {
		for i := range r.effects {
			e := &r.effects[i]
			r.log[e.entry].Message = messages[n].ID().String()
			if ref := r.state.Refs[e.step]; ref != nil {
				ref.Seq = messages[n].Seq
			}
			n++
		}
	}
}

// runColumns are arguments that hold one element a run.
type runColumns struct {
	recipients, envs, versions []int64
	triggers                   [][16]byte
	statuses, logs             []string
	states, kinds              []*string
	dues                       []*time.Time
}

func (c *runColumns) add(r *run, log string) error {
	var state, kind *string
	var due *time.Time
	if r.status == Waiting {
		kind = &r.wait.kind
		if !r.wait.due.IsZero() {
			due = &r.wait.due
		}
	}
	if r.resumable() {
		b, err := encode(&r.state)
		if err != nil {
			return fmt.Errorf("encode run state: %w", err)
		}
		s := string(b)
		state = &s
	}
	c.recipients, c.envs = append(c.recipients, int64(r.recipient)), append(c.envs, int64(r.trigger.env))
	c.versions, c.triggers = append(c.versions, r.version.ID), append(c.triggers, r.trigger.id)
	c.statuses, c.logs = append(c.statuses, string(r.status)), append(c.logs, log)
	c.states, c.kinds, c.dues = append(c.states, state), append(c.kinds, kind), append(c.dues, due)
	return nil
}

// resumable reports whether the run's state is needed again: while it waits, or while a batch that it joined does.
func (r *run) resumable() bool {
	return r.status == Waiting || r.state.Joined != nil && r.status == Done
}

// doneColumns are the arguments of insertDone. What runs of a trigger share is sent once, and each says which: each array that
// PostgreSQL unfolds beside the others costs as much as a column of the table.
type doneColumns struct {
	recipients     []int64
	logs           []string
	origins        []int32 // index into the columns that follow, from 1. Their elements have a fixed length: PostgreSQL finds them at once
	triggers       [][16]byte
	envs, versions []int64
}

func (c *doneColumns) add(r *run, log string) {
	// Runs of a trigger come one behind the other.
	if n := len(c.triggers); n == 0 || c.triggers[n-1] != r.trigger.id || c.versions[n-1] != r.version.ID {
		c.triggers = append(c.triggers, r.trigger.id)
		c.envs, c.versions = append(c.envs, int64(r.trigger.env)), append(c.versions, r.version.ID)
	}
	c.recipients, c.logs, c.origins = append(c.recipients, int64(r.recipient)), append(c.logs, log), append(c.origins, int32(len(c.triggers)))
}

// queueWaits registers what runs wait for, and forgets what they no longer do.
func queueWaits(batch *pgx.Batch, runs []*run) {
	var recipients, envs, over []int64
	var triggers, overTriggers [][16]byte
	var types, names []string
	for _, r := range runs {
		waiting := r.status == Waiting && r.wait.event != nil
		if r.waitingFor == waitEvent && !waiting {
			over, overTriggers = append(over, int64(r.recipient)), append(overTriggers, r.trigger.id)
		}
		if waiting {
			recipients, envs, triggers = append(recipients, int64(r.recipient)), append(envs, int64(r.trigger.env)), append(triggers, r.trigger.id)
			types, names = append(types, string(r.wait.event.Type)), append(names, r.wait.event.Name)
		}
	}
	if len(over) > 0 {
		batch.Queue(deleteWaits, over, overTriggers)
	}
	if len(recipients) > 0 {
		batch.Queue(upsertWaits, recipients, triggers, envs, types, names)
	}
}

func queueFetches(batch *pgx.Batch, runs []*run, now time.Time) error {
	var recipients, envs []int64
	var triggers [][16]byte
	var steps, requests []string
	for _, r := range runs {
		if r.fetch == nil || r.status != Waiting {
			continue
		}
		b, err := encode(r.fetch)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		recipients, envs, triggers = append(recipients, int64(r.recipient)), append(envs, int64(r.trigger.env)), append(triggers, r.trigger.id)
		steps, requests = append(steps, r.version.program.Ops[r.state.PC].Step), append(requests, string(b))
	}
	if len(recipients) > 0 {
		batch.Queue(insertFetches, recipients, triggers, envs, steps, requests, now)
	}
	return nil
}

// workflowEvents is what other runs may wait for: that this one has started or completed.
func (r *run) workflowEvents(now time.Time, add func(occurrence)) {
	o := occurrence{r.trigger.env, r.recipient, r.trigger.id, Event{Type: workflow.WorkflowEvent, At: now, Workflow: r.version.Key}}
	if r.fanOut != nil && r.state.Started {
		o.Name = "started"
		add(o)
	}
	if r.status == Done && r.state.Started && r.state.Joined == nil { // a batch that it joined is still to complete
		o.Name = "completed"
		add(o)
	}
}

// settle updates what was claimed, by what became of it.
func (e *Engine) settle(ctx context.Context, tx *postgres.Tx, c *claim) error {
	batch := &pgx.Batch{}
	if err := queueSettled(batch, c); err != nil {
		return err
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("settle what was claimed: %w", err)
	}
	return nil
}

func queueSettled(batch *pgx.Batch, c *claim) error {
	finished := map[*run]bool{}
	var signals, envs []int64
	for _, r := range c.runs {
		finished[r] = true
		if r.fanOut != nil {
			r.fanOut.taken++
		}
		for _, id := range r.signals {
			signals, envs = append(signals, id), append(envs, int64(r.trigger.env))
		}
	}
	for _, s := range c.stale {
		signals, envs = append(signals, s.id), append(envs, int64(s.env))
	}
	if len(signals) > 0 {
		batch.Queue(deleteSignals, envs, signals)
	}
	if len(c.orphans) > 0 {
		envs, signals = nil, nil
		for _, o := range c.orphans {
			envs, signals = append(envs, int64(o.env)), append(signals, o.id)
		}
		batch.Queue(deleteOrphanedSignals, envs, signals)
	}
	queueClosed(batch, c.batches, finished)
	return queueFanOuts(batch, c.fanOuts)
}

// queueClosed closes the batches whose run has gone on, and those that nobody carries any more.
func queueClosed(batch *pgx.Batch, batches []closing, finished map[*run]bool) {
	var recipients, lost []int64
	var openers, lostOpeners [][16]byte
	var steps, lostSteps []string
	for _, b := range batches {
		switch {
		case b.run != nil && finished[b.run] || b.carrier == uuid.Nil:
			recipients, openers, steps = append(recipients, int64(b.recipient)), append(openers, b.Opener), append(steps, b.Step)
		case b.run == nil:
			lost, lostOpeners, lostSteps = append(lost, int64(b.recipient)), append(lostOpeners, b.Opener), append(lostSteps, b.Step)
		}
	}
	if len(recipients) > 0 {
		batch.Queue(closeBatches, recipients, openers, steps)
	}
	if len(lost) > 0 {
		batch.Queue(closeLostBatches, lost, lostOpeners, lostSteps)
	}
}
