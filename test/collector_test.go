package test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// collector is a loopback server that speaks Segment's protocol. It takes the first request in and answers it with an
// error, as a proxy that times out would: what it holds comes again.
type collector struct {
	*httptest.Server

	mu       sync.Mutex
	requests [][]track
}

// track is an event as Segment gets it.
type track struct {
	MessageID  string `json:"messageId"`
	UserID     string `json:"userId"`
	Event      string
	Properties map[string]any
}

func collect(t *testing.T, writeKey string) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Batch []track }
		err := json.NewDecoder(r.Body).Decode(&body)
		if key, _, _ := r.BasicAuth(); err != nil || key != writeKey || r.URL.Path != "/v1/batch" {
			t.Errorf("got %s with the write key %q (%v)", r.URL, key, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.requests = append(c.requests, body.Batch)
		if len(c.requests) == 1 {
			http.Error(w, "timed out", http.StatusGatewayTimeout)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// lost is what the first request held, accepted all that came later.
func (c *collector) lost() []track { return c.between(0, 1) }

func (c *collector) accepted() []track { return c.between(1, -1) }

func (c *collector) between(from, to int) (out []track) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to < 0 || to > len(c.requests) {
		to = len(c.requests)
	}
	for i := from; i < to; i++ {
		out = append(out, c.requests[i]...)
	}
	return out
}
