// Package pull makes the channel of a subscription from a source that says when there is something to take, either with
// a goroutine of its own, or with the consumer's help without one.
//
// gqlgen wants a channel from a subscription's resolver, and receives from it when it is asked for a response. A consumer
// that only asks once there is something can fill the channel itself, just before: then nobody has to wait at either
// end, and a subscription to which nothing happens costs no goroutine. A consumer offers that with [With]; for all
// others [Channel] works just as well.
//
// Such a consumer also gets events that are JSON already, see [Encoding], past gqlgen. It may then let go of everything that
// gqlgen has made for the subscription, which is more than all the rest, and have it made again when an event isn't JSON:
// the resolver's call of Channel goes on with the source that there is.
//
// # Guarantees
//
//   - A source's Next is called by one goroutine at a time, which is nobody else's: it may read a database. Close comes
//     after the last call, once.
//   - Wake never blocks, and may be called from anywhere, under any lock.
//
// # Footguns
//
//   - What has a say in gqlgen's responses, such as AroundResponses, doesn't see events that are JSON.
package pull

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// Consumer receives from a subscription's channel, once for each time that Fill has said so.
type Consumer interface {
	// Wake tells that Fill may have something to do. It never blocks.
	Wake()
	// Follow gives the consumer what it is to pull from, and to close.
	Follow(Pulled)
	// Following is what Follow was given before; nil if nothing was.
	Following() Pulled
}

// Pulled is a source with its channel.
type Pulled interface {
	// Fill puts one event into the channel, or returns it if it is JSON. It also ends when the last event in the channel has
	// never been received: the execution has failed. It isn't to be called after the end.
	Fill() (json []byte, what What)
	// Close closes the source.
	Close()
}

// What says what Fill had for the consumer.
type What uint8

const (
	Nothing What = iota // at present
	Event
	End
)

// Source is what a subscription tells.
type Source[T any] interface {
	// Next returns the next event; ok is false if there is none at present. After an error there are no more.
	Next() (event T, ok bool, err error)
	// Close ends the source.
	Close()
}

// Encoding is implemented by sources whose events may be JSON already.
type Encoding[T any] interface {
	// JSON is what the subscription's field has to answer to an event; nil if that is for gqlgen to find out.
	JSON(event T) []byte
}

type key struct{}

// consumption is a consumer, and the context of what it consumes.
type consumption struct {
	Consumer
	lasting context.Context
}

// With returns a context for the resolver of one subscription of a consumer. lasting is for the source, see Lasting: without
// what gqlgen makes for an execution, and with the same end.
func With(ctx context.Context, c Consumer, lasting context.Context) context.Context {
	return context.WithValue(ctx, key{}, &consumption{c, lasting})
}

// Lasting returns the context of a subscription as a whole, without what gqlgen has added for an execution; ctx itself if
// there is no consumer that would let go of that.
func Lasting(ctx context.Context) context.Context {
	if c, ok := ctx.Value(key{}).(*consumption); ok {
		return c.lasting
	}
	return ctx
}

// Channel returns a channel of the events of a source. It is closed after the source's last, or when ctx ends, unless there is
// a consumer, which hears of the end. open begins with the source, which is to call wake whenever Next may have something.
// Its error is returned.
func Channel[T any](ctx context.Context, open func(wake func()) (Source[T], error)) (<-chan T, error) {
	consumer, ok := ctx.Value(key{}).(*consumption)
	if !ok {
		return pumped(ctx, open)
	}
	if f, ok := consumer.Following().(*filler[T]); ok {
		return f.out, nil
	}
	source, err := open(consumer.Wake)
	if err != nil {
		return nil, err
	}
	f := &filler[T]{source, make(chan T, 1)}
	consumer.Follow(f)
	return f.out, nil
}

// filler is what a consumer follows.
type filler[T any] struct {
	Source[T]
	out chan T
}

// Fill implements Pulled.
func (f *filler[T]) Fill() (json []byte, what What) {
	if len(f.out) > 0 {
		return nil, End
	}
	event, ok, err := f.Next()
	switch {
	case err != nil:
		return nil, End
	case !ok:
		return nil, Nothing
	}
	if e, ok := f.Source.(Encoding[T]); ok {
		if json := e.JSON(event); json != nil {
			return json, Event
		}
	}
	f.out <- event // there is room
	return nil, Event
}

// pumped is Channel with a goroutine.
func pumped[T any](ctx context.Context, open func(wake func()) (Source[T], error)) (<-chan T, error) {
	wake := make(chan struct{}, 1)
	source, err := open(func() {
		select {
		case wake <- struct{}{}:
		default: // a signal is pending already
		}
	})
	if err != nil {
		return nil, err
	}
	out := make(chan T)
	go pump(ctx, out, source, wake)
	return out, nil
}

// pump moves events until there are no more.
func pump[T any](ctx context.Context, out chan<- T, source Source[T], wake <-chan struct{}) {
	defer close(out)
	defer source.Close()
	for {
		event, ok, err := source.Next()
		if err != nil {
			return
		}
		if ok {
			select {
			case out <- event:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

// ResponseKey is the key of the one field that a subscription with a source has: what an event that is JSON is to stand under.
func ResponseKey(op *graphql.OperationContext) string {
	selected := op.Operation.SelectionSet
	var root *ast.Definition // what the schema calls its subscriptions
	switch first := selected[0].(type) {
	case *ast.Field:
		root = first.ObjectDefinition
	case *ast.InlineFragment:
		root = first.ObjectDefinition
	case *ast.FragmentSpread:
		root = first.ObjectDefinition
	}
	return graphql.CollectFields(op, selected, []string{root.Name})[0].Alias
}
