package analytics

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long tests wait for what must happen.
const patience = 20 * time.Second

// collector is a loopback server that speaks Segment's /v1/batch.
type collector struct {
	*httptest.Server
	t           *testing.T
	connections atomic.Int64

	mu       sync.Mutex
	unknown  string           // a write key that is answered with 401
	answer   http.HandlerFunc // instead of accepting, unless nil
	after    int              // requests that are still accepted before answer takes over
	requests int              // all, also those that were not accepted
	tracks   []track          // accepted, in order
}

// track is a message as Segment sees it.
type track struct {
	WriteKey   string `json:"-"`
	Type       string
	MessageID  string `json:"messageId"`
	UserID     string `json:"userId"`
	Event      string
	Timestamp  time.Time
	Properties map[string]any
}

func newCollector(t *testing.T) *collector {
	c := &collector{t: t}
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.connections.Add(1)
		}
	}
	c.Start()
	t.Cleanup(c.Close)
	return c
}

// respond makes requests fail by answer, after so many more that are accepted.
func (c *collector) respond(after int, answer http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after, c.answer = after, answer
}

// recover accepts everything from now on.
func (c *collector) recover() { c.respond(0, nil) }

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender gave up
	}
	writeKey, _, _ := r.BasicAuth()
	c.mu.Lock()
	c.requests++
	answer := c.answer
	if c.after > 0 {
		c.after--
		answer = nil
	}
	known := writeKey != c.unknown
	c.mu.Unlock()
	switch {
	case !known:
		http.Error(w, "invalid write key", http.StatusUnauthorized)
	case answer != nil:
		answer(w, r)
	default:
		c.accept(r, writeKey, body)
		io.WriteString(w, `{"success":true}`)
	}
}

// accept takes a request in, and holds it against Segment's documented limits.
func (c *collector) accept(r *http.Request, writeKey string, body []byte) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/batch" || writeKey == "" {
		c.t.Errorf("got %s %s with the write key %q, want POST /v1/batch with one", r.Method, r.URL.Path, writeKey)
	}
	var batch struct{ Batch []json.RawMessage }
	if err := json.Unmarshal(body, &batch); err != nil {
		c.t.Errorf("not JSON: %v", err)
	}
	if len(body) > 500_000 || len(batch.Batch) > 250 {
		c.t.Errorf("a request of %d bytes with %d messages is over Segment's limits", len(body), len(batch.Batch))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, raw := range batch.Batch {
		if len(raw) > 32_000 {
			c.t.Errorf("a message of %d bytes is over Segment's limit", len(raw))
		}
		m := track{WriteKey: writeKey}
		if err := json.Unmarshal(raw, &m); err != nil || m.Type != "track" {
			c.t.Errorf("not a track: %s (%v)", raw, err)
		}
		c.tracks = append(c.tracks, m)
	}
}

// accepted returns what was accepted so far, copies included, and the number of requests.
func (c *collector) accepted() (tracks []track, requests int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]track(nil), c.tracks...), c.requests
}

// awaitDistinct waits for n different messages and returns everything accepted by then.
func (c *collector) awaitDistinct(n int) (tracks []track) {
	c.t.Helper()
	await(c.t, func() (done bool, state any) {
		tracks, _ = c.accepted()
		got := len(distinct(tracks))
		return got >= n, fmt.Sprintf("%d of %d messages", got, n)
	})
	return tracks
}

func (c *collector) awaitRequests(n int) {
	c.t.Helper()
	await(c.t, func() (done bool, state any) {
		_, requests := c.accepted()
		return requests >= n, fmt.Sprintf("%d of %d requests", requests, n)
	})
}

// await asks until the answer is yes, and fails the test with the last state when that takes too long.
func await(t *testing.T, ask func() (done bool, state any)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		done, state := ask()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain; at last: %+v", state)
		}
	}
}

// distinct drops copies, as Segment does by messageId.
func distinct(tracks []track) map[string]track {
	byID := make(map[string]track, len(tracks))
	for _, m := range tracks {
		byID[m.MessageID] = m
	}
	return byID
}
