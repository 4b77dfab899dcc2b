package feed

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
)

// Subscription is one listener to one feed. It has no goroutine: whoever asked for it is woken, and calls Next.
type Subscription struct {
	service *Service
	ctx     context.Context
	ref     Ref
	line    Line
	last    belfry.Position // what the listener has been told
	pending []Event         // to be told
	behind  bool            // then the database is to be read
	begun   bool            // and has been, for the events before: what is behind may come to more than maxReplay meanwhile
	unsaid  bool            // that the past has been told is to be told

	epoch, version atomic.Int64 // last again, for the sweep: torn between two events it wakes once too often
}

// Subscribe tells what happens to a feed: what came after since, then a Synced event, then live. Without since it
// begins at the present. It ends with ctx. wake is called whenever Next may have something new to tell; it must not
// block, and may be called before Subscribe has returned, or after the end.
//
// The order matters: first listen, then read the past, so that nothing falls in between.
func (s *Service) Subscribe(ctx context.Context, ref Ref, since *belfry.Position, wake func()) (*Subscription, error) {
	line, err := s.Bus.Listen(topic(ref.Environment, ref.Channel, ref.User), wake)
	if err != nil {
		return nil, err
	}
	past, err := s.past(ctx, ref, since, false)
	if err != nil {
		line.Close()
		return nil, err
	}
	sub := &Subscription{service: s, ctx: ctx, ref: ref, line: line, unsaid: true}
	sub.replay(past)
	s.register(sub, true)
	context.AfterFunc(ctx, func() {
		s.register(sub, false)
		line.Close()
	})
	return sub, nil
}

func (s *Service) register(sub *Subscription, add bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !add {
		delete(s.subscriptions, sub)
		return
	}
	if s.subscriptions == nil {
		s.subscriptions = make(map[*Subscription]struct{})
	}
	s.subscriptions[sub] = struct{}{}
}

// Next returns the next event; ok is false if there is none until wake is called again. It may read the database. An
// error is the end, because ctx has ended or the database can't be read: then the listener comes back with its last
// position, and misses nothing. Next is meant for one goroutine at a time.
func (sub *Subscription) Next() (e Event, ok bool, err error) {
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
	sub.epoch.Store(e.Position.Epoch)
	sub.version.Store(e.Position.Version)
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
	err = s.read(ctx, ref, func(tx pgx.Tx, h *header) error {
		now := Event{Kind: Synced, Position: h.position(), Badge: h.cells.Badge()}
		reset := func(why ResetReason) {
			now.Kind, now.Reason = Reset, why
			events = []Event{now}
		}
		switch {
		case since == nil || *since == now.Position:
			events = []Event{now}
			return nil
		case since.Version > h.version, since.Epoch != h.epoch && *since != (belfry.Position{}):
			reset(UnknownPosition)
			return nil
		case !begun && h.version-since.Version > maxReplay:
			reset(TooOld)
			return nil
		}
		upTo := min(h.version, since.Version+replayChunk)
		events, err = replay(ctx, tx, h, since.Version, upTo)
		switch {
		case err != nil:
			return err
		case int64(len(events)) != upTo-since.Version:
			reset(TooOld) // changes of that time have been dropped
		case upTo == h.version:
			events = append(events, now)
		}
		return nil
	})
	return events, err
}

// replay makes the events of the versions after one, up to another, as far as they are kept: items from feed_items by
// their seq, marks from feed_changes.
func replay(ctx context.Context, tx pgx.Tx, h *header, after, upTo int64) ([]Event, error) {
	items, _, err := readItems(ctx, tx, h, upTo+1, after, everyItem, replayChunk)
	if err != nil {
		return nil, err
	}
	events := make([]Event, 0, len(items))
	for _, it := range items {
		events = append(events, Event{Kind: Upserted, Position: it.Position(), Item: it})
	}
	rows, err := tx.Query(ctx, selectChanges, h.recipient, h.channel, h.env, after, upTo)
	if err != nil {
		return nil, err
	}
	marks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Event, err error) {
		e.Kind, e.Position.Epoch = Patched, h.epoch
		err = row.Scan(&e.Position.Version, &e.At, &e.Mark, &e.Seqs, &e.UpTo)
		if e.Seqs == nil {
			e.Kind = MarkedAll
		} else {
			e.Recipient = h.recipient
		}
		return e, err
	})
	if err != nil {
		return nil, err
	}
	events = append(events, marks...)
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.Position.Version, b.Position.Version) })
	for i := range events {
		events[i].Badge = h.cells.Badge()
	}
	return events, nil
}

// Sweep compares the feeds that somebody listens to with the database, and wakes those listeners that were told less
// than there is: their bell was lost between a commit and its publication.
func (s *Service) Sweep(ctx context.Context) error {
	s.mu.Lock()
	subs := make([]*Subscription, 0, len(s.subscriptions))
	for sub := range s.subscriptions {
		subs = append(subs, sub)
	}
	s.mu.Unlock()
	for chunk := range slices.Chunk(subs, 1000) {
		if err := s.sweep(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) sweep(ctx context.Context, subs []*Subscription) error {
	recipients, channels, envs := make([]int64, len(subs)), make([]string, len(subs)), make([]int64, len(subs))
	for i, sub := range subs {
		id, err := s.UserID(ctx, sub.ref.Environment, sub.ref.User)
		if err != nil {
			return err
		}
		recipients[i], channels[i], envs[i] = int64(id), sub.ref.Channel, int64(sub.ref.Environment)
	}
	rows, err := s.Pool.Query(ctx, selectVersions, recipients, channels, envs)
	if err != nil {
		return err
	}
	var n, epoch, version int64
	_, err = pgx.ForEachRow(rows, []any{&n, &epoch, &version}, func() error {
		if sub := subs[n-1]; sub.epoch.Load() != epoch || sub.version.Load() < version {
			sub.line.Nudge()
		}
		return nil
	})
	return err
}
