package graph

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/recipient"
)

// cursorOf is an item's cursor: its sequence number. Pages are keyset pages, stable under inserts.
func cursorOf(seq int64) string { return strconv.FormatInt(seq, 36) }

// parseCursor reads the cursor to go on from; 0 if there is none.
func parseCursor(after *string) (int64, error) {
	if after == nil {
		return 0, nil
	}
	seq, err := strconv.ParseInt(*after, 36, 64)
	if err != nil || seq <= 0 {
		return 0, errCursor
	}
	return seq, nil
}

// position reads an optional position; field names the input for errors.
func position(s *string, field string) (*belfry.Position, error) {
	if s == nil {
		return nil, nil
	}
	p, err := belfry.ParsePosition(*s, field)
	return &p, err
}

func (r *Resolver) newConnection(ctx context.Context, ref feed.Ref, page *feed.Page, continued bool) *model.FeedItemConnection {
	out := &model.FeedItemConnection{
		Edges:    make([]model.FeedItemEdge, len(page.Items)),
		PageInfo: model.PageInfo{HasNextPage: page.HasMore, HasPreviousPage: continued},
		Badge:    page.Badge,
		Position: page.Position.String(),
	}
	items := make([]*model.FeedItem, len(page.Items))
	for i, item := range page.Items {
		cursor := cursorOf(item.ID.Seq)
		out.Edges[i] = model.FeedItemEdge{Cursor: cursor, Node: model.FeedItem{Item: item, Environment: ref.Environment}}
		items[i] = &out.Edges[i].Node
		if i == 0 {
			out.PageInfo.StartCursor = &cursor
		}
	}
	r.together(ctx, items...)
	if page.Next != 0 {
		end := cursorOf(page.Next)
		out.PageInfo.EndCursor = &end
	}
	return out
}

// together lets items load what they refer to with one query for all of them.
func (r *Resolver) together(ctx context.Context, items ...*model.FeedItem) *model.FeedPage {
	page := &model.FeedPage{
		Actors: sync.OnceValues(func() (map[belfry.RecipientID]*recipient.Known, error) {
			return r.Recipients.Users(ctx, items[0].Environment, recipientsOf(items, (*model.FeedItem).ActorIDs))
		}),
		Tenants: sync.OnceValues(func() (map[belfry.RecipientID]*belfry.Recipient, error) {
			return r.Recipients.Load(ctx, items[0].Environment, recipientsOf(items, (*model.FeedItem).TenantIDs))
		}),
	}
	for _, item := range items {
		item.Page = page
	}
	return page
}

// pageOf is what an item is on; one that came alone makes a page of its own.
func (r *Resolver) pageOf(ctx context.Context, item *model.FeedItem) *model.FeedPage {
	if item.Page == nil {
		alone := *item // others may be reading this one
		return r.together(ctx, &alone)
	}
	return item.Page
}

// recipientsOf is whom the items refer to, so that one query can load them.
func recipientsOf(items []*model.FeedItem, who func(*model.FeedItem) []belfry.RecipientID) []belfry.RecipientID {
	var ids []belfry.RecipientID
	for _, item := range items {
		ids = append(ids, who(item)...)
	}
	return ids
}

// mark marks by id or all, whichever the input says.
func (r *Resolver) mark(ctx context.Context, ref feed.Ref, in *model.MarkItemsInput) (*model.MarkItemsPayload, error) {
	all := in.All != nil && *in.All
	var marked feed.Marked
	var err error
	unknown := []string{}
	switch {
	case in.Where != nil && !all && in.Ids == nil && in.UpTo == nil:
		marked, err = r.Feeds.MarkResource(ctx, ref, in.As, in.Where.ResourceKey)
	case in.Where != nil || all == (in.Ids != nil):
		return nil, belfry.Errorf(belfry.Invalid, "give exactly one of ids, all and where").At("input")
	case all:
		upTo, err := position(in.UpTo, "input.upTo")
		if err != nil {
			return nil, err
		}
		if in.Filter != nil {
			marked, err = r.Feeds.MarkWhere(ctx, ref, in.As, in.Filter.Filter(), upTo)
		} else {
			marked, err = r.Feeds.MarkAll(ctx, ref, in.As, upTo)
		}
		if err != nil {
			return nil, err
		}
	case in.UpTo != nil:
		return nil, belfry.Errorf(belfry.Invalid, "upTo goes with all").At("input.upTo")
	case in.Filter != nil:
		return nil, belfry.Errorf(belfry.Invalid, "filter goes with all").At("input.filter")
	default:
		var ids []belfry.MessageID
		if ids, unknown, err = parseItemIDs(in.Ids, "input.ids"); err != nil {
			return nil, err
		}
		marked, err = r.Feeds.Mark(ctx, ref, in.As, ids)
	}
	if err != nil {
		return nil, err
	}
	return &model.MarkItemsPayload{Badge: marked.Badge, Position: marked.Position.String(), Changed: marked.Changed,
		NotFound: idStrings(unknown, marked.NotFound)}, nil
}

// counts counts the items of each view.
func (r *Resolver) counts(ctx context.Context, ref feed.Ref, views []model.FeedViewInput) ([]model.FeedViewCount, error) {
	filters := make([]feed.Filter, len(views))
	for i := range views {
		field := fmt.Sprintf("views[%d].name", i)
		if utf8.RuneCountInString(views[i].Name) > feed.MaxFilterText {
			return nil, belfry.Beyond(field, feed.MaxFilterText, "characters")
		}
		filters[i] = views[i].Filter.Filter()
	}
	counts, err := r.Feeds.Count(ctx, ref, filters)
	if err != nil {
		return nil, err
	}
	out := make([]model.FeedViewCount, len(views))
	for i, c := range counts.Views {
		out[i] = model.FeedViewCount{Name: views[i].Name, Total: c.Total, Unseen: c.Unseen, Unread: c.Unread, Position: counts.Position.String()}
	}
	return out, nil
}
