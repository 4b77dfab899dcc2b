package test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// bulkItems is how many items an operation of the test has.
const bulkItems = 1000

// A node is killed while it works off bulk operations, again and again. In the end every item was done once: what is said in
// order counts in order, nobody is unsubscribed twice, counts are right, and what was refused is told once.
func TestKilledNodesFinishBulkOperations(t *testing.T) {
	t.Parallel()
	const rounds = 3
	i := install(t)
	n := i.node
	_, err := i.pool.Exec(t.Context(), `WITH object AS (INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at)
			SELECT id, 'teams', 'red', 'epoch', 'epoch' FROM environments WHERE key = 'production' RETURNING id, environment_id),
		members AS (INSERT INTO recipients (environment_id, collection, external_id, created_at, updated_at)
			SELECT environment_id, '$users', 's' || u, 'epoch', 'epoch' FROM object, generate_series(0, $1 - 1) u RETURNING id)
		INSERT INTO subscriptions (object_id, recipient_id, environment_id, nested, properties, created_at, updated_at)
			SELECT o.id, m.id, o.environment_id, false, '{}', 'epoch', 'epoch' FROM object o, members m`, 2*bulkItems)
	if err != nil {
		t.Fatal(err)
	}
	type started struct{ Operation struct{ ID string } }
	var ids []string
	for o := range 2 {
		var users, gone []vars
		for u := range bulkItems {
			// Every user twice: the latter counts. Every 100th is none.
			users = append(users, vars{"id": fmt.Sprintf("u%d-%d", o, u%(bulkItems/2)), "properties": vars{"n": u}})
			gone = append(gone, vars{"object": vars{"collection": "teams", "id": "red"}, "recipient": vars{"user": fmt.Sprint("s", o*bulkItems+u)}})
			if u%100 == 99 {
				users[u]["email"], gone[u]["recipient"] = "nobody", vars{"user": "nobody"}
			}
		}
		ids = append(ids,
			ask[started](t, i.env.backend(n), `mutation ($users: [IdentifyUserInput!]!) { bulkIdentifyUsers(input: {users: $users}) { operation { id } } }`, vars{"users": users}).Operation.ID,
			ask[started](t, i.env.backend(n), `mutation ($gone: [BulkUnsubscriptionInput!]!) { bulkUnsubscribe(input: {subscriptions: $gone}) { operation { id } } }`, vars{"gone": gone}).Operation.ID)
	}
	all := len(ids) * bulkItems
	done := func() (sum int) {
		if err := i.pool.QueryRow(t.Context(), `SELECT sum(done) FROM bulk_operations`).Scan(&sum); err != nil {
			t.Fatal(err)
		}
		return sum
	}
	killed := 0
	for round := range rounds {
		eventually(t, "some of it is done", func() bool { return done() > round*all/rounds })
		time.Sleep(rand.N(50 * time.Millisecond)) // a random moment is what this is about
		n.kill()
		if done() < all {
			killed++
		}
		n = serve(t, i.pool.Config().ConnString())
	}
	if killed == 0 {
		t.Error("it was done before a node was killed: that proves nothing")
	}
	eventually(t, "all is done", func() bool { return done() == all })
	for o, id := range ids {
		checkBulk(t, i.env.backend(n), o, id)
	}
	var users, wrong, subscribed int
	err = i.pool.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE (properties->>'n')::int <> $1 + split_part(external_id, '-', 2)::int),
		(SELECT count(*) FROM subscriptions) FROM recipients WHERE external_id LIKE 'u%-%'`, bulkItems/2).Scan(&users, &wrong, &subscribed)
	if want := 2 * (bulkItems/2 - bulkItems/200); err != nil || users != want || wrong != 0 || subscribed != 2*bulkItems/100 {
		t.Errorf("%d users, want %d; %d of them don't say what was said last; %d are subscribed (%v)", users, want, wrong, subscribed, err)
	}
	t.Logf("%d of %d kills were in the middle", killed, rounds)
}

// checkBulk sees that an operation has ended, and refused every 100th item.
func checkBulk(t *testing.T, c caller, o int, id string) {
	t.Helper()
	got := ask[struct {
		Total, Done int
		Failures    []struct{ Index int }
		FinishedAt  *time.Time
	}](t, c, `query ($id: ID!) { bulkOperation(id: $id) { total done failures { index } finishedAt } }`, vars{"id": id})
	if got.Total != bulkItems || got.Done != bulkItems || got.FinishedAt == nil || len(got.Failures) != bulkItems/100 {
		t.Errorf("operation %d: %+v", o, got)
		return
	}
	for f, failure := range got.Failures {
		if failure.Index != 100*f+99 {
			t.Errorf("operation %d refused item %d, want %d", o, failure.Index, 100*f+99)
		}
	}
}
