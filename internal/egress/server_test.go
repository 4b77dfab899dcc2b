package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine behind, so neither does Do.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// serve starts a server on 127.0.0.1 and returns its URL without a slash at the end.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// serveAt starts a server at an address that this machine may lack, and returns its URL. Tests want to see that
// nobody comes; without the server they still see that the client refuses.
func serveAt(t *testing.T, address string, handler http.HandlerFunc) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Logf("without a server: %v", err)
		host, _, _ := net.SplitHostPort(address)
		return "http://" + net.JoinHostPort(host, "80")
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// client returns a client that may call 127.0.0.1, but no other address of this machine.
func client(t *testing.T, c Config) *Client {
	t.Helper()
	if c.Allow == nil {
		c.Allow = loopback
	}
	client := New(c)
	t.Cleanup(client.CloseIdle)
	return client
}

// clientWithNames is like client, and finds hosts in the zone only.
func clientWithNames(t *testing.T, c Config, z *zone) *Client {
	t.Helper()
	if c.Allow == nil {
		c.Allow = loopback
	}
	client := newClient(c, z.serve(t))
	t.Cleanup(client.CloseIdle)
	return client
}

func do(t *testing.T, c *Client, r *Request) *Response {
	t.Helper()
	response, err := c.Do(t.Context(), r)
	if err != nil {
		t.Fatalf("Do: %v", err)
	}
	return response
}

// doFails expects an *Error with the reason, and returns it.
func doFails(t *testing.T, c *Client, r *Request, reason Reason) *Error {
	t.Helper()
	response, err := c.Do(t.Context(), r)
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("Do(%.100s) = %v, error %v, want reason %s", r.URL, response, err, reason)
	}
	if e.Reason != reason {
		t.Fatalf("Do(%.100s): reason %s (%v; cause %v), want %s", r.URL, e.Reason, e, errors.Unwrap(e), reason)
	}
	if wanted := reason == Timeout || reason == ConnectionFailed; e.Retryable() != wanted {
		t.Errorf("Do(%.100s): Retryable() = %t for %s", r.URL, e.Retryable(), reason)
	}
	return e
}

// zone is a name server that knows IPv4 addresses only. Each time a name is looked up, it gets the next of its
// answers; the last stays.
type zone struct {
	mu      sync.Mutex
	answers map[string][][]string
	lookups int
}

func (z *zone) serve(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		query := make([]byte, 1500)
		for {
			n, peer, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			conn.WriteTo(z.answer(query[:n]), peer)
		}
	})
	t.Cleanup(func() {
		conn.Close()
		served.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}
}

func (z *zone) answer(query []byte) []byte {
	z.mu.Lock()
	defer z.mu.Unlock()
	const headerLen = 12
	var labels []string
	i := headerLen
	for ; query[i] != 0; i += 1 + int(query[i]) {
		labels = append(labels, string(query[i+1:i+1+int(query[i])]))
	}
	name := strings.ToLower(strings.Join(labels, "."))
	question := query[headerLen : i+5]
	known, isA := z.answers[name], binary.BigEndian.Uint16(query[i+1:]) == 1
	var addresses []string
	if len(known) > 0 && isA {
		z.lookups++
		addresses = known[0]
		if len(known) > 1 {
			z.answers[name] = known[1:]
		}
	}
	flags := []byte{0x81, 0x80}
	if known == nil {
		flags[1] = 0x83 // no such name
	}
	reply := append([]byte{query[0], query[1], flags[0], flags[1], 0, 1, 0, byte(len(addresses)), 0, 0, 0, 0}, question...)
	for _, address := range addresses {
		ip := netip.MustParseAddr(address).As4()
		reply = append(reply, 0xc0, headerLen, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the same name, A, IN, for 0 s
		reply = append(reply, ip[:]...)
	}
	return reply
}

func (z *zone) lookedUp() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.lookups
}
