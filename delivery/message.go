package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// firstID is the first of this package's ids; see the sequence message_ids.
const firstID = 1 << 40

// Owns reports whether a message id is of this package. Otherwise it is of a feed item.
func Owns(id belfry.MessageID) bool { return id.Seq >= firstID }

// Message is a message and what became of it.
type Message struct {
	belfry.Message
	Status     belfry.DeliveryStatus
	StatusAt   time.Time        // when it became that
	Moved      belfry.MessageID // in-app: the feed item that it has become; zero while it waits
	ProviderID string           // how the provider calls it; empty if it doesn't
	Attempts   []Attempt        // finished ones, oldest first
}

// Attempt is one try to send a message.
type Attempt struct {
	Number   int // from 1; one that is missing ended with its worker
	At       time.Time
	Duration time.Duration
	Outcome  belfry.DeliveryStatus // of the message thereafter
	Provider string
	Error    string // empty if it succeeded
}

// unreadableError says that the content of a message isn't stored in a form that this release knows. All else of it is there.
type unreadableError struct {
	id  belfry.MessageID
	err error
}

func (e *unreadableError) Error() string {
	return fmt.Sprintf("the stored content of message %s can't be read: %v", e.id, e.err)
}

// scan reads a row of messageColumns, and the columns before them. Content is decoded here rather than by the driver, which
// would give up the rows behind an unreadable one too.
func (m *Message) scan(row pgx.CollectableRow, before ...any) error {
	var content []byte
	err := row.Scan(append(before, &m.Recipient, &m.Seq, &m.Environment, &m.UserID, &m.Channel, &m.ChannelType, &m.Trigger, &m.Workflow, &m.Version,
		&m.StepRef, &m.Categories, &m.Actor, &m.Actors, &m.TotalActivities, &m.Tenant, &content, &m.CreatedAt, &m.SendAt,
		&m.Status, &m.StatusAt, &m.Moved.Seq, &m.ProviderID)...)
	if err != nil {
		return err
	}
	m.Sandbox = m.Status == belfry.NotSent
	if m.Moved.Seq != 0 {
		m.Moved.Recipient, m.Moved.Channel = m.Recipient, m.Channel
	}
	if err := json.Unmarshal(content, &m.Content); err != nil {
		return &unreadableError{m.ID(), err}
	}
	return nil
}

// Querier is what reads rows: the pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Messages reads messages and their attempts. Ids that are unknown, or of another environment, are left out.
func (s *Service) Messages(ctx context.Context, env belfry.EnvironmentID, ids []belfry.MessageID) (map[belfry.MessageID]*Message, error) {
	found := make(map[belfry.MessageID]*Message, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	recipients, channels, seqs := columnsOf(ids)
	rows, err := s.Pool.Query(ctx, selectMessages, recipients, channels, seqs, env)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	read, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Message, error) {
		m := &Message{}
		return m, m.scan(row)
	})
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	byKey := make(map[[2]int64]*Message, len(read))
	for _, m := range read {
		found[m.ID()], byKey[[2]int64{int64(m.Recipient), m.Seq}] = m, m
	}
	recipients, _, seqs = columnsOf(slices.Collect(maps.Keys(found))) // each once
	if rows, err = s.Pool.Query(ctx, selectAttempts, recipients, seqs, env); err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	var recipient, seq, micros int64
	var a Attempt
	_, err = pgx.ForEachRow(rows, []any{&recipient, &seq, &a.Number, &a.At, &micros, &a.Outcome, &a.Provider, &a.Error}, func() error {
		a.Duration = time.Duration(micros) * time.Microsecond
		if m := byKey[[2]int64{recipient, seq}]; m != nil {
			m.Attempts = append(m.Attempts, a)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	return found, nil
}

// columnsOf takes ids apart, for unnest.
func columnsOf(ids []belfry.MessageID) (recipients []int64, channels []string, seqs []int64) {
	recipients, channels, seqs = make([]int64, len(ids)), make([]string, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		recipients[i], channels[i], seqs[i] = int64(id.Recipient), id.Channel, id.Seq
	}
	return recipients, channels, seqs
}

// Statuses reads what became of messages. Those that have become feed items are not in statuses but in moved, with
// the item's id: ask the feed about that. Ids that are unknown, or of another environment, are in neither. q is the pool, or
// a transaction, whose own writes then count.
func (s *Service) Statuses(ctx context.Context, q Querier, env belfry.EnvironmentID, ids []belfry.MessageID) (
	statuses map[belfry.MessageID]belfry.MessageStatus, moved map[belfry.MessageID]belfry.MessageID, err error) {
	statuses, moved = make(map[belfry.MessageID]belfry.MessageStatus, len(ids)), make(map[belfry.MessageID]belfry.MessageID)
	if len(ids) == 0 {
		return statuses, moved, nil
	}
	recipients, channels, seqs := columnsOf(ids)
	rows, err := q.Query(ctx, selectStatuses, recipients, channels, seqs, env)
	if err != nil {
		return nil, nil, fmt.Errorf("read the statuses of messages: %w", err)
	}
	var (
		id     belfry.MessageID
		status belfry.DeliveryStatus
		seq    int64
	)
	_, err = pgx.ForEachRow(rows, []any{&id.Recipient, &id.Channel, &id.Seq, &status, &seq}, func() error {
		if seq != 0 {
			moved[id] = belfry.MessageID{Recipient: id.Recipient, Channel: id.Channel, Seq: seq}
		} else {
			statuses[id] = belfry.MessageStatus{Delivery: status}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the statuses of messages: %w", err)
	}
	return statuses, moved, nil
}
