package feed

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/belfryhq/belfry"
)

// Watermark is one mark on everything up to a sequence number, or on what of it a filter selects. It stands in for
// writing to each of those items.
type Watermark struct {
	Mark    belfry.Mark `json:"m"`
	UpTo    int64       `json:"u"` // the last item's seq that is meant
	Version int64       `json:"v"` // the feed's version of the mark: later writes to an item win over it
	At      time.Time   `json:"t"`
	Scope   *Scope      `json:"s,omitempty"` // which items; nil: all
	// Settled is how far it has been written to the items: those up to this seq need it no more. Never more than its elders'.
	Settled int64 `json:"d,omitempty"`
	// Unexpanded is how many of the messages that it changed nobody has been told of yet, one by one; see expand.go. If there are
	// any, Expanded is from which seq on it has been (0: it hasn't begun), and User, an external id, whose mark it was.
	Unexpanded int    `json:"n,omitempty"`
	Expanded   int64  `json:"e,omitempty"`
	User       string `json:"w,omitempty"`
	// Condition is on the state in which the mark finds an item, when its turn comes.
	Condition
}

// Watermarks are those marks on everything that still matter, oldest first.
//
// An item's true state is its stored one, then each watermark that is newer than it, and reaches it, and means it as it
// is by then. Because every mark is idempotent and most overwrite what came before, a new watermark makes those superfluous
// that reach no further and whose effect it hides. With marks that reach ever further and have the same scope, as people
// make them, at most five remain, once they are expanded.
type Watermarks []Watermark

// What bounds the list. Marks that reach less and less far, and those with many different scopes, or with a condition on
// the level, fill it; from then on each mark settles a piece of it: writes it to some items. A list that grows faster than
// that takes no more marks that make it longer, at maxOpenWatermarks.
const (
	maxWatermarks         = 32
	maxWatermarkBytes     = 16 << 10 // of JSON: it is read with the badge
	maxOpenWatermarks     = 2 * maxWatermarks
	maxOpenWatermarkBytes = 2 * maxWatermarkBytes
)

// Effective is the true state of an item with some attributes, whose stored state is s. Watermarks pass those by that are
// snoozed.
func (ws Watermarks) Effective(seq int64, a *Attributes, s State) State {
	if s.SnoozedUntil != nil {
		return s
	}
	for i := range ws {
		if w := &ws[i]; w.Version > s.Version && seq <= w.UpTo && w.Condition.matches(s) && w.Scope.Matches(a) {
			s = s.Apply(w.Mark, w.At)
		}
	}
	return s
}

// changes reports whether any of them does anything to an item: if none does, it is as well without any of them.
func (ws Watermarks) changes(seq int64, a *Attributes, s State) bool {
	for i := range ws {
		one := ws[i : i+1]
		if !one.Effective(seq, a, s).same(s) {
			return true
		}
	}
	return false
}

// full reports whether the list is to be settled.
func (ws Watermarks) full() bool { return ws.beyond(maxWatermarks, maxWatermarkBytes) }

// overfull reports whether it has no room for more before that is done.
func (ws Watermarks) overfull() bool { return ws.beyond(maxOpenWatermarks-1, maxOpenWatermarkBytes-1) }

func (ws Watermarks) beyond(n, size int) bool {
	if len(ws) > n {
		return true
	}
	if !slices.ContainsFunc(ws, func(w Watermark) bool { return w.Scope != nil }) {
		return false
	}
	b, err := json.Marshal(ws)
	return err != nil || len(b) > size
}

// needData reports whether any of them looks into items.
func (ws Watermarks) needData() bool {
	return slices.ContainsFunc(ws, func(w Watermark) bool { return w.Scope.needsData() })
}

// Push returns the list with a new mark, without those that it makes superfluous.
func (ws Watermarks) Push(w Watermark) Watermarks {
	return append(slices.Clone(ws), w).compact()
}

// compact returns the list without what later marks make superfluous. As long as a mark isn't expanded it needs those before it,
// and neither it nor later ones make any superfluous.
func (ws Watermarks) compact() Watermarks {
	kept := make(Watermarks, 0, len(ws))
	for i := range ws {
		if ws[i].Unexpanded > 0 {
			return append(kept, ws[i:]...)
		}
		kept = kept.push(ws[i])
	}
	return kept
}

func (ws Watermarks) push(w Watermark) Watermarks {
	kept := make(Watermarks, 0, len(ws)+1)
	var since later
	for i := len(ws) - 1; i >= 0; i-- {
		if old := &ws[i]; !w.supersedes(old, since) {
			kept = append(kept, *old)
			since.add(old)
		}
	}
	slices.Reverse(kept)
	return append(kept, w)
}

// settled returns the list once the items between two sequence numbers are written, without those that are done with.
func (ws Watermarks) settled(from, to int64) Watermarks {
	left := make(Watermarks, 0, len(ws))
	for _, w := range ws {
		if w.Settled == from { // the others haven't been written to the items before
			w.Settled = to
		}
		if w.Settled < w.UpTo {
			left = append(left, w)
		}
	}
	return left
}

// later is what the watermarks that stay behind one say about it.
type later struct {
	onLevel, onArchived bool // the effect of one of them depends on that part of the state
	archive             bool // one of them archives or unarchives
}

func (l *later) add(w *Watermark) {
	l.onLevel = l.onLevel || w.Status != ""
	l.onArchived = l.onArchived || w.Archived != ""
	l.archive = l.archive || archives(w.Mark)
}

// archives tells the two marks that change whether an item is archived, and nothing else, from those that never do.
func archives(m belfry.Mark) bool { return m == belfry.Archived || m == belfry.Unarchived }

// supersedes reports whether an old mark leaves no trace behind a new one: which means every item that the old one does,
// whatever that did to it, and on which no mark in between has looked.
func (w *Watermark) supersedes(old *Watermark, since later) bool {
	switch {
	case old.UpTo > w.UpTo, w.Scope != nil && !w.Scope.equal(old.Scope), !hides(w.Mark, old.Mark):
		return false
	case archives(old.Mark) && since.onArchived, !archives(old.Mark) && since.onLevel:
		return false
	case w.Condition == Condition{}:
		return true
	}
	// Whether items are archived is as it was, if nothing since has changed that: so the new mark finds those that the old
	// one did.
	return w.Status == "" && w.Archived == old.Archived && !archives(w.Mark) && !since.archive
}

// hides reports whether a later mark on the same items leaves no trace of an earlier one, whatever came in between.
func hides(later, earlier belfry.Mark) bool {
	switch later {
	case belfry.Archived, belfry.Unarchived:
		return archives(earlier)
	case belfry.Seen, belfry.Unread: // they keep part of the level, so they hide their own kind only
		return earlier == later
	case belfry.Interacted:
		return !archives(earlier)
	default: // Read and Unseen set the whole level, but not when somebody acted on the item
		return !archives(earlier) && earlier != belfry.Interacted
	}
}
