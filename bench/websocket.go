package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// webSocket is the client's end of a connection, as bare as it gets: what the load generator spends on a frame the
// server can't have. It is for one goroutine.
type webSocket struct {
	conn    *net.TCPConn
	reader  *bufio.Reader
	message []byte // the last one read
}

// Opcodes of RFC 6455.
const (
	opContinuation = 0x0
	opText         = 0x1
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	loopbackAddresses = 8       // that clients come from: each has some 28,000 ports
	socketReadBuffer  = 2 << 10 // bytes, for each client
	maxServerMessage  = 4 << 20
	// What makes a client's path like that of a network, whose buffers fill soon: on the loopback interface packets are
	// of 64 KB, and the kernel holds megabytes for whoever doesn't read.
	slowReceiveBuffer = 4 << 10
	slowPacket        = 1460
)

// dialWebSocket connects from one of the loopback addresses and shakes hands. slow makes the buffers small.
func dialWebSocket(ctx context.Context, address, subprotocol string, n int, slow bool) (_ *webSocket, err error) {
	dialer := net.Dialer{Timeout: handshakeTimeout, KeepAlive: -1,
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n%loopbackAddresses))}}
	if slow {
		dialer.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if failed := c.Control(func(fd uintptr) {
				err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, slowReceiveBuffer),
					syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, slowPacket))
			}); failed != nil {
				return failed
			}
			return err
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	ws := &webSocket{conn: conn.(*net.TCPConn), reader: bufio.NewReaderSize(conn, socketReadBuffer)}
	defer func() {
		if err != nil {
			ws.cut()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	request := "GET /graphql HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if subprotocol != "" {
		request += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(ws.reader, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 500)) // no more than a hint
		return nil, fmt.Errorf("upgrade: %s: %s", response.Status, body)
	}
	return ws, conn.SetDeadline(time.Time{})
}

// read returns the next message, until the one after. It answers pings meanwhile.
func (ws *webSocket) read() ([]byte, error) {
	ws.message = ws.message[:0]
	for {
		var head [2]byte
		if _, err := io.ReadFull(ws.reader, head[:]); err != nil {
			return nil, err
		}
		final, opcode, size := head[0]&0x80 != 0, head[0]&0x0f, int64(head[1]&0x7f)
		switch size {
		case 126:
			var long [2]byte
			if _, err := io.ReadFull(ws.reader, long[:]); err != nil {
				return nil, err
			}
			size = int64(binary.BigEndian.Uint16(long[:]))
		case 127:
			var long [8]byte
			if _, err := io.ReadFull(ws.reader, long[:]); err != nil {
				return nil, err
			}
			size = int64(binary.BigEndian.Uint64(long[:]))
		}
		if head[0]&0x70 != 0 || head[1]&0x80 != 0 || size < 0 || size > maxServerMessage {
			return nil, fmt.Errorf("a frame against the rules: %x, %d bytes", head, size)
		}
		before := len(ws.message)
		ws.message = append(ws.message, make([]byte, size)...)
		payload := ws.message[before:]
		if _, err := io.ReadFull(ws.reader, payload); err != nil {
			return nil, err
		}
		switch opcode {
		case opText, opContinuation:
			if final {
				return ws.message, nil
			}
			continue
		case opPing:
			if err := ws.write(opPong, payload); err != nil {
				return nil, err
			}
		case opClose:
			return nil, fmt.Errorf("the server closed: %q", payload)
		}
		ws.message = ws.message[:before] // control frames come between those of a message
	}
}

// write sends a message in one frame. The mask that the protocol wants is 0.
func (ws *webSocket) write(opcode byte, payload []byte) error {
	frame := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n <= 125:
		frame = append(frame, 0x80|byte(n))
	case n <= 0xffff:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		return fmt.Errorf("a message of %d bytes is too long", n)
	}
	_, err := ws.conn.Write(append(append(frame, 0, 0, 0, 0), payload...))
	return err
}

// cut ends the connection at once, so that its port is free again.
func (ws *webSocket) cut() {
	_ = ws.conn.SetLinger(0) // then it is closed more slowly
	_ = ws.conn.Close()      // nobody waits for it
}
