package egress

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRedirectsAreFollowedUpToTheLimit(t *testing.T) {
	t.Parallel()
	// /3 leads to /2 to /1 to /0.
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		if fmt.Sscanf(r.URL.Path, "/%d", &n); n > 0 {
			http.Redirect(w, r, fmt.Sprintf("/%d", n-1), http.StatusFound)
			return
		}
		io.WriteString(w, "there")
	})
	c := client(t, Config{})
	if got := do(t, c, &Request{URL: fmt.Sprintf("%s/%d", base, MaxRedirects)}); string(got.Body) != "there" {
		t.Errorf("got %+v", got)
	}
	doFails(t, c, &Request{URL: fmt.Sprintf("%s/%d", base, MaxRedirects+1)}, TooManyRedirects)
}

func TestRedirectsAreCheckedLikeURLs(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	forbidden := serveAt(t, "127.0.0.2:0", func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	c := clientWithNames(t, Config{}, &zone{answers: map[string][][]string{
		"metadata.test": {{"169.254.169.254"}},
		"two.test":      {{"127.0.0.2"}},
	}})
	for to, want := range map[string]Reason{
		"http://169.254.169.254/latest/": ForbiddenAddress,
		"http://metadata.test/latest/":   ForbiddenAddress,
		forbidden:                        ForbiddenAddress,
		strings.Replace(forbidden, "127.0.0.2", "two.test", 1): ForbiddenAddress,
		"http://[::ffff:10.0.0.1]/":                            ForbiddenAddress,
		"//0.0.0.0/":                                           ForbiddenAddress,
		"http://2130706433/":                                   InvalidURL,
		"http://user:pass@127.0.0.1/":                          InvalidURL,
		"http://127.0.0.1:6379/":                               InvalidURL,
		"file:///etc/passwd":                                   InvalidURL,
		"/" + strings.Repeat("x", MaxURL):                      InvalidURL,
	} {
		e := doFails(t, c, &Request{URL: base + "?to=" + url.QueryEscape(to), Method: "POST", Body: []byte("x")}, want)
		if u, _ := url.Parse(to); want == ForbiddenAddress && !strings.Contains(e.Message, u.Hostname()) {
			t.Errorf("to %s: %q doesn't name the host", to, e.Message)
		}
	}
	if reached.Load() != 0 {
		t.Error("a forbidden server was reached")
	}
}

// heard is what a server at the end of a redirect saw.
type heard struct{ Method, Body, Authorization, APIKey, Cookie, Signature, Referer, Accept string }

func TestWhatGoesAlongWithARedirect(t *testing.T) {
	t.Parallel()
	var last atomic.Pointer[heard]
	handler := func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			var status int
			fmt.Sscan(r.URL.Query().Get("status"), &status)
			w.Header().Set("Location", to)
			w.WriteHeader(status)
			return
		}
		body, _ := io.ReadAll(r.Body)
		h := heard{Method: r.Method, Body: string(body)}
		for name, field := range map[string]*string{
			"Authorization": &h.Authorization, "X-Api-Key": &h.APIKey, "Cookie": &h.Cookie, "Referer": &h.Referer,
			SignatureHeader: &h.Signature, "Accept": &h.Accept,
		} {
			if *field = r.Header.Get(name); name == SignatureHeader && *field != "" {
				*field = "signed"
			}
		}
		last.Store(&h)
	}
	one, two := serve(t, handler), serve(t, handler)
	secure := httptest.NewTLSServer(http.HandlerFunc(handler))
	t.Cleanup(secure.Close)
	c := clientWithNames(t, Config{}, &zone{answers: map[string][][]string{"a.test": {{"127.0.0.1"}}, "b.a.test": {{"127.0.0.1"}}}})
	c.transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"}
	c.transport.TLSClientConfig.RootCAs.AddCert(secure.Certificate())
	one = strings.Replace(one, "127.0.0.1", "a.test", 1)
	subdomain := strings.Replace(one, "a.test", "b.a.test", 1)

	everything := heard{"POST", "b", "secret", "key", "c=d", "signed", "", "text/plain"}
	bare := heard{Method: "POST", Body: "b", Accept: "text/plain"}
	for _, tt := range []struct {
		name, from, to string
		status         int
		want           heard
	}{
		{"same origin", one, "/", 307, everything},
		{"body is gone, and its signature", one, "/", 303, heard{"GET", "", "secret", "key", "c=d", "", "", "text/plain"}},
		{"body is gone by custom", one, "/", 302, heard{"GET", "", "secret", "key", "c=d", "", "", "text/plain"}},
		{"other port", one, two, 307, bare},
		{"subdomain", one, subdomain, 307, bare},
		{"parent domain", subdomain, one, 307, bare},
		{"there and back", one, two + "/?status=307&to=" + url.QueryEscape(one), 307, bare},
		{"and on from there", one, two + "/?status=307&to=/", 307, bare},
		{"to plain text", secure.URL, two, 307, bare},
		{"to TLS at other port", one, secure.URL, 307, bare},
		{"body is gone elsewhere", one, two, 303, heard{Method: "GET", Accept: "text/plain"}},
	} {
		do(t, c, &Request{
			Method: "POST",
			URL:    fmt.Sprintf("%s/?token=hidden&status=%d&to=%s", tt.from, tt.status, url.QueryEscape(tt.to)),
			Header: http.Header{
				"Authorization": {"secret"}, "x-api-key": {"key"}, "Cookie": {"c=d"}, "Accept": {"text/plain"}, "Referer": {"r"},
			},
			Body:   []byte("b"),
			Secret: []byte("s"),
		})
		if diff := cmp.Diff(&tt.want, last.Load()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestTrustAlongARedirect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"http://a.test/", "http://a.test:80/x", true},
		{"http://a.test/", "https://a.test/", true},
		{"http://a.test", "https://A.test.:443/", true},
		{"https://a.test/", "https://a.test:443/", true},
		{"https://a.test/", "http://a.test/", false},
		{"https://a.test/", "http://a.test:443/", false},
		{"http://a.test:443/", "https://a.test/", false},
		{"http://a.test:8080/", "https://a.test/", false},
		{"http://a.test/", "https://a.test:8443/", false},
		{"http://a.test/", "http://a.test:8080/", false},
		{"http://a.test/", "http://b.a.test/", false},
		{"http://a.test/", "http://a.test.evil.test/", false},
	} {
		from, _ := url.Parse(tt.from)
		to, _ := url.Parse(tt.to)
		if got := keepsTrust(from, to); got != tt.want {
			t.Errorf("keepsTrust(%s, %s) = %t", tt.from, tt.to, got)
		}
	}
}
