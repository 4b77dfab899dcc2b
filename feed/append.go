package feed

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Append puts messages into their recipients' feeds, in the caller's transaction, and tells listeners once that has
// committed. Messages for one feed get consecutive positions, in the order in which they are given. Feeds are locked
// in the order of their keys: call it again in the same transaction only with recipients that come after those of before,
// and mark nothing in it, or two transactions may deadlock.
func (s *Service) Append(ctx context.Context, tx *postgres.Tx, messages []belfry.Message) error {
	if len(messages) == 0 {
		return nil
	}
	at := s.now()
	messages = slices.Clone(messages)
	slices.SortStableFunc(messages, func(a, b belfry.Message) int {
		return cmp.Or(cmp.Compare(a.Recipient, b.Recipient), cmp.Compare(a.Channel, b.Channel))
	})
	behind := countBehind(messages)
	heads, err := insert(ctx, tx, messages, behind, at)
	if err != nil {
		return fmt.Errorf("append to feeds: %w", err)
	}

	var sent changes
	events := make([]addressed, len(messages))
	for i := range messages {
		m := &messages[i]
		h := heads[feedOf(m)]
		if h == nil {
			return fmt.Errorf("append to feeds: the feed of recipient %d on %q is of another environment than %d", m.Recipient, m.Channel, m.Environment)
		}
		seq := h.version - int64(behind[i])
		sent.add(m.Environment, m.Channel, m.Workflow, m.StepRef, belfry.MessageRef{Recipient: m.Recipient, UserID: m.UserID, Seq: seq})
		events[i] = addressed{m.Environment, m.Channel, m.UserID, seq, func() Event { return upserted(m, h, seq, at) }}
	}
	if err := s.Observe(ctx, tx, sent.of(belfry.MessageSent, at)); err != nil {
		return fmt.Errorf("observe new messages: %w", err)
	}
	tx.AfterCommit(func() { s.publish(events) })
	return nil
}

// feedOf is the feed that a message goes to.
func feedOf(m *belfry.Message) key { return key{m.Environment, m.Recipient, m.Channel} }

// countBehind says of each message, sorted by feed, how many newer ones of the same feed follow.
func countBehind(messages []belfry.Message) []int32 {
	behind := make([]int32, len(messages))
	for i := len(messages) - 2; i >= 0; i-- {
		if feedOf(&messages[i]) == feedOf(&messages[i+1]) {
			behind[i] = behind[i+1] + 1
		}
	}
	return behind
}

// insert writes the messages, sorted by feed, and returns their feeds as they are now.
func insert(ctx context.Context, tx *postgres.Tx, messages []belfry.Message, behind []int32, at time.Time) (map[key]*header, error) {
	var (
		recipients, envs []int64
		channels         []string
		counts           []int32
		items            = newItemColumns(len(messages))
	)
	for i := range messages {
		m := &messages[i]
		if i == 0 || behind[i-1] == 0 { // the first of its feed
			recipients, envs = append(recipients, int64(m.Recipient)), append(envs, int64(m.Environment))
			channels, counts = append(channels, m.Channel), append(counts, behind[i]+1)
		}
		content, err := json.Marshal(m.Content)
		if err != nil {
			return nil, fmt.Errorf("content of step %q: %w", m.StepRef, err)
		}
		items.set(i, m, behind[i], string(content))
	}
	rows, err := tx.Query(ctx, insertItems, append([]any{recipients, channels, envs, counts}, items.args(at)...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	heads := make(map[key]*header, len(recipients))
	for rows.Next() {
		h := &header{}
		if err := rows.Scan(&h.env, &h.recipient, &h.channel, &h.epoch, &h.version,
			&h.cells.Active[Unseen], &h.cells.Active[Seen], &h.cells.Active[Read]); err != nil {
			return nil, err
		}
		heads[h.key] = h
	}
	return heads, rows.Err()
}

// upserted is the event of a new message.
func upserted(m *belfry.Message, h *header, seq int64, at time.Time) Event {
	return Event{
		Kind:     Upserted,
		Position: belfry.Position{Epoch: h.epoch, Version: seq},
		Badge:    h.cells.Badge(),
		Item: &Item{
			ID:    belfry.MessageID{Recipient: m.Recipient, Channel: m.Channel, Seq: seq},
			Epoch: h.epoch, Actor: m.Actor, Tenant: m.Tenant, Workflow: m.Workflow, StepRef: m.StepRef,
			Categories: m.Categories, Content: m.Content, CreatedAt: at, State: State{Version: seq},
		},
	}
}

// changes gathers messages by workflow step, which is how a StatusChange tells of them.
type changes struct{ list []belfry.StatusChange }

func (c *changes) add(env belfry.EnvironmentID, channel, workflow, step string, m belfry.MessageRef) {
	for i := range c.list { // few: one a step that made messages in this transaction
		if g := &c.list[i]; g.Environment == env && g.Channel == channel && g.Workflow == workflow && g.StepRef == step {
			g.Messages = append(g.Messages, m)
			return
		}
	}
	c.list = append(c.list, belfry.StatusChange{Environment: env, Channel: channel, ChannelType: belfry.InApp,
		Workflow: workflow, StepRef: step, Messages: []belfry.MessageRef{m}})
}

func (c *changes) of(kind belfry.EventKind, at time.Time) []belfry.StatusChange {
	for i := range c.list {
		c.list[i].Kind, c.list[i].At, c.list[i].Count = kind, at, len(c.list[i].Messages)
	}
	return c.list
}

// itemColumns are the arguments of insertItems that hold one element an item.
type itemColumns struct {
	recipients, envs, versions, actors, tenants []int64
	channels, workflows, steps, categories      []string
	behind                                      []int32
	triggers                                    [][16]byte
	contents                                    []string
}

func newItemColumns(n int) *itemColumns {
	return &itemColumns{
		recipients: make([]int64, n), envs: make([]int64, n), versions: make([]int64, n), actors: make([]int64, n), tenants: make([]int64, n),
		channels: make([]string, n), workflows: make([]string, n), steps: make([]string, n), categories: make([]string, n),
		behind: make([]int32, n), triggers: make([][16]byte, n), contents: make([]string, n),
	}
}

func (c *itemColumns) set(i int, m *belfry.Message, behind int32, content string) {
	c.recipients[i], c.envs[i], c.versions[i] = int64(m.Recipient), int64(m.Environment), m.Version
	c.actors[i], c.tenants[i], c.triggers[i] = int64(m.Actor), int64(m.Tenant), m.Trigger
	c.channels[i], c.workflows[i], c.steps[i] = m.Channel, m.Workflow, m.StepRef
	c.categories[i] = strings.Join(m.Categories, "\x1f") // refused in categories; arrays of arrays don't unnest
	c.behind[i], c.contents[i] = behind, content
}

// args is in the order of insertItems, from $5 on.
func (c *itemColumns) args(at time.Time) []any {
	return []any{c.recipients, c.channels, c.behind, c.envs, c.versions, c.actors, c.tenants,
		c.triggers, c.workflows, c.steps, c.categories, c.contents, at.UnixMicro(), at}
}
