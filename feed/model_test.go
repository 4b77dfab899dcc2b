package feed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

var checkCount atomic.Int64

// step is one call to the service. Feeds and items are numbered, for they are only known when it runs.
type step struct {
	feed int
	to   []int // append: a message to each of these feeds, in this order; nil: mark

	mark   belfry.Mark
	all    bool
	only   *Filter // with all: what it selects; nil: everything
	back   int64   // with all: up to this many versions ago; -1: no bound
	group  bool    // count it by group, whether there is any need or not
	pace   int     // settle so many items, whether there is any need or not
	expand bool    // expand some of the marks that wait for it
	seqs   []int64 // by id: items, unknown and doubled ids among them; 0 is an item of another feed
}

func drawStep(t *rapid.T, feeds int) step {
	s := step{feed: rapid.IntRange(0, feeds-1).Draw(t, "feed")}
	switch rapid.SampledFrom([]string{"append", "ids", "all", "all", "group", "settle", "expand"}).Draw(t, "step") {
	case "append":
		s.to = rapid.SliceOfN(rapid.IntRange(0, feeds-1), 1, 6).Draw(t, "to")
	case "ids":
		s.mark = rapid.SampledFrom(marks).Draw(t, "mark")
		s.seqs = rapid.SliceOfN(rapid.Int64Range(0, 25), 0, 8).Draw(t, "items")
	case "expand":
		s.expand = true
	case "group":
		s.group = true
	case "settle":
		s.pace = rapid.IntRange(1, 5).Draw(t, "pace")
	case "all":
		s.mark, s.all = rapid.SampledFrom(marks).Draw(t, "mark"), true
		if rapid.Bool().Draw(t, "filtered") {
			s.only = rapid.SampledFrom(markFilters).Draw(t, "filter")
		}
		s.back = rapid.SampledFrom([]int64{-1, 0, 1, 2, 5, 9}).Draw(t, "back")
	}
	return s
}

// done is a step that ran on a feed: which version it returned, and what it said.
type done struct {
	step
	Marked
	upTo int64 // with all: in versions; -1: no bound
}

// appendTo runs an append. Labels tell which message became which item.
func (s step) appendTo(t *testing.T, f testingT, w *world, refs []Ref, label string) {
	f.Helper()
	messages := make([]belfry.Message, len(s.to))
	for i, to := range s.to {
		messages[i] = w.message(refs[to], fmt.Sprint(label, ".", i))
		k := kindOf(i + len(s.to))
		messages[i].Workflow, messages[i].Categories, messages[i].Tenant, messages[i].Content.Data = k.workflow, k.categories, k.tenant, k.data
	}
	if err := w.append(t.Context(), messages...); err != nil {
		f.Fatalf("append: %v", err)
	}
}

// kind is what filters look at.
type kind struct {
	workflow   string
	categories []string
	tenant     belfry.RecipientID
	data       map[string]any
}

// tenantNames are the tenants of the tests.
var tenantNames = map[string]belfry.RecipientID{"acme": 901, "globex": 902}

// kindOf varies them.
func kindOf(i int) kind {
	k := kind{workflow: "welcome", tenant: []belfry.RecipientID{0, 901, 902}[i%3]}
	if i%2 == 0 {
		k.workflow, k.categories = "invoice", []string{"billing", "news"}
	}
	if i%4 != 3 {
		k.data = map[string]any{"n": float64(i % 3), "kind": "x", "z": nil, "list": []any{1.0}}
	}
	return k
}

// markFilters are filters for marks.
var markFilters = func() (out []*Filter) {
	for _, f := range filters() {
		if f.onlyOfPages("") == nil {
			out = append(out, &f)
		}
	}
	early, late := time.Date(2026, 5, 4, 9, 0, 0, 50e6, time.UTC), time.Date(2026, 5, 4, 9, 0, 0, 200e6, time.UTC)
	return append(out, &Filter{CreatedAfter: &early, CreatedBefore: &late}, &Filter{CreatedBefore: &early, Archived: ArchivedInclude})
}()

// markIn runs a mark.
func (s step) markIn(t *testing.T, f testingT, w *world, ref Ref) done {
	f.Helper()
	d := done{step: s, upTo: -1}
	var err error
	if s.all {
		var upTo *belfry.Position
		if s.back >= 0 {
			if at := w.page(t, ref, 1).Position; at.Version > 0 {
				at.Version = max(1, at.Version-s.back)
				d.upTo, upTo = at.Version, &at
			}
		}
		if s.only != nil {
			d.Marked, err = w.MarkWhere(t.Context(), ref, s.mark, *s.only, upTo)
		} else {
			d.Marked, err = w.MarkAll(t.Context(), ref, s.mark, upTo)
		}
	} else {
		d.Marked, err = w.Mark(t.Context(), ref, s.mark, s.ids(w, ref))
	}
	if err != nil {
		f.Fatalf("mark: %v", err)
	}
	return d
}

