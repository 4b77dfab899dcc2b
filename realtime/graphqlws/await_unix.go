//go:build unix

package graphqlws

import "syscall"

// await waits until there is something to read, and reads it. Its goroutine is a new one, and it waits without any deep
// calls, for which the library's reading needs a stack twice the smallest: what an idle connection needs most of.
//
// It also takes the answers to pings, which is all that many clients ever send: the library would go on reading.
func (c *conn) await() {
	for c.raw != nil {
		if err := c.raw.Read(c.incoming.ahead.fill); err != nil || !c.incoming.ahead.takePong() {
			break // an error will come to reading as well
		}
		_ = c.control()
	}
	c.read()
}

// fill reads a few bytes from a socket without blocking, and reports whether there was anything to read, or an error.
func (a *ahead) fill(fd uintptr) bool {
	if a.from < a.to {
		return true
	}
	for {
		n, err := syscall.Read(int(fd), a.bytes[:])
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		a.from, a.to = 0, uint8(max(n, 0))
		return true
	}
}
