package feed

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func TestMarkSaysWhatChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 3)
	w.told()

	got := w.mark(t, ann, belfry.Read, ids[0], ids[2], ids[0])
	if got.Changed != 2 || got.Badge != (belfry.Badge{Total: 3, Unseen: 1, Unread: 1}) || got.Position.Version != 4 {
		t.Errorf("marked two as read: %+v", got)
	}
	told := w.told()
	want := []belfry.StatusChange{{
		Environment: env, Kind: "message.read", Channel: belfry.DefaultFeed, ChannelType: belfry.InApp, Workflow: "welcome", StepRef: "tell",
		Messages: []belfry.MessageRef{{Recipient: 1, UserID: "ann", Seq: 1}, {Recipient: 1, UserID: "ann", Seq: 3}}, Count: 2,
	}}
	if diff := cmp.Diff(want, told, cmpopts.IgnoreFields(belfry.StatusChange{}, "At")); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}

	again := w.mark(t, ann, belfry.Read, ids[0], ids[2])
	if again.Changed != 0 || again.Position != got.Position || len(w.told()) != 0 {
		t.Errorf("marked them again: %+v; want nothing recorded", again)
	}
	if acted := w.mark(t, ann, belfry.Interacted, ids[0]); acted.Changed != 1 {
		t.Errorf("acted: %+v", acted)
	}
	if acted := w.mark(t, ann, belfry.Interacted, ids[0]); acted.Changed != 1 || acted.Position.Version != 6 {
		t.Errorf("acted again: %+v; want it recorded each time", acted)
	}
}

func TestMarkAllSaysWhatChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 5)
	shown := w.page(t, ann, 1).Position
	w.mark(t, ann, belfry.Archived, ids[1])
	w.fill(t, ann, 2)
	w.told()

	got := w.markAll(t, ann, belfry.Read, shown)
	if got.Changed != 4 || got.Badge != (belfry.Badge{Total: 6, Unseen: 2, Unread: 2}) {
		t.Errorf("all that was shown is read: %+v; want 4 changed, and neither the archived nor the new ones counted", got)
	}
	told := w.told()
	if len(told) != 1 || !told[0].All || told[0].Count != 4 || told[0].Messages[0].Seq != 5 || told[0].Workflow != "" {
		t.Errorf("observed %+v", told)
	}
	if again := w.markAll(t, ann, belfry.Read, shown); again.Changed != 0 || again.Position != got.Position || len(w.told()) != 0 {
		t.Errorf("again: %+v; want nothing recorded", again)
	}
	if got := w.markAll(t, ann, belfry.Unarchived); got.Changed != 1 || got.Badge.Total != 7 || got.Badge.Unread != 2 {
		t.Errorf("everything is unarchived: %+v; want one back, which had been read in the archive", got)
	}
}

// Only archived items change: there is something for devices to learn, but nothing that a person did.
func TestMarkAllInTheArchiveIsNotObserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, 2)
	w.markAll(t, ann, belfry.Archived)
	w.told()
	got := w.markAll(t, ann, belfry.Seen)
	if got.Changed != 0 || got.Position.Version != 4 || len(w.told()) != 0 {
		t.Errorf("%+v; want version 4 with nothing counted or observed", got)
	}
}

func TestMarkAllRefusesForeignPositions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, 2)
	here := w.page(t, ann, 1).Position
	for name, upTo := range map[string]belfry.Position{
		"of another epoch": {Epoch: here.Epoch + 1, Version: 1},
		"of no epoch":      {Version: 1},
		"of the future":    {Epoch: here.Epoch, Version: here.Version + 1},
	} {
		_, err := w.MarkAll(t.Context(), ann, belfry.Read, &upTo)
		if belfry.CodeOf(err) != belfry.Invalid {
			t.Errorf("a position %s: %v; want it refused", name, err)
		}
	}
	if got := w.markAll(t, ann, belfry.Read, belfry.Position{}); got.Changed != 0 || got.Badge.Unread != 2 {
		t.Errorf("up to what an empty feed shows: %+v; want nothing to change", got)
	}
	if got := w.markAll(t, ann, belfry.Read, here); got.Changed != 2 {
		t.Errorf("up to here: %+v", got)
	}
}

func TestMarkTakesSoManyIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, MaxMarkIDs+1)
	if got := w.mark(t, ann, belfry.Seen, ids[:MaxMarkIDs]...); got.Changed != MaxMarkIDs {
		t.Errorf("%d ids: %+v", MaxMarkIDs, got)
	}
	_, err := w.Mark(t.Context(), ann, belfry.Seen, ids)
	var refused *belfry.Error
	if !asError(err, &refused) || refused.Code != belfry.TooLarge || refused.Limit != MaxMarkIDs || refused.Field != "input.ids" {
		t.Errorf("%d ids: %v; want them refused", MaxMarkIDs+1, err)
	}
}

func TestUnknownUsersHaveEmptyFeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nobody := Ref{env, "nobody", belfry.DefaultFeed}
	id := belfry.MessageID{Recipient: 1, Channel: belfry.DefaultFeed, Seq: 1}
	if got := w.mark(t, nobody, belfry.Read, id); got.Changed != 0 || len(got.NotFound) != 1 || got.Position != (belfry.Position{}) {
		t.Errorf("mark: %+v", got)
	}
	if got := w.markAll(t, nobody, belfry.Read); got.Changed != 0 || got.Position != (belfry.Position{}) {
		t.Errorf("mark all: %+v", got)
	}
	if got := w.page(t, nobody, 10); len(got.Items) != 0 || got.HasMore || got.Position != (belfry.Position{}) {
		t.Errorf("page: %+v", got)
	}
	if _, err := w.Item(t.Context(), nobody, id); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("item: %v", err)
	}
}

// A mark that waits for an append must see what that brought. One that looks first, or that locks and looks in one
// statement, counts by the items of before.
func TestMarkThatWaitsForAnAppendSeesItsItems(t *testing.T) {
	t.Parallel()
	for name, mark := range map[string]func(*world, Ref, belfry.MessageID) (Marked, error){
		"by id": func(w *world, ref Ref, id belfry.MessageID) (Marked, error) {
			return w.Mark(context.Background(), ref, belfry.Read, []belfry.MessageID{id})
		},
		"all": func(w *world, ref Ref, _ belfry.MessageID) (Marked, error) {
			return w.MarkAll(context.Background(), ref, belfry.Read, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ann := w.know(env, "ann")
			id := w.fill(t, ann, 1)[0]
			id.Seq++ // the one that is coming
			type result struct {
				Marked
				error
			}
			marked := make(chan result, 1)
			err := postgres.InTx(t.Context(), w.Pool, func(tx *postgres.Tx) error {
				if err := w.Append(t.Context(), tx, []belfry.Message{w.message(ann, "late")}); err != nil {
					return err
				}
				go func() {
					got, err := mark(w, ann, id)
					marked <- result{got, err}
				}()
				waitUntil(t, "the mark waits for the lock", func() bool { return w.waiting(t) == 1 })
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			got := <-marked
			if got.error != nil || got.Changed == 0 || len(got.NotFound) != 0 {
				t.Errorf("%+v; want the new item marked", got)
			}
			w.recount(t, t, ann, 3)
			if item, err := w.Item(t.Context(), ann, id); err != nil || item.State.Level != Read {
				t.Errorf("the new item: %+v, %v", item, err)
			}
		})
	}
}

// waiting is how many sessions wait for a lock.
func (w *world) waiting(t *testing.T) (n int) {
	t.Helper()
	err := w.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Marks that reach less and less far can't be compacted: at some point they are written down.
func TestManyShrinkingMarksAreSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	const items = 450 // more than two chunks
	o := &oracle{}
	for i := range items {
		o.add(fmt.Sprint("message ", i+1), kind{workflow: "welcome"}, time.Time{})
	}
	w.fill(t, ann, items)
	epoch := w.page(t, ann, 1).Position.Epoch
	settled := false
	for i := range maxWatermarks + 8 {
		m := marks[i%len(marks)]
		upTo := int64(items - 10*i)
		got := w.markAll(t, ann, m, belfry.Position{Epoch: epoch, Version: upTo})
		changed := o.markAll(m, everyItem, w.changes(t, ann)[got.Position.Version].at, upTo)
		if got.Changed != changed || got.Badge != o.badge() {
			t.Fatalf("mark %d: %+v; want %d changed and %+v", i, got, changed, o.badge())
		}
		h, err := readHeader(t.Context(), w.Pool, selectHeader, key{env, 1, ann.Channel})
		if err != nil || len(h.watermarks) > maxWatermarks {
			t.Fatalf("mark %d leaves %d watermarks, %v", i, len(h.watermarks), err)
		}
		settled = settled || len(h.watermarks) == 0
	}
	if !settled {
		t.Error("never settled: the test doesn't test it")
	}
	w.verify(t, t, ann, o, 100)
}

// Marking everything touches the feed's row and tells one change, whatever the number of items.
func TestMarkAllCostsTheSameForManyItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var written []int64
	w.inTx = func(ctx context.Context, tx *postgres.Tx) error {
		var n int64
		err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT xmin FROM feeds UNION ALL SELECT xmin FROM feed_items
			UNION ALL SELECT xmin FROM feed_changes) AS written WHERE xmin = pg_current_xact_id()::xid`).Scan(&n)
		written = append(written, n)
		return err
	}
	few, many := w.know(env, "few"), w.know(env, "many")
	w.fill(t, few, 10)
	w.fill(t, many, 5000)
	written = nil
	for _, m := range []belfry.Mark{belfry.Seen, belfry.Read, belfry.Interacted, belfry.Archived, belfry.Unarchived, belfry.Unread, belfry.Unseen} {
		for _, ref := range []Ref{few, many} {
			w.markAll(t, ref, m)
		}
	}
	for _, n := range written {
		if n != 2 {
			t.Fatalf("rows written by marking all of 10, all of 5000, and so on: %v; want 2 each", written)
		}
	}
	if len(written) != 14 {
		t.Errorf("%d marks were observed, want 14", len(written))
	}
}
