package feed

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// follower is who is told of a feed. The sweep looks at it.
type follower struct {
	ref  Ref
	line Line
	// epoch and version of what it has been told: torn between two events it is woken once too often.
	epoch, version atomic.Int64
}

// toldOf remembers up to where it has been told.
func (l *follower) toldOf(p belfry.Position) {
	l.epoch.Store(p.Epoch)
	l.version.Store(p.Version)
}

// Subscription is one listener to one feed. It has no goroutine: whoever asked for it is woken, and calls Next.
type Subscription struct {
	follower
	service *Service
	ctx     context.Context
	only    *eventFilter    // nil: every item
	last    belfry.Position // what the listener has been told
	pending []Event         // to be told
	behind  bool            // then the database is to be read
	begun   bool            // and has been, for the events before: what is behind may come to more than maxReplay meanwhile
	unsaid  bool            // that the past has been told is to be told
}

// Subscribe tells what happens to a feed: what came after since, then a Synced event, then live. Without since it
// begins at the present. It is to be closed, and tells nothing more once ctx has ended. wake is called whenever Next may
// have something new to tell; it must not block, and may be called before Subscribe has returned, or after the end.
//
// The order matters: first listen, then read the past, so that nothing falls in between.
func (s *Service) Subscribe(ctx context.Context, ref Ref, since *belfry.Position, wake func()) (*Subscription, error) {
	return s.subscribe(ctx, ref, nil, since, wake)
}

// SubscribeWhere leaves out the items that a filter doesn't select; its status and archived are not looked at, nor marks
// filtered. An item that an update made another one than the filter wants is Removed, as Filtered. Positions are told with holes then, and a Synced event tells where it is whenever leftOut items in a row have been
// left out.
func (s *Service) SubscribeWhere(ctx context.Context, ref Ref, f Filter, since *belfry.Position, wake func()) (*Subscription, error) {
	only, err := s.newEventFilter(ref.Environment, f)
	if err != nil {
		return nil, err
	}
	return s.subscribe(ctx, ref, only, since, wake)
}

func (s *Service) subscribe(ctx context.Context, ref Ref, only *eventFilter, since *belfry.Position, wake func()) (*Subscription, error) {
	line, err := s.Bus.Listen(topic(ref.Environment, ref.Channel, ref.User), wake)
	if err != nil {
		return nil, err
	}
	past, err := s.past(ctx, ref, since, false)
	if err != nil {
		line.Close()
		return nil, err
	}
	sub := &Subscription{follower: follower{ref: ref, line: line}, service: s, ctx: ctx, only: only, unsaid: true}
	sub.replay(past)
	s.register(&sub.follower)
	return sub, nil
}

// register lets the sweep know of a listener.
func (s *Service) register(l *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followers == nil {
		s.followers = make(map[*follower]struct{})
	}
	s.followers[l] = struct{}{}
}

// hangUp forgets a listener.
func (s *Service) hangUp(l *follower) {
	s.mu.Lock()
	delete(s.followers, l)
	s.mu.Unlock()
	l.line.Close()
}

// Close ends the subscription.
func (sub *Subscription) Close() { sub.service.hangUp(&sub.follower) }

// Next returns the next event; ok is false if there is none until wake is called again. It may read the database. An
// error is the end, because ctx has ended or the database can't be read: then the listener comes back with its last
// position, and misses nothing. Next is meant for one goroutine at a time.
func (sub *Subscription) Next() (e Event, ok bool, err error) {
	for {
		e, ok, err = sub.next()
		if !ok || sub.only == nil {
			return e, ok, err
		}
		switch wanted, err := sub.only.wants(sub.ctx, &e); {
		case err != nil:
			return Event{}, false, err
		case wanted:
			return e, true, nil
		case sub.only.leaves(&e):
			sub.only.leftOut = 0
			return filtered(&e), true, nil
		case sub.only.leftOut >= tellAfter && !sub.replaying():
			sub.only.leftOut = 0
			return Event{Kind: Synced, Position: e.Position, Badge: e.Badge}, true, nil
		}
	}
}

// replaying reports whether a Synced event is still to come for the past.
func (sub *Subscription) replaying() bool {
	n := len(sub.pending)
	return sub.unsaid || n > 0 && sub.pending[n-1].Kind == Synced
}

