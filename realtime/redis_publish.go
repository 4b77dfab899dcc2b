package realtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// redisPublishTries is how often a publication is sent that servers refuse because another has its partition.
const redisPublishTries = 3

// Publish implements [Bus]. The payloads have been copied when it returns.
func (b *RedisBus) Publish(ctx context.Context, pubs []Publication) error {
	if len(pubs) == 0 {
		return nil
	}
	if err := b.publish(ctx, pubs, false); err != nil {
		b.remember(pubs)
		return err
	}
	b.supersede(pubs)
	return nil
}

// publish publishes. To a server that is silent it doesn't, unless it is to find out whether that still holds.
func (b *RedisBus) publish(ctx context.Context, pubs []Publication, toSilent bool) error {
	ctx, cancel := context.WithTimeout(ctx, b.publishTimeout)
	defer cancel()
	select {
	case b.publishing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("realtime: publish to Redis: %d calls are under way already: %w", redisPublishers, ctx.Err())
	}
	messages := make([]redisMessage, len(pubs))
	for i, pub := range pubs {
		messages[i] = redisMessage{partition(pub.Topic), channel(b.prefix, pub.Topic), rueidis.BinaryString(encode(pub))}
	}
	// On its own goroutine, because a call that finds the connection lost may wait for another's dialling
	// without looking at its context.
	done := make(chan error, 1)
	go func() {
		defer func() { <-b.publishing }()
		done <- b.send(ctx, messages, toSilent)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("realtime: publish to Redis: %w", ctx.Err())
	}
}

// redisMessage is a publication as Redis gets it.
type redisMessage struct {
	partition     int
	channel, body string
}

// send sends the messages to the owners of their partitions. Those that a server refuses because it isn't the owner
// (any more) are sent again once the owners are known. Nothing else is: it may have been sent, and whoever waits for
// this has better to do.
func (b *RedisBus) send(ctx context.Context, messages []redisMessage, toSilent bool) error {
	total, failed := len(messages), 0
	var first error
	for try := 1; len(messages) > 0; try++ {
		asked := b.askedNext()
		refused, lost, err := b.sendOnce(ctx, messages, toSilent)
		failed += lost
		if first == nil {
			first = err
		}
		messages = refused
		if len(refused) == 0 {
			break
		}
		b.suspect()
		if try == redisPublishTries || !b.await(ctx, asked) {
			failed += len(refused)
			break
		}
	}
	if failed > 0 {
		return fmt.Errorf("realtime: publish to Redis: %d of %d publications failed: %w", failed, total, first)
	}
	return nil
}

// sendOnce returns the messages that were refused, in order, how many others failed, and an error if there are any of
// either.
func (b *RedisBus) sendOnce(ctx context.Context, messages []redisMessage, toSilent bool) (refused []redisMessage, lost int, err error) {
	var mu sync.Mutex
	var sending sync.WaitGroup
	for server, share := range b.shares(messages) {
		if server == nil { // a partition that nobody has
			mu.Lock()
			lost, err = lost+len(share), errNoOwner
			mu.Unlock()
			continue
		}
		sending.Go(func() {
			errs := server.publish(ctx, share, toSilent)
			mu.Lock()
			defer mu.Unlock()
			for i, e := range errs {
				switch {
				case e == nil:
					continue
				case isRefusal(e):
					refused = append(refused, share[i])
				default:
					lost++
				}
				if err == nil {
					err = e
				}
			}
		})
	}
	sending.Wait()
	if lost > 0 {
		b.suspect()
	}
	return refused, lost, err
}

var errNoOwner = errors.New("no server of the cluster has the partition")

// shares divides messages by who has their partition.
func (b *RedisBus) shares(messages []redisMessage) map[*redisServer][]redisMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.cluster {
		return map[*redisServer][]redisMessage{b.owners[0]: messages}
	}
	shares := make(map[*redisServer][]redisMessage)
	for _, m := range messages {
		owner := b.owners[m.partition]
		shares[owner] = append(shares[owner], m)
	}
	return shares
}

var errSilent = errors.New("the server didn't answer the last time; whether it does now is being found out")

// publish sends messages in order, and returns an error or nil for each.
func (s *redisServer) publish(ctx context.Context, messages []redisMessage, toSilent bool) []error {
	client, err := s.dial()
	if client == nil {
		return slices.Repeat([]error{err}, len(messages))
	}
	if s.silent.Load() && !toSilent {
		return slices.Repeat([]error{errSilent}, len(messages))
	}
	errs := make([]error, 0, len(messages))
	began := time.Now()
	for batch := range slices.Chunk(messages, redisPublishBatch) {
		commands := make([]rueidis.Completed, len(batch))
		for i, m := range batch {
			commands[i] = s.publication(m.channel, m.body)
		}
		for _, result := range client.DoMulti(ctx, commands...) {
			errs = append(errs, result.Error())
			err = result.NonRedisError()
		}
	}
	// Every commit is held up by its publication. Once is enough to learn that the server doesn't answer.
	s.silent.Store(err != nil && (s.silent.Load() || time.Since(began) >= s.bus.publishTimeout/2))
	return errs
}

// publication is the command that publishes.
func (s *redisServer) publication(channel, body string) rueidis.Completed {
	if s.bus.cluster {
		return s.client.B().Spublish().Channel(channel).Message(body).Build()
	}
	return s.client.B().Publish().Channel(channel).Message(body).Build()
}

// isRefusal reports whether a server has certainly not carried out a command, because another one should: it said so,
// or we had let it go since.
func isRefusal(err error) bool {
	if refusal, ok := rueidis.IsRedisErr(err); ok {
		_, moved := refusal.IsMoved()
		return moved
	}
	return errors.Is(err, rueidis.ErrClosing)
}

// isElsewhere reports whether a server of a cluster refused a command because it hasn't the partition, or nobody has.
func isElsewhere(err error) bool {
	refusal, ok := rueidis.IsRedisErr(err)
	if !ok {
		return false
	}
	_, moved := refusal.IsMoved()
	return moved || refusal.IsClusterDown()
}

// await waits until the owners have been asked for, and reports whether that came to be.
func (b *RedisBus) await(ctx context.Context, asked <-chan struct{}) bool {
	if !b.cluster {
		return false
	}
	select {
	case <-asked:
		return true
	case <-ctx.Done():
	case <-b.closed:
	}
	return false
}
