package graph

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestNegotiate(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"":                                      plainJSON,
		"*/*":                                   plainJSON,
		"application/*":                         plainJSON,
		"application/json":                      plainJSON,
		"application/json; charset=UTF-8":       plainJSON,
		"application/graphql-response+json":     responseJSON,
		"text/html, application/xhtml+xml, */*": plainJSON,
		"application/graphql-response+json, application/json;q=0.9": responseJSON,
		"application/json;q=0.1, application/graphql-response+json": responseJSON,
		"application/json, application/graphql-response+json":       plainJSON,
		"application/json;q=0":                      "",
		"application/json; charset=iso-8859-1":      "",
		"text/html":                                 "",
		"nonsense":                                  "",
		"text/html,,":                               "",
		"text/event-stream":                         eventStream,
		"application/json, text/event-stream;q=0":   plainJSON,
		"application/json;q=0.5, text/event-stream": eventStream,
		strings.Repeat("text/html,", 40) + "application/json": "",
	} {
		if got := negotiate([]string{accept}); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
	if got := negotiate([]string{"text/html", "application/graphql-response+json"}); got != responseJSON {
		t.Errorf("two headers: %q", got)
	}
}

// The status says, to those who asked for it, whether there was something to execute. What wasn't executed has no data.
func TestStatusesFollowTheMediaType(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.environment(t, "ours")
	get := func(query string) func() *http.Request {
		return func() *http.Request {
			r, _ := http.NewRequest(http.MethodGet, w.url+"?query="+url.QueryEscape(query), nil)
			return r
		}
	}
	post := func(body string) func() *http.Request {
		return func() *http.Request {
			r, _ := http.NewRequest(http.MethodPost, w.url, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			return r
		}
	}
	for name, test := range map[string]struct {
		request        func() *http.Request
		plain, precise int // status as either media type
		says           string
	}{
		"a query":             {get(`{ users(first: 1) { edges { node { id } } } }`), 200, 200, `{"data":{"users":{"edges":[]}}}`},
		"a refused field":     {post(`{"query":"{ feed { user } }"}`), 200, 200, `"data":null`},
		"no GraphQL":          {post(`{"query":"{"}`), 200, 400, `{"errors":[`},
		"an unknown field":    {post(`{"query":"{ nonsense }"}`), 200, 400, `{"errors":[`},
		"a wrong variable":    {post(`{"query":"query ($n: Int!) { users(first: $n) { edges { cursor } } }","variables":{"n":"x"}}`), 200, 400, `{"errors":[`},
		"nothing to do":       {post(`{"variables":{}}`), 400, 400, `"field":"query"`},
		"no JSON":             {post(`{`), 400, 400, `"field":"body"`},
		"a list":              {post(`[{"query":"{ __typename }"}]`), 400, 400, `"field":"body"`},
		"two objects":         {post(`{"query":"{ __typename }"} {}`), 400, 400, `"field":"body"`},
		"a query of numbers":  {post(`{"query":1}`), 400, 400, `"field":"body"`},
		"null":                {post(`null`), 400, 400, `"field":"query"`},
		"variables in a list": {func() *http.Request { r := get(`{ __typename }`)(); r.URL.RawQuery += "&variables=[]"; return r }, 400, 400, `"field":"variables"`},
		"a mutation with GET": {get(`mutation { deleteUser(input: {id: "u"}) { deleted } }`), 405, 405, `POST`},
		"a subscription":      {post(`{"query":"subscription { feedEvents { position } }"}`), 406, 406, `text/event-stream`},
	} {
		for mediaType, status := range map[string]int{plainJSON: test.plain, responseJSON: test.precise} {
			r := test.request()
			r.Header.Set("Accept", mediaType)
			r.Header.Set("Authorization", "Bearer "+c.key)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode != status || !strings.Contains(string(body), test.says) || response.Header.Get("Content-Type") != mediaType+"; charset=utf-8" {
				t.Errorf("%s, as %s: %d %s: %s", name, mediaType, response.StatusCode, response.Header.Get("Content-Type"), body)
			}
		}
	}
	// What clients send along that speak HTTP/2, if they may.
	h2c := post(`{"query":"{ __typename }"}`)()
	h2c.Header.Set("Connection", "Upgrade, HTTP2-Settings")
	h2c.Header.Set("Upgrade", "h2c")
	if response, err := http.DefaultClient.Do(h2c); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("Upgrade: h2c: %v, %v", response, err)
	}
	for name, change := range map[string]func(*http.Request){
		"a body with GET":         func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), 2 },
		"a chunked body with GET": func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), -1 },
		"a mutation with GET, as events": func(r *http.Request) {
			r.Header.Set("Accept", eventStream)
			r.URL.RawQuery = "query=mutation{__typename}"
		},
	} {
		r := get(`{ __typename }`)()
		change(r)
		want := http.StatusBadRequest
		if strings.HasPrefix(name, "a mutation") {
			want = http.StatusMethodNotAllowed
		}
		if response, err := http.DefaultClient.Do(r); err != nil || response.StatusCode != want {
			t.Errorf("%s: %+v, %v", name, response, err)
		}
	}
	r := get(`{ __typename }`)()
	r.Header.Set("Accept", "text/html")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusNotAcceptable {
		t.Errorf("HTML: status %d", response.StatusCode)
	}
}
