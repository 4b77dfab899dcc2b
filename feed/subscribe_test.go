package feed

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/pull"
)

// listener is a subscription under test.
type listener struct {
	events <-chan Event
	cancel context.CancelFunc
}

func (w *world) subscribe(t testing.TB, ref Ref, since *belfry.Position) listener {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events, err := pull.Channel(ctx, func(wake func()) (pull.Source[Event], error) {
		return w.Subscribe(ctx, ref, since, wake)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		for range events { // its goroutine has ended when the channel is closed
		}
	})
	return listener{events, cancel}
}

// want takes the next event, which must be of a kind, at a version.
func (l listener) want(t testing.TB, kind EventKind, version int64) Event {
	t.Helper()
	select {
	case e, ok := <-l.events:
		if !ok || e.Kind != kind || e.Position.Version != version {
			t.Fatalf("got %+v (%v), want %s at version %d", e, ok, kind, version)
		}
		return e
	case <-time.After(patience):
		t.Fatalf("got nothing, want %s at version %d", kind, version)
	}
	return Event{}
}

// wantNothing checks that nothing is being told. It can't wait for nothing: it sees what was told by now.
func (l listener) wantNothing(t testing.TB) {
	t.Helper()
	select {
	case e, ok := <-l.events:
		t.Fatalf("got %+v (%v), want nothing", e, ok)
	default:
	}
}

func TestSubscribeReplaysThenGoesLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 2)
	since := w.page(t, ann, 10).Position
	w.fill(t, ann, 1)
	w.mark(t, ann, belfry.Read, ids[0], ids[1])
	w.markAll(t, ann, belfry.Seen, since)
	w.markAll(t, ann, belfry.Archived, since)

	l := w.subscribe(t, ann, &since)
	badge := belfry.Badge{Total: 1, Unseen: 1, Unread: 1}
	if e := l.want(t, Upserted, 3); e.Item.ID.Seq != 3 || e.Badge != badge {
		t.Errorf("replayed item: %+v", e)
	}
	if e := l.want(t, Patched, 4); e.Mark != belfry.Read || !slices.Equal(e.Seqs, []int64{1, 2}) || e.Badge != badge {
		t.Errorf("replayed mark: %+v", e)
	}
	if e := l.want(t, MarkedAll, 5); e.Mark != belfry.Archived || e.UpTo != 2 || e.At.IsZero() {
		t.Errorf("replayed mark on all: %+v", e)
	}
	if e := l.want(t, Synced, 5); e.Badge != badge {
		t.Errorf("synced: %+v", e)
	}
	w.fill(t, ann, 2)
	l.want(t, Upserted, 6)
	if e := l.want(t, Upserted, 7); e.Badge.Total != 3 {
		t.Errorf("live item: %+v", e)
	}
	w.mark(t, ann, belfry.Seen, belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 7})
	if e := l.want(t, Patched, 8); e.Badge != (belfry.Badge{Total: 3, Unseen: 2, Unread: 3}) {
		t.Errorf("live mark: %+v", e)
	}
	l.cancel()
	if e, ok := <-l.events; ok {
		t.Errorf("got %+v after the end", e)
	}
}

func TestSubscribeBeforeTheUserIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := Ref{env, "later", belfry.DefaultFeed}
	zero := belfry.Position{}
	fresh, since := w.subscribe(t, ref, nil), w.subscribe(t, ref, &zero)
	fresh.want(t, Synced, 0)
	since.want(t, Synced, 0)
	w.know(env, "later")
	w.fill(t, ref, 3)
	for _, l := range []listener{fresh, since, w.subscribe(t, ref, &zero)} {
		for version := int64(1); version <= 3; version++ {
			l.want(t, Upserted, version)
		}
	}
}

