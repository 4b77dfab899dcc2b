package feed

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/belfryhq/belfry"
)

// keeper does to a feed what backends, people and time do, and to an oracle too.
type keeper struct {
	*world
	t    *testing.T
	ref  Ref
	o    *oracle
	hour int // of the oracle's clock: what is due is due at a full hour
	born map[int64]int
}

// resources are few, so that items share them.
var resources = []string{"", "invoice:1", "invoice:2"}

// id is the id of an item of the feed, or of none.
func (k *keeper) id(seq int64) belfry.MessageID {
	own, _ := k.userID(k.t.Context(), env, k.ref.User)
	return belfry.MessageID{Recipient: own, Channel: k.ref.Channel, Seq: seq}
}

func (k *keeper) ids(seqs []int64) (ids []belfry.MessageID) {
	for _, seq := range seqs {
		ids = append(ids, k.id(seq))
	}
	return ids
}

// act is one thing that is done. It returns what it does, and what the oracle has to say about it: whether it was right.
type act struct {
	name  string
	do    func() (changed int, err error)
	truth func() (changed int) // on the oracle
}

func (k *keeper) draw(r *rapid.T, n int) act {
	seqs := rapid.SliceOfN(rapid.Int64Range(1, 20), 1, 4).Draw(r, "items")
	resource := rapid.SampledFrom(resources[1:]).Draw(r, "resource")
	mark := rapid.SampledFrom(marks).Draw(r, "mark")
	return rapid.SampledFrom([]func() act{
		func() act { return k.appends(r, n) }, func() act { return k.appends(r, n) },
		func() act { return k.marks(mark, seqs) }, func() act { return k.marksAll(mark) },
		func() act { return k.marksWhere(mark, *rapid.SampledFrom(markFilters).Draw(r, "filter")) }, k.groups, func() act { return k.settles(rapid.IntRange(1, 5).Draw(r, "pace")) },
		func() act { return k.marksResource(mark, resource) },
		func() act { return k.retracts(seqs) }, func() act { return k.retractsResource(resource) }, func() act { return k.resolves(mark, resource) },
		func() act { return k.snoozes(seqs, rapid.IntRange(0, 3).Draw(r, "hours")) },
		func() act {
			return k.pins(rapid.SampledFrom([]belfry.Mark{belfry.Pinned, belfry.Unpinned}).Draw(r, "pin"), seqs)
		},
		func() act { return k.updates(resource, n) }, func() act { return k.trims(r) },
		k.expands, func() act { return k.passes(rapid.IntRange(1, 3).Draw(r, "hours")) },
	}).Draw(r, "act")()
}

func (k *keeper) appends(r *rapid.T, n int) act {
	options := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) belfry.ItemOptions {
		return belfry.ItemOptions{ResourceKey: rapid.SampledFrom(resources).Draw(r, "about"), ExpiresAfter: 3600 * rapid.Int64Range(0, 3).Draw(r, "expires"),
			Replaces: rapid.Bool().Draw(r, "replaces"), Priority: rapid.SampledFrom([]belfry.Priority{"", belfry.NormalPriority, belfry.UrgentPriority}).Draw(r, "priority"),
			Severity: rapid.SampledFrom([]belfry.Severity{"", belfry.ErrorSeverity}).Draw(r, "severity")}
	}), 1, 3).Draw(r, "append")
	label := func(i int) string { return fmt.Sprint(n, ".", i) }
	return act{"append", func() (int, error) {
		var messages []belfry.Message
		for i, o := range options {
			m := k.about(k.ref, label(i), o)
			kind := kindOf(i)
			m.Workflow, m.Categories, m.Tenant, m.Content.Data = kind.workflow, kind.categories, kind.tenant, kind.data
			messages = append(messages, m)
		}
		return 0, k.append(k.t.Context(), messages...)
	}, func() int {
		for i, o := range options {
			k.o.add(label(i), kindOf(i), k.newest(k.t, k.ref))
			k.o.items[len(k.o.items)-1].Content.Item = &o
			k.born[k.o.version] = k.hour
		}
		for _, resource := range resources[1:] {
			var replaced []int64
			for i, o := range slices.Backward(options) {
				if o.ResourceKey == resource && o.Replaces {
					seq := k.o.items[len(k.o.items)-len(options)+i].ID.Seq
					replaced = slices.DeleteFunc(k.o.about(resource), func(s int64) bool { return s >= seq })
					break
				}
			}
			k.o.mark(belfry.Archived, k.changedAt(), replaced)
		}
		return 0
	}}
}

