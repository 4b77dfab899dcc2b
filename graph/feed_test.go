package graph

import (
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
