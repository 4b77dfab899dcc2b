package feed

import (
	"fmt"
	"time"

	"github.com/belfryhq/belfry"
)

// Item is an in-app message and what the person did with it.
type Item struct {
	ID    belfry.MessageID
	Epoch int64 // of the feed: with ID.Seq it makes the item's position
	Actor belfry.RecipientID
	// Actors are those of a batch, oldest first, at most belfry.MaxActors; Actor is the first of them. Nil unless several.
	Actors          []belfry.RecipientID `json:",omitempty"`
	TotalActivities int                  // how many triggers it sums up: 1, unless it is of a batch
	Tenant          belfry.RecipientID
	Workflow        string
	StepRef         string
	Categories      []string
	Content         belfry.Content
	CreatedAt       time.Time
	State           State      // the true one, watermarks applied
	PinnedAt        *time.Time `json:",omitempty"` // nil: it isn't
}

// Position is where in the feed's history the item came.
func (i *Item) Position() belfry.Position { return belfry.Position{Epoch: i.Epoch, Version: i.ID.Seq} }

// ExpiresAt is when the item is removed; nil if it stays.
func (i *Item) ExpiresAt() *time.Time { return expiry(i.Content.Item, i.CreatedAt) }

// Ref names a feed the way callers do.
type Ref struct {
	Environment belfry.EnvironmentID
	User        string // external id; it may be unknown: then the feed is empty
	Channel     string
}

// Filter selects items. The zero Filter selects all that aren't archived.
type Filter struct {
	Status     Status
	Archived   ArchivedScope
	Workflows  []string // any of these; at most MaxFilterValues
	Categories []string // at least one of these; at most MaxFilterValues
	Pinned     PinnedScope
	Snoozed    SnoozedScope
}

// MaxFilterValues bounds the lists of a Filter.
const MaxFilterValues = 20

// Status selects items by level. Spelled as in GraphQL; empty is ALL.
type Status string

const (
	StatusAll    Status = "ALL"
	StatusUnseen Status = "UNSEEN"
	StatusSeen   Status = "SEEN"
	StatusUnread Status = "UNREAD"
	StatusRead   Status = "READ"
)

// ArchivedScope says whether archived items are meant. Spelled as in GraphQL; empty is EXCLUDE.
type ArchivedScope string

const (
	ArchivedExclude ArchivedScope = "EXCLUDE"
	ArchivedInclude ArchivedScope = "INCLUDE"
	ArchivedOnly    ArchivedScope = "ONLY"
)

// everyItem is the Filter that leaves nothing out.
var everyItem = Filter{Archived: ArchivedInclude, Snoozed: SnoozedInclude}

// wants reports whether an item, whose workflow and categories match, belongs to the filter.
func (f Filter) wants(i *Item) bool {
	return f.matches(i.State) && (f.Pinned != PinnedOnly || i.PinnedAt != nil) && (f.Pinned != PinnedExclude || i.PinnedAt == nil)
}

// matches reports whether an item in a state belongs to the filter's status and archived scope.
func (f Filter) matches(s State) bool {
	if !f.Snoozed.covers(s) {
		return false
	}
	switch {
	case f.Archived == ArchivedOnly && !s.Archived,
		(f.Archived == ArchivedExclude || f.Archived == "") && s.Archived:
		return false
	}
	switch f.Status {
	case StatusUnseen:
		return s.Level == Unseen
	case StatusSeen:
		return s.Level >= Seen
	case StatusUnread:
		return s.Level < Read
	case StatusRead:
		return s.Level == Read
	}
	return true
}

// count is how many items of the feed match the filter's status and archived scope: an upper bound of what a page
// with that filter can hold, known without looking at an item.
func (f Filter) count(c Cells) (n int) {
	for level := Unseen; level <= Read; level++ {
		if f.matches(State{Level: level}) {
			n += c.Active[level]
		}
		if f.matches(State{Level: level, Archived: true}) {
			n += c.Archived[level]
		}
	}
	return n
}

// validate checks the lists: their sizes, and that PostgreSQL can read them.
func (f Filter) validate() error {
	if len(f.Workflows) > MaxFilterValues {
		return belfry.Beyond("filter.workflows", MaxFilterValues, "workflows")
	}
	if len(f.Categories) > MaxFilterValues {
		return belfry.Beyond("filter.categories", MaxFilterValues, "categories")
	}
	for i, w := range f.Workflows {
		if err := belfry.ValidateText(w, fmt.Sprintf("filter.workflows[%d]", i)); err != nil {
			return err
		}
	}
	for i, c := range f.Categories {
		if err := belfry.ValidateText(c, fmt.Sprintf("filter.categories[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}
