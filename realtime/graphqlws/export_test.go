package graphqlws

import (
	"maps"
	"slices"
	"time"
)

// CloseAll closes all connections with a code.
func (t *Transport) CloseAll(code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		c.shut(code, "a test")
	}
}

// Expire has the credentials of all connections end now.
func (t *Transport) Expire() {
	t.mu.Lock()
	conns := slices.Collect(maps.Keys(t.conns))
	t.mu.Unlock()
	for _, c := range conns {
		c.mu.Lock()
		c.expires = time.Now()
		c.mu.Unlock()
		t.wheel.schedule(c, time.Now())
	}
}
