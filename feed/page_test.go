package feed

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
)

func TestPagesDoNotMoveUnderInserts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, 7)
	var got []int64
	for before, more := int64(0), true; more; {
		page, err := w.Page(t.Context(), ann, Filter{}, 3, before)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, seqs(page.Items)...)
		before, more = page.Next, page.HasMore
		w.fill(t, ann, 2) // while somebody scrolls
	}
	if want := []int64{7, 6, 5, 4, 3, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("scrolled over %v, want %v", got, want)
	}
}

func TestPageSaysWhetherThereIsMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 5)
	w.mark(t, ann, belfry.Read, ids[0], ids[1])
	for _, row := range []struct {
		filter Filter
		first  int
		before int64
		want   []int64
		more   bool
	}{
		{Filter{}, 5, 0, []int64{5, 4, 3, 2, 1}, false},
		{Filter{}, 4, 0, []int64{5, 4, 3, 2}, true},
		{Filter{}, 2, 3, []int64{2, 1}, false},
		{Filter{}, 2, 1, []int64{}, false},
		{Filter{Status: StatusUnread}, 3, 0, []int64{5, 4, 3}, false}, // more items, but none that matches
		{Filter{Status: StatusUnread}, 2, 0, []int64{5, 4}, true},
		{Filter{Status: StatusRead}, 1, 0, []int64{2}, true},
		{Filter{Archived: ArchivedOnly}, 1, 0, []int64{}, false},
	} {
		page, err := w.Page(t.Context(), ann, row.filter, row.first, row.before)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(seqs(page.Items), row.want) || page.HasMore != row.more {
			t.Errorf("%+v, first %d, before %d = %v, more %v; want %v, %v", row.filter, row.first, row.before, seqs(page.Items), page.HasMore, row.want, row.more)
		}
	}
}

func TestPageLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, MaxPageSize+1)
	values := make([]string, MaxFilterValues+1)
	for i := range values {
		values[i] = fmt.Sprint(i)
	}
	for _, row := range []struct {
		filter Filter
		first  int
		code   belfry.Code // empty: accepted
		field  string
		limit  int
	}{
		{first: 0, code: belfry.Invalid, field: "first"},
		{first: -1, code: belfry.Invalid, field: "first"},
		{first: 1},
		{first: MaxPageSize},
		{first: MaxPageSize + 1, code: belfry.TooLarge, field: "first", limit: MaxPageSize},
		{first: 1, filter: Filter{Workflows: values[:MaxFilterValues], Categories: values[:MaxFilterValues]}},
		{first: 1, filter: Filter{Workflows: values}, code: belfry.TooLarge, field: "filter.workflows", limit: MaxFilterValues},
		{first: 1, filter: Filter{Categories: values}, code: belfry.TooLarge, field: "filter.categories", limit: MaxFilterValues},
		{first: 1, filter: Filter{Workflows: []string{"a", "\x00"}}, code: belfry.Invalid, field: "filter.workflows[1]"},
		{first: 1, filter: Filter{Categories: []string{"\xff"}}, code: belfry.Invalid, field: "filter.categories[0]"},
	} {
		page, err := w.Page(t.Context(), ann, row.filter, row.first, 0)
		if row.code == "" {
			if err != nil || row.filter.Workflows == nil && (len(page.Items) != row.first || !page.HasMore) {
				t.Errorf("first %d: %v", row.first, err)
			}
			continue
		}
		var refused *belfry.Error
		if !asError(err, &refused) || refused.Code != row.code || refused.Field != row.field || refused.Limit != row.limit {
			t.Errorf("first %d with %+v: %#v; want %s at %s, limit %d", row.first, row.filter, err, row.code, row.field, row.limit)
		}
	}
}

// A filter that almost nothing matches must not read a feed of any length for one page.
func TestPageLooksAtSoManyRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	rare := w.message(ann, "rare")
	rare.Workflow, rare.Categories = "rare", []string{"odd"}
	if err := w.append(t.Context(), rare); err != nil {
		t.Fatal(err)
	}
	w.mark(t, ann, belfry.Read, belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 1})
	w.fill(t, ann, maxScan+scanChunk)
	for _, f := range []Filter{{Status: StatusRead}, {Workflows: []string{"rare"}}, {Categories: []string{"odd"}}} {
		page, err := w.Page(t.Context(), ann, f, 10, 0)
		if err != nil || len(page.Items) != 0 || !page.HasMore {
			t.Fatalf("%+v: %d items, more %v, %v; want a short page that says that there may be more", f, len(page.Items), page.HasMore, err)
		}
		if newest := page.Position.Version; newest-page.Next < maxScan-1 || newest-page.Next > maxScan+scanChunk {
			t.Errorf("%+v: looked from %d down to %d, want about %d rows", f, newest, page.Next, maxScan)
		}
		page, err = w.Page(t.Context(), ann, f, 10, page.Next)
		if err != nil || page.HasMore || len(page.Items) != 1 || page.Items[0].ID.Seq != 1 {
			t.Errorf("%+v: going on finds %+v, %v", f, page, err)
		}
	}
	// And what the counters know to be absent isn't looked for.
	if page, err := w.Page(t.Context(), ann, Filter{Archived: ArchivedOnly}, 10, 0); err != nil || page.HasMore {
		t.Errorf("archived: %+v, %v", page, err)
	}
}

func TestItemShowsWhatTheWatermarksSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 2)
	w.mark(t, ann, belfry.Archived, ids[0])
	w.markAll(t, ann, belfry.Read)
	got, err := w.Item(t.Context(), ann, ids[0])
	if err != nil || got.State.Level != Read || !got.State.Archived || got.State.ReadAt == nil {
		t.Errorf("%+v, %v; want it archived and read", got, err)
	}
	if diff := cmp.Diff(got, w.page(t, ann, 10).Items[1]); diff != "" {
		t.Errorf("the page shows another (-item +page):\n%s", diff)
	}
}
