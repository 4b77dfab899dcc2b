package feed

import (
	"strconv"
	"time"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/internal/memo"
)

// EventKind says what an Event tells.
type EventKind string

const (
	Upserted  EventKind = "upserted"   // Item came, has changed, or is replayed in its present state
	Patched   EventKind = "patched"    // the items Seqs were marked
	MarkedAll EventKind = "marked_all" // every item up to UpTo was marked
	// MarkedWhere: those items up to UpTo were marked that Filter selected just before.
	MarkedWhere EventKind = "marked_where"
	Removed     EventKind = "removed" // the items Seqs, or every item up to UpTo, are no longer in the feed
	Synced      EventKind = "synced"  // the past has been told, what follows is live
	Reset       EventKind = "reset"   // the past can't be told: read the feed again
)

// Removal says why items are no longer in a feed. Spelled as in GraphQL; stored in feed_changes.
type Removal string

const (
	Retracted Removal = "RETRACTED" // by a backend
	Expired   Removal = "EXPIRED"
	Retention Removal = "RETENTION" // the feed keeps no more, or none that old
	Snoozed   Removal = "SNOOZED"   // it comes back
	// Filtered is told to filtered subscriptions alone, and never stored: the item is there, but no longer what they want.
	Filtered Removal = "FILTERED"
)

// ResetReason says why. Spelled as in GraphQL.
type ResetReason string

const (
	TooOld          ResetReason = "TOO_OLD"  // something that happened since is no longer kept
	TooMany         ResetReason = "TOO_MANY" // more has happened since than is told one by one
	UnknownPosition ResetReason = "UNKNOWN_POSITION"
)

// Event is something that happened to a feed. It travels between nodes as JSON in this shape, so nodes of two
// releases may meet: only ever add fields.
type Event struct {
	Kind      EventKind          `json:"kind"`
	Position  belfry.Position    `json:"position"`
	Badge     belfry.Badge       `json:"badge"` // absolute, at Position or later
	Item      *Item              `json:"item,omitempty"`
	Mark      belfry.Mark        `json:"mark,omitempty"`
	Removal   Removal            `json:"removal,omitempty"`
	Recipient belfry.RecipientID `json:"recipient,omitempty"` // whose items Seqs are
	Seqs      []int64            `json:"seqs,omitempty"`
	UpTo      int64              `json:"upTo,omitempty"`
	At        time.Time          `json:"at,omitzero"`
	Filter    *Filter            `json:"filter,omitempty"`
	// AsOf is the version as of which Item is, if that is later than Position: marks up to there are contained in it.
	AsOf   int64       `json:"-"`
	Reason ResetReason `json:"-"` // made by the node that tells it

	// Memo is what has been made of the event: once for all on this node who were told of it by one notice. Nobody may
	// change the event, or what is in its memo. Nil if it is told to one alone.
	Memo *memo.Memo `json:"-"`
}

// updated is what feed_changes calls a change after which an item is told as a whole.
const updated = "UPDATED"

// change is how an event is kept in feed_changes: what happened, and to which items or up to which one.
func (e *Event) change() (what string, seqs []int64, upTo *int64) {
	switch e.Kind {
	case Upserted:
		return updated, []int64{e.Item.ID.Seq}, nil
	case MarkedWhere: // a node that doesn't know of filters yet takes it for a mark on no items
		return string(e.Mark), []int64{}, &e.UpTo
	case Removed:
		what = string(e.Removal)
	default:
		what = string(e.Mark)
	}
	if e.Seqs == nil {
		upTo = &e.UpTo
	}
	return what, e.Seqs, upTo
}

// Bus is how nodes tell each other what happened to feeds. It may lose and reorder: versions reveal it.
type Bus interface {
	// Wanted reports whether anybody could be listening. False saves making the payload.
	Wanted(topic string) bool
	// Publish tells all listeners, on every node. At most once; an error means that some may not have heard.
	Publish(notices []Notice) error
	// Listen registers a listener. When it returns, every later Publish reaches it, or its Take reports a gap. wake is
	// called whenever there may be something to take; it doesn't block.
	Listen(topic string, wake func()) (Line, error)
}

// Notice is one event on its way.
type Notice struct {
	Topic   string
	Version int64
	Payload []byte // an Event as JSON; empty: read it from the database

	// Memo is what those who hear it on one node have made of it; nil if they make it each for themselves.
	Memo *memo.Memo
}

// decoded is the key of a notice's event in its memo.
type decoded struct{}

// decode reads the event, once for all who hear the notice; nil if it can't be read. Nobody may change it.
func (n *Notice) decode() *Event {
	e, _ := n.Memo.Do(decoded{}, func() any {
		e, err := decodeEvent(n.Payload)
		if err != nil {
			return nil
		}
		if e.Item != nil {
			e.Item.TotalActivities = max(1, e.Item.TotalActivities) // a node of before doesn't say how many triggers it sums up
		}
		e.Memo = n.Memo
		return e
	}).(*Event)
	return e
}

// Line is a listener's end of the Bus.
type Line interface {
	Take() (notices []Notice, gap bool) // in order of arrival; gap: some may be missing
	Nudge()                             // wakes with a gap
	Close()
}

// maxPayload is how large an event may be, in bytes of JSON, to travel with its notice. Of a larger one only the
// version is told, and each listener reads it: one huge message must not fill the buffers of the bus.
const maxPayload = 64 << 10

// topic is where a feed's events are published. It holds the external id, so that one can listen before the user was
// ever identified.
func topic(env belfry.EnvironmentID, channel, user string) string {
	return strconv.FormatInt(int64(env), 10) + "/" + channel + "/" + user
}

// notices makes the publishable form of events, for those feeds that anybody may listen to.
func (s *Service) notices(events []addressed) ([]Notice, error) {
	var out []Notice
	for _, e := range events {
		t := topic(e.env, e.channel, e.user)
		if !s.Bus.Wanted(t) {
			continue
		}
		n := Notice{Topic: t, Version: e.version}
		if e.event != nil {
			event, err := e.event(), error(nil)
			if n, err = NewNotice(t, &event); err != nil {
				return nil, err
			}
			n.Version = e.version
		}
		out = append(out, n)
	}
	return out, nil
}

// addressed is an event to be published. It is made only if somebody listens.
type addressed struct {
	env           belfry.EnvironmentID
	channel, user string
	version       int64
	event         func() Event // nil: listeners read it
}

// publish rings the bell after commit. A bell that can't be rung costs latency only: the sweep finds the change.
func (s *Service) publish(events []addressed) {
	notices, err := s.notices(events)
	if err == nil && len(notices) > 0 {
		err = s.Bus.Publish(notices)
	}
	if err != nil {
		s.Log.Warn("feed changes were stored but not published; subscribers learn of them later, with the next sweep at the latest",
			"notices", len(notices), "error", err)
	}
}
