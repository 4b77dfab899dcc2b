package test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A person who was two users: what came to the other one in the last weeks is in the feed of the one who stays, on an open
// device too, and a new user of the same id inherits nothing.
func TestMergedUsersHaveOneFeed(t *testing.T) {
	t.Parallel()
	i := install(t)
	us := i.backend
	identify(t, us, "ana@work")
	work, ana := i.env.user(t, i.node, "ana@work"), i.env.user(t, i.node, "ana")
	has := func(c caller, n int) []item {
		t.Helper()
		var items []item
		eventually(t, fmt.Sprint(n, " items"), func() bool {
			items, _ = readAll(t, c, nil)
			return len(items) == n
		})
		return items
	}
	notify(t, us, "note", "ana", "own")
	has(ana, 1)
	for n := range 3 {
		notify(t, us, "note", "ana@work", fmt.Sprint("work ", n))
		has(work, n+1)
	}
	ask[any](t, work, markItems, vars{"input": vars{"all": true, "as": "READ"}})
	notify(t, us, "note", "ana@work", "news")
	has(work, 4)
	device := ana.connect(t).follow(t, "")
	device.expect(t, "FeedSynced")

	ask[any](t, us, `mutation { mergeUsers(input: {into: "ana", from: "ana@work"}) { user { id } } }`, nil)
	for n, want := range []string{"work 0", "work 1", "work 2", "news"} {
		e := device.expect(t, "FeedItemUpserted")
		if e.Item.text() != want || (e.Item.ReadAt == nil) != (n == 3) || e.Badge != (badge{Total: 5, Unseen: 2, Unread: 2}) {
			t.Errorf("the device hears %+v, want %s", e, want)
		}
	}
	var texts []string
	for _, it := range has(ana, 5) {
		texts = append(texts, it.text())
	}
	if diff := cmp.Diff([]string{"news", "work 2", "work 1", "work 0", "own"}, texts); diff != "" {
		t.Errorf("the feed (-want +got):\n%s", diff)
	}
	identify(t, us, "ana@work")
	has(work, 0)
	notify(t, us, "note", "ana", "later")
	if e := device.expect(t, "FeedItemUpserted"); e.Item.text() != "later" || e.Badge.Total != 6 {
		t.Errorf("then it hears %+v", e)
	}
}
