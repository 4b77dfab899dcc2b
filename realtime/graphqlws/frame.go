package graphqlws

import (
	"encoding/binary"
	"math"

	"github.com/gorilla/websocket"
)

const (
	finalFrame = 1 << 7 // every frame of ours is a whole message

	maxShortFrame     = 125 // the largest payload whose length fits into the second byte; control frames have no more
	lengthIsTwoBytes  = 126
	lengthIsEightByte = 127
	maxFrameHeader    = 10
)

// appendFrame appends a WebSocket frame as servers send it: one fragment, without a mask.
func appendFrame(b []byte, opcode byte, payload ...[]byte) []byte {
	n := size(payload)
	b = append(b, finalFrame|opcode)
	switch {
	case n <= maxShortFrame:
		b = append(b, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, lengthIsTwoBytes), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, lengthIsEightByte), uint64(n))
	}
	for _, part := range payload {
		b = append(b, part...)
	}
	return b
}

func size(parts [][]byte) (n int) {
	for _, part := range parts {
		n += len(part)
	}
	return n
}

// appendClose appends a close frame. The codes that stand for "no code" are sent as such.
func appendClose(b []byte, code int, reason string) []byte {
	return appendFrame(b, websocket.CloseMessage, websocket.FormatCloseMessage(code, cutReason(reason)))
}
