package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// vars are the variables of an operation, or a JSON object in them.
type vars = map[string]any

// caller is somebody who calls a node: an API key, and a user token beside a public one.
type caller struct{ address, key, token string }

// answer is what came back.
type answer struct {
	Data   json.RawMessage
	Errors []failure

	status int
	raw    string
}

type failure struct {
	Message    string
	Path       []any
	Extensions struct {
		Code, Field string
		Limit       int
	}
}

// code is that of the first error; empty if all went well.
func (a answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	return a.Errors[0].Extensions.Code
}

// empty tells whether there is no data: none at all, or null for each field.
func (a answer) empty() bool {
	var data map[string]any
	if len(a.Data) > 0 && json.Unmarshal(a.Data, &data) != nil {
		return false
	}
	for _, v := range data {
		if v != nil {
			return false
		}
	}
	return true
}

var client = &http.Client{Timeout: patience}

// try calls once. An error means that there was no answer of the API.
func (c caller) try(ctx context.Context, query string, variables vars) (answer, error) {
	body, err := json.Marshal(vars{"query": query, "variables": variables})
	if err != nil {
		return answer{}, err
	}
	return c.post(ctx, body, nil)
}

// post sends a body as it is. prepare may change the request.
func (c caller) post(ctx context.Context, body []byte, prepare func(*http.Request)) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.address+"/graphql", bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	return c.do(request, prepare)
}

func (c caller) do(request *http.Request, prepare func(*http.Request)) (answer, error) {
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.token != "" {
		request.Header.Set("X-Belfry-User-Token", c.token)
	}
	if prepare != nil {
		prepare(request)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: response.StatusCode, raw: string(raw)}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("status %d, not JSON: %.300s", a.status, raw)
	}
	return a, nil
}

// call returns the answer, whatever it is.
func (c caller) call(t testing.TB, query string, variables vars) answer {
	t.Helper()
	a, err := c.try(t.Context(), query, variables)
	if err != nil {
		t.Fatalf("%.100s: %v", query, err)
	}
	return a
}

// ask calls, and returns the one root field of the answer. Any error fails the test.
func ask[T any](t testing.TB, c caller, query string, variables vars) T {
	t.Helper()
	a := c.call(t, query, variables)
	if len(a.Errors) > 0 {
		t.Fatalf("%.200s: %s", query, a.raw)
	}
	var data map[string]T
	if err := json.Unmarshal(a.Data, &data); err != nil {
		t.Fatalf("%s: %v", a.raw, err)
	}
	for _, field := range data {
		return field
	}
	panic("no field: " + a.raw)
}

// get reads a page of the node that isn't GraphQL.
func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	response, err := (&http.Client{Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}
