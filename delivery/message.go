package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// firstID is the first of this package's ids; see the sequence message_ids.
const firstID = 1 << 40

// maxMessagesOfRun bounds MessagesOf. A run sends a message a step, and a step a message a channel.
const maxMessagesOfRun = 500

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

// Message reads a message, and its attempts. NotFound if this environment has none with this id.
func (s *Service) Message(ctx context.Context, env belfry.EnvironmentID, id belfry.MessageID) (*Message, error) {
	found, err := readMessages(ctx, s.Pool, env, id.Recipient, selectMessage, id.Recipient, id.Seq, env, id.Channel)
	if err != nil {
		return nil, fmt.Errorf("read message %s: %w", id, err)
	}
	if len(found) == 0 {
		return nil, notFound(id)
	}
	return &found[0], nil
}

// MessagesOf reads the messages of one run, oldest first, with their attempts. In-app messages that went straight to
// the feed are not among them.
func (s *Service) MessagesOf(ctx context.Context, env belfry.EnvironmentID, recipient belfry.RecipientID, trigger [16]byte) ([]Message, error) {
	found, err := readMessages(ctx, s.Pool, env, recipient, selectMessagesOf, recipient, trigger, env, maxMessagesOfRun)
	if err != nil {
		return nil, fmt.Errorf("read the messages of a run: %w", err)
	}
	return found, nil
}

// readMessages reads messages of one recipient, and their attempts.
func readMessages(ctx context.Context, q Querier, env belfry.EnvironmentID, recipient belfry.RecipientID, sql string, args ...any) ([]Message, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m Message, err error) {
		return m, m.scan(row)
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	ids := make([]int64, len(found))
	byID := make(map[int64]*Message, len(found))
	for i := range found {
		ids[i], byID[found[i].Seq] = found[i].Seq, &found[i]
	}
	if rows, err = q.Query(ctx, selectAttempts, recipient, ids, env); err != nil {
		return nil, err
	}
	var id, micros int64
	var a Attempt
	_, err = pgx.ForEachRow(rows, []any{&id, &a.Number, &a.At, &micros, &a.Outcome, &a.Provider, &a.Error}, func() error {
		a.Duration = time.Duration(micros) * time.Microsecond
		byID[id].Attempts = append(byID[id].Attempts, a)
		return nil
	})
	return found, err
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
	recipients, channels, seqs := make([]int64, len(ids)), make([]string, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		recipients[i], channels[i], seqs[i] = int64(id.Recipient), id.Channel, id.Seq
	}
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

func notFound(id belfry.MessageID) error {
	return belfry.Errorf(belfry.NotFound, "no message has the id %s", id)
}
