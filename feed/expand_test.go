package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

// event is what is told of one message; or of so many, if Seq is 0.
type event struct {
	Recipient belfry.RecipientID
	User      string
	Seq       int64
	Kind      belfry.EventKind
	At        time.Time
	Count     int
}

func (w *world) observeEach(ctx context.Context, tx *postgres.Tx, changes []belfry.StatusChange) error {
	w.remember(tx, changes)
	if w.eachInTx != nil {
		return w.eachInTx(ctx, tx)
	}
	return nil
}

// remember keeps what is told of single messages, once it is durable.
func (w *world) remember(tx *postgres.Tx, changes []belfry.StatusChange) {
	var events []event
	for _, c := range changes {
		switch {
		case c.Kind == belfry.MessageSent, c.Each:
		case c.All:
			events = append(events, event{c.Messages[0].Recipient, c.Messages[0].UserID, 0, c.Kind, c.At, c.Count})
		default:
			for _, m := range c.Messages {
				events = append(events, event{m.Recipient, m.UserID, m.Seq, c.Kind, c.At, 1})
			}
		}
	}
	tx.AfterCommit(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, events...)
	})
}

// toldOf is what has been told of messages of a feed.
func (w *world) toldOf(ref Ref) (events []event) {
	id, _ := w.userID(context.Background(), ref.Environment, ref.User)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Recipient == id {
			events = append(events, e)
		}
	}
	return events
}

// expandAll lets the marks on a feed be expanded.
func (w *world) expandAll(t testing.TB, ref Ref) {
	t.Helper()
	for range 1000 {
		if w.header(t, ref).watermarks.waiting() == 0 {
			return
		}
		w.sleep(expandPace)
		if err := w.ExpandMarks(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("the marks on the feed of %s are expanded for ever: %+v", ref.User, w.header(t, ref).watermarks)
}

// wantTold checks that what marks did to each message of a feed was told once, and nothing else; of a message in its order, if
// there was one caller. Where numbers were told instead, they add up.
func (w *world) wantTold(t testing.TB, f testingT, ref Ref, o *oracle, oneCaller bool) {
	f.Helper()
	w.expandAll(t, ref)
	id, _ := w.userID(t.Context(), ref.Environment, ref.User)
	left := map[event]int{}     // that nobody was told of
	together := map[event]int{} // of a mark
	mark := func(e event) event { e.Seq = 0; return e }
	for _, e := range o.events {
		e.Recipient, e.User, e.At = id, ref.User, e.At.UTC()
		left[e]++
		together[mark(e)]++
	}
	last := map[int64]time.Time{}
	for _, e := range w.toldOf(ref) {
		n := e.Count
		e.Count, e.At = 0, e.At.UTC()
		if together[mark(e)] -= n; e.Seq == 0 {
			continue
		}
		if left[e]--; left[e] < 0 {
			f.Fatalf("%+v was told, and didn't happen, or was told before", e)
		}
		if oneCaller && e.At.Before(last[e.Seq]) {
			f.Fatalf("%+v was told after what happened at %v", e, last[e.Seq])
		}
		last[e.Seq] = e.At
	}
	for e, n := range together {
		if n != 0 {
			f.Fatalf("%d changes by the mark %+v were not told (less than 0: too many)", n, e)
		}
	}
}

// brief is events without what is always the same.
func brief(events []event) (out []event) {
	for _, e := range events {
		e.Recipient, e.User, e.At = 0, "", time.Time{}
		out = append(out, e)
	}
	return out
}

func TestAMarkOnEverythingTellsOfEachMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 5)
	w.mark(t, ann, belfry.Archived, ids[1])
	w.mark(t, ann, belfry.Read, ids[2])
	w.told()
	w.events = nil

	w.markAll(t, ann, belfry.Read)
	whole := w.told()
	if len(whole) != 1 || !whole[0].All || !whole[0].Each || whole[0].Count != 3 {
		t.Errorf("observed %+v, want one change that says that each is told of", whole)
	}
	want := []event{{Seq: 5, Kind: "message.read", Count: 1}, {Seq: 4, Kind: "message.read", Count: 1}, {Seq: 1, Kind: "message.read", Count: 1}}
	if diff := cmp.Diff(want, brief(w.toldOf(ann))); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	w.events = nil
	w.markAll(t, ann, belfry.Read)
	w.markAll(t, ann, belfry.Seen)
	if told := w.toldOf(ann); len(told) > 0 {
		t.Errorf("nothing changed, and %+v was told", told)
	}
	if h := w.header(t, ann); len(h.watermarks) != 1 || h.watermarks[0].Unexpanded != 0 {
		t.Errorf("left: %+v", h.watermarks)
	}
}

