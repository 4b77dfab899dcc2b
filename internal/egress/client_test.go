package egress

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// short is a timeout for tests that wait for it.
const short = 50 * time.Millisecond

func TestExchange(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "yes")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %q %q %q %q", r.Method, r.URL, r.UserAgent(), r.Header["X-A"], r.Header["Cookie"], body)
	})
	c := client(t, Config{})
	r := &Request{Method: "PUT", URL: base + "/p?q=1#f", Header: http.Header{"x-a": {"1", "2"}}, Body: []byte("b")}
	for range 2 { // the second time, the cookie would be there
		got := do(t, c, r)
		want := `PUT /p?q=1 "Belfry/1 (+https://github.com/belfryhq/belfry)" ["1" "2"] [] "b"`
		if got.Status != http.StatusTeapot || got.Header.Get("X-Answer") != "yes" || string(got.Body) != want {
			t.Errorf("got %d, %v\n%s\nwant\n%s", got.Status, got.Header, got.Body, want)
		}
	}
	if diff := cmp.Diff(http.Header{"x-a": {"1", "2"}}, r.Header); diff != "" {
		t.Errorf("Do changed the request: %s", diff)
	}
	got := do(t, c, &Request{URL: base, Header: http.Header{"user-agent": {"own"}}})
	if want := `GET / "own" [] [] ""`; string(got.Body) != want {
		t.Errorf("got %s, want %s", got.Body, want)
	}
	if got := do(t, c, &Request{Method: "HEAD", URL: base}); got.Body == nil || len(got.Body) != 0 {
		t.Errorf("HEAD returned the body %q", got.Body)
	}
}

func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	// net/http reads the environment once for a process, and never uses it for loopback: so look at the setting itself.
	if New(Config{}).transport.Proxy != nil {
		t.Error("the transport has a proxy, behind which the guard sees no address")
	}
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			flood(w, r)
			return
		}
		switch r.URL.Path {
		case "/headers":
			for i := range MaxResponseHeaders/1000 + 3 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
			}
		case "/header":
			w.Header().Set("X-Large", strings.Repeat("x", 2*MaxResponseHeaders))
		}
		io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	server.StartTLS()
	t.Cleanup(server.Close)
	c := client(t, Config{})
	doFails(t, c, &Request{URL: server.URL}, ConnectionFailed) // nobody has signed the certificate

	c = client(t, Config{})
	c.transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	c.transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	if got := do(t, c, &Request{URL: server.URL}); string(got.Body) != "HTTP/2.0" {
		t.Errorf("got %s", got.Body)
	}
	doFails(t, c, &Request{URL: server.URL + "/endless"}, TooLarge)
	doFails(t, c, &Request{URL: server.URL + "/headers"}, TooLarge)
	doFails(t, c, &Request{URL: server.URL + "/header"}, ConnectionFailed) // too large to be looked at: net/http hangs up
}

// flood writes until the other side has gone.
func flood(w io.Writer, r *http.Request) {
	for chunk := make([]byte, 32<<10); r.Context().Err() == nil; {
		w.Write(chunk)
	}
}

func TestResponsesUpToTheLimits(t *testing.T) {
	t.Parallel()
	const limit = 1000
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscan(r.URL.Query().Get("n"), &n)
		switch r.URL.Path {
		case "/plain":
			w.Header().Set("Content-Length", fmt.Sprint(n))
			w.Write(make([]byte, n))
		case "/chunked":
			w.(http.Flusher).Flush()
			w.Write(make([]byte, n))
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write(make([]byte, n))
			z.Close()
		case "/endless":
			flood(w, r)
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestCompression)
			flood(z, r)
		case "/headers":
			w.Header().Set("X-Large", strings.Repeat("x", n))
		}
	})
	c := client(t, Config{MaxResponse: limit})
	for _, path := range []string{"/plain", "/chunked", "/gzip"} {
		got := do(t, c, &Request{URL: fmt.Sprintf("%s%s?n=%d", base, path, limit)})
		if len(got.Body) != limit {
			t.Errorf("%s: %d bytes, want %d", path, len(got.Body), limit)
		}
		doFails(t, c, &Request{URL: fmt.Sprintf("%s%s?n=%d", base, path, limit+1)}, TooLarge)
	}
	doFails(t, c, &Request{URL: base + "/endless"}, TooLarge)
	doFails(t, c, &Request{URL: base + "/bomb"}, TooLarge)
	do(t, c, &Request{URL: fmt.Sprintf("%s/headers?n=%d", base, MaxResponseHeaders-1000)})
	doFails(t, c, &Request{URL: fmt.Sprintf("%s/headers?n=%d", base, MaxResponseHeaders)}, TooLarge)
}

func TestSlowServersTimeOut(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else the server doesn't notice that the client has gone
		switch r.URL.Path {
		case "/headers":
		case "/body":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		case "/redirect":
			http.Redirect(w, r, "/headers", http.StatusFound)
			return
		case "/drip":
			for r.Context().Err() == nil { // never idle, never done
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
				select {
				case <-time.After(short / 10):
				case <-r.Context().Done():
				}
			}
		}
		<-r.Context().Done()
	})
	c := client(t, Config{Timeout: short})
	for _, path := range []string{"/headers", "/body", "/redirect", "/drip"} {
		doFails(t, c, &Request{URL: base + path}, Timeout)
	}

	patient := client(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	_, err := patient.Do(ctx, &Request{URL: base + "/headers"})
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Timeout {
		t.Errorf("with the caller's own deadline: %v", err)
	}
}

