package model

import (
	"cmp"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/recipient"
)

// Feed is a feed by name. Its fields are read when they are asked for.
type Feed struct {
	Ref feed.Ref
}

// User is the owner's external id.
func (f *Feed) User() string { return f.Ref.User }

// Channel is the key of the in-app channel.
func (f *Feed) Channel() string { return f.Ref.Channel }

// FeedItem is an item as the API shows it.
type FeedItem struct {
	*feed.Item
	Environment belfry.EnvironmentID
	Page        *FeedPage // that it is on; nil if it is alone
}

// FeedPage loads what the items of a page refer to when the first of them is asked for it, once for all.
type FeedPage struct {
	Actors  func() (map[belfry.RecipientID]*recipient.Known, error)
	Tenants func() (map[belfry.RecipientID]*belfry.Recipient, error)
}

// ActorIDs is who caused it, oldest first.
func (i *FeedItem) ActorIDs() []belfry.RecipientID {
	switch {
	case len(i.Item.Actors) > 0:
		return i.Item.Actors
	case i.Actor != 0:
		return []belfry.RecipientID{i.Actor}
	}
	return nil
}

// TenantIDs is in whose name it happened: one, or none.
func (i *FeedItem) TenantIDs() []belfry.RecipientID {
	if i.Item.Tenant == 0 {
		return nil
	}
	return []belfry.RecipientID{i.Item.Tenant}
}

// IsNode marks the item as fetchable by id.
func (FeedItem) IsNode() {}

// ID is the item's global id.
func (i *FeedItem) ID() string { return i.Item.ID.String() }

// Channel is the key of the in-app channel.
func (i *FeedItem) Channel() string { return i.Item.ID.Channel }

// Position is where in the feed's history the item came.
func (i *FeedItem) Position() string { return i.Item.Position().String() }

// ActionURL is where a click leads; nil if nowhere.
func (i *FeedItem) ActionURL() *string { return optional(i.Content.ActionURL) }

// Data is what the workflow hands to the frontend.
func (i *FeedItem) Data() map[string]any { return i.Content.Data }

// Blocks is what to show, in order.
func (i *FeedItem) Blocks() []Block {
	body := i.Content.Body
	var blocks []Block
	if body.Format == belfry.MarkdownBody {
		blocks = append(blocks, MarkdownBlock{Name: "body", Content: body.Content, Rendered: body.Rendered})
	} else {
		blocks = append(blocks, TextBlock{Name: "body", Content: body.Content, Rendered: body.Rendered})
	}
	if len(i.Content.Buttons) > 0 {
		blocks = append(blocks, ButtonSetBlock{Name: "actions", Buttons: i.Content.Buttons})
	}
	return blocks
}

// options are what the workflow says of the item's place in the feed.
func (i *FeedItem) options() belfry.ItemOptions {
	if i.Content.Item == nil {
		return belfry.ItemOptions{}
	}
	return *i.Content.Item
}

// ResourceKey is what the item is about; nil if nobody said.
func (i *FeedItem) ResourceKey() *string { return optional(i.options().ResourceKey) }

// Priority is how urgent it is.
func (i *FeedItem) Priority() belfry.Priority {
	return cmp.Or(i.options().Priority, belfry.NormalPriority)
}

// Severity is what kind of news it brings; nil if nobody said.
func (i *FeedItem) Severity() *belfry.Severity {
	if s := i.options().Severity; s != "" {
		return &s
	}
	return nil
}

// ExpiresAt is when the item is removed; nil if it stays.
func (i *FeedItem) ExpiresAt() *time.Time { return i.Item.ExpiresAt() }

// SeenAt is the latest time the item was seen; nil if it isn't.
func (i *FeedItem) SeenAt() *time.Time { return i.State.SeenAt }

// ReadAt is the latest time the item was read; nil if it isn't.
func (i *FeedItem) ReadAt() *time.Time { return i.State.ReadAt }

// InteractedAt is the latest time the user acted on the item.
func (i *FeedItem) InteractedAt() *time.Time { return i.State.InteractedAt }

// ArchivedAt is when the item was archived; nil if it isn't.
func (i *FeedItem) ArchivedAt() *time.Time { return i.State.ArchivedAt }

// PinnedAt is when the item was pinned; nil if it isn't.
func (i *FeedItem) PinnedAt() *time.Time { return i.Item.PinnedAt }