// Of more than a mark looks at, the others are told of later, as they were when it was made: whatever is done meanwhile.
func TestALongMarkIsExpandedInTheBackground(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, expandAtOnce+20)
	w.events = nil
	w.markAll(t, ann, belfry.Read)
	if n := len(w.toldOf(ann)); n != expandAtOnce {
		t.Errorf("%d were told of at once, want %d", n, expandAtOnce)
	}
	w.mark(t, ann, belfry.Unread, ids[3])
	if _, _, err := w.Retract(t.Context(), env, ids[4:6]); err != nil {
		t.Fatal(err)
	}
	w.markAll(t, ann, belfry.Archived)
	w.mark(t, ann, belfry.Archived, ids[7]) // it is: nothing happens
	got := brief(w.toldOf(ann))[expandAtOnce:]
	want := []event{{Seq: 4, Kind: "message.read", Count: 1}, {Seq: 4, Kind: "message.unread", Count: 1}, {Seq: 5, Kind: "message.read", Count: 1}, {Seq: 6, Kind: "message.read", Count: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told before what the mark did was lost (-want +got):\n%s", diff)
	}
	before := w.header(t, ann)
	w.expandAll(t, ann)
	kinds := map[int64]string{}
	for _, e := range w.toldOf(ann) {
		kinds[e.Seq] += string(e.Kind) + " "
	}
	for _, id := range ids {
		want := "message.read message.archived "
		switch id.Seq {
		case 4:
			want = "message.read message.unread message.archived "
		case 5, 6:
			want = "message.read "
		}
		if kinds[id.Seq] != want {
			t.Errorf("of %d was told %q, want %q", id.Seq, kinds[id.Seq], want)
		}
	}
	after := w.header(t, ann)
	if after.position() != before.position() || after.cells != before.cells || len(after.watermarks) != 2 {
		t.Errorf("expanding changed the feed: %+v, was %+v", after, before)
	}
	var left int
	if err := w.Pool.QueryRow(t.Context(), `SELECT count(*) FROM feed_expansions`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d feeds are left to be expanded, %v", left, err)
	}
}

// Marks faster than they can be expanded cost no more than a number each.
func TestMarksThatAreTooManyToBeExpandedAreToldAsNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lookAtOnce = 1
	ann := w.know(env, "ann")
	w.fill(t, ann, 5)
	w.events = nil
	for i := range maxUnexpanded {
		w.markAll(t, ann, []belfry.Mark{belfry.Read, belfry.Unread}[i%2])
	}
	if n := w.header(t, ann).watermarks.waiting(); n != maxUnexpanded {
		t.Fatalf("%d marks wait, want %d", n, maxUnexpanded)
	}
	want := []event{{Seq: 5, Kind: "message.read", Count: 1}}
	if diff := cmp.Diff(want, brief(w.toldOf(ann))); diff != "" {
		t.Errorf("told so far (-want +got):\n%s", diff)
	}
	w.markAll(t, ann, belfry.Archived)
	for i := range maxUnexpanded {
		e := event{Kind: []belfry.EventKind{"message.read", "message.unread"}[i%2], Count: 5}
		if i == 0 {
			e.Count = 4
		}
		want = append(want, e)
	}
	want = append(want, event{Seq: 5, Kind: "message.archived", Count: 1})
	if diff := cmp.Diff(want, brief(w.toldOf(ann))); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if h := w.header(t, ann); h.watermarks.waiting() != 1 || len(h.watermarks) > 3 {
		t.Errorf("left: %+v", h.watermarks)
	}
}

// What can't be recorded isn't lost: it is told when it can be, and nothing else waits for it.
func TestExpandingIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lookAtOnce = 1
	ann := w.know(env, "ann")
	if err := w.append(t.Context(), w.message(ann, "1"), w.about(ann, "2", belfry.ItemOptions{ExpiresAfter: 10}), w.message(ann, "3"), w.message(ann, "4")); err != nil {
		t.Fatal(err)
	}
	w.events = nil
	w.markAll(t, ann, belfry.Read)
	down := errors.New("no disk")
	w.eachInTx = func(context.Context, *postgres.Tx) error { return down }
	if err := w.ExpandMarks(t.Context()); !errors.Is(err, down) {
		t.Errorf("%v, want it to say so", err)
	}
	w.eachInTx = nil
	w.sleep(20 * time.Second)
	if err := w.FireTimers(t.Context()); err != nil || w.page(t, ann, 1).Badge.Total != 3 {
		t.Errorf("%v; an item should have expired meanwhile", err)
	}
	if err := w.ExpandMarks(t.Context()); err != nil || len(w.toldOf(ann)) != 2 {
		t.Errorf("%v; it should be tried later, told %+v", err, w.toldOf(ann))
	}
	w.sleep(timerRetry)
	if err := w.ExpandMarks(t.Context()); err != nil {
		t.Error(err)
	}
	read := func(seq int64) event { return event{Seq: seq, Kind: "message.read", Count: 1} }
	if diff := cmp.Diff([]event{read(4), read(2), read(3), read(1)}, brief(w.toldOf(ann))); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// What somebody did is told of as theirs, also if they have become somebody else since, or are gone.
