package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// fillKinds appends n messages of many kinds, a thousand at a time.
func (w *world) fillKinds(t testing.TB, ref Ref, n int) {
	t.Helper()
	for done := 0; done < n; {
		messages := make([]belfry.Message, min(1000, n-done))
		for i := range messages {
			messages[i] = w.message(ref, "x")
			k := kindOf(done + i)
			messages[i].Workflow, messages[i].Categories, messages[i].Tenant, messages[i].Content.Data = k.workflow, k.categories, k.tenant, k.data
		}
		if err := w.append(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
		done += len(messages)
	}
}

func (w *world) header(t testing.TB, ref Ref) *header {
	t.Helper()
	id, _ := w.userID(t.Context(), ref.Environment, ref.User)
	h, err := readHeader(t.Context(), w.Pool, selectHeader, key{ref.Environment, id, ref.Channel})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

var ofAcme = Filter{Tenant: TenantFilter{TenantExact, []string{"acme"}}}

// A feed is counted by group once somebody asks for it and it is long, and not before.
func TestLongFeedsAreCountedByGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	count := func(f Filter) belfry.Badge {
		t.Helper()
		counts, err := w.Count(t.Context(), ann, []Filter{f})
		if err != nil {
			t.Fatal(err)
		}
		w.recount(t, t, ann, counts.Position.Version)
		return counts.Views[0]
	}
	w.fillKinds(t, ann, groupBehind)
	if got, h := count(ofAcme), w.header(t, ann); got.Total != groupBehind/3+1 || h.groupedTo != 0 {
		t.Errorf("a short feed: %+v, grouped up to %d", got, h.groupedTo)
	}
	w.fillKinds(t, ann, 1)
	count(Filter{Status: StatusUnread})
	count(Filter{Data: map[string]any{"n": 1}})
	if h := w.header(t, ann); h.groupedTo != 0 {
		t.Errorf("nobody asked for groups, and it is grouped up to %d", h.groupedTo)
	}
	before := count(ofAcme)
	if h := w.header(t, ann); h.groupedTo != h.lastSeq {
		t.Errorf("a long feed is grouped up to %d of %d", h.groupedTo, h.lastSeq)
	}
	w.fillKinds(t, ann, 3)
	if got := count(ofAcme); got.Total != before.Total+1 || w.header(t, ann).groupedTo != groupBehind+1 {
		t.Errorf("new items: %+v after %+v", got, before)
	}
	if _, err := w.MarkWhere(t.Context(), ann, belfry.Read, ofAcme, nil); err != nil {
		t.Fatal(err)
	}
	w.mark(t, ann, belfry.Archived, belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 2}, belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: groupBehind + 3})
	if got := count(ofAcme); got.Unread != 0 || got.Total != before.Total-1 {
		t.Errorf("acme's are read, one of the old ones and the new one are archived: %+v", got)
	}
}

// A chunk at a time is counted, so that nobody waits long for the feed's lock.
func TestGroupingGoesOnInChunks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fillKinds(t, ann, groupChunk+groupBehind)
	w.groupIn(t, t, ann)
	if h := w.header(t, ann); h.groupedTo != groupChunk {
		t.Errorf("the first time it is grouped up to %d", h.groupedTo)
	}
	w.recount(t, t, ann, groupChunk+groupBehind)
	w.groupIn(t, t, ann)
	if h := w.header(t, ann); h.groupedTo != h.lastSeq {
		t.Errorf("the second time it is grouped up to %d", h.groupedTo)
	}
	w.recount(t, t, ann, groupChunk+groupBehind)
}

// A feed with too many groups is counted item by item, and as exactly.
func TestFeedsWithTooManyGroupsAreScanned(t *testing.T) {
	t.Parallel()
	for _, groups := range []int{maxGroups, maxGroups + 1} {
		w := newWorld(t)
		ann := w.know(env, "ann")
		messages := make([]belfry.Message, groupBehind+1)
		for i := range messages {
			messages[i] = w.message(ann, "x")
			messages[i].Workflow = fmt.Sprint("w", i%groups)
		}
		if err := w.append(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
		f := Filter{Workflows: []string{"w0", fmt.Sprint("w", maxGroups-1)}}
		for range 2 {
			counts, err := w.Count(t.Context(), ann, []Filter{f})
			if want := (groupBehind+groups)/groups + (groupBehind+1+groups-maxGroups)/groups; err != nil || counts.Views[0].Total != want {
				t.Errorf("%d groups: %+v, %v", groups, counts, err)
			}
		}
		if h := w.header(t, ann); (h.groupedTo == ungroupable) != (groups > maxGroups) {
			t.Errorf("%d groups: grouped up to %d", groups, h.groupedTo)
		}
		if got, err := w.MarkWhere(t.Context(), ann, belfry.Read, f, nil); err != nil || got.Changed < 2 {
			t.Errorf("%d groups: %+v, %v", groups, got, err)
		}
		w.mark(t, ann, belfry.Archived, belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 1})
		w.recount(t, t, ann, groupBehind+3)
	}
}

