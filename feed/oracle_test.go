package feed

import (
	"encoding/json"
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
	events  []event
}

func (o *oracle) add(label string, k kind, at time.Time) {
	o.version++
	o.items = append(o.items, &Item{
		ID: belfry.MessageID{Seq: o.version}, Workflow: k.workflow, Categories: k.categories, Tenant: k.tenant, CreatedAt: at,
		Content: belfry.Content{Body: belfry.Body{Content: label}, Data: k.data},
	})
}

// mark marks items by number. Only those that it changes are touched.
func (o *oracle) mark(m belfry.Mark, at time.Time, seqs []int64) (changed int) {
	for _, it := range o.items {
		if slices.Contains(seqs, it.ID.Seq) && it.State.Changes(m) {
			it.State = it.State.Apply(m, at)
			changed++
			o.events = append(o.events, event{Seq: it.ID.Seq, Kind: m.Event(), At: at})
		}
	}
	if changed > 0 {
		o.version++
	}
	return changed
}

// markAll marks every item up to one that a filter selects. If it changes none, nothing is touched; otherwise all are.
func (o *oracle) markAll(m belfry.Mark, f Filter, at time.Time, upTo int64) (changed int) {
	var meant []*Item
	any := false
	var events []event
	selected := o.list(f)
	for _, it := range o.items {
		if it.ID.Seq > upTo || it.State.SnoozedUntil != nil || !slices.Contains(selected, it) {
			continue
		}
		meant = append(meant, it)
		if it.State.Changes(m) {
			any = true
			if !it.State.Archived || !it.State.Apply(m, at).Archived {
				changed++
				events = append(events, event{Seq: it.ID.Seq, Kind: m.Event(), At: at})
			}
		}
	}
	if any {
		o.version++
		o.events = append(o.events, events...)
		for _, it := range meant {
			it.State = it.State.Apply(m, at)
		}
	}
	return changed
}

func (o *oracle) clone() *oracle {
	c := &oracle{version: o.version, events: slices.Clone(o.events)}
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
			(f.Categories == nil || slices.ContainsFunc(it.Categories, func(c string) bool { return slices.Contains(f.Categories, c) })) &&
			f.Tenant.holds(it.Tenant) && (f.Priorities == nil || slices.Contains(f.Priorities, it.attributes().Priority)) &&
			(f.Severities == nil || slices.Contains(f.Severities, it.attributes().Severity)) && holds(f.Data, it.Content.Data) &&
			(f.CreatedAfter == nil || !it.CreatedAt.Before(*f.CreatedAfter)) && (f.CreatedBefore == nil || it.CreatedAt.Before(*f.CreatedBefore)) {
			out = append(out, it)
		}
	}
	return out
}

// holds reports whether an item of a tenant is meant. Their names are those of tenantNames.
func (t TenantFilter) holds(tenant belfry.RecipientID) bool {
	switch t.Scope {
	case TenantExact:
		return len(t.Tenants) == 0 && tenant == 0 || len(t.Tenants) == 1 && tenantNames[t.Tenants[0]] == tenant && tenant != 0
	case TenantAnyOf:
		return slices.ContainsFunc(t.Tenants, func(name string) bool { return tenantNames[name] == tenant && tenant != 0 })
	}
	return true
}

// holds reports whether data has what is wanted.
func holds(want, data map[string]any) bool {
	for k, v := range want {
		if n, ok := v.(json.Number); ok {
			v, _ = n.Float64()
		}
		if got, ok := data[k]; !ok || !cmp.Equal(got, v) {
			return false
		}
	}
	return true
}

