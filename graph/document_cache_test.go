package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
)

// document is the n-th of so many bytes.
func document(n, size int) string { return fmt.Sprintf("%0*d", size, n) }

func TestLargeDocumentsAreNotKept(t *testing.T) {
	t.Parallel()
	c := newDocumentCache()
	for size, want := range map[int]bool{1: true, maxCachedDocumentSize: true, maxCachedDocumentSize + 1: false, MaxDocumentSize: false} {
		doc := &ast.QueryDocument{}
		c.Add(t.Context(), document(0, size), doc)
		if got, ok := c.Get(t.Context(), document(0, size)); ok != want || ok && got != doc {
			t.Errorf("%d bytes: kept %v, want %v", size, ok, want)
		}
	}
}

// Anybody can send documents: all that are kept have a limit, in number and in bytes.
func TestDocumentsAreForgotten(t *testing.T) {
	t.Parallel()
	for size, fit := range map[int]int{10: maxCachedDocuments, maxCachedDocumentSize: maxCachedBytes / maxCachedDocumentSize} {
		c := newDocumentCache()
		add := func(n int) {
			c.Add(t.Context(), document(n, size), &ast.QueryDocument{})
			c.Add(t.Context(), document(n, size), &ast.QueryDocument{}) // by somebody who parsed it at the same time
		}
		for n := range fit {
			add(n)
		}
		if _, ok := c.Get(t.Context(), document(0, size)); !ok {
			t.Errorf("%d bytes: forgotten within the limit of %d documents", size, fit)
		}
		add(fit)
		if _, ok := c.Get(t.Context(), document(1, size)); ok {
			t.Errorf("%d bytes: the least recently used is kept beyond the limit of %d documents", size, fit)
		}
		if _, ok := c.Get(t.Context(), document(0, size)); !ok {
			t.Errorf("%d bytes: forgotten though it was used", size)
		}
		if c.documents.Len() != fit || c.bytes != fit*size {
			t.Errorf("%d bytes: %d documents of %d bytes are kept, want %d", size, c.documents.Len(), c.bytes, fit)
		}
	}
}

// Whatever brings a document, it has a limit of its own: over HTTP, the rest of a body is for its variables.
func TestLengthOfDocumentsIsLimited(t *testing.T) {
	t.Parallel()
	c := newWorld(t).environment(t, "ours")
	const query = "{ __typename }"
	if got := c.call(query+strings.Repeat(" ", MaxDocumentSize-len(query)), nil); got.Errors != nil {
		t.Errorf("%d bytes: %+v", MaxDocumentSize, got.Errors)
	}
	got := c.call(query+strings.Repeat(" ", MaxDocumentSize+1-len(query)), nil)
	if got.code() != "TOO_LARGE" || got.Errors[0].Extensions.Limit != MaxDocumentSize {
		t.Errorf("%d bytes: %s %+v, want TOO_LARGE with the limit", MaxDocumentSize+1, got.Data, got.Errors)
	}
	if got := c.call(query, vars{"unknown": strings.Repeat("x", 2*MaxDocumentSize)}); got.Errors != nil {
		t.Errorf("long variables: %+v", got.Errors)
	}
}
