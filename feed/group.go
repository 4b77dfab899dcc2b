package feed

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// Items of one tenant and workflow, with the same categories, priority and severity, are a group. There are few in any feed, so counting by groups
// answers what most filters ask without looking at items: feed_groups holds their cells, of the items up to header.groupedTo.
//
// A feed has such a row once somebody has asked for it, and from then on whoever changes items up to groupedTo keeps it true,
// or drops it by setting groupedTo to 0: it is made anew when somebody asks. New items come behind groupedTo, and are looked
// at one by one until there are many: so Append doesn't know of groups.
const (
	maxGroups     = 64      // in one feed; one with more has none: its items are counted one by one
	maxGroupBytes = 8 << 10 // of JSON; whatever changes an item writes all of it, so this is what a mark by id may cost
	groupBehind   = 500     // versions that groupedTo may be behind when somebody asks
	groupChunk    = 20_000  // items that are grouped under the feed's lock at a time
	ungroupable   = -1      // groupedTo of a feed with too many groups, until many of its items have gone
	regroupFrom   = 100     // items that go at once are many
)

// group is how many items of a group there are.
type group struct {
	Tenant     belfry.RecipientID `json:"t,omitempty"`
	Workflow   string             `json:"w"`
	Categories []string           `json:"c,omitempty"`
	Priority   belfry.Priority    `json:"p,omitempty"` // empty: NORMAL
	Severity   belfry.Severity    `json:"s,omitempty"`
	Cells      Cells              `json:"n"`
}

// attributes is what the items of the group have in common.
func (g *group) attributes() *Attributes {
	return &Attributes{Workflow: g.Workflow, Categories: g.Categories, Tenant: g.Tenant, Severity: g.Severity,
		Priority: cmp.Or(g.Priority, belfry.NormalPriority)}
}

// recount moves an item from the state that it is in to another, in the feed's cells and, if it is counted in a group, in a
// tally of what moves there. Whoever is snoozed is in no cell.
func (h *header) recount(moved *tally, it *stored, after State) {
	h.uncount(moved, it)
	h.cells.Add(after, 1)
	if it.seq <= h.groupedTo {
		moved.add(&it.Attributes, after, 1)
	}
}

// uncount takes an item out of those.
func (h *header) uncount(moved *tally, it *stored) {
	h.cells.Add(it.State, -1)
	if it.seq <= h.groupedTo {
		moved.add(&it.Attributes, it.State, -1)
	}
}

// thinned has a feed of too many groups tried anew when somebody asks: so many of its items have gone that there may be fewer.
func (h *header) thinned() {
	if h.groupedTo == ungroupable {
		h.groupedTo = 0
	}
}

// tally counts items by group.
type tally struct {
	groups []group
	index  map[string]int
}

func newTally() *tally { return &tally{index: make(map[string]int)} }

// of is the cells of an item's group.
func (t *tally) of(a *Attributes) *Cells {
	k := strconv.FormatInt(int64(a.Tenant), 36) + "\x1f" + a.Workflow + "\x1f" + string(a.Priority) + "\x1f" + string(a.Severity) + "\x1f" + strings.Join(a.Categories, "\x1f") // which none of them holds
	i, ok := t.index[k]
	if !ok {
		i = len(t.groups)
		t.index[k] = i
		g := group{Tenant: a.Tenant, Workflow: a.Workflow, Categories: a.Categories, Priority: a.Priority, Severity: a.Severity}
		if g.Priority == belfry.NormalPriority {
			g.Priority = ""
		}
		t.groups = append(t.groups, g)
	}
	return &t.groups[i].Cells
}

// add counts n items of a state.
func (t *tally) add(a *Attributes, s State, n int) { t.of(a).Add(s, n) }

// within is a copy of those groups whose items are in a scope.
func (t *tally) within(sc *Scope) *tally {
	out := newTally()
	for _, g := range t.groups {
		if a := g.attributes(); sc.Matches(a) {
			*out.of(a) = g.Cells
		}
	}
	return out
}

// equal reports whether two tallies count the same; a group without items is as good as none.
func (t *tally) equal(o *tally) bool {
	left := newTally()
	for _, g := range t.groups {
		*left.of(g.attributes()) = g.Cells
	}
	for _, g := range o.groups {
		cells := left.of(g.attributes())
		*cells = cells.minus(g.Cells)
	}
	return !slices.ContainsFunc(left.groups, func(g group) bool { return g.Cells != Cells{} })
}

// total is the sum of all groups.
func (t *tally) total() (c Cells) {
	for _, g := range t.groups {
		c = c.plus(g.Cells)
	}
	return c
}

// readGroups reads what is counted up to h.groupedTo. If it is gone, h.groupedTo is 0 from then on.
func readGroups(ctx context.Context, q querier, h *header) (*tally, error) {
	var groups []group
	err := q.QueryRow(ctx, selectGroups, h.recipient, h.channel, h.env).Scan(&groups)
	t := newTally()
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		h.groupedTo = 0
		return t, nil
	case err != nil:
		return nil, err
	}
	for _, g := range groups {
		*t.of(g.attributes()) = g.Cells
	}
	return t, nil
}

// writeGroups writes what is counted up to h.groupedTo, but for groups whose items have all gone; the caller writes the header.
// If they are too many the feed has none from then on.
func writeGroups(ctx context.Context, tx pgx.Tx, h *header, t *tally) error {
	left := slices.DeleteFunc(slices.Clone(t.groups), func(g group) bool { return g.Cells == Cells{} })
	text, err := json.Marshal(left)
	if err != nil {
		return err
	}
	if len(left) > maxGroups || len(text) > maxGroupBytes {
		h.groupedTo, text = ungroupable, []byte("[]")
	}
	_, err = tx.Exec(ctx, upsertGroups, h.recipient, h.channel, h.env, string(text))
	return err
}

