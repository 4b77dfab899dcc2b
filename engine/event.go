package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/workflow"
)

// signal is something that a waiting run has to look at. JSON in signals.payload.
type signal struct {
	Event    *Event    `json:"event,omitempty"`
	Response *response `json:"response,omitempty"`
}

// occurrence is an event that happened to a recipient. cause is the trigger whose run it is about, which doesn't wait for
// itself; Nil if it is about none.
type occurrence struct {
	env       belfry.EnvironmentID
	recipient belfry.RecipientID
	cause     uuid.UUID
	Event
}

// MessagesChanged tells runs that wait for it what happened to messages, in the transaction in which it happens. That
// messages went into feeds isn't news: see ItemsAppended.
func (e *Engine) MessagesChanged(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
	var events []occurrence
	for i := range changes {
		c := &changes[i]
		if c.Kind == belfry.MessageSent && c.ChannelType == belfry.InApp {
			continue // the engine sent it, and tells of it itself
		}
		for _, kind := range append(impliedBy[c.Kind], c.Kind) {
			for _, m := range c.Messages {
				events = append(events, occurrence{c.Environment, m.Recipient, uuid.Nil, Event{
					Type: workflow.MessageEvent, Name: strings.TrimPrefix(string(kind), "message."), At: c.At,
					Channel: c.Channel, Seq: m.Seq, All: c.All, Some: c.Some, Workflow: c.Workflow, Step: c.StepRef,
				}})
			}
		}
	}
	return e.occur(ctx, tx, events)
}

// impliedBy says what else happened to a message: whoever reads it has seen it.
var impliedBy = map[belfry.EventKind][]belfry.EventKind{
	belfry.Read.Event():       {belfry.Seen.Event()},
	belfry.Interacted.Event(): {belfry.Seen.Event(), belfry.Read.Event()},
}

// ItemsAppended tells runs that wait for it about messages that went into feeds after a time that they were held back for.
func (e *Engine) ItemsAppended(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
	var events []occurrence
	for i := range messages {
		if m := &messages[i]; !m.SendAt.IsZero() {
			events = append(events, sentEvent(m, e.now()))
		}
	}
	return e.occur(ctx, tx, events)
}

func sentEvent(m *belfry.Message, now time.Time) occurrence {
	return occurrence{m.Environment, m.Recipient, uuid.Nil, Event{Type: workflow.MessageEvent, Name: "sent", At: now,
		Channel: m.Channel, Seq: m.Seq, Workflow: m.Workflow, Step: m.StepRef}}
}

// RecipientsChanged tells runs that wait for it that properties of recipients have changed, in the transaction in which
// they do.
func (e *Engine) RecipientsChanged(ctx context.Context, tx *postgres.Tx, env belfry.EnvironmentID, ids []belfry.RecipientID) error {
	events := make([]occurrence, len(ids))
	for i, id := range ids {
		events[i] = occurrence{env, id, uuid.Nil, Event{Type: workflow.RecipientEvent, Name: "updated", At: e.now()}}
	}
	if err := e.followZones(ctx, tx, env, ids); err != nil {
		return fmt.Errorf("follow recipients to their time zones: %w", err)
	}
	return e.occur(ctx, tx, events)
}

// SendEvent tells runs that wait for it about a custom event of a user.
func (e *Engine) SendEvent(ctx context.Context, env belfry.EnvironmentID, user, name string, data map[string]any) error {
	if err := belfry.ValidateExternalID(user, "input.user"); err != nil {
		return err
	}
	if name = strings.TrimSpace(name); name == "" {
		return belfry.Errorf(belfry.Invalid, "name the event").At("input.event")
	}
	if len([]rune(name)) > workflow.MaxEventName {
		return belfry.Beyond("input.event", workflow.MaxEventName, "characters")
	}
	if err := belfry.ValidateText(name, "input.event"); err != nil {
		return err
	}
	if data == nil {
		data = map[string]any{}
	}
	if _, err := encodeObject(data, "input.data"); err != nil {
		return err
	}
	return postgres.InTx(ctx, e.Pool, func(tx *postgres.Tx) error {
		known, err := e.Recipients.Find(ctx, tx, env, []belfry.RecipientRef{belfry.User(user)})
		if err != nil {
			return err
		}
		id, ok := known[belfry.User(user)]
		if !ok {
			return belfry.Errorf(belfry.NotFound, "no user has the id %q: identify the user first", user).At("input.user")
		}
		err = e.occur(ctx, tx, []occurrence{{env, id, uuid.Nil, Event{Type: workflow.CustomEvent, Name: name, At: e.now(), Data: data}}})
		return unstorable(err, "input.data")
	})
}

