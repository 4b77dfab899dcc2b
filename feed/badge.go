package feed

import (
	"context"
	"encoding/json"

	"github.com/belfryhq/belfry"
)

// BadgeWatch tells the badge of one feed, and nothing else: it never reads an item. Like a Subscription it has no goroutine.
type BadgeWatch struct {
	follower
	service *Service
	ctx     context.Context
	badge   belfry.Badge    // the newest that is known
	at      belfry.Position // when it was so, or a little before
	told    belfry.Badge
	begun   bool // one has been told
	unsure  bool // the database is to be read
}

// WatchBadge tells the badge of a feed: as it is, then whenever it has changed; to whoever is slow only the newest. It
// is to be closed, and tells nothing more once ctx has ended. wake is called whenever Next may have something to tell; it must not block, and may be called before
// WatchBadge has returned, or after the end.
func (s *Service) WatchBadge(ctx context.Context, ref Ref, wake func()) (*BadgeWatch, error) {
	line, err := s.Bus.Listen(topic(ref.Environment, ref.Channel, ref.User), wake)
	if err != nil {
		return nil, err
	}
	w := &BadgeWatch{follower: follower{ref: ref, line: line}, service: s, ctx: ctx}
	if err := w.read(); err != nil { // after listening, so that nothing falls in between
		line.Close()
		return nil, err
	}
	s.register(&w.follower)
	return w, nil
}

// Close ends the watch.
func (w *BadgeWatch) Close() { w.service.hangUp(&w.follower) }

// Next returns the badge if it isn't as it was told last, and the position at which it is so; ok is false if there is
// nothing new until wake is called again. It may read the feed's row. An error is the end. Next is meant for one goroutine at
// a time.
func (w *BadgeWatch) Next() (badge belfry.Badge, at belfry.Position, ok bool, err error) {
	if err := w.ctx.Err(); err != nil {
		return badge, at, false, err
	}
	for {
		notices, gap := w.line.Take()
		if len(notices) == 0 && !gap {
			break
		}
		w.take(notices)
		w.unsure = w.unsure || gap
	}
	if w.unsure {
		if err := w.read(); err != nil {
			return badge, at, false, err
		}
	}
	if w.begun && w.badge == w.told {
		return badge, at, false, nil
	}
	w.begun, w.told = true, w.badge
	return w.badge, w.at, true, nil
}

// take keeps the badge of the newest of some notices. Badges are absolute, so it doesn't matter what is missing in between.
func (w *BadgeWatch) take(notices []Notice) {
	for _, n := range notices {
		var e struct { // of an Event: the item is of no interest
			Position belfry.Position `json:"position"`
			Badge    belfry.Badge    `json:"badge"`
		}
		switch err := json.Unmarshal(n.Payload, &e); {
		case err != nil: // it didn't travel along
			w.unsure = w.unsure || n.Version > w.at.Version
		case e.Position.Epoch != w.at.Epoch: // which of the two is the feed's?
			w.unsure = true
		case e.Position.Version > w.at.Version:
			w.badge, w.at = e.Badge, e.Position
		}
	}
	w.toldOf(w.at)
}

// read asks the database.
func (w *BadgeWatch) read() error {
	recipient, err := w.service.UserID(w.ctx, w.ref.Environment, w.ref.User)
	if err != nil {
		return err
	}
	h, err := readHeader(w.ctx, w.service.Pool, selectHeader, key{w.ref.Environment, recipient, w.ref.Channel})
	if err != nil {
		return err
	}
	w.badge, w.at, w.unsure = h.cells.Badge(), h.position(), false
	w.toldOf(w.at)
	return nil
}