func (k *keeper) marks(m belfry.Mark, seqs []int64) act {
	return act{"mark " + string(m), func() (int, error) {
		got, err := k.Mark(k.t.Context(), k.ref, m, k.ids(seqs))
		return got.Changed, err
	}, func() int { return k.o.mark(m, k.changedAt(), seqs) }}
}

func (k *keeper) marksAll(m belfry.Mark) act {
	return act{"mark all " + string(m), func() (int, error) {
		got, err := k.MarkAll(k.t.Context(), k.ref, m, nil)
		return got.Changed, err
	}, func() int { return k.o.markAll(m, everyItem, k.changedAt(), k.o.version) }}
}

func (k *keeper) marksWhere(m belfry.Mark, f Filter) act {
	return act{"mark some " + string(m), func() (int, error) {
		got, err := k.MarkWhere(k.t.Context(), k.ref, m, f, nil)
		return got.Changed, err
	}, func() int { return k.o.markAll(m, f, k.changedAt(), k.o.version) }}
}

// expands tells what some of the marks did: nothing changes by that.
func (k *keeper) expands() act {
	return act{"expand", func() (int, error) { k.expandSome(k.t, k.t); return 0, nil }, func() int { return 0 }}
}

// groups counts the feed by group: what is done from then on keeps that true.
func (k *keeper) groups() act {
	return act{"group", func() (int, error) { k.groupIn(k.t, k.t, k.ref); return 0, nil }, func() int { return 0 }}
}

// settles writes what marks on many said to some items: nothing changes by that.
func (k *keeper) settles(n int) act {
	return act{"settle", func() (int, error) { k.settleIn(k.t, k.t, k.ref, n); return 0, nil }, func() int { return 0 }}
}

func (k *keeper) marksResource(m belfry.Mark, resource string) act {
	return act{"mark what is about " + resource, func() (int, error) {
		got, err := k.MarkResource(k.t.Context(), k.ref, m, resource)
		return got.Changed, err
	}, func() int { return k.o.mark(m, k.changedAt(), k.o.about(resource)) }}
}

func (k *keeper) resolves(m belfry.Mark, resource string) act {
	return act{"resolve " + resource, func() (int, error) {
		got, err := k.ResolveResource(k.t.Context(), env, resource, m)
		if err == nil && got.FinishedAt == nil {
			err = k.RunOperations(k.t.Context())
		}
		return 0, err
	}, func() int { k.o.mark(m, k.changedAt(), k.o.about(resource)); return 0 }}
}

func (k *keeper) retracts(seqs []int64) act {
	return act{"retract", func() (int, error) {
		removed, _, err := k.Retract(k.t.Context(), env, k.ids(seqs))
		return removed, err
	}, func() int { return k.o.remove(seqs) }}
}

func (k *keeper) retractsResource(resource string) act {
	return act{"retract " + resource, func() (int, error) {
		got, err := k.RetractResource(k.t.Context(), env, resource)
		if err == nil && got.FinishedAt == nil {
			err = k.RunOperations(k.t.Context())
		}
		return 0, err
	}, func() int { k.o.remove(k.o.about(resource)); return 0 }}
}

// passes lets time pass, and what is due happen.
func (k *keeper) passes(hours int) act {
	return act{"time", func() (int, error) {
		k.sleep(time.Duration(hours) * time.Hour)
		return 0, k.FireTimers(k.t.Context())
	}, func() int {
		k.hour += hours
		var due []int64
		for _, it := range k.o.items {
			if o := it.Content.Item; o != nil && o.ExpiresAfter > 0 && k.born[it.ID.Seq]+int(o.ExpiresAfter/3600) <= k.hour {
				due = append(due, it.ID.Seq)
			}
		}
		k.o.remove(due)
		for _, it := range k.o.items {
			if until := it.State.SnoozedUntil; until != nil && !until.After(k.now()) {
				k.o.bringBack(it)
			}
		}
		return 0
	}}
}

