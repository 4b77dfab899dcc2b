package graph

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/vektah/gqlparser/v2/ast"
)

// What is kept of documents that were parsed and found valid. Anybody can send them, so that all of them together are
// bounded: parsed, a document takes up to 75 times its bytes.
const (
	maxCachedDocuments    = 1000
	maxCachedDocumentSize = 16 << 10 // bytes of each; larger ones are parsed each time
	maxCachedBytes        = 1 << 20  // of all
)

// documentCache keeps the documents that were used last. It is safe for concurrent use.
type documentCache struct {
	mu        sync.Mutex
	documents *simplelru.LRU[string, *ast.QueryDocument] // by their text
	bytes     int                                        // of all texts
}

var _ graphql.Cache[*ast.QueryDocument] = (*documentCache)(nil)

func newDocumentCache() *documentCache {
	c := &documentCache{}
	var err error
	c.documents, err = simplelru.NewLRU(maxCachedDocuments, func(text string, _ *ast.QueryDocument) { c.bytes -= len(text) })
	if err != nil {
		panic(err) // of a size that isn't positive
	}
	return c
}

// Get implements graphql.Cache.
func (c *documentCache) Get(_ context.Context, text string) (*ast.QueryDocument, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.documents.Get(text)
}

// Add implements graphql.Cache.
func (c *documentCache) Add(_ context.Context, text string, document *ast.QueryDocument) {
	if len(text) > maxCachedDocumentSize {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.documents.Contains(text) {
		return // two have parsed it at the same time
	}
	c.bytes += len(text)
	c.documents.Add(text, document)
	for c.bytes > maxCachedBytes {
		c.documents.RemoveOldest()
	}
}
