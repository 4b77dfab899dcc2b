package feed

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// oracle is a feed as one would write it without a database: it marks each item, and counts by looking.
type oracle struct {
	items   []*Item // oldest first
	version int64
}

func (o *oracle) add(label, workflow string, categories []string) {
	o.version++
	o.items = append(o.items, &Item{
		ID: belfry.MessageID{Seq: o.version}, Workflow: workflow, Categories: categories,
		Content: belfry.Content{Body: belfry.Body{Content: label}},
	})
}

// mark marks items by number. Only those that it changes are touched.
func (o *oracle) mark(m belfry.Mark, at time.Time, seqs []int64) (changed int) {
	for _, it := range o.items {
		if slices.Contains(seqs, it.ID.Seq) && it.State.Changes(m) {
			it.State = it.State.Apply(m, at)
			changed++
		}
	}
	if changed > 0 {
		o.version++
	}
	return changed
}

// markAll marks every item up to one. If it changes none, nothing is touched; otherwise all are.
func (o *oracle) markAll(m belfry.Mark, at time.Time, upTo int64) (changed int) {
	var meant []*Item
	any := false
	for _, it := range o.items {
		if it.ID.Seq > upTo || it.State.SnoozedUntil != nil {
			continue
		}
		meant = append(meant, it)
		if it.State.Changes(m) {
			any = true
			if !it.State.Archived || !it.State.Apply(m, at).Archived {
				changed++
			}
		}
	}
	if any {
		o.version++
		for _, it := range meant {
			it.State = it.State.Apply(m, at)
		}
	}
	return changed
}

func (o *oracle) clone() *oracle {
	c := &oracle{version: o.version}
	for _, it := range o.items {
		dup := *it
		c.items = append(c.items, &dup)
	}
	return c
}

func (o *oracle) badge() (b belfry.Badge) {
	for _, it := range o.items {
		if it.State.Archived || it.State.SnoozedUntil != nil {
			continue
		}
		b.Total++
		if it.State.Level == Unseen {
			b.Unseen++
		}
		if it.State.Level != Read {
			b.Unread++
		}
	}
	return b
}

// list is what a page without end shows.
func (o *oracle) list(f Filter) (out []*Item) {
	level := map[Status]string{"": "012", StatusAll: "012", StatusUnseen: "0", StatusSeen: "12", StatusUnread: "01", StatusRead: "2"}[f.Status]
	archived := map[ArchivedScope]string{"": "false", ArchivedExclude: "false", ArchivedInclude: "false true", ArchivedOnly: "true"}[f.Archived]
	for _, it := range slices.Backward(o.items) {
		if slices.Contains([]byte(level), '0'+byte(it.State.Level)) &&
			(archived == "false true" || archived == fmt.Sprint(it.State.Archived)) &&
			(f.Snoozed == SnoozedInclude || (f.Snoozed == SnoozedOnly) == (it.State.SnoozedUntil != nil)) &&
			(f.Pinned != PinnedOnly || it.PinnedAt != nil) && (f.Pinned != PinnedExclude || it.PinnedAt == nil) &&
			(f.Workflows == nil || slices.Contains(f.Workflows, it.Workflow)) &&
			(f.Categories == nil || slices.ContainsFunc(it.Categories, func(c string) bool { return slices.Contains(f.Categories, c) })) {
			out = append(out, it)
		}
	}
	return out
}

// likeOracle compares items by what the oracle knows of them.
var likeOracle = cmp.Options{
	cmp.Transformer("known", func(i *Item) any {
		return struct {
			Seq             int64
			Label, Workflow string
			Categories      []string
			State           State
			PinnedAt        *time.Time
		}{i.ID.Seq, i.Content.Body.Content, i.Workflow, i.Categories, i.State, i.PinnedAt}
	}),
	cmpopts.IgnoreFields(State{}, "Version"),
	cmpopts.EquateEmpty(),
}

// filters is every combination of status and archived scope, and some with lists.
func filters() (out []Filter) {
	for _, status := range []Status{"", StatusAll, StatusUnseen, StatusSeen, StatusUnread, StatusRead} {
		for _, archived := range []ArchivedScope{"", ArchivedExclude, ArchivedInclude, ArchivedOnly} {
			out = append(out, Filter{Status: status, Archived: archived})
		}
	}
	return append(out,
		Filter{Workflows: []string{"invoice", "nothing"}, Archived: ArchivedInclude},
		Filter{Categories: []string{"billing", "nothing"}, Archived: ArchivedInclude},
		Filter{Workflows: []string{"invoice"}, Categories: []string{"billing", "news"}, Status: StatusUnread},
		Filter{Workflows: []string{}},
		Filter{Pinned: PinnedOnly}, Filter{Pinned: PinnedExclude, Archived: ArchivedInclude, Snoozed: SnoozedInclude}, Filter{Pinned: PinnedAny},
		Filter{Snoozed: SnoozedOnly, Archived: ArchivedInclude}, Filter{Snoozed: SnoozedOnly, Pinned: PinnedOnly, Workflows: []string{"invoice"}}, Filter{Snoozed: SnoozedExclude},
	)
}

