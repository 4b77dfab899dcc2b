package feed

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/belfryhq/belfry"
)

func (w *world) retract(t *testing.T, ids ...belfry.MessageID) (removed int, notFound []belfry.MessageID) {
	t.Helper()
	removed, notFound, err := w.Retract(t.Context(), env, ids)
	if err != nil {
		t.Fatal(err)
	}
	return removed, notFound
}

// What is gone is gone from lists, counts and look-ups; whoever listens is told, and whoever comes back from before it came
// misses nothing.
func TestRetractedItemsAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	start := w.page(t, ann, 1).Position
	ids := w.fill(t, ann, 4)
	his := w.fill(t, bob, 1)
	w.mark(t, ann, belfry.Archived, ids[0])
	w.markAll(t, ann, belfry.Read)
	live := w.subscribe(t, ann, nil)
	live.want(t, Synced, 6)
	unknown := belfry.MessageID{Recipient: 99, Channel: ann.Channel, Seq: 1}
	removed, notFound := w.retract(t, ids[0], ids[1], ids[1], his[0], unknown)
	if removed != 3 || !slices.Equal(notFound, []belfry.MessageID{unknown}) {
		t.Errorf("removed %d, not found %v", removed, notFound)
	}
	badge := belfry.Badge{Total: 2}
	if e := live.want(t, Removed, 7); e.Removal != Retracted || !slices.Equal(e.Seqs, []int64{1, 2}) || e.Badge != badge {
		t.Errorf("live: %+v", e)
	}
	page := w.page(t, ann, 9)
	if !slices.Equal(seqs(page.Items), []int64{4, 3}) || page.Badge != badge {
		t.Errorf("%v, %+v", seqs(page.Items), page.Badge)
	}
	if _, err := w.Item(t.Context(), ann, ids[1]); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("by id: %v", err)
	}
	if got := w.mark(t, ann, belfry.Unread, ids[1]); len(got.NotFound) != 1 {
		t.Errorf("marking it: %+v", got)
	}
	if statuses, err := Statuses(t.Context(), w.Pool, env, ids); err != nil || len(statuses) != 2 {
		t.Errorf("statuses %v, %v", statuses, err)
	}
	back := w.subscribe(t, ann, &start)
	for _, kind := range []EventKind{Removed, Removed, Upserted, Upserted, Patched, MarkedAll, Removed, Synced} {
		version := min(7, back.next(t, kind).Position.Version)
		if kind == Removed && version > 2 && version != 7 {
			t.Errorf("%s at %d", kind, version)
		}
	}
	again, _ := w.retract(t, ids...)
	if again != 2 {
		t.Errorf("again: %d", again)
	}
	live.want(t, Removed, 8)
	if n, _ := w.retract(t, ids...); n != 0 || w.page(t, ann, 1).Position.Version != 8 {
		t.Error("what has gone is removed again")
	}
	many := slices.Repeat(ids[:1], MaxMarkIDs+1)
	if _, _, err := w.Retract(t.Context(), env, many); belfry.CodeOf(err) != belfry.TooLarge {
		t.Errorf("%d ids: %v", len(many), err)
	}
	if _, _, err := w.Retract(t.Context(), env, many[1:]); err != nil {
		t.Errorf("%d ids: %v", MaxMarkIDs, err)
	}
}

// Without its row a feed can't be locked, and what isn't locked isn't changed: so it is while somebody is being forgotten.
func TestFeedsWithoutARowAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	if err := w.append(t.Context(), w.about(ann, "job", belfry.ItemOptions{ResourceKey: "job:1"})); err != nil {
		t.Fatal(err)
	}
	id := w.page(t, ann, 1).Items[0].ID
	w.exec(t, `DELETE FROM feeds`)
	if n, notFound := w.retract(t, id); n != 0 || !slices.Equal(notFound, []belfry.MessageID{id}) {
		t.Errorf("retracted %d, not found %v", n, notFound)
	}
	for _, begin := range []func() (*Operation, error){
		func() (*Operation, error) { return w.RetractTrigger(t.Context(), env, uuid.UUID{1}) },
		func() (*Operation, error) { return w.RetractResource(t.Context(), env, "job:1") },
	} {
		if o, err := begin(); err != nil || o.FinishedAt == nil || o.Items != 0 {
			t.Errorf("%+v, %v", o, err)
		}
	}
	if _, _, err := w.Update(t.Context(), ann, &id, "", ContentChange{Data: map[string]any{"done": 90}}); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("updated: %v", err)
	}
	if n := w.count(t, `SELECT count(*) FROM feed_items WHERE content->'data' IS NULL`); n != 1 {
		t.Error("the item was changed")
	}
	if n := w.count(t, `SELECT count(*) FROM feed_changes`); n != 0 {
		t.Errorf("%d changes were recorded", n)
	}
}