func (s step) ids(w *world, ref Ref) (ids []belfry.MessageID) {
	own, _ := w.userID(context.Background(), ref.Environment, ref.User)
	for _, seq := range s.seqs {
		id := belfry.MessageID{Recipient: own, Channel: ref.Channel, Seq: seq}
		if seq == 0 {
			id.Recipient, id.Seq = own+1, 1
		}
		ids = append(ids, id)
	}
	return ids
}

// apply does to the oracle what the step did to the feed.
func (d done) apply(o *oracle, at time.Time) (changed int) {
	if !d.all {
		return o.mark(d.mark, at, d.seqs)
	}
	return o.markAll(d.mark, d.filter(), at, o.reach(d.upTo))
}

// filter is what a mark on all selects.
func (s step) filter() Filter {
	if s.only != nil {
		return *s.only
	}
	return everyItem
}

// groupIn counts a feed by group, as it is done when somebody asks and it is long.
func (w *world) groupIn(t *testing.T, f testingT, ref Ref) {
	f.Helper()
	id, _ := w.userID(t.Context(), ref.Environment, ref.User)
	err := postgres.InTx(t.Context(), w.Pool, func(tx *postgres.Tx) error {
		h, err := readHeader(t.Context(), tx, lockHeader, key{ref.Environment, id, ref.Channel})
		if err != nil || h.lastSeq == 0 {
			return err
		}
		return w.groupNext(t.Context(), tx, h)
	})
	if err != nil {
		f.Fatalf("group: %v", err)
	}
}

// settleIn settles the next n items of a feed, as it is done when its watermarks are too many.
func (w *world) settleIn(t *testing.T, f testingT, ref Ref, n int) {
	f.Helper()
	_, err := w.change(t.Context(), ref, func(tx *postgres.Tx, h *header, _ time.Time) (Marked, error) {
		if h.epoch == 0 { // it isn't there, so it isn't locked
			return Marked{}, nil
		}
		if err := settle(t.Context(), tx, h, n); err != nil {
			return Marked{}, err
		}
		return Marked{}, w.writeHeader(t.Context(), tx, h)
	})
	if err != nil {
		f.Fatalf("settle: %v", err)
	}
}

// hurry says how many items are looked at at a time, to expand marks.
func (w *world) hurry(r *rapid.T) {
	w.lookAtOnce = rapid.SampledFrom([]int{1, 3, expandAtOnce}).Draw(r, "at once")
	w.lookLater = rapid.IntRange(1, 4).Draw(r, "in the background")
}

// expand expands some of the marks that wait for it.
func (w *world) expandSome(t *testing.T, f testingT) {
	f.Helper()
	w.sleep(expandPace)
	if err := w.ExpandMarks(t.Context()); err != nil {
		f.Fatalf("expand: %v", err)
	}
}

// reach is the last item that a bound covers; -1 is no bound.
func (o *oracle) reach(upTo int64) int64 {
	if len(o.items) == 0 {
		return 0
	}
	last := o.items[len(o.items)-1].ID.Seq
	if upTo < 0 {
		return last
	}
	return min(upTo, last)
}

// newFeeds names feeds that nobody has used yet.
func (w *world) newFeeds(n int) []Ref {
	refs := make([]Ref, n)
	check := checkCount.Add(1)
	for i := range refs {
		refs[i] = w.know(env, fmt.Sprintf("user %d of check %d", i, check))
	}
	return refs
}

// One caller: after each step the feed is what the oracle says.
func TestFeedAgreesWithOracle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(r *rapid.T) {
		refs, oracles := w.newFeeds(2), []*oracle{{}, {}}
		w.hurry(r)
		for n := range rapid.IntRange(1, 25).Draw(r, "steps") {
			s := drawStep(r, len(refs))
			if s.to != nil {
				s.appendTo(t, r, w, refs, fmt.Sprint(n))
				for i, to := range s.to {
					oracles[to].add(fmt.Sprint(n, ".", i), kindOf(i+len(s.to)), w.newest(t, refs[to]))
				}
			} else if s.group {
				w.groupIn(t, r, refs[s.feed])
			} else if s.pace > 0 {
				w.settleIn(t, r, refs[s.feed], s.pace)
			} else if s.expand {
				w.expandSome(t, r)
			} else {
				d, o := s.markIn(t, r, w, refs[s.feed]), oracles[s.feed]
				changed := d.apply(o, w.changes(t, refs[s.feed])[d.Position.Version].at)
				if d.Changed != changed || d.Badge != o.badge() || d.Position.Version != o.version {
					r.Fatalf("%+v: want changed %d, badge %+v, version %d", d, changed, o.badge(), o.version)
				}
				checkNotFound(r, d, o)
			}
			for i, ref := range refs {
				w.recount(t, r, ref, oracles[i].version)
			}
		}
		for i, ref := range refs {
			w.verify(t, r, ref, oracles[i], 1, 3, 100)
			w.wantTold(t, r, ref, oracles[i], true)
		}
	})
}