// SnoozedUntil is when the item comes back; nil unless it is snoozed.
func (i *FeedItem) SnoozedUntil() *time.Time { return i.State.SnoozedUntil }

// NewFeedEvent makes the API's form of a feed event.
func NewFeedEvent(ref feed.Ref, e feed.Event) FeedEvent {
	position := e.Position.String()
	switch e.Kind {
	case feed.Upserted:
		asOf := belfry.Position{Epoch: e.Position.Epoch, Version: max(e.Position.Version, e.AsOf)}
		return FeedItemUpserted{Position: position, Badge: e.Badge, Item: FeedItem{Item: e.Item, Environment: ref.Environment}, AsOf: asOf.String()}
	case feed.Patched:
		return FeedItemsPatched{Position: position, Badge: e.Badge, Ids: idsOf(ref, e), As: e.Mark, At: e.At}
	case feed.Removed:
		removed := FeedItemsRemoved{Position: position, Badge: e.Badge, Ids: idsOf(ref, e), Reason: FeedRemovalReason(e.Removal)}
		if e.UpTo > 0 {
			upTo := belfry.Position{Epoch: e.Position.Epoch, Version: e.UpTo}.String()
			removed.UpTo = &upTo
		}
		return removed
	case feed.MarkedAll:
		upTo := belfry.Position{Epoch: e.Position.Epoch, Version: e.UpTo}
		return FeedMarkedAll{Position: position, Badge: e.Badge, As: e.Mark, UpTo: upTo.String(), At: e.At}
	case feed.MarkedWhere:
		upTo := belfry.Position{Epoch: e.Position.Epoch, Version: e.UpTo}
		return FeedMarkedWhere{Position: position, Badge: e.Badge, As: e.Mark, UpTo: upTo.String(), At: e.At, Filter: newFeedMarkFilter(e.Filter)}
	case feed.Reset:
		return FeedReset{Position: position, Badge: e.Badge, Reason: FeedResetReason(e.Reason)}
	default:
		return FeedSynced{Position: position, Badge: e.Badge}
	}
}

// Filter is the filter as feeds know it.
func (f *FeedFilter) Filter() feed.Filter {
	return feed.Filter{Status: feed.Status(f.Status), Archived: feed.ArchivedScope(f.Archived), Workflows: f.Workflows, Categories: f.Categories,
		Tenant: f.Tenant.filter(), Data: f.Data, CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore,
		Severities: f.Severities, Priorities: f.Priorities, Pinned: feed.PinnedScope(f.Pinned), Snoozed: feed.SnoozedScope(f.Snoozed)}
}

// Filter is the filter as feeds know it.
func (f *FeedEventFilter) Filter() feed.Filter {
	return feed.Filter{Workflows: f.Workflows, Categories: f.Categories, Tenant: f.Tenant.filter(), Data: f.Data,
		Severities: f.Severities, Priorities: f.Priorities}
}

// filter is all tenants if nothing is said.
func (t *TenantScopeInput) filter() feed.TenantFilter {
	if t == nil {
		return feed.TenantFilter{}
	}
	return feed.TenantFilter{Scope: feed.TenantScope(t.Scope), Tenants: t.Tenants}
}

// newFeedMarkFilter is a filter as it was given, with what goes without saying.
func newFeedMarkFilter(f *feed.Filter) FeedMarkFilter {
	return FeedMarkFilter{
		Status: FeedStatus(cmp.Or(f.Status, feed.StatusAll)), Archived: ArchivedScope(cmp.Or(f.Archived, feed.ArchivedExclude)),
		Workflows: f.Workflows, Categories: f.Categories,
		TenantScope: TenantScope(cmp.Or(f.Tenant.Scope, feed.TenantAll)), Tenants: f.Tenant.Tenants,
		Data: f.Data, CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore, Severities: f.Severities, Priorities: f.Priorities,
	}
}

// idsOf is the ids of the items that an event names.
func idsOf(ref feed.Ref, e feed.Event) []string {
	ids := make([]string, len(e.Seqs))
	for i, seq := range e.Seqs {
		ids[i] = belfry.MessageID{Recipient: e.Recipient, Channel: ref.Channel, Seq: seq}.String()
	}
	return ids
}

// optional is nil for the empty string.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