// bringBack ends a snooze.
func (o *oracle) bringBack(it *Item) {
	it.State = it.State.Apply(belfry.Unseen, time.Time{})
	it.State.SnoozedUntil = nil
	o.version++
}

// snoozes takes items out of the feed for some hours, or brings them back.
func (k *keeper) snoozes(seqs []int64, hours int) act {
	var until *time.Time
	return act{"snooze", func() (int, error) {
		if until = nil; hours > 0 {
			at := k.now().Add(time.Duration(hours) * time.Hour).Truncate(time.Hour)
			until = &at
		}
		got, err := k.Snooze(k.t.Context(), k.ref, k.ids(seqs), until)
		if belfry.CodeOf(err) == belfry.Invalid {
			err = nil // somebody else put the clock forward in between
		}
		return got.Changed, err
	}, func() (changed int) {
		for _, it := range k.o.items {
			is := it.State.SnoozedUntil
			switch {
			case !slices.Contains(seqs, it.ID.Seq), until == nil && is == nil, until != nil && is != nil && is.Equal(*until):
				continue
			case until == nil:
				k.o.bringBack(it)
			default:
				it.State.SnoozedUntil = until
			}
			changed++
		}
		if until != nil && changed > 0 {
			k.o.version++
		}
		return changed
	}}
}

func (k *keeper) pins(m belfry.Mark, seqs []int64) act {
	return act{string(m), func() (int, error) {
		got, err := k.Mark(k.t.Context(), k.ref, m, k.ids(seqs))
		return got.Changed, err
	}, func() (changed int) {
		at := k.changedAt()
		for _, it := range k.o.items {
			if slices.Contains(seqs, it.ID.Seq) && (it.PinnedAt != nil) != (m == belfry.Pinned) {
				if it.PinnedAt = nil; m == belfry.Pinned {
					it.PinnedAt = &at
				}
				changed++
			}
		}
		if changed > 0 {
			k.o.version++
		}
		return changed
	}}
}

// updates changes what the newest item about a resource says.
func (k *keeper) updates(resource string, n int) act {
	body := belfry.Body{Format: belfry.TextBody, Content: fmt.Sprint("update ", n), Rendered: fmt.Sprint("update ", n)}
	return act{"update", func() (int, error) {
		_, _, err := k.Update(k.t.Context(), k.ref, nil, resource, ContentChange{Body: &body})
		if belfry.CodeOf(err) == belfry.NotFound {
			return 0, nil
		}
		return 0, err
	}, func() int {
		if about := k.o.about(resource); len(about) > 0 {
			for _, it := range k.o.items {
				if it.ID.Seq == about[len(about)-1] {
					it.Content.Body = body
				}
			}
			k.o.version++
		}
		return 0
	}}
}

// trims lets the feed keep so many items, once.
func (k *keeper) trims(r *rapid.T) act {
	keep := rapid.IntRange(3, 12).Draw(r, "keep")
	return act{"trim", func() (int, error) {
		return 0, k.trim(k.t.Context(), excess{key{env, k.id(1).Recipient, k.ref.Channel}, KeepPolicy{MaxItems: keep}})
	}, func() int {
		counted := 0
		for _, it := range k.o.items {
			if it.State.SnoozedUntil == nil {
				counted++
			}
		}
		var oldest []int64
		for _, it := range k.o.items {
			if counted <= keep {
				break
			}
			oldest = append(oldest, it.ID.Seq)
			if it.State.SnoozedUntil == nil {
				counted--
			}
		}
		k.o.remove(oldest)
		return 0
	}}
}

// sleep puts the clock forward.
func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// changedAt is when the newest change happened: the oracle has no clock.
func (k *keeper) changedAt() time.Time {
	return k.changes(k.t, k.ref)[k.page(k.t, k.ref, 1).Position.Version].at
}

