package feed

import (
	"cmp"
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

// attributes is what scopes look at.
func (i *Item) attributes() Attributes {
	a := Attributes{Workflow: i.Workflow, Categories: i.Categories, Tenant: i.Tenant, CreatedAt: i.CreatedAt,
		Priority: belfry.NormalPriority, Data: i.Content.Data}
	if o := i.Content.Item; o != nil {
		a.Priority, a.Severity = cmp.Or(o.Priority, belfry.NormalPriority), o.Severity
	}
	return a
}
