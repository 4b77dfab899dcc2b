package test

import (
	"testing"
	"time"

	"github.com/belfryhq/belfry/postgres/pgtest"
	"github.com/belfryhq/belfry/realtime/realtimetest"
)

// Two nodes on one database and one Redis are one installation: what happens through the one is heard through the other.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	redis := realtimetest.StartRedis(t)
	withRedis := settings{"BELFRY_REDIS_URL": redis.URL}
	first, second := serve(t, db, withRedis), serve(t, db, withRedis)
	env := newEnvironment(t, db, "production")
	identify(t, env.backend(first), "ana")
	storeWorkflow(t, env.backend(first), simpleWorkflow("note"))

	device := env.user(t, second, "ana").connect(t).follow(t, "")
	synced := device.expect(t, "FeedSynced")

	// Redis brings it, not the sweep, which comes every 30 seconds.
	soon := func(typename string) event {
		t.Helper()
		began := time.Now()
		e := device.expect(t, typename)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", typename, took)
		}
		return e
	}
	notify(t, env.backend(first), "note", "ana", "through the first node")
	arrived := soon("FeedItemUpserted")
	if arrived.Item.text() != "through the first node" || arrived.Position <= synced.Position {
		t.Errorf("arrived %+v", arrived)
	}
	mark := func(n *node, as string) marked {
		t.Helper()
		return ask[marked](t, env.user(t, n, "ana"), markItems, vars{"input": vars{"as": as, "ids": []string{arrived.Item.ID}}})
	}
	mark(first, "READ")
	if e := soon("FeedItemsPatched"); e.As != "READ" || e.Badge != (badge{1, 0, 0}) {
		t.Errorf("the mark is %+v", e)
	}

	// Without Redis the API works on, and what the device didn't hear of is made up for when Redis is back.
	redis.Stop()
	mark(first, "UNREAD")
	mark(first, "ARCHIVED")
	redis.Restart()
	if e := soon("FeedItemsPatched"); e.As != "UNREAD" {
		t.Errorf("the first of two missed marks is %+v", e)
	}
	if e := soon("FeedItemsPatched"); e.As != "ARCHIVED" || e.Badge != (badge{}) {
		t.Errorf("the second of two missed marks is %+v", e)
	}
	mark(first, "UNARCHIVED")
	soon("FeedItemsPatched")

	// A node that dies takes nobody along.
	first.kill()
	notify(t, env.backend(second), "note", "ana", "after the crash")
	if e := soon("FeedItemUpserted"); e.Item.text() != "after the crash" || e.Badge != (badge{2, 1, 2}) {
		t.Errorf("arrived %+v", e)
	}
}
