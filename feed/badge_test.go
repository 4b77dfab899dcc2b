package feed

import (
	"context"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/pull"
)

// badges is a watch under test.
type badges struct{ *BadgeWatch }

func (w *world) watch(t *testing.T, ref Ref) badges {
	t.Helper()
	watch, err := w.WatchBadge(t.Context(), ref, func() {})
	if err != nil {
		t.Fatal(err)
	}
	return badges{watch}
}

func (b badges) want(t *testing.T, want belfry.Badge, version int64) {
	t.Helper()
	got, at, ok, err := b.Next()
	if err != nil || !ok || got != want || at.Version != version {
		t.Fatalf("got %+v at %v (%v, %v), want %+v at %d", got, at, ok, err, want, version)
	}
	b.wantNothing(t)
}

func (b badges) wantNothing(t *testing.T) {
	t.Helper()
	if got, at, ok, err := b.Next(); ok || err != nil {
		t.Fatalf("got %+v at %v (%v), want nothing", got, at, err)
	}
}

func TestWatchBadgeTellsTheNewestOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, 2)
	watch := w.watch(t, ann)
	watch.want(t, belfry.Badge{Total: 2, Unseen: 2, Unread: 2}, 2)
	ids := w.fill(t, ann, 50)
	w.mark(t, ann, belfry.Read, ids[0])
	watch.want(t, belfry.Badge{Total: 52, Unseen: 51, Unread: 51}, 53)
	w.mark(t, ann, belfry.Interacted, ids[0]) // the badge is as it was
	watch.wantNothing(t)
	w.mark(t, ann, belfry.Unread, ids[0])
	w.mark(t, ann, belfry.Read, ids[0]) // and again
	watch.wantNothing(t)
	w.markAll(t, ann, belfry.Archived)
	watch.want(t, belfry.Badge{}, 57)
}

func TestWatchBadgeOfAFeedThatComesToBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := Ref{env, "later", belfry.DefaultFeed}
	watch := w.watch(t, ref)
	watch.want(t, belfry.Badge{}, 0)
	w.know(env, "later")
	w.fill(t, ref, 3)
	watch.want(t, belfry.Badge{Total: 3, Unseen: 3, Unread: 3}, 3)
	w.exec(t, `DELETE FROM feed_items`)
	w.exec(t, `DELETE FROM feeds`)
	w.fill(t, ref, 1) // of another history
	watch.want(t, belfry.Badge{Total: 1, Unseen: 1, Unread: 1}, 1)
}

// Whatever becomes of bells, in the end the badge is right.
func TestWatchBadgeSurvivesTheBus(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"lost": lost, "lost loudly": lostLoudly, "doubled": doubled, "delayed": delayed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ann := w.know(env, "ann")
			w.fill(t, ann, 1)
			watch := w.watch(t, ann)
			watch.want(t, belfry.Badge{Total: 1, Unseen: 1, Unread: 1}, 1)
			w.bus.fate = func(n Notice) fate {
				if n.Version == 3 {
					return f
				}
				return arrives
			}
			w.fill(t, ann, 1)
			w.fill(t, ann, 1)
			if _, _, _, err := watch.Next(); err != nil {
				t.Fatal(err)
			}
			if err := w.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := watch.Next(); err != nil || watch.told != (belfry.Badge{Total: 3, Unseen: 3, Unread: 3}) {
				t.Errorf("told %+v, %v", watch.told, err)
			}
		})
	}
}

// badgesAlone is a watch without its positions.
type badgesAlone struct{ *BadgeWatch }

func (b badgesAlone) Next() (belfry.Badge, bool, error) {
	badge, _, ok, err := b.BadgeWatch.Next()
	return badge, ok, err
}

func TestWatchBadgeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	events, err := pull.Channel(ctx, func(wake func()) (pull.Source[belfry.Badge], error) {
		watch, err := w.WatchBadge(ctx, w.know(env, "ann"), wake)
		return badgesAlone{watch}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	<-events
	cancel()
	for range events {
	}
	waitUntil(t, "nobody listens", func() bool {
		w.bus.mu.Lock()
		defer w.bus.mu.Unlock()
		w.Service.mu.Lock()
		defer w.Service.mu.Unlock()
		return len(w.bus.lines["1/in-app/ann"]) == 0 && len(w.followers) == 0
	})
}
