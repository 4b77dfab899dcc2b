package graphqlws

import "github.com/gorilla/websocket"

// ahead is what has been read of a socket before the WebSocket library asked for it: the first bytes of a frame, as many
// as the answer to a ping has, and a few more.
type ahead struct {
	bytes    [14]byte
	from, to uint8
}

// take moves what there is into p, and returns how many bytes it was.
func (a *ahead) take(p []byte) int {
	n := copy(p, a.bytes[a.from:a.to])
	a.from += uint8(n)
	return n
}

// takePong takes one pong, as clients answer our pings, which are empty: whole, with a mask, without payload. It reports
// whether there was one.
func (a *ahead) takePong() bool {
	const final, masked, size = 1 << 7, 1 << 7, 2 + 4
	frame := a.bytes[a.from:a.to]
	if len(frame) < size || frame[0] != final|websocket.PongMessage || frame[1] != masked {
		return false
	}
	a.from += size
	return true
}