// occur wakes the runs that wait for events.
func (e *Engine) occur(ctx context.Context, tx *postgres.Tx, events []occurrence) error {
	var all gathering
	for i := range events {
		all.add(events[i])
	}
	batch := &pgx.Batch{}
	if err := queueEvents(batch, &all, e.now(), func() { tx.AfterCommit(e.Wake) }); err != nil || batch.Len() == 0 {
		return err
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("signal events: %w", err)
	}
	return nil
}

// queueEvents writes a signal for each run that waits for one of the events. Whether the event really is the one that the
// run waits for is decided when it wakes: only then its scope is there. Nearly always nobody waits for what has happened,
// so the events that differ in whom they happened to are one row of arguments, which the database doesn't even unfold
// unless somebody does. waiting is called if there are any.
func queueEvents(batch *pgx.Batch, events *gathering, now time.Time, waiting func()) error {
	if events.err != nil {
		return fmt.Errorf("encode events: %w", events.err)
	}
	n := len(events.groups)
	if n == 0 {
		return nil
	}
	envs, causes := make([]int64, n), make([][16]byte, n)
	types, names, payloads := make([]string, n), make([]string, n), make([]string, n)
	recipients, seqs := make([]string, n), make([]string, n)
	for i, g := range events.groups {
		envs[i], causes[i], types[i], names[i], payloads[i] = int64(g.env), g.cause, string(g.Type), g.Name, g.payload
		recipients[i], seqs[i] = string(append(g.recipients, '}')), string(append(g.seqs, '}'))
	}
	batch.Queue(insertSignals, envs, causes, types, names, payloads, recipients, seqs, now).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() > 0 {
			waiting()
		}
		return nil
	})
	return nil
}

// gathering puts events together that differ only in whom they happened to.
type gathering struct {
	groups []*gathered
	kinds  map[eventKind]*gathered
	recent [3]*gathered // found without a look at the map: what happens to one after the other is mostly alike
	err    error
}

// gathered is what happened to several recipients alike. Their ids, and the positions of their messages, are written as
// PostgreSQL writes arrays, but for the bracket at the end.
type gathered struct {
	occurrence
	kind             eventKind
	payload          string
	recipients, seqs []byte
}

// eventKind is all of an event without data but whom it happened to.
type eventKind struct {
	env                           belfry.EnvironmentID
	cause                         uuid.UUID
	event                         workflow.EventType
	name, channel, workflow, step string
	all, some                     bool
	at                            int64
}

func (x *gathering) add(o occurrence) {
	g := x.group(&o)
	if g == nil {
		return
	}
	g.recipients = strconv.AppendInt(append(g.recipients, separator(g.recipients)), int64(o.recipient), 10)
	g.seqs = strconv.AppendInt(append(g.seqs, separator(g.seqs)), o.Seq, 10)
}

// group is the one that an event belongs to; nil if it can't be encoded.
func (x *gathering) group(o *occurrence) *gathered {
	k := eventKind{o.env, o.cause, o.Type, o.Name, o.Channel, o.Workflow, o.Step, o.All, o.Some, o.At.UnixNano()}
	if o.Data == nil {
		for _, g := range x.recent {
			if g != nil && g.kind == k {
				return g
			}
		}
		if g := x.kinds[k]; g != nil {
			return g
		}
	}
	g := &gathered{occurrence: *o, kind: k}
	g.At, g.Seq = o.At.UTC(), 0
	b, err := encode(signal{Event: &g.Event})
	if err != nil {
		x.err = err
		return nil
	}
	g.payload, x.groups = string(b), append(x.groups, g)
	if o.Data == nil {
		if x.kinds == nil {
			x.kinds = make(map[eventKind]*gathered)
		}
		x.kinds[k] = g
		copy(x.recent[1:], x.recent[:])
		x.recent[0] = g
	}
	return g
}

// separator is what comes before the next element of an array.
func separator(array []byte) byte {
	if len(array) == 0 {
		return '{'
	}
	return ','
}

// insertSignals looks first whether anybody at all waits for such an event.
const insertSignals = `INSERT INTO signals (environment_id, recipient_id, trigger_id, at, payload)
SELECT w.environment_id, w.recipient_id, w.trigger_id, $8, CASE q.seq WHEN 0 THEN g.payload::jsonb ELSE jsonb_set(g.payload::jsonb, '{event,seq}', to_jsonb(q.seq)) END
  FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS g (environment_id, cause_id, type, name, payload, recipients, seqs)
 CROSS JOIN LATERAL (SELECT FROM waits WHERE environment_id = g.environment_id AND type = g.type AND name = g.name LIMIT 1) awaited
 CROSS JOIN LATERAL unnest(g.recipients::bigint[], g.seqs::bigint[]) AS q (recipient_id, seq)
 CROSS JOIN LATERAL (
   SELECT * FROM waits
    WHERE environment_id = g.environment_id AND type = g.type AND name = g.name AND recipient_id = q.recipient_id AND trigger_id <> g.cause_id
   OFFSET 0) w`
