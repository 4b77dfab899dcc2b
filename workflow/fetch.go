package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/template"
)

// Fetch makes an HTTP request and merges the JSON object that it gets into the run's data. Its strings are templates.
type Fetch struct {
	Method  string   `json:"method,omitempty"` // default GET
	URL     string   `json:"url"`
	Headers []Header `json:"headers,omitempty"`
	Query   []Header `json:"query,omitempty"`
	Body    string   `json:"body,omitempty"` // JSON
	// ResponsePath puts the response below a name of the data instead of merging it: profile.details.
	ResponsePath string `json:"responsePath,omitempty"`
}

// Header is a name with a value: a header, or a parameter of a query.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Limits of requests.
const (
	MaxHeaders = 30
	MaxURLSize = 8 << 10 // bytes, as rendered
)

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch}

// RequestTemplate is a compiled request.
type RequestTemplate struct {
	method  string
	url     *template.Template
	headers []pairTemplate
	query   []pairTemplate
	body    *template.Template // nil if there is none
}

type pairTemplate struct {
	name  string
	value *template.Template
}

// FetchSpec is a compiled Fetch.
type FetchSpec struct {
	Request      *RequestTemplate
	ResponsePath []string
}

func (c *compiler) fetch(path string, s *Step) {
	f, path := s.Fetch, path+".fetch"
	method := f.Method
	if method == "" {
		method = http.MethodGet
	}
	spec := &FetchSpec{Request: c.request(path, method, f.URL, f.Headers, f.Query, f.Body)}
	if f.ResponsePath != "" {
		p, err := parsePath(f.ResponsePath)
		if err != nil || len(p) > 10 || p[0] != "data" {
			c.problemf(path+".responsePath", "must be a path of at most 9 names below data, such as profile.details")
		} else {
			spec.ResponsePath = p[1:]
		}
	}
	c.emit(Op{Kind: OpFetch, Step: s.Ref, Fetch: spec})
}

func (c *compiler) request(path, method, target string, headers, query []Header, body string) *RequestTemplate {
	r := &RequestTemplate{method: method}
	if !slices.Contains(methods, method) {
		c.problemf(path+".method", "must be one of %s", strings.Join(methods, ", "))
	}
	if strings.TrimSpace(target) == "" {
		c.problemf(path+".url", "must not be empty")
	}
	r.url = c.template(path+".url", target, template.Text)
	if r.url != nil && r.url.IsStatic() {
		if err := checkURL(target); err != nil {
			c.problem(path+".url", err)
		}
	}
	r.headers = c.pairs(path+".headers", headers)
	r.query = c.pairs(path+".query", query)
	if body != "" {
		r.body = c.template(path+".body", body, template.Text)
	}
	return r
}

func (c *compiler) pairs(path string, pairs []Header) []pairTemplate {
	if len(pairs) > MaxHeaders {
		c.problemf(path, "at most %d are allowed", MaxHeaders)
		return nil
	}
	out := make([]pairTemplate, len(pairs))
	for i, p := range pairs {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.name(at+".name", p.Name)
		if strings.ContainsAny(p.Name, "\r\n:") {
			c.problemf(at+".name", "must not contain a colon or a line break")
		}
		out[i] = pairTemplate{p.Name, c.template(at+".value", p.Value, template.Text)}
	}
	return out
}

func checkURL(s string) error {
	if len(s) > MaxURLSize {
		return belfry.Errorf(belfry.Invalid, "the URL is longer than %d bytes", MaxURLSize)
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return belfry.Errorf(belfry.Invalid, "%.100q is not an http or https URL", s)
	}
	return nil
}

// Render fills in the request.
func (r *RequestTemplate) Render(ctx context.Context, scope map[string]any) (*belfry.Request, error) {
	target, err := r.url.Render(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	target = strings.TrimSpace(target)
	out := &belfry.Request{Method: r.method}
	if len(r.query) > 0 {
		values := url.Values{}
		for _, q := range r.query {
			v, err := q.value.Render(ctx, scope)
			if err != nil {
				return nil, fmt.Errorf("query %s: %w", q.name, err)
			}
			values.Add(q.name, v)
		}
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		target += separator + values.Encode()
	}
	if err := checkURL(target); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	out.URL = target
	for _, h := range r.headers {
		v, err := h.value.Render(ctx, scope)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.name, err)
		}
		if strings.ContainsAny(v, "\r\n") {
			return nil, fmt.Errorf("header %s: the value has a line break", h.name)
		}
		if out.Headers == nil {
			out.Headers = map[string]string{}
		}
		out.Headers[h.name] = v
	}
	if r.body != nil {
		if out.Body, err = r.body.Render(ctx, scope); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	return out, nil
}

// Merge returns data with a response in it: merged into the top level, or put at the response path. data isn't changed.
func (f *FetchSpec) Merge(data map[string]any, response []byte) (map[string]any, error) {
	if len(strings.TrimSpace(string(response))) == 0 {
		return data, nil
	}
	object, err := parseObject(string(response))
	if err != nil {
		return nil, fmt.Errorf("the response is not a JSON object")
	}
	return MergeAt(data, f.ResponsePath, object), nil
}

// MergeAt returns a copy of data with an object laid over it, on the level that a path leads to. What isn't an object on
// the way there is replaced. Neither is changed.
func MergeAt(data map[string]any, path []string, object map[string]any) map[string]any {
	out := make(map[string]any, len(data)+len(object))
	for k, v := range data {
		out[k] = v
	}
	if len(path) == 0 {
		for k, v := range object {
			out[k] = v
		}
		return out
	}
	if len(path) == 1 {
		out[path[0]] = object
		return out
	}
	below, _ := out[path[0]].(map[string]any)
	out[path[0]] = MergeAt(below, path[1:], object)
	return out
}

// given reports whether an optional JSON value is there.
func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }
