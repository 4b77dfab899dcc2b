package belfry

import (
	"strconv"
	"strings"
)

// Position is a point in the history of one feed. Versions are gap-free and in commit order; the epoch changes when
// history was lost (a feed that was deleted and made anew), so that an old position is never mistaken for a new one.
// The zero Position is the beginning of every feed.
type Position struct {
	Epoch   int64
	Version int64
}

// String encodes the position with a fixed width, so that of two positions of one feed the later one is the greater
// string. That is all that clients may know of it.
func (p Position) String() string {
	return pad(p.Epoch, 11) + "." + pad(p.Version, 10)
}

func pad(n int64, width int) string {
	s := strconv.FormatInt(n, 36)
	return strings.Repeat("0", max(0, width-len(s))) + s
}

// ParsePosition decodes what String made. field names the input for the error.
func ParsePosition(s, field string) (Position, error) {
	epoch, version, ok := strings.Cut(s, ".")
	e, err1 := strconv.ParseInt(epoch, 36, 64)
	v, err2 := strconv.ParseInt(version, 36, 64)
	if !ok || err1 != nil || err2 != nil || e < 0 || v < 0 {
		return Position{}, Errorf(Invalid, "not a position: pass one that the API returned, unchanged").At("%s", field)
	}
	return Position{e, v}, nil
}

// Badge is the exact number of messages in a feed that are not archived. Always absolute, never a difference.
type Badge struct {
	Total  int
	Unseen int
	Unread int
}
