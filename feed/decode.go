package feed

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/belfryhq/belfry"
)

// decodeEvent decodes what NewNotice made, of this release or another. It is done for every event on every node with
// somebody who listens, which is why it doesn't begin with encoding/json.
func decodeEvent(payload []byte) (*Event, error) {
	s := scanner{b: payload}
	e := &Event{}
	if s.event(e); !s.failed && len(s.b) == 0 {
		return e, nil
	}
	e = &Event{} // there is something that the scanner doesn't know
	return e, json.Unmarshal(payload, e)
}

func (s *scanner) event(e *Event) {
	s.object(func(key []byte) {
		switch string(key) {
		case "kind":
			e.Kind = EventKind(s.text())
		case "position":
			s.position(&e.Position)
		case "badge":
			s.badge(&e.Badge)
		case "item":
			if !s.null() {
				e.Item = &Item{}
				s.item(e.Item)
			}
		case "mark":
			e.Mark = belfry.Mark(s.text())
		case "recipient":
			e.Recipient = belfry.RecipientID(s.int())
		case "seqs":
			e.Seqs = array(s, s.int)
		case "upTo":
			e.UpTo = s.int()
		case "at":
			e.At = s.time()
		default:
			s.failed = true
		}
	})
}

func (s *scanner) position(p *belfry.Position) {
	s.object(func(key []byte) {
		switch string(key) {
		case "Epoch":
			p.Epoch = s.int()
		case "Version":
			p.Version = s.int()
		default:
			s.failed = true
		}
	})
}

func (s *scanner) badge(b *belfry.Badge) {
	s.object(func(key []byte) {
		switch string(key) {
		case "Total":
			b.Total = int(s.int())
		case "Unseen":
			b.Unseen = int(s.int())
		case "Unread":
			b.Unread = int(s.int())
		default:
			s.failed = true
		}
	})
}

func (s *scanner) item(i *Item) {
	s.object(func(key []byte) {
		switch string(key) {
		case "ID":
			s.id(&i.ID)
		case "Epoch":
			i.Epoch = s.int()
		case "Actor":
			i.Actor = belfry.RecipientID(s.int())
		case "Actors":
			i.Actors = array(s, func() belfry.RecipientID { return belfry.RecipientID(s.int()) })
		case "TotalActivities":
			i.TotalActivities = int(s.int())
		case "Tenant":
			i.Tenant = belfry.RecipientID(s.int())
		case "Workflow":
			i.Workflow = s.text()
		case "StepRef":
			i.StepRef = s.text()
		case "Categories":
			i.Categories = array(s, s.text)
		case "Content":
			s.content(&i.Content)
		case "CreatedAt":
			i.CreatedAt = s.time()
		case "State":
			s.state(&i.State)
		default:
			s.failed = true
		}
	})
}

func (s *scanner) id(id *belfry.MessageID) {
	s.object(func(key []byte) {
		switch string(key) {
		case "Recipient":
			id.Recipient = belfry.RecipientID(s.int())
		case "Channel":
			id.Channel = s.text()
		case "Seq":
			id.Seq = s.int()
		default:
			s.failed = true
		}
	})
}

func (s *scanner) content(c *belfry.Content) {
	s.object(func(key []byte) {
		switch string(key) {
		case "body":
			s.body(&c.Body)
		case "actionUrl":
			c.ActionURL = s.text()
		case "buttons":
			c.Buttons = array(s, s.button)
		case "data":
			c.Data = s.data()
		default: // what no item has
			s.failed = true
		}
	})
}

func (s *scanner) data() map[string]any {
	if s.null() {
		return nil
	}
	data, ok := s.any(0).(map[string]any)
	s.failed = s.failed || !ok
	return data
}

func (s *scanner) body(b *belfry.Body) {
	s.object(func(key []byte) {
		switch string(key) {
		case "format":
			b.Format = belfry.BodyFormat(s.text())
		case "content":
			b.Content = s.text()
		case "rendered":
			b.Rendered = s.text()
		default:
			s.failed = true
		}
	})
}

func (s *scanner) button() (b belfry.Button) {
	s.object(func(key []byte) {
		switch string(key) {
		case "label":
			b.Label = s.text()
		case "action":
			b.Action = s.text()
		default:
			s.failed = true
		}
	})
	return b
}

func (s *scanner) state(state *State) {
	s.object(func(key []byte) {
		switch string(key) {
		case "Version":
			state.Version = s.int()
		case "Level":
			state.Level = s.level()
		case "Archived":
			state.Archived = s.bool()
		case "SeenAt":
			state.SeenAt = s.optionalTime()
		case "ReadAt":
			state.ReadAt = s.optionalTime()
		case "InteractedAt":
			state.InteractedAt = s.optionalTime()
		case "ArchivedAt":
			state.ArchivedAt = s.optionalTime()
		default:
			s.failed = true
		}
	})
}

func (s *scanner) optionalTime() *time.Time {
	if s.null() {
		return nil
	}
	t := s.time()
	return &t
}

func (s *scanner) time() (t time.Time) {
	before := s.b
	s.text()
	if s.failed || t.UnmarshalJSON(before[:len(before)-len(s.b)]) != nil {
		s.failed = true
	}
	return t
}

// any reads any value as encoding/json does.
func (s *scanner) any(depth int) any {
	if s.failed || len(s.b) == 0 || depth > maxScanDepth {
		s.failed = true
		return nil
	}
	switch c := s.b[0]; c {
	case '"':
		return s.text()
	case '{':
		m := map[string]any{}
		s.object(func(key []byte) {
			name := string(key)
			m[name] = s.any(depth + 1)
		})
		return m
	case '[':
		return array(s, func() any { return s.any(depth + 1) })
	case 't', 'f':
		return s.bool()
	case 'n':
		if !s.null() {
			s.failed = true
		}
		return nil
	}
	return s.float()
}

// float reads a number. Most are whole and small, for which strconv would need more of a new goroutine's stack than it has.
func (s *scanner) float() float64 {
	digits := s.number()
	if len(digits) > 0 && len(digits) <= maxExactDigits && digits[0] != '-' { // not -0
		if n, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
			return float64(n)
		}
	}
	n, err := strconv.ParseFloat(string(digits), 64)
	s.failed = s.failed || err != nil
	return n
}

// maxExactDigits is how many digits any whole number may have that a float64 holds exactly.
const maxExactDigits = 15

func (s *scanner) level() Level {
	n := s.int()
	l := Level(n)
	s.failed = s.failed || int64(l) != n
	return l
}
