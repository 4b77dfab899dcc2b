package feed

import (
	"testing"
	"time"

	"github.com/belfryhq/belfry"
)

// What is due says for how long it has been; what isn't yet says nothing.
func TestLagIsOfWhatIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := func(least, most time.Duration) {
		t.Helper()
		if got, err := w.Lag(t.Context()); err != nil || got < least || got > most {
			t.Errorf("lag %v, %v; want %v to %v", got, err, least, most)
		}
	}
	ann := w.know(env, "ann")
	want(0, 0)
	if err := w.append(t.Context(), w.about(ann, "brief", belfry.ItemOptions{ExpiresAfter: 60})); err != nil {
		t.Fatal(err)
	}
	want(0, 0)
	w.sleep(3 * time.Minute)
	want(2*time.Minute, 2*time.Minute+time.Second)
	if err := w.FireTimers(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(0, 0)
	w.exec(t, `INSERT INTO feed_operations (environment_id, id, kind, resource_key, created_at, due_at) VALUES (1, gen_random_uuid(), 'READ', 'r', $1, $1)`, w.tick())
	w.sleep(time.Hour)
	want(time.Hour, time.Hour+time.Second)
}

// A feed that can't be changed holds up no other, however much is due in it, and is tried again after a while.
func TestAFeedWhoseTimersFailHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	brief := belfry.ItemOptions{ExpiresAfter: 1}
	messages := []belfry.Message{}
	for range timerFeeds + 1 { // more than is looked at before a later one of bob's
		messages = append(messages, w.about(ann, "brief", brief))
	}
	if err := w.append(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	if err := w.append(t.Context(), w.about(bob, "brief", brief)); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `ALTER TABLE feed_changes ADD CONSTRAINT broken CHECK (recipient_id > 1)`)
	w.sleep(timerRetry)
	wantLeft := func(anns, bobs int) {
		t.Helper()
		if a, b := w.page(t, ann, 1).Badge.Total, w.page(t, bob, 1).Badge.Total; a != anns || b != bobs {
			t.Errorf("ann has %d, bob %d; want %d and %d", a, b, anns, bobs)
		}
	}
	if err := w.FireTimers(t.Context()); err == nil {
		t.Error("no error")
	}
	wantLeft(timerFeeds+1, 0)
	if err := w.FireTimers(t.Context()); err != nil {
		t.Errorf("tried again at once: %v", err)
	}
	w.exec(t, `ALTER TABLE feed_changes DROP CONSTRAINT broken`)
	w.sleep(timerRetry)
	if err := w.FireTimers(t.Context()); err != nil {
		t.Error(err)
	}
	wantLeft(0, 0)
}
