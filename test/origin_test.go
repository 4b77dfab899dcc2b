package test

import (
	"net/http"
	"testing"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

// Pages of other origins can neither read answers nor open sockets, unless the operator allows them.
func TestOrigins(t *testing.T) {
	t.Parallel()
	db := pgtest.URL(t)
	const friend, stranger = "https://app.example.com", "https://evil.example.com"
	own, open := serve(t, db), serve(t, db, settings{"BELFRY_ALLOWED_ORIGINS": friend + ",https://other.example.com"})
	all := serve(t, db, settings{"BELFRY_ALLOWED_ORIGINS": "*"})
	env := newEnvironment(t, db, "production")
	for _, c := range []struct {
		node    *node
		origin  string
		readers bool // may read answers of HTTP
		sockets bool
	}{
		{own, "http://" + own.address, false, true}, // of the same origin: needs no leave to read
		{own, friend, false, false},
		{own, "null", false, false},
		{open, friend, true, true},
		{open, "https://other.example.com", true, true},
		{open, stranger, false, false},
		{open, friend + ".evil.example.com", false, false},
		{open, "http://app.example.com", false, false},
		{all, stranger, true, true},
	} {
		ana := env.user(t, c.node, "ana")
		if got := allowed(t, c.node, http.MethodOptions, c.origin); got != c.readers {
			t.Errorf("%s: a preflight of %s is allowed: %t, want %t", c.node.address, c.origin, got, c.readers)
		}
		if got := allowed(t, c.node, http.MethodPost, c.origin); got != c.readers {
			t.Errorf("%s: %s may read: %t, want %t", c.node.address, c.origin, got, c.readers)
		}
		s, response, err := ana.openFrom(t, c.origin)
		if (err == nil) != c.sockets || err != nil && response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: a socket of %s: %v, want %t", c.node.address, c.origin, err, c.sockets)
		}
		if err == nil {
			_ = s.conn.Close()
		}
	}
}

func (c caller) openFrom(t *testing.T, origin string) (*socket, *http.Response, error) {
	return open(t.Context(), c.address, http.Header{"Origin": {origin}}, c.payload())
}

// allowed asks as a browser does for a page of an origin.
func allowed(t *testing.T, n *node, method, origin string) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, n.url("/graphql"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", origin)
	if method == http.MethodOptions {
		request.Header.Set("Access-Control-Request-Method", http.MethodPost)
		request.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-belfry-user-token")
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	header := response.Header.Get("Access-Control-Allow-Origin")
	if response.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("cookies are allowed")
	}
	return header == origin || header == "*"
}