// moveGroups adds differences to the feed's groups, of items that are counted there.
func moveGroups(ctx context.Context, tx pgx.Tx, h *header, moved *tally) error {
	if len(moved.groups) == 0 {
		return nil
	}
	t, err := readGroups(ctx, tx, h)
	if err != nil || h.groupedTo == 0 {
		return err
	}
	for _, g := range moved.groups {
		cells := t.of(g.attributes())
		*cells = cells.plus(g.Cells)
	}
	return writeGroups(ctx, tx, h, t)
}

// prepare brings a feed's groups up to date, about, if one of the selections asks for them, and reports whether they will have
// a long feed read as a whole.
func (s *Service) prepare(ctx context.Context, ref Ref, selections ...selection) (long bool, err error) {
	var grouped, scanned bool
	for _, sel := range selections {
		if sel.scope != nil && !sel.nothing {
			grouped, scanned = grouped || sel.scope.grouped(), scanned || !sel.scope.grouped()
		}
	}
	if !grouped && !scanned {
		return false, nil
	}
	recipient, err := s.UserID(ctx, ref.Environment, ref.User)
	if err != nil {
		return false, err
	}
	k := key{ref.Environment, recipient, ref.Channel}
	h, err := readHeader(ctx, s.Pool, selectHeader, k)
	for err == nil && grouped && h.groupedTo >= 0 && h.lastSeq-h.groupedTo > groupBehind {
		err = postgres.InTx(ctx, s.Pool, func(tx *postgres.Tx) error {
			if h, err = readHeader(ctx, tx, lockHeader, k); err != nil || h.groupedTo < 0 {
				return err
			}
			return s.groupNext(ctx, tx, h)
		})
	}
	if err != nil {
		return false, err
	}
	return (scanned || h.groupedTo < 0) && h.lastSeq > longFeed, nil
}

// groupNext counts the next items by group.
func (s *Service) groupNext(ctx context.Context, tx *postgres.Tx, h *header) error {
	t := newTally()
	var err error
	if h.groupedTo > 0 {
		if t, err = readGroups(ctx, tx, h); err != nil {
			return err
		}
	}
	var end *int64
	if err := tx.QueryRow(ctx, selectChunkEnd, h.recipient, h.channel, h.env, h.groupedTo, groupChunk).Scan(&end); err != nil {
		return err
	}
	upTo := h.lastSeq
	if end != nil {
		upTo = *end
	}
	if err := tallyItems(ctx, tx, h, h.groupedTo, upTo, t); err != nil {
		return err
	}
	h.groupedTo = upTo
	if err := writeGroups(ctx, tx, h, t); err != nil {
		return err
	}
	return s.writeHeader(ctx, tx, h)
}

// tallyItems adds the items between two sequence numbers (the first excluded). The database puts those together that are
// alike to every watermark: of the same group, stored in the same state, written between the same two marks, and reached by
// the same ones. One of them stands for all.
func tallyItems(ctx context.Context, tx pgx.Tx, h *header, after, upTo int64, t *tally) error {
	versions, beyond := make([]int64, len(h.watermarks)), make([]int64, len(h.watermarks))
	for i, w := range h.watermarks {
		if !w.Scope.grouped() { // they aren't alike to that one
			return eachItem(ctx, tx, h, after, upTo, false, func(it *stored) { t.add(&it.Attributes, it.State, 1) })
		}
		versions[i], beyond[i] = w.Version, w.UpTo+1
	}
	slices.Sort(versions)
	slices.Sort(beyond)
	rows, err := tx.Query(ctx, selectTally, h.recipient, h.channel, h.env, after, upTo, versions, beyond)
	if err != nil {
		return err
	}
	var (
		a         Attributes
		s         State
		marks, n  int
		reachedBy int
	)
	_, err = pgx.ForEachRow(rows, []any{&a.Workflow, &a.Categories, &a.Tenant, &a.Priority, &a.Severity, &s.Level, &s.Archived, &marks, &reachedBy, &n}, func() error {
		s.Version = 0
		if marks > 0 {
			s.Version = versions[marks-1]
		}
		seq := int64(0)
		if reachedBy > 0 {
			seq = beyond[reachedBy-1]
		}
		t.add(&a, h.watermarks.Effective(seq, &a, s), n)
		return nil
	})
	return err
}

// selectTally counts items by group, state, how many of the versions $6 they were written at or after, and how many of the
// sequence numbers $7 they are not before. Both are in order. What is snoozed is in no cell.
const selectTally = `SELECT workflow, categories, coalesce(tenant_id, 0), coalesce(priority, 'NORMAL'), coalesce(severity, ''),
       state, archived, width_bucket(state_version, $6::bigint[]), width_bucket(seq, $7::bigint[]), count(*)
  FROM feed_items WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq > $4 AND seq <= $5 AND snoozed_until IS NULL
 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9`

const selectGroups = `SELECT groups FROM feed_groups WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3`

const upsertGroups = `INSERT INTO feed_groups (recipient_id, channel, environment_id, groups) VALUES ($1, $2, $3, $4)
    ON CONFLICT (recipient_id, channel) DO UPDATE SET groups = excluded.groups WHERE feed_groups.environment_id = excluded.environment_id`

// selectChunkEnd is the seq of the $5-th item after one; NULL if there are fewer.
const selectChunkEnd = `SELECT (SELECT seq FROM feed_items
  WHERE recipient_id = $1 AND channel = $2 AND environment_id = $3 AND seq > $4 ORDER BY seq OFFSET $5::int - 1 LIMIT 1)`
