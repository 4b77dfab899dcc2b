package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// write stores everything that a batch of runs decided, set-based: messages, then runs and fan-outs in one round trip.
func (e *Engine) write(ctx context.Context, tx *postgres.Tx, claimed []*fanOut, runs []run) error {
	now := e.now()
	if messages := messagesOf(runs, now); len(messages) > 0 {
		if err := e.Enqueue(ctx, tx, messages); err != nil {
			return fmt.Errorf("enqueue messages: %w", err)
		}
	}
	batch := &pgx.Batch{}
	if err := queueRuns(batch, runs, now); err != nil {
		return err
	}
	queueFanOuts(batch, claimed)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write runs: %w", err)
	}
	return nil
}

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
	recipients, triggers, envs, versions := make([]int64, n), make([]uuid.UUID, n), make([]int64, n), make([]int64, n)
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
	var doneTriggers, movedTriggers []uuid.UUID
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
