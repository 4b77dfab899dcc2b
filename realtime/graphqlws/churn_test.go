package graphqlws_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/belfryhq/belfry/realtime/graphqlws"
)

// Operations come and go without leaving anything behind, while their ids are used again at once.
func TestChurn(t *testing.T) {
	t.Parallel()
	const connections, rounds = 4, 2500
	s := serve(t, graphqlws.Config{MessageRate: 1_000_000})
	clients := make([]client, connections)
	for i := range clients {
		clients[i] = dialInit(t, s.url)
	}
	goroutines := runtime.NumGoroutine()
	done := make(chan error, connections)
	for _, c := range clients {
		go func() { done <- churn(c, rounds) }()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all operations have ended", func() bool { return s.transport.Stats().Operations == 0 })
	// Other tests run beside this one: less than one for each operation is what can be asked.
	if now := runtime.NumGoroutine(); now > goroutines+rounds {
		t.Errorf("%d goroutines, of %d before", now, goroutines)
	}
	clients[0].subscribe("1")
	s.SendNextSubscriptionMessage()
	clients[0].expect(event)
}

// churn begins and ends operations, and reads the answers each hundred: who asks without reading them is closed.
func churn(c client, rounds int) error {
	for i := range rounds {
		id := fmt.Sprint(i % 10)
		messages := []string{fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":"subscription { name }"}}`, id), fmt.Sprintf(`{"id":%q,"type":"complete"}`, id)}
		if (i+1)%100 == 0 {
			messages = append(messages, `{"type":"ping"}`)
		}
		for _, m := range messages {
			if err := c.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
				return err
			}
		}
		if (i+1)%100 == 0 {
			if err := readToPong(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// readToPong reads answers until the last one.
func readToPong(c client) error {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for {
		_, message, err := c.ReadMessage()
		if err != nil || string(message) == `{"type":"pong"}` {
			return err
		}
		if !bytes.Contains(message, []byte(`TOO_MANY_OPERATIONS`)) { // the last ones may not have ended yet
			return fmt.Errorf("got %s", message)
		}
	}
}

// clientFrame is a frame as clients send it, masked.
func clientFrame(first byte, payload []byte) []byte {
	frame := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		frame = append(frame, 0x80|byte(n))
	case n <= 65535:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	frame = append(frame, mask[:]...)
	for i, b := range payload {
		frame = append(frame, b^mask[i%4])
	}
	return frame
}

const (
	final, text, continuation, pingFrame, pongFrame = 0x80, 1, 0, 9, 10
)

func TestFragmentsWithControlFramesBetween(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{})
	c := dialInit(t, s.url)
	pongs := make(chan string, 10)
	c.SetPongHandler(func(payload string) error { pongs <- payload; return nil })
	var raw []byte
	message := `{"id":"1","type":"subscribe","payload":{"query":"subscription { name }"}}`
	for i, opcode := 0, byte(text); i < len(message); i += 10 {
		end := min(i+10, len(message))
		if end == len(message) {
			opcode |= final
		}
		raw = append(raw, clientFrame(opcode, []byte(message[i:end]))...)
		if end < len(message) {
			raw = append(raw, clientFrame(final|pingFrame, []byte(fmt.Sprint(i)))...)
			raw = append(raw, clientFrame(final|pongFrame, nil)...)
		}
		opcode = continuation
	}
	for _, b := range raw { // in packets as small as can be
		if _, err := c.NetConn().Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it is subscribed", func() bool { return s.transport.Stats().Operations == 1 })
	s.SendNextSubscriptionMessage()
	c.expect(event)
	if got := len(pongs); got != 7 {
		t.Errorf("%d pings were answered, want 7", got)
	}
}

// Frames that say nothing, without an end, are no way to keep the server busy.
func TestAMessageHasToEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{MessageTimeout: 100 * time.Millisecond, InitTimeout: 2 * patience})
	idle := dialInit(t, s.url)
	for name, c := range map[string]client{"before the initialisation": dial(t, s.url), "after": dialInit(t, s.url)} {
		go func() {
			_, err := c.NetConn().Write(clientFrame(text, nil))
			for err == nil {
				_, err = c.NetConn().Write(clientFrame(continuation, nil))
				time.Sleep(time.Millisecond) // so that the close frame isn't lost to a reset
			}
		}()
		if reason := c.expectClose(1013); !strings.Contains(reason, "100ms") {
			t.Errorf("%s: closed because %q", name, reason)
		}
	}
	idle.send(`{"type":"ping"}`) // its first message was in time, and there may be as much time as there is between two
	idle.expect(`{"type":"pong"}`)
}

func TestFramesAgainstTheRules(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string][]byte{
		"no mask":                    {final | text, 2, '{', '}'},
		"reserved bit":               clientFrame(0x40|final|text, []byte(`{}`)),
		"unknown opcode":             clientFrame(final|3, nil),
		"a long ping":                clientFrame(final|pingFrame, make([]byte, 126)),
		"a fragmented ping":          clientFrame(pingFrame, nil),
		"continuation of nothing":    clientFrame(final|continuation, nil),
		"a message within a message": append(clientFrame(text, nil), clientFrame(text, nil)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, graphqlws.Config{})
			c := dialInit(t, s.url)
			if _, err := c.NetConn().Write(frame); err != nil {
				t.Fatal(err)
			}
			c.expectClose(websocket.CloseProtocolError)
			eventually(t, "the connection has ended", func() bool { return s.transport.Connections() == 0 })
		})
	}
}