func TestWhatCannotBeToldIsReset(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		since  func(now belfry.Position) belfry.Position
		before func(t *testing.T, w *world, ref Ref)
		reason ResetReason
	}{
		"another epoch": {since: func(p belfry.Position) belfry.Position { return belfry.Position{Epoch: p.Epoch - 1, Version: 1} }, reason: UnknownPosition},
		"no epoch":      {since: func(p belfry.Position) belfry.Position { return belfry.Position{Version: 1} }, reason: UnknownPosition},
		"ahead of the feed": {since: func(p belfry.Position) belfry.Position {
			return belfry.Position{Epoch: p.Epoch, Version: p.Version + 1}
		}, reason: UnknownPosition},
		"too far behind": {
			since: func(p belfry.Position) belfry.Position {
				return belfry.Position{Epoch: p.Epoch, Version: p.Version - maxReplay - 1}
			},
			before: func(t *testing.T, w *world, ref Ref) { w.fill(t, ref, maxReplay+1) },
			reason: TooMany,
		},
		"changes are dropped": {
			since: func(p belfry.Position) belfry.Position {
				return belfry.Position{Epoch: p.Epoch, Version: p.Version - 1}
			},
			before: func(t *testing.T, w *world, ref Ref) {
				w.markAll(t, ref, belfry.Seen)
				w.mu.Lock()
				w.clock = w.clock.Add(changeRetention + time.Minute)
				w.mu.Unlock()
				if err := w.prune(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
			reason: TooOld,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ann := w.know(env, "ann")
			w.fill(t, ann, 2)
			if row.before != nil {
				row.before(t, w, ann)
			}
			now := w.page(t, ann, 1)
			since := row.since(now.Position)
			l := w.subscribe(t, ann, &since)
			if e := l.want(t, Reset, now.Position.Version); e.Reason != row.reason || e.Position != now.Position || e.Badge != now.Badge {
				t.Errorf("got %+v, want %s at %+v", e, row.reason, now.Position)
			}
			w.fill(t, ann, 1) // and life goes on
			l.want(t, Upserted, now.Position.Version+1)
		})
	}
}

func TestReplayReachesAsFarAsMaxReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, maxReplay)
	l := w.subscribe(t, ann, &belfry.Position{})
	for version := int64(1); version <= maxReplay; version++ {
		l.want(t, Upserted, version)
	}
	l.want(t, Synced, maxReplay)
}

// slow is a subscription whose events are taken by hand, one by one.
type slow struct{ *Subscription }

func (w *world) slow(t *testing.T, ref Ref, since belfry.Position) slow {
	t.Helper()
	sub, err := w.Subscribe(t.Context(), ref, &since, func() {})
	if err != nil {
		t.Fatal(err)
	}
	return slow{sub}
}

func (sub slow) want(t *testing.T, kind EventKind, version int64) Event {
	t.Helper()
	if held := len(sub.pending); held > replayChunk+1 {
		t.Fatalf("%d events are held before version %d, want %d and the end", held, version, replayChunk)
	}
	e, ok, err := sub.Next()
	if !ok || err != nil || e.Kind != kind || e.Position.Version != version {
		t.Fatalf("got %+v (%v, %v), want %s at version %d", e, ok, err, kind, version)
	}
	return e
}

// Who doesn't take what was asked for holds a part of it, and gets what came meanwhile in its place.
func TestReplayIsReadInParts(t *testing.T) {
	t.Parallel()
	for _, past := range []int64{1, replayChunk - 1, replayChunk, replayChunk + 1, 2 * replayChunk, maxReplay} {
		w := newWorld(t)
		ann := w.know(env, "ann")
		ids := w.fill(t, ann, int(past))
		sub := w.slow(t, ann, belfry.Position{})
		sub.want(t, Upserted, 1)
		w.mark(t, ann, belfry.Read, ids[0])
		w.fill(t, ann, 1)
		for version := int64(2); version <= past; version++ {
			if version == 2 {
				w.markAll(t, ann, belfry.Seen)
			}
			sub.want(t, Upserted, version)
		}
		synced := past + 3
		if past <= replayChunk {
			synced = past // all was read at once
			sub.want(t, Synced, synced)
		}
		sub.want(t, Patched, past+1)
		if e := sub.want(t, Upserted, past+2); e.Item.ID.Seq != past+2 {
			t.Errorf("%+v", e)
		}
		if past > 1 {
			sub.want(t, MarkedAll, past+3)
		} else {
			synced = past + 2
		}
		if past > replayChunk {
			sub.want(t, Synced, synced)
		}
		if e, ok, err := sub.Next(); ok || err != nil {
			t.Errorf("%d events: got %+v (%v), want nothing more", past, e, err)
		}
	}
}