// What a mark by id rewrites is bounded in bytes too: also when groups come to be too large by such a mark.
func TestGroupsAreSoLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fillKinds(t, ann, 2)
	w.groupIn(t, t, ann)
	size := func(text int) (groupedTo int64) {
		_, err := w.change(t.Context(), ann, func(tx *postgres.Tx, h *header, _ time.Time) (Marked, error) {
			large := newTally()
			large.add(&Attributes{Workflow: strings.Repeat("x", text)}, State{}, 1)
			err := writeGroups(t.Context(), tx, h, large)
			groupedTo = h.groupedTo
			return Marked{}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		return groupedTo
	}
	empty, _ := json.Marshal([]group{{Cells: Cells{Active: [3]int{1}}}})
	room := maxGroupBytes - len(empty)
	if got := size(room); got != 2 {
		t.Errorf("%d bytes: grouped up to %d", maxGroupBytes, got)
	}
	if got := size(room + 1); got != ungroupable {
		t.Errorf("%d bytes: grouped up to %d", maxGroupBytes+1, got)
	}
}

func TestCountTakesSoManyViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	if got, err := w.Count(t.Context(), ann, make([]Filter, MaxViews)); err != nil || len(got.Views) != MaxViews {
		t.Errorf("%+v, %v", got, err)
	}
	var refused *belfry.Error
	if _, err := w.Count(t.Context(), ann, make([]Filter, MaxViews+1)); !asError(err, &refused) || refused.Code != belfry.TooLarge || refused.Limit != MaxViews || refused.Field != "views" {
		t.Errorf("%v; want it refused", err)
	}
	if _, err := w.Count(t.Context(), ann, []Filter{{}, {Data: map[string]any{"x": []any{}}}}); !asError(err, &refused) || refused.Field != "views[1].filter.data.x" {
		t.Errorf("%v; want it refused", err)
	}
	if got, err := w.Count(t.Context(), Ref{env, "nobody", "in-app"}, []Filter{ofAcme}); err != nil || got.Views[0] != (belfry.Badge{}) {
		t.Errorf("nobody's feed: %+v, %v", got, err)
	}
}