// count is how many items a filter selects.
func (o *oracle) count(f Filter) (b belfry.Badge) {
	for _, it := range o.list(f) {
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

// likeOracle compares items by what the oracle knows of them.
var likeOracle = cmp.Options{
	cmp.Transformer("known", func(i *Item) any {
		return struct {
			Seq             int64
			Label, Workflow string
			Categories      []string
			Tenant          belfry.RecipientID
			State           State
			PinnedAt        *time.Time
		}{i.ID.Seq, i.Content.Body.Content, i.Workflow, i.Categories, i.Tenant, i.State, i.PinnedAt}
	}),
	cmpopts.IgnoreFields(State{}, "Version"),
	cmpopts.EquateEmpty(),
}

// filters is every combination of status and archived scope, some with lists, and some by when items came.
func filters(times ...time.Time) (out []Filter) {
	for _, status := range []Status{"", StatusAll, StatusUnseen, StatusSeen, StatusUnread, StatusRead} {
		for _, archived := range []ArchivedScope{"", ArchivedExclude, ArchivedInclude, ArchivedOnly} {
			out = append(out, Filter{Status: status, Archived: archived})
		}
	}
	for i := range times {
		out = append(out, Filter{CreatedAfter: &times[i]}, Filter{CreatedBefore: &times[i], Status: StatusUnread, Workflows: []string{"invoice"}},
			Filter{CreatedAfter: &times[0], CreatedBefore: &times[i], Archived: ArchivedInclude})
	}
	return append(out,
		Filter{Tenant: TenantFilter{Scope: TenantAll}, Archived: ArchivedInclude},
		Filter{Tenant: TenantFilter{Scope: TenantExact}},
		Filter{Tenant: TenantFilter{Scope: TenantExact, Tenants: []string{"acme"}}},
		Filter{Tenant: TenantFilter{Scope: TenantExact, Tenants: []string{"unknown"}}, Archived: ArchivedInclude},
		Filter{Tenant: TenantFilter{Scope: TenantAnyOf, Tenants: []string{"acme", "globex", "acme"}}, Workflows: []string{"invoice"}, Status: StatusUnread},
		Filter{Tenant: TenantFilter{Scope: TenantAnyOf, Tenants: []string{"unknown", "globex"}}, Archived: ArchivedInclude},
		Filter{Data: map[string]any{"n": json.Number("1")}, Archived: ArchivedInclude},
		Filter{Data: map[string]any{"kind": "x", "n": 2.0}},
		Filter{Data: map[string]any{"n": "1"}},
		Filter{Data: map[string]any{"z": nil, "kind": "x"}, Status: StatusUnseen},
		Filter{Workflows: []string{"invoice", "nothing"}, Archived: ArchivedInclude},
		Filter{Categories: []string{"billing", "nothing"}, Archived: ArchivedInclude},
		Filter{Workflows: []string{"invoice"}, Categories: []string{"billing", "news"}, Status: StatusUnread},
		Filter{Workflows: []string{}},
		Filter{Priorities: []belfry.Priority{belfry.NormalPriority}}, Filter{Severities: []belfry.Severity{belfry.ErrorSeverity}, Archived: ArchivedInclude},
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
	var times []time.Time
	if n := len(o.items); n > 0 {
		times = []time.Time{o.items[n/3].CreatedAt, o.items[2*n/3].CreatedAt}
	}
	all := filters(times...)
	countable := slices.DeleteFunc(slices.Clone(all), func(f Filter) bool { return f.onlyOfPages("") != nil })
	for some := range slices.Chunk(countable, MaxViews) {
		counts, err := w.Count(t.Context(), ref, some)
		if err != nil || counts.Position.Version != o.version {
			f.Fatalf("counts of %s: %+v, %v", ref.User, counts, err)
		}
		for i, filter := range some {
			if counts.Views[i] != o.count(filter) {
				f.Fatalf("%s has %+v of %+v, want %+v", ref.User, counts.Views[i], filter, o.count(filter))
			}
		}
	}
	for i, filter := range all {
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
	groups := newTally()
	rows, _ := w.Pool.Query(t.Context(), selectStates, id, ref.Channel, ref.Environment, 0, h.lastSeq, nil, true)
	var s stored
	pins := h.pins
	if _, err := pgx.ForEachRow(rows, s.allFields(), func() error {
		cells.Add(h.watermarks.Effective(s.seq, &s.Attributes, s.State), 1)
		if s.seq <= h.groupedTo {
			groups.add(&s.Attributes, h.watermarks.Effective(s.seq, &s.Attributes, s.State), 1)
		}
		pins = slices.DeleteFunc(slices.Clone(pins), func(p Pin) bool { return p.Seq == s.seq })
		s.Data = nil
		return nil
	}); err != nil {
		f.Fatalf("states: %v", err)
	}
	if cells != h.cells {
		f.Errorf("counters of %s are %+v, the items say %+v", ref.User, h.cells, cells)
	}
	if h.groupedTo > 0 {
		kept, err := readGroups(t.Context(), w.Pool, h)
		byKey := cmpopts.SortSlices(func(a, b group) bool {
			return fmt.Sprint(a.Tenant, a.Workflow, a.Categories, a.Priority, a.Severity) < fmt.Sprint(b.Tenant, b.Workflow, b.Categories, b.Priority, b.Severity)
		})
		counted := slices.DeleteFunc(groups.groups, func(g group) bool { return g.Cells == Cells{} }) // of what is snoozed
		if diff := cmp.Diff(counted, kept.groups, byKey, cmpopts.EquateEmpty()); err != nil || diff != "" {
			f.Errorf("groups of %s up to %d (-items +feed_groups): %v\n%s", ref.User, h.groupedTo, err, diff)
		}
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
	at     time.Time
	mark   belfry.Mark
	upTo   int64 // 0: by id
	filter string
}

// changes reads a feed's changes, by version.
func (w *world) changes(t *testing.T, ref Ref) map[int64]change {
	t.Helper()
	id, _ := w.userID(t.Context(), ref.Environment, ref.User)
	rows, _ := w.Pool.Query(t.Context(), `SELECT version, at, mark, coalesce(up_to, 0), coalesce(filter::text, '') FROM feed_changes WHERE recipient_id = $1 AND channel = $2`, id, ref.Channel)
	out := make(map[int64]change)
	var version int64
	var c change
	if _, err := pgx.ForEachRow(rows, []any{&version, &c.at, &c.mark, &c.upTo, &c.filter}, func() error { out[version] = c; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}
