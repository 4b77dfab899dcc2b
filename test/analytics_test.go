package test

import (
	"fmt"
	"testing"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// Who marks a long feed as read has read each of its messages, and Segment learns of each: of most in the background.
func TestSegmentLearnsOfEachMessageOfALongMark(t *testing.T) {
	t.Parallel()
	const steps, triggers = 15, 10
	segment := collect(t, "write-key")
	db := pgtest.URL(t)
	n := serve(t, db)
	env := newEnvironment(t, db, "production")
	run(t, db, "segment", "set", "--environment", "production", "--write-key", "write-key", "--endpoint", segment.URL)
	backend, ana := env.backend(n), env.user(t, n, "ana")
	identify(t, backend, "ana")
	digest := vars{"key": "digest", "name": "Digest"}
	var all []vars
	for i := range steps {
		all = append(all, vars{"ref": fmt.Sprintf("item%d", i), "inApp": vars{"body": "{{ data.text }}", "format": "TEXT"}})
	}
	digest["steps"] = all
	storeWorkflow(t, backend, digest)
	for range triggers {
		notify(t, backend, "digest", "ana", "hello")
	}
	eventually(t, "all items", func() bool { return ask[page](t, ana, readFeed, nil).Items.Badge.Total == steps*triggers })
	if got := ask[marked](t, ana, markItems, vars{"input": vars{"as": "READ", "all": true}}); got.Changed != steps*triggers {
		t.Fatalf("marked %+v", got)
	}
	read := map[any]int{}
	eventually(t, "Segment has all that was read", func() bool {
		clear(read)
		for _, e := range segment.accepted() {
			if e.Event == "Notification read" {
				if e.UserID != "ana" || e.Properties["all"] != nil || e.Properties["workflowKey"] != "digest" {
					t.Fatalf("Segment has %+v", e)
				}
				read[e.Properties["messageId"]]++
			}
		}
		return len(read) == steps*triggers
	})
	for id, times := range read {
		if times != 1 {
			t.Errorf("%v was read %d times", id, times)
		}
	}
}
