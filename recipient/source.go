package recipient

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// Source is a set of recipients that may be large, so it is read in chunks: the subscribers of an object and of the objects
// among these, or the members of an audience.
//
// Who is in it is settled by two rules. Nobody who came after the source was opened: Until is the greatest number that a
// subscription or membership had then, so no clocks are compared, and reading comes to an end however many go on coming.
// And nobody who has left before their chunk was read. Of an audience with a condition: the users who were known then, and
// meet the condition when their chunk is read.
type Source struct {
	Object   belfry.RecipientID `json:"object,omitempty"`   // 0: an audience
	Nested   bool               `json:"nested,omitempty"`   // there are objects among the subscribers
	Audience int64              `json:"audience,omitempty"` // audiences.id
	Dynamic  bool               `json:"dynamic,omitempty"`  // the audience has a condition
	Until    int64              `json:"until"`
	// AtMost is how many there can be at most, as far as that is known: beyond SmallSource nobody counts.
	AtMost int `json:"atMost"`
}

// SmallSource is up to how many recipients a source says how many there are.
const SmallSource = 50

// Cursor is a place in a source: behind somebody.
type Cursor struct {
	Nested bool               `json:"nested,omitempty"` // the subscribers of Child, rather than those of the object
	Child  belfry.RecipientID `json:"child,omitempty"`
	After  belfry.RecipientID `json:"after,omitempty"`
	User   string             `json:"user,omitempty"` // external id; of audiences with a condition
}

// Found is somebody in a source.
type Found struct {
	Recipient  belfry.RecipientID
	Object     belfry.RecipientID // that they are subscribed to; 0: it was an audience
	Properties map[string]any     // of the subscription
	At         Cursor             // behind them
}

// Stretch asks for the next ones of a source.
type Stretch struct {
	Source
	Environment belfry.EnvironmentID
	Tenant      belfry.RecipientID // of audiences: who is a member there; 0: without one
	From        Cursor
	Limit       int // at least 1. An audience with a condition looks at so many users, and may find fewer
}

// Chunk is a part of a source.
type Chunk struct {
	Found []Found
	Next  Cursor // behind all that was looked at
	Over  bool   // there is nobody behind it
}

// childrenAtOnce is how many objects one chunk looks into: most have no subscribers, so one isn't enough.
const childrenAtOnce = 100

// OpenObjects opens the objects that have subscribers; those that haven't are left out. Other recipients have none.
func (s *Service) OpenObjects(ctx context.Context, tx pgx.Tx, env belfry.EnvironmentID, objects []belfry.RecipientID) ([]Source, error) {
	if len(objects) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, selectExtents, env, objects, SmallSource+1)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (x Source, err error) {
		if err = row.Scan(&x.Object, &x.AtMost, &x.Nested, &x.Until); x.Nested {
			x.AtMost = SmallSource + 1
		}
		return x, err
	})
}

// Read reads the next ones of several sources, one chunk of each.
func (s *Service) Read(ctx context.Context, tx pgx.Tx, stretches []Stretch) ([]Chunk, error) {
	chunks := make([]Chunk, len(stretches))
	var direct, members stretchColumns
	for i := range stretches {
		x := &stretches[i]
		switch {
		case x.Object != 0 && !x.From.Nested:
			direct.add(i, x, int64(x.Object))
		case x.Object != 0:
			if err := readNested(ctx, tx, x, &chunks[i]); err != nil {
				return nil, fmt.Errorf("read subscribers of objects that are subscribed: %w", err)
			}
		case !x.Dynamic:
			members.add(i, x, x.Audience)
		default:
			if err := s.scan(ctx, tx, x, &chunks[i]); err != nil {
				return nil, fmt.Errorf("read users for an audience: %w", err)
			}
		}
	}
	if err := direct.read(ctx, tx, selectDirect, stretches, chunks); err != nil {
		return nil, fmt.Errorf("read subscribers: %w", err)
	}
	if err := members.read(ctx, tx, selectMembers, stretches, chunks); err != nil {
		return nil, fmt.Errorf("read members of audiences: %w", err)
	}
	return chunks, nil
}

// stretchColumns are arguments that hold one element a stretch.
type stretchColumns struct {
	indexes                              []int32
	sources, tenants, afters, untils, ns []int64
}

func (c *stretchColumns) add(i int, x *Stretch, source int64) {
	c.indexes, c.sources, c.tenants = append(c.indexes, int32(i)), append(c.sources, source), append(c.tenants, int64(x.Tenant))
	c.afters, c.untils, c.ns = append(c.afters, int64(x.From.After)), append(c.untils, x.Until), append(c.ns, int64(x.Limit))
}

