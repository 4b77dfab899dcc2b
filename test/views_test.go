package test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

const countViews = `query ($views: [FeedViewInput!]!) { feed { counts(views: $views) { name total unseen unread position } } }`

const followTenant = `subscription { feedEvents(filter: {tenant: {scope: EXACT, tenants: ["acme"]}}) { __typename position badge { total unseen unread }
	... on FeedItemUpserted { asOf item { id position tenant } }
	... on FeedMarkedWhere { as upTo filter { status archived workflows tenantScope tenants data createdAfter } } } }`

// data reads what a subscription tells next.
func (st *stream) data(t testing.TB) vars {
	t.Helper()
	f, err := st.next(patience)
	if err != nil {
		t.Fatal(err)
	}
	var payload struct{ Data vars }
	if err := json.Unmarshal(f.Payload, &payload); err != nil || f.Type != "next" || payload.Data == nil {
		t.Fatalf("want an event, got %s %s (%v)", f.Type, f.Payload, err)
	}
	return payload.Data
}

// A product with tenants: each has a tab, a number, a list, a "mark all as read", and what happens live.
func TestAFeedWithATabForEachTenant(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t).Config().ConnString()
	n, ours := serve(t, db), newEnvironment(t, db, "ours")
	us, ana := ours.backend(n), ours.user(t, n, "ana")
	identify(t, us, "ana")
	storeWorkflow(t, us, simpleWorkflow("note"))
	send := func(tenants ...string) {
		t.Helper()
		for _, tenant := range tenants {
			input := vars{"workflow": "note", "recipients": users("ana"), "data": vars{"text": tenant}}
			if tenant != "" {
				input["tenant"] = tenant
			}
			before := ask[page](t, ana, readFeed, vars{"first": 1}).Items.Badge.Total
			ask[accepted](t, us, triggerWorkflow, vars{"input": input})
			eventually(t, "the item", func() bool { return ask[page](t, ana, readFeed, vars{"first": 1}).Items.Badge.Total == before+1 })
		}
	}
	send("acme", "globex", "", "acme")

	s := ana.connect(t)
	events, badges := s.subscribe(t, followTenant, nil), ana.connect(t).subscribe(t, `subscription { badge { badge { total unseen unread } position } }`, nil)
	if got := events.data(t)["feedEvents"].(vars)["__typename"]; got != "FeedSynced" {
		t.Fatalf("it begins with %v", got)
	}
	if diff := cmp.Diff(vars{"total": 4.0, "unseen": 4.0, "unread": 4.0}, badges.data(t)["badge"].(vars)["badge"]); diff != "" {
		t.Errorf("badge: %s", diff)
	}

	acme := vars{"tenant": vars{"scope": "EXACT", "tenants": []string{"acme"}}}
	views := []vars{{"name": "all"}, {"name": "acme", "filter": acme}, {"name": "none", "filter": vars{"tenant": vars{"scope": "EXACT"}}},
		{"name": "others", "filter": vars{"tenant": vars{"scope": "ANY_OF", "tenants": []string{"globex", "nobody"}}, "status": "UNREAD"}}}
	type numbers struct {
		Counts []struct {
			Name, Position        string
			Total, Unseen, Unread int
		}
	}
	check := func(want ...[3]int) {
		t.Helper()
		for i, c := range ask[numbers](t, ana, countViews, vars{"views": views}).Counts {
			if c.Name != views[i]["name"] || [3]int{c.Total, c.Unseen, c.Unread} != want[i] || c.Position == "" {
				t.Errorf("got %+v, want %v", c, want[i])
			}
		}
	}
	check([3]int{4, 4, 4}, [3]int{2, 2, 2}, [3]int{1, 1, 1}, [3]int{1, 1, 1})

	got := ask[marked](t, ana, markItems, vars{"input": vars{"as": "READ", "all": true, "filter": acme}})
	if got.Changed != 2 || got.Badge != (badge{4, 2, 2}) {
		t.Errorf("acme's are read: %+v", got)
	}
	check([3]int{4, 2, 2}, [3]int{2, 0, 0}, [3]int{1, 1, 1}, [3]int{1, 1, 1})
	if items, _ := readAll(t, ana, vars{"status": "READ", "tenant": acme["tenant"]}); len(items) != 2 {
		t.Errorf("%d items of acme's are read", len(items))
	}

	told := events.data(t)["feedEvents"].(vars)
	want := vars{"status": "ALL", "archived": "EXCLUDE", "workflows": nil, "tenantScope": "EXACT", "tenants": []any{"acme"}, "data": nil, "createdAfter": nil}
	if diff := cmp.Diff(want, told["filter"]); diff != "" || told["__typename"] != "FeedMarkedWhere" || told["as"] != "READ" || told["position"] != got.Position {
		t.Errorf("told %v (-want +got):\n%s", told, diff)
	}
	if diff := cmp.Diff(vars{"total": 4.0, "unseen": 2.0, "unread": 2.0}, badges.data(t)["badge"].(vars)["badge"]); diff != "" {
		t.Errorf("badge: %s", diff)
	}
	send("globex", "acme")
	told = events.data(t)["feedEvents"].(vars)
	if item, ok := told["item"].(vars); !ok || item["tenant"] != "acme" || told["asOf"] != item["position"] {
		t.Errorf("after an item of globex and one of acme came %v", told)
	}

	for field, input := range map[string]vars{
		"input.filter":                {"as": "READ", "ids": []string{"x"}, "filter": vars{}},
		"input.filter.tenant.tenants": {"as": "READ", "all": true, "filter": vars{"tenant": vars{"scope": "ANY_OF"}}},
		"input.filter.data.a":         {"as": "READ", "all": true, "filter": vars{"data": vars{"a": vars{}}}},
	} {
		if got := ana.call(t, markItems, vars{"input": input}); got.code() != "INVALID" || got.Errors[0].Extensions.Field != field {
			t.Errorf("%s: %s", field, got.raw)
		}
	}
	if got := ana.call(t, countViews, vars{"views": make([]vars, 0)}); got.code() != "" {
		t.Errorf("no views: %s", got.raw)
	}
}
