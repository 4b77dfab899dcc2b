package graph

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/model"
)

func TestAnItemOfABatchNamesItsActors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "ours")
	c.identify("ana", "ben", "eve")
	c.store("note", tell)
	c.store("gather", `[{"ref": "gather", "batch": {"for": "PT1H", "maxItems": 3}}, {"ref": "inbox", "inApp": {"body": "x"}}]`)
	c.settled(c.trigger(vars{"workflow": "note", "recipients": users("ana"), "tenant": "acme"}))
	for _, actor := range []string{"ben", "eve", "ben"} {
		c.settled(c.trigger(vars{"workflow": "gather", "recipients": users("ana"), "actor": vars{"user": actor}}))
	}
	type items struct {
		Feed struct {
			Items struct{ Edges []struct{ Node vars } }
		}
	}
	var edges []struct{ Node vars }
	eventually(t, "both items are there", func() bool {
		edges = ask[items](c, `{ feed(ref: {user: "ana"}) { items { edges { node { totalActivities actors { externalId } tenant } } } } }`, nil).Feed.Items.Edges
		return len(edges) == 2
	})
	who := func(ids ...string) []any {
		out := []any{}
		for _, id := range ids {
			out = append(out, vars{"externalId": id})
		}
		return out
	}
	want := []vars{{"totalActivities": 3.0, "actors": who("ben", "eve"), "tenant": nil}, {"totalActivities": 1.0, "actors": who(), "tenant": "acme"}}
	if diff := cmp.Diff(want, []vars{edges[0].Node, edges[1].Node}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	page, err := w.Feeds.Page(t.Context(), feed.Ref{Environment: c.env, User: "ana", Channel: "in-app"}, feed.Filter{}, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	connection := w.newConnection(t.Context(), feed.Ref{Environment: c.env}, page, false)
	first, second := connection.Edges[0].Node.Page, connection.Edges[1].Node.Page
	actors, err := first.Actors()
	if err != nil || first != second || len(actors) != 2 {
		t.Errorf("the items of a page load %d actors, each for itself (%v)", len(actors), err)
	}
	alone := &model.FeedItem{Item: page.Items[0], Environment: c.env}
	if got, err := w.FeedItem().Actors(t.Context(), alone); err != nil || len(got) != 2 || got[0].ExternalID != "ben" {
		t.Errorf("one that comes alone has %v, %v", got, err)
	}
}

func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	c.identify("ana")
	const query = `query ($views: [FeedViewInput!]!) { feed(ref: {user: "ana"}) { counts(views: $views) { name total } } }`
	long := strings.Repeat("ü", feed.MaxFilterText)
	views := func(n int, last vars) []vars {
		out := make([]vars, n)
		for i := range out {
			out[i] = vars{"name": "v"}
		}
		out[n-1] = last
		return out
	}
	for name, row := range map[string]struct {
		views []vars
		code  string
		field string
	}{
		"as many as may be":        {views: views(feed.MaxViews, vars{"name": long})},
		"one more":                 {views(feed.MaxViews+1, vars{"name": "v"}), "TOO_LARGE", "views"},
		"a long name":              {views(2, vars{"name": long + "x"}), "TOO_LARGE", "views[1].name"},
		"a filter that can't be":   {views(1, vars{"name": "v", "filter": vars{"tenant": vars{"scope": "EXACT", "tenants": []string{"a", "b"}}}}), "INVALID", "views[0].filter.tenant.tenants"},
		"data that isn't a scalar": {views(1, vars{"name": "v", "filter": vars{"data": vars{"a": vars{"b": 1}}}}), "INVALID", "views[0].filter.data.a"},
	} {
		got := c.call(query, vars{"views": row.views})
		if row.code == "" {
			if len(got.Errors) > 0 {
				t.Errorf("%s: %+v", name, got.Errors)
			}
			continue
		}
		if len(got.Errors) != 1 || got.Errors[0].Extensions.Code != row.code || got.Errors[0].Extensions.Field != row.field {
			t.Errorf("%s: %+v, want %s at %s", name, got.Errors, row.code, row.field)
		}
	}
}