// read reads those of a kind in one query.
func (c *stretchColumns) read(ctx context.Context, tx pgx.Tx, sql string, stretches []Stretch, chunks []Chunk) error {
	if len(c.indexes) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, sql, c.indexes, c.sources, c.tenants, c.afters, c.untils, c.ns)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var i int32
		var f Found
		if err := rows.Scan(&i, &f.Recipient, &f.Object, &f.Properties); err != nil {
			return err
		}
		f.At = Cursor{After: f.Recipient}
		chunks[i].Found = append(chunks[i].Found, f)
	}
	for _, i := range c.indexes {
		x, chunk := &stretches[i], &chunks[i]
		chunk.Next = x.From
		if n := len(chunk.Found); n > 0 {
			chunk.Next = chunk.Found[n-1].At
		}
		if len(chunk.Found) == x.Limit {
			continue
		}
		if chunk.Over = !x.Nested; x.Nested {
			chunk.Next = Cursor{Nested: true}
		}
	}
	return rows.Err()
}

// readNested reads subscribers of objects that are subscribed themselves, object by object, in groups that grow while they
// turn out small. Cycles are harmless: it goes no deeper, and whoever turns recipients into runs knows whom it has
// had.
func readNested(ctx context.Context, tx pgx.Tx, x *Stretch, out *Chunk) error {
	first, after := x.From.Child, x.From.After
	if after == behindAll {
		first, after = first+1, 0
	}
	rows, err := tx.Query(ctx, selectChildren, x.Object, first, x.Until, childrenAtOnce)
	if err != nil {
		return err
	}
	children, err := pgx.CollectRows(rows, pgx.RowTo[belfry.RecipientID])
	if err != nil {
		return err
	}
	if len(children) > 0 && children[0] != first { // that one is subscribed no more
		after = 0
	}
	out.Next = x.From
	for read, size := 0, 1; read < len(children); size *= 2 {
		group := children[read:min(read+size, len(children))]
		left := x.Limit - len(out.Found)
		found, err := subscribersOfChildren(ctx, tx, group, after, x.Until, left)
		if err != nil {
			return err
		}
		out.Found = append(out.Found, found...)
		if len(found) == left {
			out.Next = out.Found[len(out.Found)-1].At
			return nil
		}
		out.Next = Cursor{Nested: true, Child: group[len(group)-1], After: behindAll}
		read, after = read+len(group), 0
	}
	out.Over = len(children) < childrenAtOnce
	return nil
}

// subscribersOfChildren reads up to limit subscribers of several objects; of the first only those behind one.
func subscribersOfChildren(ctx context.Context, tx pgx.Tx, children []belfry.RecipientID, after belfry.RecipientID, until int64, limit int) ([]Found, error) {
	rows, err := tx.Query(ctx, selectNested, children, after, until, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f Found, err error) {
		err = row.Scan(&f.Object, &f.Recipient, &f.Properties)
		f.At = Cursor{Nested: true, Child: f.Object, After: f.Recipient}
		return f, err
	})
}

// behindAll is behind every subscriber of a child.
const behindAll = math.MaxInt64

const selectExtents = `SELECT o.id, x.n, EXISTS (SELECT FROM subscriptions WHERE object_id = o.id AND nested), (SELECT last_value FROM subscriptions_seq_seq)
  FROM unnest($2::bigint[]) WITH ORDINALITY AS o (id, i)
 CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM subscriptions WHERE environment_id = $1 AND object_id = o.id LIMIT $3) s) x
 WHERE x.n > 0
 ORDER BY o.i`

const selectDirect = `SELECT q.i, s.recipient_id, q.object_id, s.properties
  FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS q (i, object_id, tenant_id, after, until, n)
 CROSS JOIN LATERAL (SELECT recipient_id, properties FROM subscriptions
   WHERE object_id = q.object_id AND recipient_id > q.after AND seq <= q.until
   ORDER BY recipient_id LIMIT q.n) s
 ORDER BY q.i, s.recipient_id`

const selectChildren = `SELECT recipient_id FROM subscriptions WHERE object_id = $1 AND nested AND recipient_id >= $2 AND seq <= $3
 ORDER BY recipient_id LIMIT $4`

const selectNested = `SELECT c.id, s.recipient_id, s.properties
  FROM unnest($1::bigint[]) WITH ORDINALITY AS c (id, i)
 CROSS JOIN LATERAL (SELECT recipient_id, properties FROM subscriptions
   WHERE object_id = c.id AND recipient_id > CASE WHEN c.i = 1 THEN $2::bigint ELSE 0 END AND seq <= $3
   ORDER BY recipient_id LIMIT $4) s
 ORDER BY c.i, s.recipient_id
 LIMIT $4`

const selectMembers = `SELECT q.i, m.recipient_id, 0::bigint, NULL::jsonb
  FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS q (i, audience_id, tenant_id, after, until, n)
 CROSS JOIN LATERAL (SELECT recipient_id FROM audience_members
   WHERE audience_id = q.audience_id AND tenant_id = q.tenant_id AND recipient_id > q.after AND seq <= q.until
   ORDER BY recipient_id LIMIT q.n) m
 ORDER BY q.i, m.recipient_id`
