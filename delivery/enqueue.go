package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Enqueue takes messages over, in the caller's transaction, and sets each one's Seq. An in-app message that may be shown
// now goes to InApp; one of a sandbox is kept and marked so; whatever else waits in the queue for a worker, or for its
// SendAt. What the database will never take fails as a data exception (see postgres.IsDataException).
//
// InApp locks feeds in the order of recipients: call Enqueue again in the same transaction only with recipients that come
// after those of before. Leave the messages alone until the transaction has ended.
func (s *Service) Enqueue(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
	if len(messages) == 0 {
		return nil
	}
	now := s.now()
	var kept []*belfry.Message
	for i := range messages {
		if !shownNow(&messages[i], now) {
			kept = append(kept, &messages[i])
		}
	}
	switch len(kept) {
	case 0: // the usual case: nothing to copy
		return s.InApp(ctx, tx, messages)
	case len(messages):
	default:
		if err := s.showSome(ctx, tx, messages, now); err != nil {
			return err
		}
	}
	if err := s.keep(ctx, tx, kept, now); err != nil {
		return fmt.Errorf("enqueue messages: %w", err)
	}
	return nil
}

// shownNow reports whether a message belongs in the feed at once.
func shownNow(m *belfry.Message, now time.Time) bool {
	return m.ChannelType == belfry.InApp && !m.Sandbox && !m.SendAt.After(now)
}

// showSome puts those messages into their feeds that belong there at once.
func (s *Service) showSome(ctx context.Context, tx *postgres.Tx, messages []belfry.Message, now time.Time) error {
	var items []belfry.Message
	var places []int
	for i := range messages {
		if shownNow(&messages[i], now) {
			items, places = append(items, messages[i]), append(places, i)
		}
	}
	if err := s.InApp(ctx, tx, items); err != nil {
		return err
	}
	for i, place := range places {
		messages[place].Seq = items[i].Seq
	}
	return nil
}

// keep stores messages, and queues those that are to be sent.
func (s *Service) keep(ctx context.Context, tx *postgres.Tx, messages []*belfry.Message, now time.Time) error {
	slices.SortStableFunc(messages, func(a, b *belfry.Message) int { return cmp.Compare(a.Recipient, b.Recipient) })
	if err := takeSeqs(ctx, tx, messages); err != nil {
		return err
	}
	columns := newMessageArgs(len(messages))
	var queue queueColumns
	var notSent belfry.StatusChanges
	var encoder postgres.JSONEncoder
	for i, m := range messages {
		content, err := encoder.Encode(ctx, tx, m.Content)
		if err != nil {
			return fmt.Errorf("content of step %q: %w", m.StepRef, err)
		}
		status := belfry.Queued
		if m.Sandbox {
			status = belfry.NotSent
			note(&notSent, belfry.MessageNotSent, m, now)
		} else {
			queue.add(m, now)
		}
		columns.set(i, m, status, content, now)
	}
	batch := &pgx.Batch{}
	batch.Queue(insertMessages, columns.args(now)...)
	if len(queue.ids) > 0 {
		batch.Queue(insertDeliveries, queue.recipients, queue.ids, queue.envs, queue.due, queue.inApp)
		tx.AfterCommit(s.Wake)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	return s.observe(ctx, tx, notSent)
}

// takeSeqs gives messages their ids.
func takeSeqs(ctx context.Context, tx *postgres.Tx, messages []*belfry.Message) error {
	rows, err := tx.Query(ctx, takeIDs, len(messages))
	if err != nil {
		return err
	}
	i := 0
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		messages[i].Seq = id
		i++
		return nil
	})
	return err
}

// queueColumns are the arguments of insertDeliveries.
type queueColumns struct {
	recipients, ids, envs []int64
	due                   []time.Time
	inApp                 []bool
}

func (q *queueColumns) add(m *belfry.Message, now time.Time) {
	due := now
	if m.SendAt.After(now) {
		due = m.SendAt
	}
	q.recipients, q.ids, q.envs = append(q.recipients, int64(m.Recipient)), append(q.ids, m.Seq), append(q.envs, int64(m.Environment))
	q.due, q.inApp = append(q.due, due), append(q.inApp, m.ChannelType == belfry.InApp)
}

// messageArgs are the arguments of insertMessages.
type messageArgs struct {
	recipients, ids, envs, versions, actors, tenants []int64
	triggers                                         [][16]byte
	createdAt, sendAt                                []*time.Time
	totals                                           []int32
	// status, channel, type, user, workflow, step, categories, actors of a batch, content
	texts [9][]string
}

func newMessageArgs(n int) *messageArgs {
	c := &messageArgs{
		recipients: make([]int64, n), ids: make([]int64, n), envs: make([]int64, n), versions: make([]int64, n),
		actors: make([]int64, n), tenants: make([]int64, n), triggers: make([][16]byte, n),
		createdAt: make([]*time.Time, n), sendAt: make([]*time.Time, n), totals: make([]int32, n),
	}
	for i := range c.texts {
		c.texts[i] = make([]string, n)
	}
	return c
}

func (c *messageArgs) set(i int, m *belfry.Message, status belfry.DeliveryStatus, content string, now time.Time) {
	c.recipients[i], c.ids[i], c.envs[i], c.versions[i] = int64(m.Recipient), m.Seq, int64(m.Environment), m.Version
	c.actors[i], c.tenants[i], c.triggers[i] = int64(m.Actor), int64(m.Tenant), m.Trigger
	c.createdAt[i] = &now
	if !m.CreatedAt.IsZero() {
		c.createdAt[i] = &m.CreatedAt
	}
	if !m.SendAt.IsZero() {
		c.sendAt[i] = &m.SendAt
	}
	if m.TotalActivities > 1 {
		c.totals[i] = int32(m.TotalActivities)
	}
	categories := strings.Join(m.Categories, "\x1f") // refused in categories; arrays of arrays don't unnest
	for k, text := range [9]string{string(status), m.Channel, string(m.ChannelType), m.UserID, m.Workflow, m.StepRef, categories, postgres.BigintArray(m.RememberedActors()), content} {
		c.texts[k][i] = text
	}
}

// args is in the order of insertMessages.
func (c *messageArgs) args(now time.Time) []any {
	args := []any{c.recipients, c.ids, c.envs, c.versions, c.actors, c.tenants, c.triggers, c.createdAt, c.sendAt, c.totals}
	for _, texts := range c.texts[:8] {
		args = append(args, texts)
	}
	return append(args, now, c.texts[8])
}
