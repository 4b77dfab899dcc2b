package graph

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/generated"
	"github.com/belfryhq/belfry/graph/model"
)

// Limits of a request. They are part of the API's contract: beyond them is TOO_LARGE, or INVALID for a document that
// can't be parsed within them.
const (
	MaxBodySize    = 1 << 20 // bytes of an HTTP request
	MaxTokens      = 5000    // in a document
	MaxDepth       = 15      // of nested fields; introspection is not counted
	MaxFields      = 1000    // in a document, fragments expanded: aliases count each
	MaxRootFields  = 20      // of one operation
	MaxComplexity  = 10_000  // fields in the answer at most, pages at their full size
	queryCacheSize = 1000    // documents
)

// complexity says how many fields a field may bring into the answer: that of a page is multiplied by its size.
func complexity() generated.ComplexityRoot {
	var c generated.ComplexityRoot
	c.Feed.Items = func(child, first int, _ *string, _ *model.FeedFilter) int {
		return 1 + max(1, first)*max(1, child)
	}
	return c
}

// documentLimits refuses documents that are too deep or too wide, before they are executed.
type documentLimits struct{}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = documentLimits{}

// ExtensionName implements graphql.HandlerExtension.
func (documentLimits) ExtensionName() string { return "DocumentLimits" }

// Validate implements graphql.HandlerExtension.
func (documentLimits) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext implements graphql.OperationContextMutator.
func (documentLimits) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if op.Operation == nil {
		return nil
	}
	if n := len(op.Operation.SelectionSet); n > MaxRootFields {
		return tooLarge("an operation", MaxRootFields, "fields at its root")
	}
	left := MaxFields
	return measure(op.Operation.SelectionSet, 1, &left)
}

// measure walks a selection; the document has been validated, so fragments exist and don't recurse.
func measure(set ast.SelectionSet, depth int, left *int) *gqlerror.Error {
	if depth > MaxDepth {
		return tooLarge("a document", MaxDepth, "levels of nested fields")
	}
	for _, s := range set {
		var err *gqlerror.Error
		switch s := s.(type) {
		case *ast.Field:
			if *left--; *left < 0 {
				return tooLarge("a document", MaxFields, "fields")
			}
			if !strings.HasPrefix(s.Name, "__") && len(s.SelectionSet) > 0 {
				err = measure(s.SelectionSet, depth+1, left)
			}
		case *ast.InlineFragment:
			err = measure(s.SelectionSet, depth, left)
		case *ast.FragmentSpread:
			err = measure(s.Definition.SelectionSet, depth, left)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func tooLarge(what string, limit int, unit string) *gqlerror.Error {
	return &gqlerror.Error{
		Message:    fmt.Sprintf("%s may have at most %d %s", what, limit, unit),
		Extensions: map[string]any{"code": string(belfry.TooLarge), "limit": limit},
	}
}

// printable is a panic's value and where it happened.
func printable(p any) string { return fmt.Sprintf("%v\n%s", p, debug.Stack()) }
