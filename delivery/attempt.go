package delivery

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"time"

	"github.com/belfryhq/belfry"
)

const (
	firstDelay    = 14 * time.Second // doubled 6 times, it adds up to half an hour
	maxRetryAfter = 30 * time.Minute // however long a provider asks us to wait
	maxTextLength = 300              // bytes of a text from a provider that are stored
)

// outcome is what an attempt came to.
type outcome struct {
	*lease
	status     belfry.DeliveryStatus // DeliveryAttempted: it is due again at retryAt; empty: the lease is given back unused
	retryAt    time.Time
	at         time.Time
	duration   time.Duration
	provider   string // empty: it needed no attempt
	err        error
	providerID string
	movedTo    int64
}

// try makes one attempt, unless there is no time for it. It doesn't touch the database. An attempt that is cut off by ctx
// isn't the message's fault, and doesn't count.
func (s *Service) try(ctx context.Context, l *lease) *outcome {
	o := &outcome{lease: l, at: s.now()}
	provider := s.Providers[l.ChannelType]
	switch {
	case l.attempt > MaxAttempts:
		l.attempt, o.provider = MaxAttempts, "none" // of which there is no record
		o.fail(Permanent(errors.New("given up: the last attempt ended with its worker")), o.at)
	case l.unreadable != nil:
		o.provider = "none"
		s.refuseUnreadable(o)
	case o.at.Add(s.timeout).After(l.until): // the worker was asleep: the lease may be another's before the provider answers
	case provider == nil:
		o.provider = "none"
		o.fail(Permanent(fmt.Errorf("no provider sends %s messages: configure one", l.ChannelType)), o.at)
	default:
		o.provider = excerpt(nameOf(provider))
		receipt, err := s.send(ctx, provider, l)
		ended := s.now()
		o.duration = ended.Sub(o.at)
		if _, answered := errors.AsType[*sendError](err); err != nil && ctx.Err() != nil && !answered {
			s.Log.Warn("an attempt was cut off because this node ends: it is made again, here or elsewhere", "message", l.ID().String(), "error", err)
			break
		}
		if err != nil {
			o.fail(err, ended)
			break
		}
		o.status, o.providerID = belfry.Sent, excerpt(receipt.ID)
		if receipt.Delivered {
			o.status = belfry.Delivered
		}
	}
	return o
}

// refuseUnreadable makes it the outcome that the message can't be read: it is tried again, for in the middle of an upgrade
// another node may know how.
func (s *Service) refuseUnreadable(o *outcome) {
	s.Log.Error("a message can't be delivered: it isn't stored in a form that this release knows", "message", o.ID().String(), "attempt", o.attempt, "error", o.unreadable)
	o.fail(errors.New("the stored message can't be read"), o.at)
}

// send calls the provider, for no longer than the timeout. A panic is an error like any other.
func (s *Service) send(ctx context.Context, p Provider, l *lease) (r Receipt, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			s.Log.Error("a provider panicked; the message is tried again", "provider", nameOf(p), "panic", v, "stack", string(debug.Stack()))
			err = errors.New("the provider panicked")
		}
	}()
	return p.Send(ctx, &Outgoing{Message: l.Message.Message, Attempt: l.attempt, IdempotencyKey: idempotencyKey(&l.Message.Message)})
}

// fail makes an error the outcome: another attempt if there are some left and it isn't for good.
func (o *outcome) fail(err error, now time.Time) {
	var retryAfter time.Duration
	o.err = err
	o.status, retryAfter = classify(err)
	if o.status != belfry.DeliveryAttempted {
		return
	}
	if o.attempt >= MaxAttempts {
		o.status = belfry.Undelivered
		return
	}
	o.retryAt = now.Add(max(delay(o.Seq, o.attempt), min(retryAfter, maxRetryAfter)))
}

// delay is the wait after an attempt: it doubles from one to the next, and differs by up to a quarter from message to
// message, so that those that failed together don't come back together.
func delay(id int64, attempt int) time.Duration {
	d := float64(firstDelay << (attempt - 1))
	return time.Duration(d * (0.75 + 0.5*jitter(uint64(id)<<4|uint64(attempt))))
}

// jitter maps numbers evenly to [0, 1), neighbours far apart. The same each time: chance would make no schedule testable.
func jitter(n uint64) float64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9 // splitmix64
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return float64(n^n>>31) / math.MaxUint64
}

// excerpt is the beginning of a text from a stranger, fit for a text column.
func excerpt(text string) string {
	text = text[:min(len(text), maxTextLength)]
	return strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
}