// testingT is a *testing.T or a *rapid.T.
type testingT interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// verify compares a feed with the oracle: badge, position, every filter at one of the page sizes, the counters with a
// recount, and the history with the versions.
func (w *world) verify(t *testing.T, f testingT, ref Ref, o *oracle, pageSizes ...int) {
	f.Helper()
	badge, err := w.Badge(t.Context(), ref)
	if err != nil || badge != o.badge() {
		f.Fatalf("badge of %s = %+v, %v; want %+v", ref.User, badge, err, o.badge())
	}
	for i, filter := range filters() {
		size := pageSizes[i%len(pageSizes)]
		got := w.list(t, f, ref, filter, size, o)
		if diff := cmp.Diff(o.list(filter), got, likeOracle); diff != "" {
			f.Fatalf("items of %s with %+v, %d a page (-want +got):\n%s", ref.User, filter, size, diff)
		}
	}
	w.recount(t, f, ref, o.version)
}

// list reads all pages.
func (w *world) list(t *testing.T, f testingT, ref Ref, filter Filter, size int, o *oracle) (items []*Item) {
	f.Helper()
	for before, more := int64(0), true; more; {
		page, err := w.Page(t.Context(), ref, filter, size, before)
		if err != nil {
			f.Fatalf("page: %v", err)
		}
		if page.Badge != o.badge() || page.Position.Version != o.version {
			f.Fatalf("page has badge %+v and version %d, want %+v and %d", page.Badge, page.Position.Version, o.badge(), o.version)
		}
		items, before, more = append(items, page.Items...), page.Next, page.HasMore
	}
	return items
}

// recount checks a feed against itself: counters, versions, limits.
func (w *world) recount(t *testing.T, f testingT, ref Ref, version int64) {
	f.Helper()
	id, _ := w.userID(t.Context(), ref.Environment, ref.User)
	h, err := readHeader(t.Context(), w.Pool, selectHeader, key{ref.Environment, id, ref.Channel})
	if err != nil {
		f.Fatalf("header: %v", err)
	}
	var cells Cells
	rows, _ := w.Pool.Query(t.Context(), selectStates, id, ref.Channel, ref.Environment, 0, h.lastSeq, nil)
	var s stored
	pins := h.pins
	if _, err := pgx.ForEachRow(rows, s.fields(), func() error {
		pins = slices.DeleteFunc(slices.Clone(pins), func(p Pin) bool { return p.Seq == s.seq })
		cells.Add(h.watermarks.Effective(s.seq, s.State), 1)
		return nil
	}); err != nil {
		f.Fatalf("states: %v", err)
	}
	if cells != h.cells {
		f.Errorf("counters of %s are %+v, the items say %+v", ref.User, h.cells, cells)
	}
	if len(pins) > 0 {
		f.Errorf("%s has pins of what isn't there: %+v", ref.User, pins)
	}
	if h.version != version || len(h.watermarks) > maxWatermarks {
		f.Errorf("%s is at version %d with %d watermarks, want version %d and at most %d", ref.User, h.version, len(h.watermarks), version, maxWatermarks)
	}
	rows, _ = w.Pool.Query(t.Context(), `SELECT seq FROM feed_items WHERE recipient_id = $1 AND channel = $2
		UNION ALL SELECT version FROM feed_changes WHERE recipient_id = $1 AND channel = $2 ORDER BY 1`, id, ref.Channel)
	versions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || int64(len(versions)) != version {
		f.Fatalf("%s has the versions %v, %v; want 1 to %d", ref.User, versions, err, version)
	}
	for i, v := range versions {
		if v != int64(i)+1 {
			f.Fatalf("the versions of %s have a gap or a double: %v", ref.User, versions)
		}
	}
}

// change is a row of feed_changes: when something happened, for the oracle to use, and what, to tell whose mark it was.
type change struct {
	at   time.Time
	mark belfry.Mark
	upTo int64 // 0: by id
}

// changes reads a feed's changes, by version.
func (w *world) changes(t *testing.T, ref Ref) map[int64]change {
	t.Helper()
	id, _ := w.userID(t.Context(), ref.Environment, ref.User)
	rows, _ := w.Pool.Query(t.Context(), `SELECT version, at, mark, coalesce(up_to, 0) FROM feed_changes WHERE recipient_id = $1 AND channel = $2`, id, ref.Channel)
	out := make(map[int64]change)
	var version int64
	var c change
	if _, err := pgx.ForEachRow(rows, []any{&version, &c.at, &c.mark, &c.upTo}, func() error { out[version] = c; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}