// about is the sequence numbers of what is about a resource.
func (o *oracle) about(resource string) (seqs []int64) {
	for _, it := range o.items {
		if it.Content.Item != nil && it.Content.Item.ResourceKey == resource {
			seqs = append(seqs, it.ID.Seq)
		}
	}
	return seqs
}

// remove removes items by number.
func (o *oracle) remove(seqs []int64) (removed int) {
	kept := slices.DeleteFunc(slices.Clone(o.items), func(it *Item) bool { return slices.Contains(seqs, it.ID.Seq) })
	if removed = len(o.items) - len(kept); removed > 0 {
		o.items = kept
		o.version++
	}
	return removed
}

// One caller: after each act the feed is what the oracle says, and a device that comes back from wherever it was has the same.
func TestUpkeepAgreesWithOracle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var one sync.Mutex // the clock is everybody's
	rapid.Check(t, func(r *rapid.T) {
		one.Lock()
		defer one.Unlock()
		ref := w.newFeeds(1)[0]
		w.hurry(r)
		k := &keeper{w, t, ref, &oracle{}, 0, map[int64]int{}}
		asleep := []*client{{items: map[int64]*Item{}, asOf: map[int64]int64{}}}
		for n := range rapid.IntRange(1, 25).Draw(r, "acts") {
			a := k.draw(r, n)
			changed, err := a.do()
			if err != nil {
				r.Fatalf("%s: %v", a.name, err)
			}
			if want := a.truth(); changed != want {
				r.Fatalf("%s changed %d, want %d", a.name, changed, want)
			}
			w.recount(t, r, ref, k.o.version)
			if badge, err := w.Badge(t.Context(), ref); err != nil || badge != k.o.badge() {
				r.Fatalf("after %s: badge %+v, %v; want %+v", a.name, badge, err, k.o.badge())
			}
			if rapid.IntRange(0, 4).Draw(r, "sleeps") == 0 {
				c := &client{}
				c.load(w, t, ref)
				asleep = append(asleep, c)
			}
		}
		w.verify(t, r, ref, k.o, 1, 3, 100)
		w.wantTold(t, r, ref, k.o, true)
		for _, c := range asleep {
			w.wake(t, c, ref)
		}
		if t.Failed() {
			r.FailNow()
		}
		w.compare(t, r, ref, asleep)
	})
}

// wake lets a device follow from where it was to the present.
func (w *world) wake(t *testing.T, c *client, ref Ref) {
	l := w.subscribe(t, ref, &c.at)
	defer l.cancel()
	for e := range l.events {
		if err := c.take(e); err != nil {
			t.Error(err)
		}
		if e.Kind == Synced || e.Kind == Reset || t.Failed() {
			return
		}
	}
}

// Many at a time, on a bus that loses, doubles and reorders: counters stay exact, and every device ends up with the truth.
func TestUpkeepIsToldToEveryDevice(t *testing.T) {
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
		w.hurry(r)
		k := &keeper{w, t, ref, &oracle{}, 0, map[int64]int{}}
		plans := make([][]act, 4)
		for p := range plans {
			for n := range rapid.IntRange(2, 7).Draw(r, "acts") {
				plans[p] = append(plans[p], k.draw(r, 10*p+n))
			}
		}
		clients := make([]*client, 4)
		listeners := make([]listener, len(clients))
		for i := range clients {
			clients[i] = &client{}
			clients[i].load(w, t, ref)
			if i == 1 {
				if _, err := k.appends(r, 100).do(); err != nil {
					r.Fatalf("append: %v", err)
				}
			}
			listeners[i] = w.subscribe(t, ref, &clients[i].at)
			defer listeners[i].cancel()
		}
		var writers, readers sync.WaitGroup
		for _, plan := range plans {
			writers.Go(func() {
				for _, a := range plan {
					if _, err := a.do(); err != nil {
						t.Errorf("%s: %v", a.name, err)
					}
				}
			})
		}
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
		truth := &client{}
		truth.load(w, t, ref)
		w.recount(t, r, ref, truth.at.Version)
	})
}
