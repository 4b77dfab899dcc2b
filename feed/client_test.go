package feed

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
)

// client is a feed as a frontend keeps it: a page, and what it is told since.
type client struct {
	items  map[int64]*Item
	asOf   map[int64]int64 // the version up to which marks are contained in what came of an item
	at     belfry.Position
	badge  belfry.Badge
	resets int
}

// load reads the feed, as a client does first and after a reset.
func (c *client) load(w *world, t *testing.T, ref Ref) {
	page, err := w.Page(t.Context(), ref, Filter{Archived: ArchivedInclude}, MaxPageSize, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.items, c.asOf, c.at, c.badge = make(map[int64]*Item), make(map[int64]int64), page.Position, page.Badge
	for _, it := range page.Items {
		c.items[it.ID.Seq] = it
	}
}

// take folds an event in. It returns what is wrong with its place in the order, if anything.
func (c *client) take(e Event) error {
	next := e.Position.Version == c.at.Version+1
	switch e.Kind {
	case Upserted:
		item := *e.Item // which others are told of as well
		c.items[item.ID.Seq], c.asOf[item.ID.Seq] = &item, max(e.AsOf, e.Position.Version)
	case Patched:
		for _, seq := range e.Seqs {
			c.mark(e, seq)
			if it := c.items[seq]; it != nil {
				switch e.Mark {
				case belfry.Pinned:
					it.PinnedAt = &e.At
				case belfry.Unpinned:
					it.PinnedAt = nil
				}
			}
		}
	case MarkedAll:
		for seq := range c.items {
			if seq <= e.UpTo {
				c.mark(e, seq)
			}
		}
	case MarkedWhere:
		have := oracle{items: c.list()}
		for _, it := range have.list(*e.Filter) {
			if it.ID.Seq <= e.UpTo {
				c.mark(e, it.ID.Seq)
			}
		}
	case Removed:
		for _, seq := range e.Seqs {
			delete(c.items, seq)
		}
		for seq := range c.items {
			if seq <= e.UpTo {
				delete(c.items, seq)
			}
		}
	case Synced:
		next = e.Position == c.at
	case Reset:
		next = true
		c.resets++
	}
	if !next || c.at.Epoch != 0 && e.Position.Epoch != c.at.Epoch {
		return fmt.Errorf("after %v came %s at %v", c.at, e.Kind, e.Position)
	}
	c.at, c.badge = e.Position, e.Badge
	return nil
}

// mark marks an item, if it is there and isn't so already.
func (c *client) mark(e Event, seq int64) {
	if it := c.items[seq]; it != nil && e.Position.Version > c.asOf[seq] {
		it.State = it.State.Apply(e.Mark, e.At)
	}
}

// list is the client's items, newest first.
func (c *client) list() (out []*Item) {
	for _, it := range c.items {
		out = append(out, it)
	}
	slices.SortFunc(out, func(a, b *Item) int { return int(b.ID.Seq - a.ID.Seq) })
	return out
}

// Whatever is lost, doubled or overtaken on the way, each device ends up with the truth, having seen every version
// once and in order.
func TestSubscribersSeeEveryVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var bad struct {
		sync.Mutex
		*rand.Rand
	}
	w.bus.fate = func(Notice) fate {
		bad.Lock()
		defer bad.Unlock()
		if bad.Rand == nil || bad.IntN(3) > 0 {
			return arrives
		}
		return fate(1 + bad.IntN(int(delayed)))
	}
	rapid.Check(t, func(r *rapid.T) {
		ref := w.newFeeds(1)[0]
		faults := rapid.Uint64().Draw(r, "faults") // not under the lock: it may panic
		bad.Lock()
		bad.Rand = rand.New(rand.NewPCG(faults, 0))
		bad.Unlock()
		before := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step { return drawStep(r, 1) }), 0, 5).Draw(r, "before")
		plans := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step { return drawStep(r, 1) }), 2, 6), 3, 3).Draw(r, "plans")
		run := func(steps []step, label string) {
			for n, s := range steps {
				if s.to != nil {
					s.appendTo(t, t, w, []Ref{ref}, fmt.Sprint(label, n))
				} else if !s.group {
					s.markIn(t, t, w, ref)
				}
			}
		}
		clients := make([]*client, 4)
		listeners := make([]listener, len(clients))
		for i := range clients { // some come early, some late, some with an old position
			clients[i] = &client{}
			clients[i].load(w, t, ref)
			if i == 1 {
				run(before, "before")
			}
			listeners[i] = w.subscribe(t, ref, &clients[i].at)
			defer listeners[i].cancel()
		}
		var writers sync.WaitGroup
		for p, plan := range plans {
			writers.Go(func() { run(plan, fmt.Sprint(p, ".")) })
		}
		var readers sync.WaitGroup
		written := make(chan struct{})
		for i, c := range clients {
			readers.Go(func() { w.follow(t, c, listeners[i], ref, written) })
		}
		writers.Wait()
		close(written)
		readers.Wait()
		if t.Failed() {
			r.FailNow()
		}
		w.compare(t, r, ref, clients)
	})
}