// newest is when the last item of a feed came.
func (w *world) newest(t *testing.T, ref Ref) time.Time {
	t.Helper()
	return w.page(t, ref, 1).Items[0].CreatedAt
}

// checkNotFound checks that exactly the ids that are no items of the feed were said to be so.
func checkNotFound(f testingT, d done, o *oracle) {
	f.Helper()
	want := 0
	for _, seq := range d.seqs {
		if !slices.ContainsFunc(o.items, func(i *Item) bool { return i.ID.Seq == seq }) {
			want++
		}
	}
	if len(d.NotFound) != want {
		f.Fatalf("%+v: %d ids of %v are no items", d, want, d.seqs)
	}
}

// Many callers: whatever the order, there is one, and each was told the truth as of its place in it.
func TestConcurrentFeedAgreesWithOracle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(r *rapid.T) {
		refs := w.newFeeds(3)
		w.hurry(r)
		plans := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step { return drawStep(r, len(refs)) }), 3, 8), 6, 6).Draw(r, "plans")
		results := make([][]done, len(plans))
		var callers sync.WaitGroup
		for p, plan := range plans {
			callers.Go(func() {
				for n, s := range plan {
					if s.to != nil {
						s.appendTo(t, t, w, refs, fmt.Sprint(p, ".", n))
					} else if s.group {
						w.groupIn(t, t, refs[s.feed])
					} else if s.pace > 0 {
						w.settleIn(t, t, refs[s.feed], s.pace)
					} else if s.expand {
						w.expandSome(t, t)
					} else {
						results[p] = append(results[p], s.markIn(t, t, w, refs[s.feed]))
					}
				}
			})
		}
		callers.Wait()
		if t.Failed() {
			r.FailNow()
		}
		for i, ref := range refs {
			var marked []done
			for _, d := range slices.Concat(results...) {
				if d.feed == i {
					marked = append(marked, d)
				}
			}
			o := w.replay(t, r, ref, marked)
			w.verify(t, r, ref, o, 7, 100)
			w.wantTold(t, r, ref, o, false)
		}
	})
}

// replay finds out in which order things happened to a feed, does them to an oracle in that order, and checks what
// each caller was told.
func (w *world) replay(t *testing.T, f testingT, ref Ref, marked []done) *oracle {
	f.Helper()
	came := make(map[int64]*Item)
	page := w.page(t, ref, MaxPageSize)
	for {
		for _, it := range page.Items {
			came[it.ID.Seq] = it
		}
		if !page.HasMore {
			break
		}
		var err error
		if page, err = w.Page(t.Context(), ref, everyItem, MaxPageSize, page.Next); err != nil {
			f.Fatalf("page: %v", err)
		}
	}
	changes := w.changes(t, ref)
	o := &oracle{}
	for version := int64(0); version <= page.Position.Version; version++ {
		var here []done
		for _, d := range marked {
			if d.Position.Version == version {
				here = append(here, d)
			}
		}
		if it := came[version]; it != nil {
			o.add(it.Content.Body.Content, kind{it.Workflow, it.Categories, it.Tenant, it.Content.Data}, it.CreatedAt)
		} else if version > 0 {
			here = o.take(f, here, version, changes[version])
		}
		for _, d := range here { // the others found nothing to do
			if changed := d.apply(o, time.Time{}); changed != 0 || d.Changed != 0 || o.version != version || d.Badge != o.badge() {
				f.Fatalf("%+v at version %d of %s: the oracle says %d changed, version %d, badge %+v", d, version, ref.User, changed, o.version, o.badge())
			}
		}
	}
	return o
}

// take finds the one of some marks that made a version, applies it, and returns the others.
func (o *oracle) take(f testingT, marked []done, version int64, c change) []done {
	f.Helper()
	for i, d := range marked {
		if d.mark != c.mark || d.all && o.reach(d.upTo) != c.upTo || (c.filter != "") != (d.only != nil) {
			continue // it found nothing to do after this one
		}
		try := o.clone()
		changed := d.apply(try, c.at)
		if try.version == version && changed == d.Changed && try.badge() == d.Badge {
			*o = *try
			return slices.Delete(slices.Clone(marked), i, i+1)
		}
	}
	f.Fatalf("nobody's mark explains version %d; these were told of it: %+v", version, marked)
	return nil
}

// Whatever was marked before somebody asks, the database puts only those items together that are alike.
func TestGroupsAreWhatWatermarksSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(r *rapid.T) {
		ref := w.newFeeds(1)[0]
		w.hurry(r)
		w.fillKinds(t, ref, 12)
		for range rapid.IntRange(2, 10).Draw(r, "steps") {
			switch s := drawStep(r, 1); {
			case s.to != nil:
				w.fillKinds(t, ref, 2)
			case s.pace > 0:
				w.settleIn(t, r, ref, s.pace)
			case s.expand:
				w.expandSome(t, r)
			case !s.group:
				s.markIn(t, r, w, ref)
			}
		}
		w.groupIn(t, r, ref)
		w.recount(t, r, ref, w.header(t, ref).version)
	})
}