// A mark on what a filter selects writes as little for many items as for few.
func TestMarkWhereCostsTheSameForManyItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var written []int64
	w.inTx = func(ctx context.Context, tx *postgres.Tx) error {
		var n int64
		err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT xmin FROM feeds UNION ALL SELECT xmin FROM feed_items UNION ALL SELECT xmin FROM feed_groups
			UNION ALL SELECT xmin FROM feed_changes) AS written WHERE xmin = pg_current_xact_id()::xid`).Scan(&n)
		written = append(written, n)
		return err
	}
	few, many := w.know(env, "few"), w.know(env, "many")
	w.fillKinds(t, few, 10)
	w.fillKinds(t, many, 5000)
	written = nil
	for _, f := range []Filter{ofAcme, {Workflows: []string{"invoice"}, Status: StatusUnread}, {Data: map[string]any{"n": 2}}, {Categories: []string{"news"}}} {
		for _, m := range []belfry.Mark{belfry.Seen, belfry.Interacted} {
			for _, ref := range []Ref{few, many} {
				if _, err := w.MarkWhere(t.Context(), ref, m, f, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, n := range written {
		if n > 3 { // the feed, its groups, the change
			t.Fatalf("rows written by marking some of 10, some of 5000, and so on: %v; want 2, or 3 with groups", written)
		}
	}
	if len(written) < 10 {
		t.Errorf("only %d marks did anything", len(written))
	}
}

// What one may not see is as if it weren't there: in somebody else's environment, or under a tenant that only that one has.
func TestFiltersRevealNothingOfOtherFeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, other, elsewhere := w.know(env, "ann"), w.know(env, "other"), w.know(env+1, "ann")
	w.fillKinds(t, other, 12)
	w.fillKinds(t, elsewhere, 12)
	w.fill(t, ann, 1)
	for _, f := range []Filter{ofAcme, {Data: map[string]any{"n": 1}}, {Workflows: []string{"invoice"}}} {
		counts, err := w.Count(t.Context(), ann, []Filter{f})
		page, err2 := w.Page(t.Context(), ann, f, 10, 0)
		if err != nil || err2 != nil || counts.Views[0].Total != 0 || len(page.Items) != 0 {
			t.Errorf("%+v: %+v, %+v, %v, %v", f, counts, page, err, err2)
		}
		got, err := w.MarkWhere(t.Context(), ann, belfry.Archived, f, nil)
		if err != nil || got.Changed != 0 {
			t.Errorf("%+v: %+v, %v", f, got, err)
		}
	}
	for _, ref := range []Ref{other, elsewhere} {
		if h := w.header(t, ref); h.version != 12 || h.cells.Active[Unseen] != 12 {
			t.Errorf("%+v: %+v", ref, h)
		}
	}
}

// A long feed is read before it is locked. Whatever comes in between is counted too.
func TestLongFeedsAreCountedBeforeTheyAreLocked(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string]int{"it keeps still": 0, "it changes once": 1, "it changes all the time": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ann := w.know(env, "ann")
			w.fillKinds(t, ann, longFeed+1)
			f := Filter{Data: map[string]any{"n": 1}}
			// Whoever asks whose feed it is before the mark's transaction begins, changes it.
			id, _ := w.userID(t.Context(), env, "ann")
			asked := 0
			w.UserID = func(ctx context.Context, _ belfry.EnvironmentID, _ string) (belfry.RecipientID, error) {
				if asked++; asked > 2 && asked%2 == 1 && changes > 0 { // prepare, read, then change
					changes--
					m := w.message(ann, "late")
					m.Content.Data = map[string]any{"n": 1}
					return id, w.append(ctx, m)
				}
				return id, nil
			}
			before := w.header(t, ann)
			asked = 0
			got, err := w.MarkWhere(t.Context(), ann, belfry.Read, f, nil)
			if err != nil {
				t.Fatal(err)
			}
			w.UserID = w.userID
			h := w.header(t, ann)
			late := int(h.lastSeq - before.lastSeq)
			if h.cells.Active[Read] != got.Changed || got.Changed < longFeed/4 || h.lastSeq != h.version-1 {
				t.Errorf("%+v; %+v, %d came meanwhile", got, h, late)
			}
			w.recount(t, t, ann, h.version)
			counts, err := w.Count(t.Context(), ann, []Filter{f})
			if err != nil || counts.Views[0].Unread != 0 || counts.Views[0].Total != got.Changed {
				t.Errorf("%+v, %v", counts, err)
			}
		})
	}
}

// A mark up to a position of long ago has to be told from all that came since: that too is read before the feed is locked, or
// whoever holds the position could stop the feed again and again.
func TestWhatCameSinceIsCountedBeforeTheFeedIsLocked(t *testing.T) {
	t.Parallel()
	for name, filter := range map[string]*Filter{"everything": nil, "by level": {Status: StatusUnseen}, "of a tenant": &ofAcme, "by data": {Data: map[string]any{"n": 1}}} {
		for _, behind := range []int{longFeed, longFeed + 1} {
			t.Run(fmt.Sprint(name, ", ", behind), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				ann := w.know(env, "ann")
				w.fillKinds(t, ann, 6)
				then := w.page(t, ann, 1).Position
				w.fillKinds(t, ann, behind)
				if _, err := w.Count(t.Context(), ann, []Filter{ofAcme}); err != nil { // so that it is grouped
					t.Fatal(err)
				}
				asked := 0
				w.UserID = func(ctx context.Context, env belfry.EnvironmentID, user string) (belfry.RecipientID, error) {
					asked++
					return w.userID(ctx, env, user)
				}
				got, want := Marked{}, 6
				var err error
				if filter == nil {
					got, err = w.MarkAll(t.Context(), ann, belfry.Read, &then)
				} else {
					got, err = w.MarkWhere(t.Context(), ann, belfry.Read, *filter, &then)
				}
				if filter != nil && filter.Status == "" {
					want = 2
				}
				if err != nil || got.Changed != want || got.Badge.Unread != 6+behind-want {
					t.Errorf("%+v, %v; want %d changed", got, err, want)
				}
				times := 1 // the feed is asked for: to change it; or to find out that this is much, to count, and to change it
				if behind > longFeed {
					times = 3
				}
				switch name {
				case "of a tenant":
					times++ // and to prepare it
				case "by data":
					times = 3 // it is known to be long beforehand, for it is read from its beginning
				}
				if asked != times {
					t.Errorf("it was asked %d times whose feed it is, want %d", asked, times)
				}
				w.recount(t, t, ann, int64(7+behind))
			})
		}
	}
}
