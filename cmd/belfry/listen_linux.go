package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxUnanswered is how long a peer may leave what it was sent without an answer. Linux waits a quarter of an hour by itself:
// for so long an event stream would be kept, and written to, whose client has lost its network.
const maxUnanswered = 30 * time.Second

// boundUnanswered has connections to a listener break after that.
func boundUnanswered(_, _ string, listener syscall.RawConn) error {
	var failed error
	if err := listener.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(maxUnanswered/time.Millisecond))
	}); err != nil {
		return err
	}
	return failed
}