func TestMarksOfThoseWhoAreGoneAreExpanded(t *testing.T) {
	t.Parallel()
	for name, merged := range map[string]bool{"merged": true, "gone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.lookAtOnce, w.lookLater = 1, 1
			ann, work := w.know(env, "ann"), w.know(env, "ann@work")
			w.fill(t, work, 4)
			w.events = nil
			w.markAll(t, work, belfry.Read)
			w.Recipients = func(context.Context, *postgres.Tx, belfry.EnvironmentID, []belfry.RecipientID) (map[belfry.RecipientID]*belfry.Recipient, error) {
				return nil, nil
			}
			if err := w.ExpandMarks(t.Context()); err != nil {
				t.Fatal(err)
			}
			for merged && w.merge(t, work, ann, time.Time{}) {
			}
			w.expandAll(t, work)
			var got []int64
			for _, e := range w.toldOf(work) {
				if got = append(got, e.Seq); e.User != "ann@work" || e.Kind != "message.read" {
					t.Errorf("told %+v", e)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff([]int64{1, 2, 3, 4}, got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

// Nodes may do the same: a piece of a feed is told by one of them, and the next one a while later.
func TestNodesShareTheExpandingOfMarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lookAtOnce, w.lookLater = 1, 2
	ann := w.know(env, "ann")
	w.fill(t, ann, 10)
	w.markAll(t, ann, belfry.Read)
	w.events = nil
	var nodes sync.WaitGroup
	for range 4 {
		nodes.Go(func() {
			if err := w.ExpandMarks(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	nodes.Wait()
	if told := w.toldOf(ann); len(told) != 2 {
		t.Errorf("told %+v, want a piece", told)
	}
	w.expandAll(t, ann)
	if told := w.toldOf(ann); len(told) != 9 {
		t.Errorf("told %+v, want the others", told)
	}
}

// Events are in the order of the marks, whatever nodes' clocks say.
func TestMarksAreToldInTheirOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lookAtOnce = 1
	ann := w.know(env, "ann")
	ids := w.fill(t, ann, 3)
	w.markAll(t, ann, belfry.Read)
	w.sleep(-time.Hour)
	w.markAll(t, ann, belfry.Unread)
	w.events = nil
	w.mark(t, ann, belfry.Archived, ids[0])
	want := []event{{Seq: 1, Kind: "message.read", Count: 1}, {Seq: 1, Kind: "message.unread", Count: 1}, {Seq: 1, Kind: "message.archived", Count: 1}}
	if diff := cmp.Diff(want, brief(w.toldOf(ann))); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// A list that is full of marks that wait refuses none that it took otherwise: they are told as numbers.
func TestMarksThatWaitRefuseNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.know(env, "ann")
	w.fillKinds(t, ann, longFeed+100)
	long := Filter{Workflows: []string{"invoice"}, Categories: []string{"billing"}, Data: map[string]any{"kind": "x"}} // each item is looked at
	for i := range MaxFilterValues - 1 {
		name := fmt.Sprintf("%0*d", MaxFilterText, i)
		long.Workflows, long.Categories = append(long.Workflows, name), append(long.Categories, name)
	}
	for i := range maxUnexpanded + 2 {
		if _, err := w.MarkWhere(t.Context(), ann, []belfry.Mark{belfry.Read, belfry.Unread}[i%2], long, nil); err != nil {
			t.Errorf("mark %d: %v", i, err)
		}
		if h := w.header(t, ann); h.watermarks.full() && h.watermarks.waiting() > 0 || i == 0 && h.watermarks.waiting() == 0 {
			t.Errorf("mark %d leaves %d marks, of which %d wait; want one that waits at first, and none in a full list", i, len(h.watermarks), h.watermarks.waiting())
		}
	}
}

// What a filter selects is what is told of, even if it looks at data that is changed before.
func TestMarksByDataAreExpandedByTheDataOfTheirTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lookAtOnce = 1
	ann := w.know(env, "ann")
	var messages []belfry.Message
	for range 3 {
		m := w.about(ann, "x", belfry.ItemOptions{ResourceKey: "invoice:1"})
		m.Content.Data = map[string]any{"kind": "x"}
		messages = append(messages, m)
	}
	if err := w.append(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.MarkWhere(t.Context(), ann, belfry.Read, Filter{Data: map[string]any{"kind": "x"}}, nil); err != nil {
		t.Fatal(err)
	}
	first := w.page(t, ann, 3).Items[2].ID
	if _, _, err := w.Update(t.Context(), ann, &first, "", ContentChange{Data: map[string]any{"kind": "y"}}); err != nil {
		t.Fatal(err)
	}
	w.expandAll(t, ann)
	got := brief(w.toldOf(ann))
	slices.SortFunc(got, func(a, b event) int { return int(a.Seq - b.Seq) })
	want := []event{{Seq: 1}, {Seq: 2}, {Seq: 3}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(event{}, "Kind", "Count")); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// Whatever is done to an item before the mark on it is expanded, what the mark did is told first.
func TestWhateverHappensToAnItemTellsOfItsMarksFirst(t *testing.T) {
	t.Parallel()
	bill := "invoice:1"
	for name, do := range map[string]func(*world, Ref, belfry.MessageID) error{
		"marked": func(w *world, ref Ref, id belfry.MessageID) error {
			_, err := w.Mark(t.Context(), ref, belfry.Archived, []belfry.MessageID{id})
			return err
		},
		"marked with others about the same": func(w *world, ref Ref, _ belfry.MessageID) error {
			_, err := w.MarkResource(t.Context(), ref, belfry.Archived, bill)
			return err
		},
		"resolved": func(w *world, _ Ref, _ belfry.MessageID) error {
			_, err := w.ResolveResource(t.Context(), env, bill, belfry.Archived)
			return err
		},
		"replaced": func(w *world, ref Ref, _ belfry.MessageID) error {
			return w.append(t.Context(), w.about(ref, "new", belfry.ItemOptions{ResourceKey: bill, Replaces: true}))
		},
		"retracted": func(w *world, _ Ref, id belfry.MessageID) error {
			_, _, err := w.Retract(t.Context(), env, []belfry.MessageID{id})
			return err
		},
		"retracted with others about the same": func(w *world, _ Ref, _ belfry.MessageID) error {
			_, err := w.RetractResource(t.Context(), env, bill)
			return err
		},
		"snoozed": func(w *world, ref Ref, id belfry.MessageID) error {
			until := w.now().Add(time.Hour)
			_, err := w.Snooze(t.Context(), ref, []belfry.MessageID{id}, &until)
			return err
		},
		"trimmed": func(w *world, _ Ref, id belfry.MessageID) error {
			return w.trim(t.Context(), excess{key{env, id.Recipient, id.Channel}, KeepPolicy{MaxItems: 3}})
		},
		"settled": func(w *world, ref Ref, _ belfry.MessageID) error { w.settleIn(t, t, ref, 1); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.lookAtOnce = 1
			ann := w.know(env, "ann")
			if err := w.append(t.Context(), w.about(ann, "bill", belfry.ItemOptions{ResourceKey: bill}), w.message(ann, "2"), w.message(ann, "3"), w.message(ann, "4")); err != nil {
				t.Fatal(err)
			}
			w.markAll(t, ann, belfry.Read)
			w.events = nil
			if err := do(w, ann, belfry.MessageID{Recipient: 1, Channel: ann.Channel, Seq: 1}); err != nil {
				t.Fatal(err)
			}
			got := brief(w.toldOf(ann))
			if name == "settled" { // all of this piece at once
				got = got[:1]
			}
			read := event{Seq: 1, Kind: "message.read", Count: 1}
			if len(got) == 0 || got[0] != read {
				t.Fatalf("told %+v, want %+v first", got, read)
			}
			w.expandAll(t, ann)
			times := map[int64]int{}
			for _, e := range brief(w.toldOf(ann)) {
				if e.Kind == read.Kind {
					times[e.Seq]++
				}
			}
			if diff := cmp.Diff(map[int64]int{1: 1, 2: 1, 3: 1}, times); diff != "" {
				t.Errorf("read was told so many times of each (-want +got):\n%s", diff)
			}
		})
	}
}