// next returns the next event, whatever it is about.
func (sub *Subscription) next() (e Event, ok bool, err error) {
	for len(sub.pending) == 0 {
		if err := sub.ctx.Err(); err != nil {
			return Event{}, false, err
		}
		if sub.behind {
			if err := sub.catchUp(); err != nil {
				return Event{}, false, err
			}
			continue
		}
		notices, gap := sub.line.Take()
		if len(notices) == 0 && !gap {
			return Event{}, false, nil
		}
		events, complete := sub.follow(notices)
		sub.pending, sub.behind = events, gap || !complete
	}
	e = sub.pending[0]
	if sub.pending = sub.pending[1:]; len(sub.pending) == 0 {
		sub.pending = nil // and all that it held
	}
	sub.last = e.Position
	sub.toldOf(e.Position)
	return e, true, nil
}

// catchUp reads what the line didn't bring, or the next of what it didn't bring.
func (sub *Subscription) catchUp() error {
	missed, err := sub.service.past(sub.ctx, sub.ref, &sub.last, sub.begun)
	if err != nil {
		if sub.ctx.Err() == nil {
			sub.service.Log.Warn("a feed subscription ends: what it missed can't be read; the client comes back",
				"environment", sub.ref.Environment, "channel", sub.ref.Channel, "error", err)
		}
		return err
	}
	sub.replay(missed)
	return nil
}

// replay has events of the past told, as past returns them. More may follow on them: that is read when they have been
// taken, so that a listener who takes nothing holds little.
func (sub *Subscription) replay(past []Event) {
	end := past[len(past)-1].Kind
	more := end != Synced && end != Reset
	sub.behind, sub.begun = more, more
	if end == Synced && !sub.unsaid {
		past = past[:len(past)-1]
	}
	sub.unsaid = sub.unsaid && more
	sub.pending = past
}

// follow decodes those notices that follow on what was told. It stops at the first hole, and at an event of another
// epoch: what there is to tell is then read.
func (sub *Subscription) follow(notices []Notice) (events []Event, complete bool) {
	slices.SortStableFunc(notices, func(a, b Notice) int { return cmp.Compare(a.Version, b.Version) }) // two publishers may overtake each other
	at := sub.last
	for _, n := range notices {
		e := n.decode()
		if e == nil {
			if n.Version <= at.Version {
				continue
			}
			return events, false
		}
		switch {
		case at != (belfry.Position{}) && e.Position.Epoch != at.Epoch:
			return events, false
		case e.Position.Version <= at.Version:
			continue // told before: by a replay that overtook it
		case e.Position.Version != at.Version+1:
			return events, false
		case e.Kind == Patched && e.Recipient == 0: // of a node that didn't say yet whose items it means
			return events, false
		}
		events, at = append(events, *e), e.Position
	}
	return events, true
}

// past reads what happened next since a position, up to replayChunk events, followed by Synced if that is all; or Reset
// alone if it can't be told. Whoever has begun to read isn't too far behind, whatever has come meanwhile.
func (s *Service) past(ctx context.Context, ref Ref, since *belfry.Position, begun bool) (events []Event, err error) {
	recipient, err := s.UserID(ctx, ref.Environment, ref.User)
	if err != nil {
		return nil, err
	}
	// Most who come back have missed nothing, and one row says so: when a node's clients all do, that is what counts.
	h, err := readHeader(ctx, s.Pool, selectHeader, key{ref.Environment, recipient, ref.Channel})
	if err != nil {
		return nil, err
	}
	if e, all := present(h, since, begun); all {
		return []Event{e}, nil
	}
	err = s.read(ctx, ref, func(tx pgx.Tx, h *header) error {
		now, all := present(h, since, begun)
		if all {
			events = []Event{now}
			return nil
		}
		upTo := min(h.version, since.Version+replayChunk)
		events, err = replay(ctx, tx, h, since.Version, upTo)
		switch {
		case err != nil:
			return err
		case int64(len(events)) != upTo-since.Version: // changes of that time have been dropped
			now.Kind, now.Reason = Reset, TooOld
			events = []Event{now}
		case upTo == h.version:
			events = append(events, now)
		}
		return nil
	})
	return events, err
}

// present is the event that tells where a feed is: Synced, or Reset if what happened since a position can't be told. all
// is false if something happened that can.
func present(h *header, since *belfry.Position, begun bool) (now Event, all bool) {
	now = Event{Kind: Synced, Position: h.position(), Badge: h.cells.Badge()}
	switch {
	case since == nil || *since == now.Position:
		return now, true
	case since.Version > h.version, since.Epoch != h.epoch && *since != (belfry.Position{}):
		now.Kind, now.Reason = Reset, UnknownPosition
		return now, true
	case !begun && h.version-since.Version > maxReplay:
		now.Kind, now.Reason = Reset, TooMany
		return now, true
	}
	return now, false
}
