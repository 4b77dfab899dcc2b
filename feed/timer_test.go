package feed

import (
	"testing"

	"github.com/belfryhq/belfry"
)

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