func TestLengths(t *testing.T) {
	t.Parallel()
	s := serve(t, graphqlws.Config{ReadLimit: 1 << 20})
	c := dialInit(t, s.url)
	const envelope = `{"type":"pong","payload":""}`
	for _, n := range []int{len(envelope), 125, 126, 127, 65535, 65536, 65537, 200_000} {
		message := strings.Replace(envelope, `""`, `"`+strings.Repeat("x", n-len(envelope))+`"`, 1)
		c.send(strings.Replace(message, "pong", "ping", 1))
		c.expect(message)
	}
}

// Whatever comes, the server neither panics nor hangs, and what it says are frames.
func FuzzConnection(f *testing.F) {
	const initMessage, subscribe = `{"type":"connection_init"}`, `{"id":"1","type":"subscribe","payload":{"query":"{ name }"}}`
	f.Add(concat(clientFrame(final|text, []byte(initMessage)), clientFrame(final|text, []byte(subscribe))))
	f.Add(concat(clientFrame(text, []byte(initMessage[:5])), clientFrame(final|pingFrame, []byte("x")), clientFrame(final|continuation, []byte(initMessage[5:]))))
	f.Add(clientFrame(final|8, []byte{3, 232}))
	f.Add(clientFrame(final|text, []byte(`{"type":"ping","payload":{"x":"`+strings.Repeat("x", 200)+`"}}`)))
	s := serve(f, graphqlws.Config{InitTimeout: time.Second})
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "ws://"))
		if err != nil {
			t.Skip(err)
		}
		defer conn.Close()
		request := "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		reply := make([]byte, 4096)
		n, err := conn.Read(reply)
		if err != nil || !bytes.HasPrefix(reply[:n], []byte("HTTP/1.1 101")) {
			t.Fatalf("%s %v", reply[:n], err)
		}
		_, _ = conn.Write(data)                                     // it may be closed by now
		_, _ = conn.Write(clientFrame(final|8, []byte{0x03, 0xe8})) // close
		_ = conn.(*net.TCPConn).CloseWrite()
		said, err := io.ReadAll(conn)
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("the server doesn't end the connection: %v", err)
		}
		checkFrames(t, said)
	})
}

// checkFrames checks that bytes are whole frames of a server.
func checkFrames(t *testing.T, said []byte) {
	t.Helper()
	for len(said) > 0 {
		if len(said) < 2 || said[0]&final == 0 || said[1]&0x80 != 0 {
			t.Fatalf("not a frame: %x", said)
		}
		n, header := int(said[1]), 2
		if n == 126 {
			n, header = int(binary.BigEndian.Uint16(said[2:])), 4
		}
		if len(said) < header+n {
			t.Fatalf("cut short: %x", said)
		}
		said = said[header+n:]
	}
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
