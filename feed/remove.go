package feed

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// remove deletes items that the caller has read under the feed's lock, and tells so. Each leaves a change at its own
// version, so that whoever resumes from before it misses nothing.
func (s *Service) remove(ctx context.Context, tx *postgres.Tx, h *header, ref Ref, why Removal, items []markable, at time.Time) error {
	if len(items) == 0 {
		return nil
	}
	seqs := make([]int64, len(items))
	moved := newTally()
	for i, it := range items {
		h.uncount(moved, &it.stored)
		h.tell(&it)
		seqs[i] = it.seq
	}
	if err := moveGroups(ctx, tx, h, moved); err != nil {
		return err
	}
	if len(items) >= regroupFrom {
		h.thinned()
	}
	h.pins = slices.DeleteFunc(h.pins, func(p Pin) bool { return slices.Contains(seqs, p.Seq) })
	batch := &pgx.Batch{}
	batch.Queue(deleteItems, h.recipient, h.channel, h.env, seqs, at, why)
	batch.Queue(deleteTimersOf, h.recipient, h.channel, seqs)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("remove items: %w", err)
	}
	return s.record(ctx, tx, h, ref, Event{Kind: Removed, Removal: why, Recipient: h.recipient, Seqs: seqs, At: at}, nil)
}

// Retract removes items of any feeds of an environment by id, at most MaxMarkIDs of them. Ids that name no item are returned.
func (s *Service) Retract(ctx context.Context, env belfry.EnvironmentID, ids []belfry.MessageID) (removed int, notFound []belfry.MessageID, err error) {
	if len(ids) > MaxMarkIDs {
		return 0, nil, belfry.Beyond("input.where.ids", MaxMarkIDs, "ids")
	}
	byFeed := map[key][]belfry.MessageID{}
	for _, id := range ids {
		k := key{env, id.Recipient, id.Channel}
		byFeed[k] = append(byFeed[k], id)
	}
	feeds := make([]key, 0, len(byFeed))
	for k := range byFeed {
		feeds = append(feeds, k)
	}
	slices.SortFunc(feeds, compareKeys)
	err = postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
		removed, notFound = 0, nil
		users, err := s.owners(ctx, tx, feeds)
		if err != nil {
			return err
		}
		for _, k := range feeds {
			h, err := readHeader(ctx, tx, lockHeader, k)
			if err != nil {
				return err
			}
			if h.epoch == 0 { // no row means no lock
				notFound = append(notFound, byFeed[k]...)
				continue
			}
			items, err := readMarkable(ctx, tx, h, h.own(byFeed[k]))
			if err != nil {
				return err
			}
			notFound = append(notFound, missing(byFeed[k], h, items)...)
			removed += len(items)
			if err := s.remove(ctx, tx, h, users[k], Retracted, items, s.now()); err != nil {
				return err
			}
		}
		return nil
	})
	return removed, notFound, err
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.recipient, b.recipient), cmp.Compare(a.channel, b.channel))
}

// owners names feeds of which only the keys are known. Of a recipient who is deleted meanwhile there is nobody to tell.
func (s *Service) owners(ctx context.Context, tx *postgres.Tx, feeds []key) (map[key]Ref, error) {
	refs := make(map[key]Ref, len(feeds))
	byEnv := map[belfry.EnvironmentID][]belfry.RecipientID{}
	for _, k := range feeds {
		byEnv[k.env] = append(byEnv[k.env], k.recipient)
	}
	for env, ids := range byEnv {
		known, err := s.Recipients(ctx, tx, env, ids)
		if err != nil {
			return nil, err
		}
		for _, k := range feeds {
			if k.env != env {
				continue
			}
			ref := Ref{Environment: env, Channel: k.channel}
			if who := known[k.recipient]; who != nil {
				ref.User = who.ExternalID
			}
			refs[k] = ref
		}
	}
	return refs, nil
}

// deleteItems leaves a change at each item's version. Like updateStates it looks items up by their keys, whatever the planner
// thinks of the feed's size.
const deleteItems = `WITH gone AS (
  DELETE FROM feed_items AS i USING unnest($4::bigint[]) AS t (seq)
   CROSS JOIN LATERAL (SELECT ctid AS place FROM feed_items
     WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq = t.seq OFFSET 0) k
   WHERE i.ctid = k.place RETURNING i.seq)
INSERT INTO feed_changes (recipient_id, channel, version, environment_id, at, mark, seqs)
SELECT $1, $2, seq, $3, $5, $6, ARRAY[seq] FROM gone`

const deleteTimersOf = `DELETE FROM feed_timers WHERE recipient_id = $1 AND channel = $2 AND kind = ANY ('{expire,return}') AND seq = ANY ($3)`