// Who was near enough at the beginning isn't sent away because more came while it was told the past.
func TestReplayThatHasBegunGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, maxReplay)
	sub := w.slow(t, ann, belfry.Position{})
	w.fill(t, ann, replayChunk+1)
	for version := int64(1); version <= maxReplay+replayChunk+1; version++ {
		sub.want(t, Upserted, version)
	}
	sub.want(t, Synced, maxReplay+replayChunk+1)
}

func TestReplayIsResetIfTheRestIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, replayChunk+1)
	w.markAll(t, ann, belfry.Seen)
	sub := w.slow(t, ann, belfry.Position{})
	w.exec(t, `DELETE FROM feed_changes`)
	for version := int64(1); version <= replayChunk; version++ {
		sub.want(t, Upserted, version)
	}
	if e := sub.want(t, Reset, replayChunk+2); e.Reason != TooOld {
		t.Errorf("%+v", e)
	}
	if e, ok, err := sub.Next(); ok || err != nil { // a Reset is the end of the past, without a Synced
		t.Errorf("got %+v (%v), want nothing more", e, err)
	}
	w.fill(t, ann, 1)
	sub.want(t, Upserted, replayChunk+3)
}

func TestPositionOfAFeedThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	l := w.subscribe(t, ann, &belfry.Position{Epoch: 5, Version: 5})
	if e := l.want(t, Reset, 0); e.Reason != UnknownPosition || e.Position != (belfry.Position{}) {
		t.Errorf("%+v", e)
	}
	w.fill(t, ann, 2)
	l.want(t, Upserted, 1)
	l.want(t, Upserted, 2)
}

func TestGapsAreReadFromTheDatabase(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"lost in silence": lost, "lost with a gap": lostLoudly, "overtaken": delayed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ann := w.know(env, "ann")
			w.bus.fate = func(n Notice) fate {
				if n.Version == 2 {
					return f
				}
				return arrives
			}
			l := w.subscribe(t, ann, nil)
			l.want(t, Synced, 0)
			for version := int64(1); version <= 3; version++ {
				w.fill(t, ann, 1)
			}
			for version := int64(1); version <= 3; version++ {
				l.want(t, Upserted, version)
			}
			w.fill(t, ann, 1)
			l.want(t, Upserted, 4)
		})
	}
}

func TestDoubledNoticesAreToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.bus.fate = func(Notice) fate { return doubled }
	l := w.subscribe(t, ann, nil)
	l.want(t, Synced, 0)
	w.fill(t, ann, 2)
	l.want(t, Upserted, 1)
	l.want(t, Upserted, 2)
	w.fill(t, ann, 1)
	l.want(t, Upserted, 3)
}

// Two publishers that overtook each other within one look need no reading.
func TestOvertakenNoticesAreSorted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bus.loud = true
	w.fill(t, w.know(env, "ann"), 3)
	sub := &Subscription{}
	events, complete := sub.follow([]Notice{w.bus.sent[2], w.bus.sent[0], w.bus.sent[1]})
	if !complete || len(events) != 3 || events[2].Position.Version != 3 {
		t.Errorf("%+v, complete %v", events, complete)
	}
}

func TestSweepFindsLostBells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.know(env, "ann"), w.know(env, "bob")
	w.bus.fate = func(Notice) fate { return lost }
	l, idle, stranger := w.subscribe(t, ann, nil), w.subscribe(t, bob, nil), w.subscribe(t, Ref{env, "stranger", ann.Channel}, nil)
	for _, l := range []listener{l, idle, stranger} {
		l.want(t, Synced, 0)
	}
	w.fill(t, ann, 2)
	l.wantNothing(t)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.want(t, Upserted, 1)
	l.want(t, Upserted, 2)
	idle.wantNothing(t)
	stranger.wantNothing(t)
}

