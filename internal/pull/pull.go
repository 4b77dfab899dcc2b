// Package pull makes the channel of a subscription from a source that says when there is something to take, either with
// a goroutine of its own, or with the consumer's help without one.
//
// gqlgen wants a channel from a subscription's resolver, and receives from it when it is asked for a response. A consumer
// that only asks once there is something can fill the channel itself, just before: then nobody has to wait at either
// end, and a subscription to which nothing happens costs no goroutine. A consumer offers that with [With]; for all
// others [Channel] works just as well.
//
// # Guarantees
//
//   - A source's next is called by one goroutine at a time, which is nobody else's: it may read a database.
//   - Wake never blocks, and may be called from anywhere, under any lock.
package pull

import "context"

// Consumer receives from a subscription's channel, once for each time that fill has returned true.
type Consumer interface {
	// Wake tells that fill may have something to do. It never blocks.
	Wake()
	// Fill is how to fill the channel: fill puts one event into it or closes it, and returns true; false if there is
	// nothing at present.
	Fill(fill func() bool)
}

type consumerKey struct{}

// With returns a context for the resolver of one subscription of a consumer.
func With(ctx context.Context, c Consumer) context.Context {
	return context.WithValue(ctx, consumerKey{}, c)
}

// Next returns the next event of a source; ok is false if there is none at present. After an error there are no more.
type Next[T any] func() (event T, ok bool, err error)

// Channel returns a channel of the events of a source, closed after the source's last, or when ctx ends. open begins with
// the source, which is to call wake whenever next may have something, and ends by itself with ctx. Its error is returned.
func Channel[T any](ctx context.Context, open func(wake func()) (Next[T], error)) (<-chan T, error) {
	if consumer, ok := ctx.Value(consumerKey{}).(Consumer); ok {
		next, err := open(consumer.Wake)
		if err != nil {
			return nil, err
		}
		out := make(chan T, 1)
		consumer.Fill(func() bool { return fill(ctx, out, next) })
		return out, nil
	}
	wake := make(chan struct{}, 1)
	next, err := open(func() {
		select {
		case wake <- struct{}{}:
		default: // a signal is pending already
		}
	})
	if err != nil {
		return nil, err
	}
	out := make(chan T)
	go pump(ctx, out, next, wake)
	return out, nil
}

// fill moves one event.
func fill[T any](ctx context.Context, out chan<- T, next Next[T]) bool {
	event, ok, err := next()
	switch {
	case err != nil:
		close(out)
		return true
	case !ok:
		return false
	}
	select {
	case out <- event:
	case <-ctx.Done(): // the last one wasn't received, for that reason
	}
	return true
}

// pump moves events until there are no more.
func pump[T any](ctx context.Context, out chan<- T, next Next[T], wake <-chan struct{}) {
	defer close(out)
	for {
		event, ok, err := next()
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
