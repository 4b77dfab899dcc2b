package feed

import (
	"time"

	"github.com/belfryhq/belfry"
)

// Watermark is one mark on everything up to a sequence number. It stands in for writing to each of those items.
type Watermark struct {
	Mark    belfry.Mark `json:"m"`
	UpTo    int64       `json:"u"` // the last item's seq that is meant
	Version int64       `json:"v"` // the feed's version of the mark: later writes to an item win over it
	At      time.Time   `json:"t"`
}

// Watermarks are those marks on everything that still matter, oldest first.
//
// An item's true state is its stored one, then each watermark that is newer than it and reaches it. Because every
// mark is idempotent and most overwrite what came before, a new watermark makes those superfluous that reach no
// further and whose effect it hides. With marks that reach ever further, as people make them, at most five remain.
type Watermarks []Watermark

// maxWatermarks bounds the list. Only marks that reach less and less far can fill it; then it is settled: written to
// the items once, and emptied.
const maxWatermarks = 8

// Effective is the true state of an item whose stored state is s.
func (ws Watermarks) Effective(seq int64, s State) State {
	if s.SnoozedUntil != nil {
		return s
	}
	for _, w := range ws {
		if w.Version > s.Version && seq <= w.UpTo {
			s = s.Apply(w.Mark, w.At)
		}
	}
	return s
}

// Push returns the list with a new mark, without those that it makes superfluous.
func (ws Watermarks) Push(w Watermark) Watermarks {
	kept := make(Watermarks, 0, len(ws)+1)
	for _, old := range ws {
		if old.UpTo > w.UpTo || !hides(w.Mark, old.Mark) {
			kept = append(kept, old)
		}
	}
	return append(kept, w)
}

// hides reports whether a later mark on the same items leaves no trace of an earlier one, whatever came in between.
func hides(later, earlier belfry.Mark) bool {
	switch later {
	case belfry.Archived, belfry.Unarchived:
		return earlier == belfry.Archived || earlier == belfry.Unarchived
	case belfry.Seen, belfry.Unread: // they keep part of the level, so they hide their own kind only
		return earlier == later
	case belfry.Interacted:
		return earlier != belfry.Archived && earlier != belfry.Unarchived
	default: // Read and Unseen set the whole level, but not when somebody acted on the item
		return earlier != belfry.Archived && earlier != belfry.Unarchived && earlier != belfry.Interacted
	}
}