// A feed that is deleted and made anew begins again at version 1, which its listener must not take for old news.
func TestFeedMadeAnewResetsItsListeners(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"by notice": arrives, "by sweep": lost} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ann := w.know(env, "ann")
			w.fill(t, ann, 5)
			l := w.subscribe(t, ann, nil)
			l.want(t, Synced, 5)
			w.exec(t, `DELETE FROM feeds`)
			w.exec(t, `DELETE FROM feed_items`)
			w.bus.mu.Lock()
			w.bus.fate = func(Notice) fate { return f }
			w.bus.mu.Unlock()
			w.fill(t, ann, 1)
			if err := w.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if e := l.want(t, Reset, 1); e.Reason != UnknownPosition {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestPruneKeepsWhatCanBeReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, 1)
	w.exec(t, `INSERT INTO feed_changes SELECT 99, 'in-app', n, 1, $1, 'SEEN', '{1}' FROM generate_series(1, $2::int) n`, w.tick(), pruneBatch+10)
	w.mu.Lock()
	w.clock = w.clock.Add(changeRetention)
	w.mu.Unlock()
	w.markAll(t, ann, belfry.Seen)
	if err := w.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := w.Pool.QueryRow(t.Context(), `SELECT count(*) FROM feed_changes`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d changes are left, %v; want the young one", left, err)
	}
}

func TestRunPrunesAtOnceAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO feed_changes VALUES (99, 'in-app', 1, 1, $1, 'SEEN', '{1}')`, w.tick().Add(-changeRetention-time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	waitUntil(t, "the old change is dropped", func() bool {
		var left int
		err := w.Pool.QueryRow(t.Context(), `SELECT count(*) FROM feed_changes`).Scan(&left)
		return err == nil && left == 0
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Not parallel: it looks at all goroutines.
func TestSubscriptionsLeaveNothingBehind(t *testing.T) {
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, 1)
	before := goleak.IgnoreCurrent()
	var ls []listener
	for range 20 {
		ls = append(ls, w.subscribe(t, ann, &belfry.Position{})) // half are never read from
	}
	for _, l := range ls[:10] {
		l.want(t, Upserted, 1)
	}
	for _, l := range ls {
		l.cancel()
	}
	for _, l := range ls {
		for range l.events {
		}
	}
	goleak.VerifyNone(t, before)
	// They have no goroutine that could be waited for.
	var subscriptions, lines int
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		w.Service.mu.Lock()
		subscriptions = len(w.followers)
		w.Service.mu.Unlock()
		w.bus.mu.Lock()
		lines = len(w.bus.lines["1/in-app/ann"])
		w.bus.mu.Unlock()
		if subscriptions == 0 && lines == 0 {
			return
		}
	}
	t.Errorf("%d subscriptions and %d lines are still there", subscriptions, lines)
}

// Nodes of the release before are told from their events: those didn't say whose items were marked, nor how many triggers
// an item sums up.
func TestEventsOfOldNodesAreMadeUpFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	l := w.subscribe(t, ann, nil)
	l.want(t, Synced, 0)
	w.bus.fate = func(Notice) fate { return lost } // for now
	ids := w.fill(t, ann, 1)
	w.mark(t, ann, belfry.Read, ids[0])
	w.bus.fate = nil
	for _, n := range slices.Clone(w.bus.sent) {
		var old map[string]any
		if err := json.Unmarshal(n.Payload, &old); err != nil {
			t.Fatal(err)
		}
		delete(old, "recipient")
		if item, ok := old["item"].(map[string]any); ok {
			delete(item, "TotalActivities")
		}
		n.Payload, _ = json.Marshal(old)
		if err := w.bus.Publish([]Notice{n}); err != nil {
			t.Fatal(err)
		}
	}
	if e := l.want(t, Upserted, 1); e.Item.TotalActivities != 1 {
		t.Errorf("it sums up %d triggers, want 1", e.Item.TotalActivities)
	}
	if e := l.want(t, Patched, 2); e.Recipient != ids[0].Recipient || !slices.Equal(e.Seqs, []int64{1}) {
		t.Errorf("%+v; want it to say whose item was marked", e)
	}
}
