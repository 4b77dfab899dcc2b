package feed

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// insert writes messages as items, at their Seq. The feeds are locked by then.
func insert(ctx context.Context, tx *postgres.Tx, messages []*belfry.Message, at time.Time) error {
	c := newItemColumns(len(messages))
	var encoder contentEncoder
	for i, m := range messages {
		content, err := encoder.encode(ctx, tx, &m.Content)
		if err != nil {
			return fmt.Errorf("content of step %q: %w", m.StepRef, err)
		}
		c.set(i, m, content)
		if m.Content.Item != nil {
			c.setOptions(i, m.Content.Item, at)
		}
	}
	sql, args := insertItems, c.args(at)
	if o := c.options; o != nil {
		sql, args = insertItemsWithOptions, append(args, o.keys, o.priorities, o.severities, o.expiries)
	}
	_, err := tx.Exec(ctx, sql, args...)
	return err
}

// contentEncoder encodes what items show, for their column. The zero value is ready.
type contentEncoder struct {
	usual []byte
	any   postgres.JSONEncoder
}

func (e *contentEncoder) encode(ctx context.Context, tx *postgres.Tx, c *belfry.Content) (string, error) {
	b, err := appendContent(append(e.usual[:0], '{'), c)
	if e.usual = append(b, '}'); err != nil || !utf8.Valid(e.usual) || bytes.Contains(e.usual, []byte(`\u0000`)) {
		return e.any.Encode(ctx, tx, c) // which knows what to make of it
	}
	return string(e.usual), nil
}

// itemColumns are the arguments of insertItems. Most messages of a call come of few triggers and fewer steps, so what
// those share is sent once, and each message says which.
type itemColumns struct {
	recipients, seqs []int64
	contents         []string
	origins          []int32 // index into the columns of origin, from 1

	options *optionColumns // nil if no item has any

	origin struct {
		index                           map[origin]int32
		envs, versions, actors, tenants []int64
		triggers                        [][16]byte
		steps                           []int32 // index into the columns of step, from 1
		batchActors                     []string
		batchTotals                     []int32
		batches                         bool // if not, the two columns are left out
	}
	step struct {
		index                                 map[workflowStep]int32
		channels, workflows, refs, categories []string
	}
}

// optionColumns are those columns of items that few have anything in.
type optionColumns struct {
	keys, priorities, severities []*string
	expiries                     []*time.Time
}

func (c *itemColumns) setOptions(i int, o *belfry.ItemOptions, at time.Time) {
	if c.options == nil {
		n := len(c.seqs)
		c.options = &optionColumns{make([]*string, n), make([]*string, n), make([]*string, n), make([]*time.Time, n)}
	}
	c.options.keys[i], c.options.expiries[i] = nullable(o.ResourceKey), expiry(o, at)
	c.options.priorities[i], c.options.severities[i] = nullable(string(o.Priority)), nullable(string(o.Severity))
}

// expiry is when an item that comes at an instant is removed; nil if never.
func expiry(o *belfry.ItemOptions, at time.Time) *time.Time {
	if o == nil || o.ExpiresAfter <= 0 {
		return nil
	}
	at = at.Add(time.Duration(o.ExpiresAfter) * time.Second)
	return &at
}

// nullable is nil for the empty string.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// origin is where a message comes from. Its columns have elements of fixed length, which PostgreSQL finds at once.
type origin struct {
	env     belfry.EnvironmentID
	trigger [16]byte
	version int64
	actor   belfry.RecipientID
	tenant  belfry.RecipientID
	step    int32
	actors  string // as PostgreSQL writes an array; empty if no batch
	total   int32  // 0 if no batch
}

// workflowStep is a step of a workflow. PostgreSQL walks through its columns, so there had better be few.
type workflowStep struct{ channel, workflow, ref, categories string }

func newItemColumns(n int) *itemColumns {
	c := &itemColumns{recipients: make([]int64, n), seqs: make([]int64, n), contents: make([]string, n), origins: make([]int32, n)}
	c.origin.index, c.step.index = make(map[origin]int32), make(map[workflowStep]int32)
	return c
}

func (c *itemColumns) set(i int, m *belfry.Message, content string) {
	c.recipients[i], c.seqs[i], c.contents[i] = int64(m.Recipient), m.Seq, content
	o := origin{env: m.Environment, trigger: m.Trigger, version: m.Version, actor: m.Actor, tenant: m.Tenant,
		step:   c.addStep(workflowStep{m.Channel, m.Workflow, m.StepRef, strings.Join(m.Categories, "\x1f")}), // refused in categories
		actors: postgres.BigintArray(m.RememberedActors()),
	}
	if m.TotalActivities > 1 {
		o.total = int32(m.TotalActivities)
	}
	c.origins[i] = c.addOrigin(o)
}

func (c *itemColumns) addStep(s workflowStep) int32 {
	k := &c.step
	if n := k.index[s]; n != 0 {
		return n
	}
	k.channels, k.workflows = append(k.channels, s.channel), append(k.workflows, s.workflow)
	k.refs, k.categories = append(k.refs, s.ref), append(k.categories, s.categories)
	n := int32(len(k.refs))
	k.index[s] = n
	return n
}

func (c *itemColumns) addOrigin(o origin) int32 {
	k := &c.origin
	if n := k.index[o]; n != 0 {
		return n
	}
	k.envs, k.versions, k.triggers = append(k.envs, int64(o.env)), append(k.versions, o.version), append(k.triggers, o.trigger)
	k.actors, k.tenants, k.steps = append(k.actors, int64(o.actor)), append(k.tenants, int64(o.tenant)), append(k.steps, o.step)
	k.batchActors, k.batchTotals = append(k.batchActors, o.actors), append(k.batchTotals, o.total)
	k.batches = k.batches || o.actors != "" || o.total != 0
	n := int32(len(k.steps))
	k.index[o] = n
	return n
}

// args is in the order of insertItems.
func (c *itemColumns) args(at time.Time) []any {
	o, s := &c.origin, &c.step
	if !o.batches {
		o.batchActors, o.batchTotals = nil, nil
	}
	return []any{c.recipients, c.seqs, at, c.origins,
		o.envs, o.versions, o.actors, o.tenants, o.triggers, o.steps, o.batchActors, o.batchTotals,
		s.channels, s.workflows, s.refs, s.categories, c.contents}
}
