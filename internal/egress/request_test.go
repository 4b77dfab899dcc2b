package egress

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestRequestsAreChecked(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	base := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	c := client(t, Config{})
	for _, tt := range []struct {
		name   string
		r      Request
		reason Reason
		says   string
	}{
		{"method in lower case", Request{Method: "get"}, InvalidRequest, "method"},
		{"CONNECT", Request{Method: "CONNECT"}, InvalidRequest, "method"},
		{"split method", Request{Method: "GET / HTTP/1.1\r\nX: y"}, InvalidRequest, "method"},
		{"empty secret", Request{Secret: []byte{}}, InvalidRequest, "secret"},
		{"large body", Request{Method: "POST", Body: make([]byte, MaxBody+1)}, InvalidRequest, "1048576"},
		{"line break in value", Request{Header: http.Header{"X-A": {"b\r\nX-C: d"}}}, InvalidRequest, `"X-A"`},
		{"bare CR", Request{Header: http.Header{"X-A": {"b\rc"}}}, InvalidRequest, `"X-A"`},
		{"NUL", Request{Header: http.Header{"X-A": {"\x00"}}}, InvalidRequest, `"X-A"`},
		{"DEL", Request{Header: http.Header{"X-A": {"\x7f"}}}, InvalidRequest, `"X-A"`},
		{"line break in name", Request{Header: http.Header{"X-A: b\r\nX-C": {"d"}}}, InvalidRequest, `"X-A: b\r\nX-C"`},
		{"no name", Request{Header: http.Header{"": {"d"}}}, InvalidRequest, `""`},
		{"name with space", Request{Header: http.Header{"Host ": {"d"}}}, InvalidRequest, `"Host "`},
		{"Host", Request{Header: http.Header{"Host": {"internal"}}}, InvalidRequest, `"Host"`},
		{"host", Request{Header: http.Header{"host": {"internal"}}}, InvalidRequest, `"host"`},
		{"Content-Length", Request{Header: http.Header{"CONTENT-length": {"0"}}}, InvalidRequest, `"CONTENT-length"`},
		{"Transfer-Encoding", Request{Header: http.Header{"Transfer-Encoding": {"chunked"}}}, InvalidRequest, "Transfer-Encoding"},
		{"Connection", Request{Header: http.Header{"Connection": {"X-A"}}}, InvalidRequest, "Connection"},
		{"Upgrade", Request{Header: http.Header{"Upgrade": {"websocket"}}}, InvalidRequest, "Upgrade"},
		{"TE", Request{Header: http.Header{"TE": {"trailers"}}}, InvalidRequest, "TE"},
		{"HTTP2-Settings", Request{Header: http.Header{"HTTP2-Settings": {"x"}}}, InvalidRequest, "HTTP2-Settings"},
		{"forged signature", Request{Header: http.Header{"x-belfry-signature": {"t=1,s=2"}}}, InvalidRequest, "x-belfry-signature"},
		{"own compression", Request{Header: http.Header{"Accept-Encoding": {"br"}}}, InvalidRequest, "Accept-Encoding"},
		{"port of mail", Request{URL: "http://127.0.0.1:25/"}, InvalidURL, "port 25"},
		{"port of a cache, padded", Request{URL: "http://127.0.0.1:006379/"}, InvalidURL, "port 6379"},
		{"port 0", Request{URL: "http://127.0.0.1:0/"}, InvalidURL, "65535"},
		{"port 65536", Request{URL: "http://127.0.0.1:65536/"}, InvalidURL, "65535"},
		{"port beyond numbers", Request{URL: "http://127.0.0.1:99999999999999999999/"}, InvalidURL, "65535"},
		{"port name", Request{URL: "http://127.0.0.1:http/"}, InvalidURL, "port"},
		{"bad escape", Request{URL: base + "/%zz"}, InvalidURL, "%zz"},
	} {
		if tt.r.URL == "" {
			tt.r.URL = base
		}
		if e := doFails(t, c, &tt.r, tt.reason); !strings.Contains(e.Message, tt.says) {
			t.Errorf("%s: %q doesn't say %s", tt.name, e.Message, tt.says)
		}
	}
	if reached.Load() != 0 {
		t.Error("an invalid request was sent")
	}
}

func TestRequestsUpToTheLimits(t *testing.T) {
	t.Parallel()
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	c := client(t, Config{})
	headers := func(n int) http.Header {
		h := http.Header{}
		for i := range n {
			h.Add(fmt.Sprintf("X-%d", i/2), "v") // two values for each name
		}
		return h
	}
	for _, tt := range []struct {
		name        string
		limit, over Request
		reason      Reason
	}{
		{
			"URL", Request{URL: base + "/" + strings.Repeat("x", MaxURL-len(base)-1)},
			Request{URL: base + "/" + strings.Repeat("x", MaxURL-len(base))}, InvalidURL,
		},
		{"headers", Request{URL: base, Header: headers(MaxHeaders)}, Request{URL: base, Header: headers(MaxHeaders + 1)}, InvalidRequest},
		{
			"bytes of headers", Request{URL: base, Header: http.Header{"X-A": {strings.Repeat("x", MaxHeaderBytes-3)}}},
			Request{URL: base, Header: http.Header{"X-A": {strings.Repeat("x", MaxHeaderBytes-2)}}}, InvalidRequest,
		},
		{
			"body", Request{Method: "POST", URL: base, Body: make([]byte, MaxBody)},
			Request{Method: "POST", URL: base, Body: make([]byte, MaxBody+1)}, InvalidRequest,
		},
	} {
		if got := do(t, c, &tt.limit); got.Status != http.StatusOK {
			t.Errorf("%s: %+v", tt.name, got)
		}
		doFails(t, c, &tt.over, tt.reason)
	}
}