// follow folds events until the client is where the feed is, once all is written.
func (w *world) follow(t *testing.T, c *client, l listener, ref Ref, written <-chan struct{}) {
	deadline := time.After(patience)
	for {
		select {
		case e, ok := <-l.events:
			if !ok {
				t.Error("the subscription ended")
				return
			}
			if err := c.take(e); err != nil {
				t.Error(err)
				return
			}
		case <-written:
			written = nil
		case <-time.After(5 * time.Millisecond): // the sweep is what finds bells that were lost last
			if err := w.Sweep(t.Context()); err != nil {
				t.Error(err)
				return
			}
		case <-deadline:
			t.Errorf("stuck at %v", c.at)
			return
		}
		if written == nil {
			if page, err := w.Page(t.Context(), ref, Filter{}, 1, 0); err != nil || c.at == page.Position {
				return
			}
		}
	}
}

// compare checks that all clients have what the database has.
func (w *world) compare(t *testing.T, r *rapid.T, ref Ref, clients []*client) {
	r.Helper()
	truth := &client{}
	truth.load(w, t, ref)
	if len(truth.items) == MaxPageSize {
		r.Skip("more than a client reads")
	}
	for i, c := range clients {
		if c.resets != 0 || c.badge != truth.badge {
			r.Fatalf("client %d: %d resets, badge %+v, want none and %+v", i, c.resets, c.badge, truth.badge)
		}
		if diff := cmp.Diff(truth.list(), c.list(), cmpopts.IgnoreFields(State{}, "Version"), cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("client %d (-database +client):\n%s", i, diff)
		}
	}
}

// An item is replayed as it is now, so a mark with a condition that is replayed after it would meet it in another state.
func TestReplayedItemsSayWhatTheyContain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	c := &client{}
	c.load(w, t, ann)
	ids := w.fill(t, ann, 2)
	w.mark(t, ann, belfry.Read, ids[0])
	if got, err := w.MarkWhere(t.Context(), ann, belfry.Archived, Filter{Status: StatusRead}, nil); err != nil || got.Changed != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	w.mark(t, ann, belfry.Read, ids[1])
	l := w.subscribe(t, ann, &c.at)
	for _, kind := range []EventKind{Upserted, Upserted, Patched, MarkedWhere, Patched} {
		if err := c.take(l.want(t, kind, c.at.Version+1)); err != nil {
			t.Fatal(err)
		}
	}
	if !c.items[1].State.Archived || c.items[2].State.Archived || c.items[2].State.Level != Read {
		t.Errorf("the client has %+v and %+v", c.items[1].State, c.items[2].State)
	}
}

// A device that slept for too long is reset, reads again, and is up to date from there.
func TestClientRecoversFromReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fill(t, ann, 1)
	c := &client{}
	c.load(w, t, ann)
	w.fill(t, ann, maxReplay+1)
	l := w.subscribe(t, ann, &c.at)
	if err := c.take(l.want(t, Reset, maxReplay+2)); err != nil || c.resets != 1 {
		t.Fatal(err)
	}
	w.markAll(t, ann, belfry.Read) // between the reset and the reading
	c.load(w, t, ann)
	w.fill(t, ann, 1)
	for c.at.Version < maxReplay+4 {
		if e := <-l.events; e.Position.Version > c.at.Version { // older ones are in what was read
			if err := c.take(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := (belfry.Badge{Total: maxReplay + 3, Unseen: 1, Unread: 1}); c.badge != want {
		t.Errorf("badge %+v, want %+v", c.badge, want)
	}
}
