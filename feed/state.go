package feed

import (
	"time"

	"github.com/belfryhq/belfry"
)

// Level is how far a person got with an item. Reading implies having seen.
type Level int16

const (
	Unseen Level = iota
	Seen
	Read
)

// State is what marks did to an item, as of a feed version.
type State struct {
	Version      int64 // the feed's version at which it was written
	Level        Level
	Archived     bool
	SeenAt       *time.Time // the latest time of each, nil if it isn't so (now)
	ReadAt       *time.Time
	InteractedAt *time.Time
	ArchivedAt   *time.Time
	// SnoozedUntil is when the item comes back; nil unless it is away. Then it counts nowhere, and watermarks pass it by.
	SnoozedUntil *time.Time `json:",omitempty"`
}

// Apply returns the state after a mark. Times are of the latest occurrence, and reading counts as seeing.
func (s State) Apply(m belfry.Mark, at time.Time) State {
	switch m {
	case belfry.Seen:
		s.Level, s.SeenAt = max(s.Level, Seen), &at
	case belfry.Unseen:
		s.Level, s.SeenAt, s.ReadAt = Unseen, nil, nil
	case belfry.Read:
		s.Level, s.SeenAt, s.ReadAt = Read, &at, &at
	case belfry.Unread:
		s.Level, s.ReadAt = min(s.Level, Seen), nil
	case belfry.Interacted:
		s.Level, s.SeenAt, s.ReadAt, s.InteractedAt = Read, &at, &at, &at
	case belfry.Archived:
		s.Archived, s.ArchivedAt = true, &at
	case belfry.Unarchived:
		s.Archived, s.ArchivedAt = false, nil
	}
	return s
}

// same reports whether two states differ in nothing but when they were written.
func (s State) same(o State) bool {
	return s.Level == o.Level && s.Archived == o.Archived && sameTime(s.SeenAt, o.SeenAt) && sameTime(s.ReadAt, o.ReadAt) &&
		sameTime(s.InteractedAt, o.InteractedAt) && sameTime(s.ArchivedAt, o.ArchivedAt)
}

// Changes reports whether marking an item in this state is worth recording. Acting on an item is, each time; being
// told twice that it was read is not.
func (s State) Changes(m belfry.Mark) bool {
	after := s.Apply(m, time.Time{})
	return m == belfry.Interacted || after.Level != s.Level || after.Archived != s.Archived
}

// Cells counts the items of a feed in each state. The badge is a sum of cells, and a mark on everything moves whole
// cells: that is why both take no longer with a million items than with none.
type Cells struct {
	Active   [3]int `json:"a"` // by Level
	Archived [3]int `json:"x"`
}

// Badge is what people see of the cells.
func (c Cells) Badge() belfry.Badge {
	return belfry.Badge{
		Total:  c.Active[Unseen] + c.Active[Seen] + c.Active[Read],
		Unseen: c.Active[Unseen],
		Unread: c.Active[Unseen] + c.Active[Seen],
	}
}

// meeting returns those cells whose items meet a condition.
func (c Cells) meeting(where Condition) (met Cells) {
	for level := Unseen; level <= Read; level++ {
		if where.matches(State{Level: level}) {
			met.Active[level] = c.Active[level]
		}
		if where.matches(State{Level: level, Archived: true}) {
			met.Archived[level] = c.Archived[level]
		}
	}
	return met
}

// Count is how many items are counted, archived or not.
func (c Cells) Count() (n int) {
	for level := range c.Active {
		n += c.Active[level] + c.Archived[level]
	}
	return n
}

// Add counts n items of a state, or uncounts them if n is negative. Those that are snoozed are in no cell.
func (c *Cells) Add(s State, n int) {
	switch {
	case s.SnoozedUntil != nil:
	case s.Archived:
		c.Archived[s.Level] += n
	default:
		c.Active[s.Level] += n
	}
}

// Mark returns the cells after every counted item was marked that meets a condition; how many changed that people count
// (those that were active, or whose being archived changes); and whether any changed at all.
func (c Cells) Mark(m belfry.Mark, where Condition) (after Cells, changed int, any bool) {
	for _, archived := range []bool{false, true} {
		for level := Unseen; level <= Read; level++ {
			from := State{Level: level, Archived: archived}
			n := c.Active[level]
			if archived {
				n = c.Archived[level]
			}
			if !where.matches(from) {
				after.Add(from, n)
				continue
			}
			to := from.Apply(m, time.Time{})
			after.Add(to, n)
			if n > 0 && from.Changes(m) {
				any = true
				if !archived || !to.Archived {
					changed += n
				}
			}
		}
	}
	return after, changed, any
}

// total is how many items are counted, archived ones too.
func (c Cells) total() (n int) {
	for l := range c.Active {
		n += c.Active[l] + c.Archived[l]
	}
	return n
}

// minus is the difference, cell by cell.
func (c Cells) minus(d Cells) Cells {
	for l := range c.Active {
		c.Active[l] -= d.Active[l]
		c.Archived[l] -= d.Archived[l]
	}
	return c
}

// plus is the sum, cell by cell.
func (c Cells) plus(d Cells) Cells {
	return c.minus(Cells{}.minus(d))
}
