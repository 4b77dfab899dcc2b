package egress

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// MaxRedirects is how many redirects a request follows.
const MaxRedirects = 3

// portable headers say nothing about who sends them.
var portable = []string{"Accept", "Accept-Language", "Content-Type", "User-Agent"}

// journey is a request on its way through redirects.
type journey struct {
	host    string // of the request that was sent last
	hasBody bool   // at its start
	left    bool   // the origin that the caller named; there is no way back into its trust
}

// redirect has the signature of http.Client's CheckRedirect: next is about to be sent, with headers that net/http copied
// from the first request each time anew.
func (j *journey) redirect(next *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return errorf(TooManyRedirects, "there were more than %d redirects", MaxRedirects)
	}
	if err := checkURL(next.URL); err != nil {
		return err
	}
	j.host = next.URL.Hostname()
	if !keepsTrust(via[len(via)-1].URL, next.URL) {
		j.left = true
	}
	next.Header.Del("Referer") // has the query of the last URL
	if j.hasBody && next.Body == nil {
		next.Header.Del(SignatureHeader) // signs what isn't there any more
	}
	if j.left {
		for name := range next.Header {
			if !slices.Contains(portable, name) {
				delete(next.Header, name)
			}
		}
	}
	return nil
}

// keepsTrust reports whether to may see what was meant for from: the same origin, or its encrypted twin.
func keepsTrust(from, to *url.URL) bool {
	if hostKey(from) != hostKey(to) {
		return false
	}
	if from.Scheme == to.Scheme {
		return port(from) == port(to)
	}
	return port(from) == "80" && port(to) == "443" && to.Scheme == "https"
}

func hostKey(u *url.URL) string { return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) }

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
