package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// record writes outcomes, as far as their leases are still held, and raises what that changed. It returns those that
// it wrote, for the statistics once the transaction has committed.
func (s *Service) record(ctx context.Context, tx *postgres.Tx, outcomes []*outcome) ([]*outcome, error) {
	now := s.now()
	held, err := release(ctx, tx, outcomes)
	if err != nil {
		return nil, fmt.Errorf("release leases: %w", err)
	}
	settled := slices.DeleteFunc(slices.Clone(held), func(o *outcome) bool { return o.status == "" })
	if len(settled) == 0 {
		return held, nil
	}
	if err := write(ctx, tx, settled, now); err != nil {
		return nil, fmt.Errorf("write outcomes: %w", err)
	}
	var told belfry.StatusChanges
	for _, o := range settled {
		if o.movedTo != 0 {
			continue // whoever took it over has told
		}
		for _, kind := range eventsOf(o.status) {
			note(&told, kind, &o.Message.Message, now)
		}
	}
	return held, s.observe(ctx, tx, told)
}

// release takes finished messages from the queue and postpones the others, or gives their leases back. It returns those
// whose lease was still held.
func release(ctx context.Context, tx *postgres.Tx, outcomes []*outcome) ([]*outcome, error) {
	var done, again, unused struct{ recipients, ids, fences []int64 }
	var retryAt []time.Time
	byID := make(map[int64]*outcome, len(outcomes))
	for _, o := range outcomes {
		byID[o.Seq] = o
		list := &done
		switch o.status {
		case belfry.DeliveryAttempted:
			list = &again
			retryAt = append(retryAt, o.retryAt)
		case "":
			list = &unused
		}
		list.recipients, list.ids, list.fences = append(list.recipients, int64(o.Recipient)), append(list.ids, o.Seq), append(list.fences, o.fence)
	}
	var held []*outcome
	collect := func(rows pgx.Rows) error {
		var id int64
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			held = append(held, byID[id])
			return nil
		})
		return err
	}
	batch := &pgx.Batch{}
	if len(done.ids) > 0 {
		batch.Queue(finish, done.recipients, done.ids, done.fences).Query(collect)
	}
	if len(again.ids) > 0 {
		batch.Queue(postpone, again.recipients, again.ids, again.fences, retryAt).Query(collect)
	}
	if len(unused.ids) > 0 {
		batch.Queue(giveBack, unused.recipients, unused.ids, unused.fences).Query(collect)
	}
	err := tx.SendBatch(ctx, batch).Close()
	return held, err
}

// write stores the statuses and the attempts.
func write(ctx context.Context, tx *postgres.Tx, outcomes []*outcome, now time.Time) error {
	n := len(outcomes)
	recipients, ids, movedTo := make([]int64, n), make([]int64, n), make([]int64, n)
	statuses, providerIDs := make([]string, n), make([]string, n)
	var a struct {
		recipients, ids, envs, micros []int64
		numbers                       []int32
		at                            []time.Time
		outcomes, providers, errors   []string
	}
	for i, o := range outcomes {
		recipients[i], ids[i], movedTo[i] = int64(o.Recipient), o.Seq, o.movedTo
		statuses[i], providerIDs[i] = string(o.status), o.providerID
		if o.provider == "" {
			continue
		}
		text := ""
		if o.err != nil {
			text = excerpt(o.err.Error())
		}
		a.recipients, a.ids, a.envs = append(a.recipients, int64(o.Recipient)), append(a.ids, o.Seq), append(a.envs, int64(o.Environment))
		a.micros, a.numbers, a.at = append(a.micros, o.duration.Microseconds()), append(a.numbers, int32(o.attempt)), append(a.at, o.at)
		a.outcomes, a.providers, a.errors = append(a.outcomes, string(o.status)), append(a.providers, o.provider), append(a.errors, text)
	}
	batch := &pgx.Batch{}
	batch.Queue(updateOutcomes, recipients, ids, statuses, movedTo, providerIDs, now)
	if len(a.ids) > 0 {
		batch.Queue(insertAttempts, a.recipients, a.ids, a.numbers, a.envs, a.at, a.micros, a.outcomes, a.providers, a.errors)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// count adds recorded outcomes to the statistics.
func (s *stats) count(held []*outcome) {
	for _, o := range held {
		switch {
		case o.status == "": // nothing happened
		case o.movedTo != 0:
			s.moved.Add(1)
		case o.err == nil:
			s.sent.Add(1)
		case o.provider != "":
			s.failed.Add(1)
		}
		switch o.status {
		case belfry.Undelivered:
			s.undelivered.Add(1)
		case belfry.Bounced:
			s.bounced.Add(1)
		}
	}
}
