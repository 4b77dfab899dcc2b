package graph

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/auth"
	"github.com/belfryhq/belfry/feed"
	"github.com/belfryhq/belfry/graph/encoder"
	"github.com/belfryhq/belfry/graph/model"
	"github.com/belfryhq/belfry/internal/pull"
)

// subscribe tells what happens to a feed, in the API's form.
func (r *Resolver) subscribe(ctx context.Context, ref feed.Ref, since *string, filter *model.FeedEventFilter) (<-chan model.FeedEvent, error) {
	from, err := position(since, "since")
	if err != nil {
		return nil, err
	}
	return pull.Channel(ctx, func(wake func()) (pull.Source[model.FeedEvent], error) {
		lasting, told := pull.Lasting(ctx), r.teller(ctx, ref)
		var sub *feed.Subscription
		var err error
		if filter != nil {
			sub, err = r.Feeds.SubscribeWhere(lasting, ref, filter.Filter(), from, wake)
		} else {
			sub, err = r.Feeds.Subscribe(lasting, ref, from, wake)
		}
		if err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		return &feedEvents{sub, told}, nil
	})
}

// feedEvents is a subscription in the API's form.
type feedEvents struct {
	*feed.Subscription
	told func(*feed.Event) model.FeedEvent
}

// Next implements pull.Source.
func (f *feedEvents) Next() (model.FeedEvent, bool, error) {
	e, ok, err := f.Subscription.Next()
	if !ok {
		return nil, false, err
	}
	return f.told(&e), true, nil
}

// JSON implements pull.Encoding.
func (f *feedEvents) JSON(e model.FeedEvent) []byte {
	if e, ok := e.(encoded); ok {
		return e.json
	}
	return nil
}

// watchBadge tells the badge of a feed.
func (r *Resolver) watchBadge(ctx context.Context, ref feed.Ref) (<-chan *model.BadgeEvent, error) {
	return pull.Channel(ctx, func(wake func()) (pull.Source[*model.BadgeEvent], error) {
		selection := encoder.CompileBadge(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field.Selections)
		watch, err := r.Feeds.WatchBadge(pull.Lasting(ctx), ref, wake)
		if err != nil {
			return nil, fmt.Errorf("watch the badge: %w", err)
		}
		if r.selections == nil {
			return badgeEvents{watch}, nil
		}
		return encodedBadges{badgeEvents{watch}, selection}, nil
	})
}

// badgeEvents is a watch in the API's form.
type badgeEvents struct{ *feed.BadgeWatch }

// Next implements pull.Source.
func (b badgeEvents) Next() (*model.BadgeEvent, bool, error) {
	badge, at, ok, err := b.BadgeWatch.Next()
	if !ok {
		return nil, false, err
	}
	return &model.BadgeEvent{Badge: badge, Position: at.String()}, true, nil
}

// encodedBadges are such events, encoded.
type encodedBadges struct {
	badgeEvents
	selection encoder.BadgeSelection
}

// JSON implements pull.Encoding.
func (b encodedBadges) JSON(e *model.BadgeEvent) []byte {
	if json, ok := b.selection.Append(make([]byte, 0, usualBadge), e); ok {
		return json
	}
	return nil
}

// usualBadge is how many bytes an encoded badge has, or fewer.
const usualBadge = 112

// teller makes the API's form of a feed's events for one subscription: encoded, as far as what it selects can be.
func (r *Resolver) teller(ctx context.Context, ref feed.Ref) func(*feed.Event) model.FeedEvent {
	if r.selections == nil {
		return func(e *feed.Event) model.FeedEvent { return model.NewFeedEvent(ref, *e) }
	}
	selection := r.selections.Compile(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field.Selections)
	key := encoding{selection: selection}
	if selection.Personal() {
		key.viewer = auth.ViewerFrom(ctx)
	}
	ctx = pull.Lasting(ctx)
	return func(e *feed.Event) model.FeedEvent {
		told, ok := e.Memo.Do(key, func() any { return r.tell(ctx, ref, e, selection) }).(model.FeedEvent)
		if !ok { // whoever was to make it panicked
			return r.tell(ctx, ref, e, selection)
		}
		return told
	}
}

// sharedRead is how long may be spent on reading what one event refers to, while all who share it wait.
const sharedRead = 5 * time.Second

// tell encodes an event, if that can be done. What it makes is for others too, so it goes on when this subscriber leaves.
func (r *Resolver) tell(ctx context.Context, ref feed.Ref, e *feed.Event, selection *encoder.Selection) model.FeedEvent {
	event := model.NewFeedEvent(ref, *e)
	reader := &references{of: context.WithoutCancel(ctx), items: &feedItemResolver{r}}
	defer reader.close()
	if json, ok := selection.Append(make([]byte, 0, usualEvent), event, reader); ok {
		return encoded{event, json}
	}
	return event
}

// usualEvent is how many bytes an encoded event has, or fewer.
const usualEvent = 1 << 10

// encoding names what an event is encoded as: the same for all devices that ask for the same.
type encoding struct {
	selection *encoder.Selection
	viewer    belfry.Viewer // if it matters who asks
}

// encoded is an event as it was selected. gqlgen doesn't look into what encodes itself.
type encoded struct {
	model.FeedEvent
	json []byte
}

var _ graphql.Marshaler = encoded{}

// MarshalGQL implements graphql.Marshaler.
func (e encoded) MarshalGQL(w io.Writer) {
	_, _ = w.Write(e.json) // a response that can't be written has nobody to read its error
}

// references reads what the item of one event refers to: as the viewer of a subscription may see it, but for all who
// share the event.
type references struct {
	of     context.Context // has the viewer, and doesn't end
	items  *feedItemResolver
	ctx    context.Context // from the first read on: most events have none, and need no timer
	cancel context.CancelFunc
}

var _ encoder.Reader = (*references)(nil)

func (r *references) context() context.Context {
	if r.ctx == nil {
		r.ctx, r.cancel = context.WithTimeout(r.of, sharedRead)
	}
	return r.ctx
}

func (r *references) close() {
	if r.cancel != nil {
		r.cancel()
	}
}

// Actors implements encoder.Reader.
func (r *references) Actors(item *model.FeedItem) ([]model.User, error) {
	return r.items.Actors(r.context(), item)
}

// Tenant implements encoder.Reader.
func (r *references) Tenant(item *model.FeedItem) (*string, error) {
	return r.items.Tenant(r.context(), item)
}
