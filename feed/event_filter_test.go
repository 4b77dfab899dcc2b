package feed

import (
	"context"
	"slices"
	"testing"

	"github.com/belfryhq/belfry"
)

func (w *world) subscribeWhere(t *testing.T, ref Ref, f Filter, since *belfry.Position) slow {
	t.Helper()
	sub, err := w.SubscribeWhere(t.Context(), ref, f, since, func() {})
	if err != nil {
		t.Fatal(err)
	}
	return slow{sub}
}

func (sub slow) wantNothing(t *testing.T) {
	t.Helper()
	if e, ok, err := sub.Next(); ok || err != nil {
		t.Fatalf("got %+v (%v), want nothing", e, err)
	}
}

func TestSubscribeWhereLeavesItemsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fillKinds(t, ann, 6) // acme's are those at 2 and 5
	sub := w.subscribeWhere(t, ann, ofAcme, &belfry.Position{})
	sub.want(t, Upserted, 2)
	sub.want(t, Upserted, 5)
	sub.want(t, Synced, 6)
	sub.wantNothing(t)
	w.fillKinds(t, ann, 6)
	sub.want(t, Upserted, 8)
	sub.want(t, Upserted, 11)
	sub.wantNothing(t)
	w.mark(t, ann, belfry.Read, belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 1})
	sub.want(t, Patched, 13)
	w.markAll(t, ann, belfry.Seen)
	if e := sub.want(t, MarkedAll, 14); e.Badge != (belfry.Badge{Total: 12, Unread: 11}) {
		t.Errorf("the badge is %+v", e.Badge)
	}

	at := belfry.Position{Epoch: sub.last.Epoch, Version: 8}
	again := w.subscribeWhere(t, ann, Filter{Workflows: []string{"invoice"}, Data: map[string]any{"n": 1}, Archived: ArchivedOnly, Status: StatusRead}, &at)
	again.want(t, Upserted, 11) // what was done to items isn't looked at
	again.want(t, Patched, 13)
	again.want(t, MarkedAll, 14)
	again.want(t, Synced, 14)
}

// Who comes back with the last position that it was told must not be too far behind.
func TestSubscribeWhereTellsItsPositionNowAndThen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	sub := w.subscribeWhere(t, ann, ofAcme, nil)
	sub.want(t, Synced, 0)
	var told []int64
	for range (maxReplay + tellAfter) / 20 {
		w.fill(t, ann, 20)
		for {
			e, ok, err := sub.Next()
			if err != nil || ok && e.Kind != Synced {
				t.Fatalf("%+v, %v", e, err)
			}
			if !ok {
				break
			}
			told = append(told, e.Position.Version)
		}
	}
	if want := []int64{100, 200, 300, 400, 500, 600}; !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
	// While the past is told it isn't said that it has been.
	past := w.subscribeWhere(t, ann, ofAcme, &belfry.Position{Epoch: sub.last.Epoch, Version: tellAfter})
	past.want(t, Synced, maxReplay+tellAfter)
	past.wantNothing(t)
}

// The tenant that somebody waits for may come to be after the subscription.
func TestSubscribeWhereFindsTenantsThatAreNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	known := map[string]belfry.RecipientID{}
	lookUps := 0
	w.TenantIDs = func(_ context.Context, _ belfry.EnvironmentID, names []string) (map[string]belfry.RecipientID, error) {
		lookUps++
		return known, nil
	}
	sub := w.subscribeWhere(t, ann, Filter{Tenant: TenantFilter{TenantAnyOf, []string{"new", "unknown"}}}, nil)
	sub.want(t, Synced, 0)
	send := func(tenant belfry.RecipientID) {
		m := w.message(ann, "x")
		m.Tenant = tenant
		if err := w.append(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	send(0)
	send(8)
	sub.wantNothing(t)
	known["new"] = 9
	send(8)
	send(9)
	send(9)
	sub.want(t, Upserted, 4)
	sub.want(t, Upserted, 5)
	if lookUps != 2 {
		t.Errorf("%d look-ups, want one for each tenant", lookUps)
	}
}

func TestSubscribeWhereRefusesBadFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.SubscribeWhere(t.Context(), w.know(env, "ann"), Filter{Data: map[string]any{"x": []any{}}}, nil, func() {})
	var refused *belfry.Error
	if !asError(err, &refused) || refused.Field != "filter.data.x" {
		t.Errorf("%v; want it refused", err)
	}
	w.bus.mu.Lock()
	defer w.bus.mu.Unlock()
	if len(w.bus.lines) != 0 {
		t.Error("somebody listens")
	}
}

// An item that was told and is then updated isn't left on a list where it no longer belongs, whether one listens or comes back.
func TestSubscribeWhereTellsOfItemsThatNoLongerMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	task := w.about(ann, "task", belfry.ItemOptions{ResourceKey: "task:1"})
	task.Content.Data = map[string]any{"status": "open"}
	if err := w.append(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	start := w.page(t, ann, 1).Position
	set := func(status string) {
		t.Helper()
		if _, _, err := w.Update(t.Context(), ann, nil, "task:1", ContentChange{Data: map[string]any{"status": status}}); err != nil {
			t.Fatal(err)
		}
	}
	open, others := Filter{Data: map[string]any{"status": "open"}}, Filter{Workflows: []string{"other"}}
	live, deaf := w.subscribeWhere(t, ann, open, &belfry.Position{}), w.subscribeWhere(t, ann, others, nil)
	live.want(t, Upserted, 1)
	live.want(t, Synced, 1)
	deaf.want(t, Synced, 1)
	set("closed")
	back := w.subscribeWhere(t, ann, open, &start)
	for _, sub := range []slow{live, back} {
		e := sub.want(t, Removed, 2)
		if e.Removal != Filtered || e.Recipient != 1 || !slices.Equal(e.Seqs, []int64{1}) || e.Item != nil || e.Memo != nil || e.Badge.Total != 1 {
			t.Errorf("%+v", e)
		}
	}
	back.want(t, Synced, 2)
	set("open")
	live.want(t, Upserted, 3)
	live.wantNothing(t)
	deaf.wantNothing(t) // what it looks at never changes
	anew := w.subscribeWhere(t, ann, Filter{Data: map[string]any{"status": "closed"}}, &belfry.Position{})
	anew.want(t, Removed, 2) // as the item is now
	anew.want(t, Removed, 3)
	anew.want(t, Synced, 3)
}