func TestConnectionsThatFail(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	listener.Close()
	rude := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		defer conn.Close()
		switch r.URL.Path {
		case "/hangup":
		case "/garbage":
			io.WriteString(conn, strings.Repeat("garbage ", 100)+"\r\n\r\n")
		case "/short":
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
		case "/location":
			io.WriteString(conn, "HTTP/1.1 302 Found\r\nLocation: http://%zz/\r\nContent-Length: 0\r\n\r\n")
		}
	})
	c := clientWithNames(t, Config{}, &zone{})
	for u, says := range map[string]string{
		nobody:                                   "connection refused",
		"http://nobody.test/?token=secret":       "no such host",
		rude + "/hangup?token=secret":            "EOF",
		rude + "/garbage?token=secret":           "malformed",
		rude + "/short?token=secret":             "unexpected EOF",
		rude + "/location?token=secret":          "Location",
		"https" + rude[len("http"):] + "/hangup": "HTTP response to HTTPS",
	} {
		e := doFails(t, c, &Request{URL: u}, ConnectionFailed)
		if !strings.Contains(e.Message, says) || len(e.Message) > 300 {
			t.Errorf("%s: %q doesn't say %q, or says too much", u, e.Message, says)
		}
		for _, hidden := range []string{"token", "127.0.0.1:"} {
			if strings.Contains(e.Message, hidden) {
				t.Errorf("%s: %q shows %q", u, e.Message, hidden)
			}
		}
	}
}

func TestNameServerThatFails(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	c := newClient(Config{}, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", conn.LocalAddr().String())
	}})
	e := doFails(t, c, &Request{URL: "http://example.test/"}, ConnectionFailed)
	if !strings.Contains(e.Error(), "name lookup") || strings.Contains(e.Error(), "127.0.0.1") {
		t.Errorf("the message has to hide the resolver: %v", e)
	}
}

func TestCancelledCallerGetsItsOwnError(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	c := client(t, Config{MaxInFlight: 1})
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2)
	for range 2 { // one is under way, one waits for its turn
		go func() {
			_, err := c.Do(ctx, &Request{URL: base})
			results <- err
		}()
	}
	<-arrived
	cancel()
	for range 2 {
		if err := <-results; err != context.Canceled {
			t.Errorf("got %v", err)
		}
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	const all, perHost, slow = 3, 2, 5
	arrived, release := make(chan string, slow+2), make(chan struct{})
	var now, most atomic.Int32
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		arrived <- strings.Split(r.Host, ":")[0]
		<-release
		now.Add(-1)
	})
	z := &zone{answers: map[string][][]string{}}
	for _, name := range []string{"slow.test", "a.test", "b.test"} {
		z.answers[name] = [][]string{{"127.0.0.1"}}
	}
	c := clientWithNames(t, Config{MaxInFlight: all, MaxPerHost: perHost}, z)
	request := func(host string) *Request { return &Request{URL: strings.Replace(base, "127.0.0.1", host, 1)} }
	var done sync.WaitGroup
	send := func(host string) {
		done.Go(func() {
			if _, err := c.Do(t.Context(), request(host)); err != nil {
				t.Errorf("Do: %v", err)
			}
		})
	}

	for range slow { // a host that doesn't answer takes its share, and leaves the rest
		send("slow.test")
	}
	for range perHost {
		if host := <-arrived; host != "slow.test" {
			t.Errorf("%s arrived", host)
		}
	}
	send("A.test.")
	if host := <-arrived; host == "slow.test" {
		t.Error("a slow host took more than its share")
	}

	// b.test has a share of its own, but there are no turns left at all.
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	_, err := c.Do(ctx, request("b.test"))
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Timeout || !strings.Contains(e.Message, "not sent") {
		t.Errorf("beyond the bound of all: %v", err)
	}
	close(release)
	done.Wait()
	if got := most.Load(); got != all {
		t.Errorf("at most %d requests were in flight, want %d", got, all)
	}
	if n := len(c.turns.hosts); n != 0 {
		t.Errorf("%d hosts are remembered", n)
	}
}

func TestWaitingForATurnTimesOut(t *testing.T) {
	t.Parallel()
	c := client(t, Config{Timeout: short, MaxInFlight: 2, MaxPerHost: 1})
	base := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the request was sent") })
	done, err := c.turns.take(t.Context(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if e := doFails(t, c, &Request{URL: base}, Timeout); !strings.Contains(e.Message, "not sent") {
		t.Errorf("got %v", e)
	}
}

func TestIdleConnectionsAreUsedAgainAndBounded(t *testing.T) {
	t.Parallel()
	var open, opened atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
			opened.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := client(t, Config{})
	for range 3 {
		do(t, c, &Request{URL: server.URL})
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("three requests in a row opened %d connections", n)
	}
	var done sync.WaitGroup
	for range DefaultMaxPerHost {
		done.Go(func() {
			if _, err := c.Do(t.Context(), &Request{URL: server.URL}); err != nil {
				t.Errorf("Do: %v", err)
			}
		})
	}
	done.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for open.Load() > maxIdlePerHost {
		if time.Now().After(deadline) {
			t.Fatalf("%d idle connections are open", open.Load())
		}
		time.Sleep(time.Millisecond)
	}
}
