package engine

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// newID makes a UUIDv7 of an instant: ids of later instants are greater. The library's own reads the machine's clock.
func newID(at time.Time) uuid.UUID {
	id := firstID(at)
	_, _ = rand.Read(id[6:]) // never fails
	// The 12 bits behind the milliseconds are a fraction of one (RFC 9562, 6.2, method 3).
	fraction := uint16(at.UnixMicro() % 1000 * 4096 / 1000)
	binary.BigEndian.PutUint16(id[6:], 0x7000|fraction)
	id[8] = id[8]&0x3f | 0x80
	return id
}

// firstID is not greater than any id of an instant or of those that follow it.
func firstID(at time.Time) (id uuid.UUID) {
	ms := uint64(max(at.UnixMilli(), 0))
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// nextID is the least id that is greater.
func nextID(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}
