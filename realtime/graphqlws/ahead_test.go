package graphqlws

import (
	"io"
	"net"
	"slices"
	"testing"
)

var pong = []byte{0x8a, 0x80, 1, 2, 3, 4}

// What isn't the answer to one of our pings is for the library, every byte of it.
func TestOnlyEmptyPongsAreTaken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		read  []byte
		taken int // pongs
	}{
		"nothing":                 {nil, 0},
		"a pong":                  {pong, 1},
		"a pong without its end":  {pong[:5], 0},
		"two":                     {slices.Concat(pong, pong), 2},
		"one and the next begins": {slices.Concat(pong, []byte{0x81, 0xfe}), 1},
		"with a payload":          {[]byte{0x8a, 0x81, 1, 2, 3, 4, 5}, 0},
		"without a mask":          {[]byte{0x8a, 0x00, 0x8a, 0x00, 0x8a, 0x00}, 0},
		"in pieces":               {[]byte{0x0a, 0x80, 1, 2, 3, 4}, 0},
		"with a reserved bit":     {[]byte{0xca, 0x80, 1, 2, 3, 4}, 0},
		"a ping":                  {[]byte{0x89, 0x80, 1, 2, 3, 4}, 0},
		"a close":                 {[]byte{0x88, 0x80, 1, 2, 3, 4}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a ahead
			a.to = uint8(copy(a.bytes[:], tt.read))
			taken := 0
			for a.takePong() {
				taken++
			}
			if taken != tt.taken {
				t.Errorf("%d pongs were taken, want %d", taken, tt.taken)
			}
			rest := make([]byte, 3) // smaller than some of it
			var got []byte
			for n := a.take(rest); n > 0; n = a.take(rest) {
				got = append(got, rest[:n]...)
			}
			if want := tt.read[taken*len(pong):]; !slices.Equal(got, want) {
				t.Errorf("%x is left, want %x", got, want)
			}
		})
	}
}

// The library reads what was read ahead, then the socket.
func TestWhatWasReadAheadIsReadFirst(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	s := readOnly{Conn: here}
	s.ahead.to = uint8(copy(s.ahead.bytes[:], "first "))
	go func() { _, _ = there.Write([]byte("then")); _ = there.Close() }()
	if got, err := io.ReadAll(&s); string(got) != "first then" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}
