package realtimetest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Proxy stands between a node and its Redis, and can be a bad network.
type Proxy struct {
	URL string // redis://…, for realtime.RedisConfig

	target  string
	serving sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond // of what follows
	parted  bool
	closed  bool
	lines   map[*proxied]struct{}
}

// proxied is one connection through a proxy.
type proxied struct {
	proxy          *Proxy
	client, server net.Conn
	deaf           bool // guarded by the proxy's mu
}

// StartProxy starts a proxy to the server that lives until the end of the test.
func StartProxy(t testing.TB, redis *Redis) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "redis://" + l.Addr().String(), target: redis.socket, lines: make(map[*proxied]struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.serving.Go(func() { p.accept(l) })
	t.Cleanup(func() {
		_ = l.Close()
		p.set(func() {
			p.closed = true
			for line := range p.lines {
				line.close()
			}
		})
		p.serving.Wait()
	})
	return p
}

// Partition cuts the node off, until Heal: connections stay open, and new ones come about, but nothing that either side
// sends arrives. What was sent on connections that nobody has given up arrives later, as lost packets do.
func (p *Proxy) Partition() { p.set(func() { p.parted = true }) }

// Heal undoes Partition.
func (p *Proxy) Heal() { p.set(func() { p.parted = false }) }

// Deafen drops publications to the node on the connections that there are, and nothing else: pings are answered, and
// subscriptions confirmed. Later connections are well. It returns how many there are.
func (p *Proxy) Deafen() (connections int) {
	p.set(func() {
		connections = len(p.lines)
		for line := range p.lines {
			line.deaf = true
		}
	})
	return connections
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.target)
		if err != nil {
			_ = client.Close() // Redis is down
			continue
		}
		line := &proxied{proxy: p, client: client, server: server}
		p.set(func() { p.lines[line] = struct{}{} })
		p.serving.Go(func() { line.pass(server, client, readSome) })
		p.serving.Go(func() { line.pass(client, server, readValue) })
	}
}

// pass passes on what read reads, until either side ends.
func (l *proxied) pass(to io.Writer, from io.Reader, read func(*bufio.Reader) ([]byte, error)) {
	defer l.proxy.set(func() {
		delete(l.proxy.lines, l)
		l.close()
	})
	r := bufio.NewReader(from)
	for {
		b, err := read(r)
		if err != nil || !l.admit() {
			return
		}
		if l.swallow(b) {
			continue
		}
		if _, err := to.Write(b); err != nil {
			return
		}
	}
}

// admit waits until there is no partition. It returns false once the proxy is closed.
func (l *proxied) admit() bool {
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.parted && !p.closed {
		p.changed.Wait()
	}
	return !p.closed
}

func (l *proxied) swallow(value []byte) bool {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	_, push, _ := bytes.Cut(value, []byte("\r\n"))
	return l.deaf && value[0] == '>' && (bytes.HasPrefix(push, []byte("$7\r\nmessage\r\n")) || bytes.HasPrefix(push, []byte("$8\r\nsmessage\r\n")))
}

func (l *proxied) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// readSome reads what there is.
func readSome(r *bufio.Reader) ([]byte, error) {
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	b := make([]byte, r.Buffered())
	_, err := io.ReadFull(r, b)
	return b, err
}

// readValue reads one value of the protocol, RESP3, as it is.
func readValue(r *bufio.Reader) ([]byte, error) {
	value, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(string(bytes.TrimSpace(value[1:])))
	switch value[0] {
	case '$', '=', '!': // bytes
		if n < 0 {
			return value, nil
		}
		b := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(r, b)
		return append(value, b...), err
	case '%', '|': // pairs
		n *= 2
	case '*', '~', '>':
	case '+', '-', ':', '_', '#', ',', '(':
		n = 0
	default:
		return nil, fmt.Errorf("realtimetest: a value of an unknown kind: %q", value)
	}
	for range n {
		element, err := readValue(r)
		if err != nil {
			return nil, err
		}
		value = append(value, element...)
	}
	return value, nil
}