// next takes the next event, which must be of a kind.
func (l listener) next(t *testing.T, kind EventKind) Event {
	t.Helper()
	select {
	case e := <-l.events:
		if e.Kind != kind {
			t.Fatalf("got %+v, want %s", e, kind)
		}
		return e
	case <-time.After(patience):
		t.Fatalf("got nothing, want %s", kind)
	}
	return Event{}
}

// Whatever time an item has is counted from when it came, and moves with it to another feed.
func TestItemsExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	hour := belfry.ItemOptions{ExpiresAfter: 3600}
	since := w.tick()
	if err := w.append(t.Context(), w.about(ann, "an hour", hour), w.message(ann, "for ever"), w.about(ann, "two", belfry.ItemOptions{ExpiresAfter: 7200}), w.about(bob, "his", hour)); err != nil {
		t.Fatal(err)
	}
	heard := w.subscribe(t, ann, nil)
	heard.want(t, Synced, 3)
	fire := func() {
		t.Helper()
		if err := w.FireTimers(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	fire()
	for w.merge(t, bob, ann, since) {
	}
	heard.want(t, Upserted, 4)
	w.sleep(time.Hour)
	fire()
	if e := heard.want(t, Removed, 5); e.Removal != Expired || !slices.Equal(e.Seqs, []int64{1, 4}) || e.Badge.Total != 2 {
		t.Errorf("%+v", e)
	}
	w.retract(t, w.page(t, ann, 1).Items[0].ID)
	heard.want(t, Removed, 6)
	w.sleep(time.Hour)
	fire()
	if page := w.page(t, ann, 9); page.Position.Version != 6 || len(page.Items) != 1 {
		t.Errorf("at %d with %d items: what was retracted expires", page.Position.Version, len(page.Items))
	}
	if n := w.count(t, `SELECT count(*) FROM feed_timers`); n != 0 {
		t.Errorf("%d timers are left", n)
	}
}

func (w *world) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	if err := w.Pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What concerns many feeds is begun at once and ended in the background, whoever comes to it.
func TestResourcesAreResolvedInEveryFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := operationFeeds*operationAtOnce + 3
	var messages []belfry.Message
	for i := range n {
		ref := w.know(env, fmt.Sprint("user ", i))
		messages = append(messages, w.about(ref, "due", belfry.ItemOptions{ResourceKey: "invoice:1"}), w.message(ref, "other"))
	}
	other := w.know(2, "ann")
	messages = append(messages, w.about(other, "due", belfry.ItemOptions{ResourceKey: "invoice:1"}))
	if err := w.append(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	started, err := w.ResolveResource(t.Context(), env, "invoice:1", belfry.Archived)
	if err != nil || started.FinishedAt != nil || started.Feeds != n-3 {
		t.Fatalf("%+v, %v", started, err)
	}
	if err := w.RunOperations(t.Context()); err != nil {
		t.Fatal(err)
	}
	done, err := w.OperationByID(t.Context(), env, started.ID)
	if err != nil || done.FinishedAt == nil || done.Feeds != n || done.Items != n {
		t.Errorf("%+v, %v; want %d", done, err, n)
	}
	gone, err := w.RetractResource(t.Context(), env, "invoice:1")
	if err != nil || w.RunOperations(t.Context()) != nil {
		t.Fatal(err)
	}
	if gone, err = w.OperationByID(t.Context(), env, gone.ID); err != nil || gone.Items != n || !gone.Retracts() {
		t.Errorf("%+v, %v", gone, err)
	}
	if left := w.count(t, `SELECT count(*) FROM feed_items WHERE environment_id = $1`, env); left != n {
		t.Errorf("%d items are left, want %d", left, n)
	}
	if w.page(t, other, 1).Badge.Total != 1 {
		t.Error("the same key in another environment is another resource")
	}
	for _, id := range []uuid.UUID{uuid.New(), started.ID} {
		if _, err := w.OperationByID(t.Context(), 2, id); belfry.CodeOf(err) != belfry.NotFound {
			t.Errorf("in another environment: %v", err)
		}
	}
}

// A feed may have more items of a resource than are dealt with at a time: it is gone on with until each has been reached, and
// then with the feeds behind it.
func TestOperationsReachEveryItemOfALongFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	due := belfry.ItemOptions{ResourceKey: "invoice:1"}
	n := operationAtOnce*maxOfResource + 1
	messages := []belfry.Message{w.about(bob, "due", due), w.message(ann, "other")}
	for range n {
		messages = append(messages, w.about(ann, "due", due))
	}
	if err := w.append(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	for _, begin := range []func() (*Operation, error){
		func() (*Operation, error) {
			return w.ResolveResource(t.Context(), env, "invoice:1", belfry.Archived)
		},
		func() (*Operation, error) { return w.RetractResource(t.Context(), env, "invoice:1") },
	} {
		o, err := begin()
		if err != nil || o.FinishedAt != nil || o.Feeds != 1 || o.Items != n-1 {
			t.Fatalf("at first: %+v, %v; want %d items of one feed", o, err, n-1)
		}
		if err := w.RunOperations(t.Context()); err != nil {
			t.Fatal(err)
		}
		o, err = w.OperationByID(t.Context(), env, o.ID)
		if err != nil || o.FinishedAt == nil || o.Feeds != 2 || o.Items != n+1 {
			t.Errorf("%+v, %v; want %d items of two feeds", o, err, n+1)
		}
		if a, b := w.page(t, ann, 1).Badge.Total, w.page(t, bob, 1).Badge.Total; a != 1 || b != 0 {
			t.Errorf("%s: ann has %d items left, bob %d; want 1 and none", o.Kind, a, b)
		}
	}
	if left := w.count(t, `SELECT count(*) FROM feed_items`); left != 1 {
		t.Errorf("%d items are left, want the one about something else", left)
	}
}

// What a trigger's runs made goes, and nothing else, whatever the ids that are remembered name by now.
func TestItemsOfATriggerAreRetracted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := operationFeeds*operationAtOnce + 3
	trigger := uuid.New()
	var messages []belfry.Message
	for i := range n {
		ref := w.know(env, fmt.Sprint("user ", i))
		made := w.message(ref, "made")
		made.Trigger = trigger
		messages = append(messages, made, w.message(ref, "other"))
	}
	if err := w.append(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	started, err := w.RetractTrigger(t.Context(), env, trigger)
	if err != nil || started.Items != n-3 || started.Trigger != trigger {
		t.Fatalf("%+v, %v", started, err)
	}
	if err := w.RunOperations(t.Context()); err != nil {
		t.Fatal(err)
	}
	done, err := w.OperationByID(t.Context(), env, started.ID)
	if err != nil || done.FinishedAt == nil || done.Items != n {
		t.Errorf("%+v, %v; want %d", done, err, n)
	}
	if left := w.count(t, `SELECT count(*) FROM feed_items WHERE trigger_id <> $1`, trigger); left != n {
		t.Errorf("%d items are left, want %d", left, n)
	}
}

// One that can't go on waits, and lets others.
func TestAnOperationThatFailsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO feed_operations (environment_id, id, kind, resource_key, created_at, due_at) SELECT 1, gen_random_uuid(), 'READ', 'r' || n, $1, $1 FROM generate_series(1, 2) n`, w.tick())
	w.exec(t, `ALTER TABLE feed_operations ADD CHECK (resource_key <> 'r1' OR finished_at IS NULL)`)
	if err := w.RunOperations(t.Context()); err == nil {
		t.Error("no error")
	}
	if err := w.RunOperations(t.Context()); err != nil {
		t.Error(err)
	}
	if n := w.count(t, `SELECT count(*) FROM feed_operations WHERE finished_at IS NULL`); n != 1 {
		t.Errorf("%d are unfinished, want the broken one", n)
	}
	w.exec(t, `ALTER TABLE feed_operations DROP CONSTRAINT feed_operations_check`)
	w.sleep(operationRetry)
	if err := w.RunOperations(t.Context()); err != nil {
		t.Error(err)
	}
	if n := w.count(t, `SELECT count(*) FROM feed_operations WHERE finished_at IS NULL`); n != 0 {
		t.Errorf("%d are unfinished", n)
	}
	w.exec(t, `INSERT INTO feed_operations (environment_id, id, kind, resource_key, created_at, due_at) SELECT 1, gen_random_uuid(), 'READ', 'r', $1, $1 FROM generate_series(1, $2) n`, w.tick(), MaxOpenOperations)
	if _, err := w.ResolveResource(t.Context(), env, "r", belfry.Read); belfry.CodeOf(err) != belfry.Conflict {
		t.Errorf("beyond %d: %v", MaxOpenOperations, err)
	}
	w.exec(t, `DELETE FROM feed_operations WHERE id = (SELECT id FROM feed_operations WHERE finished_at IS NULL LIMIT 1)`)
	if _, err := w.ResolveResource(t.Context(), env, "r", belfry.Read); err != nil {
		t.Errorf("the last of %d: %v", MaxOpenOperations, err)
	}
}
