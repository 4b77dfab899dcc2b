package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// write stores everything that runs decided, set-based: messages, then runs and fan-outs in one round trip.
func (e *Engine) write(ctx context.Context, tx *postgres.Tx, runs []run, fanOuts []*fanOut) error {
	now := e.now()
	if messages := messagesOf(runs, now); len(messages) > 0 {
		if err := e.Enqueue(ctx, tx, messages); err != nil {
			return fmt.Errorf("enqueue messages: %w", err)
		}
	}
	batch := &pgx.Batch{}
	if len(runs) > 0 {
		if err := queueRuns(batch, runs, now); err != nil {
			return err
		}
	}
	queueFanOuts(batch, fanOuts)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write runs: %w", err)
	}
	return nil
}

// writeCarefully is write for a batch of which the database refuses something.
func (e *Engine) writeCarefully(ctx context.Context, tx *postgres.Tx, b *batch) error {
	// Enqueue is called several times: it takes its locks in the order of recipients all the same.
	slices.SortStableFunc(b.runs, func(x, y run) int { return cmp.Compare(x.recipient, y.recipient) })
	if err := e.writeInHalves(ctx, tx, b.runs); err != nil {
		return err
	}
	return e.write(ctx, tx, nil, b.fanOuts)
}

// writeInHalves writes runs. If the database refuses them it writes one half, then the other; a single run that it
// refuses is written as failed instead.
func (e *Engine) writeInHalves(ctx context.Context, tx *postgres.Tx, runs []run) error {
	err := tx.Savepoint(ctx, func() error { return e.write(ctx, tx, runs, nil) })
	if !postgres.IsDataException(err) {
		return err
	}
	if len(runs) > 1 {
		half := len(runs) / 2
		if err := e.writeInHalves(ctx, tx, runs[:half]); err != nil {
			return err
		}
		return e.writeInHalves(ctx, tx, runs[half:])
	}
	r := &runs[0]
	if len(r.log) == 1 && r.log[0].Reason == refused {
		e.Log.Error("a run cannot be written at all; it is left out", "trigger", r.fanOut.trigger, "recipient", r.recipient, "error", err)
		return nil
	}
	r.decision = decision{}
	r.fail("", refused, err.Error())
	return e.writeInHalves(ctx, tx, runs)
}

// refused is why a run failed whose outcome the database doesn't take.
const refused = "refused"

// messagesOf is the messages that the runs decided to send, in order.
func messagesOf(runs []run, now time.Time) []belfry.Message {
	var out []belfry.Message
	for i := range runs {
		r := &runs[i]
		for _, e := range r.effects {
			out = append(out, belfry.Message{
				Environment: r.fanOut.env, Recipient: r.recipient, UserID: r.user,
				Channel: e.channel, ChannelType: belfry.InApp,
				Trigger: r.fanOut.trigger, Workflow: r.version.Key, Version: r.version.ID, StepRef: e.step,
				Categories: r.version.Definition.Categories, Actor: r.fanOut.actor, Tenant: r.fanOut.tenant,
				Content: e.content, CreatedAt: now,
			})
		}
	}
	return out
}

func queueRuns(batch *pgx.Batch, runs []run, now time.Time) error {
	n := len(runs)
	recipients, triggers, envs, versions := make([]int64, n), make([][16]byte, n), make([]int64, n), make([]int64, n)
	statuses, logs := make([]string, n), make([]string, n)
	for i := range runs {
		r := &runs[i]
		recipients[i], triggers[i], envs[i], versions[i] = int64(r.recipient), r.fanOut.trigger, int64(r.fanOut.env), r.fanOut.version
		log, err := json.Marshal(r.log)
		if err != nil {
			return fmt.Errorf("encode run log: %w", err)
		}
		statuses[i], logs[i] = string(r.status), string(log)
	}
	batch.Queue(insertRuns, recipients, triggers, envs, versions, statuses, logs, now)
	return nil
}

// queueFanOuts deletes those that are used up, and moves the position of the others.
func queueFanOuts(batch *pgx.Batch, claimed []*fanOut) {
	var doneTriggers, movedTriggers [][16]byte // not uuid.UUID: pgx would write each as text first
	var doneN, movedN, moved []int32
	for _, f := range claimed {
		if len(f.recipients) == f.remaining {
			doneTriggers, doneN = append(doneTriggers, f.trigger), append(doneN, f.n)
		} else {
			movedTriggers, movedN, moved = append(movedTriggers, f.trigger), append(movedN, f.n), append(moved, int32(len(f.recipients)))
		}
	}
	if len(doneN) > 0 {
		batch.Queue(deleteFanOuts, doneTriggers, doneN)
	}
	if len(movedN) > 0 {
		batch.Queue(moveFanOuts, movedTriggers, movedN, moved)
	}
}
