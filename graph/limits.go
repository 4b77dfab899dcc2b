package graph

import (
	"context"
	"fmt"
	"runtime/debug"

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

// documentLimits refuses documents that are too deep or too wide, before they are executed, and introspection where it
// is off. It has to come before everything else that walks documents: fragments that spread each other twice double
// the work with each line.
type documentLimits struct{ introspection bool }

var _ interface {
	graphql.HandlerExtension
	graphql.OperationContextMutator
} = documentLimits{}

// ExtensionName implements graphql.HandlerExtension.
func (documentLimits) ExtensionName() string { return "DocumentLimits" }

// Validate implements graphql.HandlerExtension.
func (documentLimits) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext implements graphql.OperationContextMutator.
func (l documentLimits) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if op.Operation == nil {
		return nil
	}
	m := meter{introspection: l.introspection}
	return m.walk(op.Operation.SelectionSet, 1, false)
}

// meter counts what an operation selects, with fragments expanded.
type meter struct {
	introspection bool // is allowed
	fields, roots int
}

// walk counts a selection; the document has been validated, so fragments exist and don't recurse. Within introspection
// the depth doesn't grow: tools ask for deep types of types.
func (m *meter) walk(set ast.SelectionSet, depth int, introspecting bool) (err *gqlerror.Error) {
	if depth > MaxDepth {
		return tooLarge("a document", MaxDepth, "levels of nested fields")
	}
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			err = m.field(s, depth, introspecting)
		case *ast.InlineFragment:
			err = m.walk(s.SelectionSet, depth, introspecting)
		case *ast.FragmentSpread:
			err = m.walk(s.Definition.SelectionSet, depth, introspecting)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *meter) field(f *ast.Field, depth int, introspecting bool) *gqlerror.Error {
	if m.fields++; m.fields > MaxFields {
		return tooLarge("a document", MaxFields, "fields")
	}
	if depth == 1 {
		if m.roots++; m.roots > MaxRootFields {
			return tooLarge("an operation", MaxRootFields, "fields at its root")
		}
		if f.Name == "__schema" || f.Name == "__type" {
			if !m.introspection {
				return &gqlerror.Error{Message: "introspection is off on this server", Extensions: map[string]any{"code": string(belfry.Invalid)}}
			}
			introspecting = true
		}
	}
	if len(f.SelectionSet) == 0 {
		return nil
	}
	if !introspecting || depth == 1 {
		depth++
	}
	return m.walk(f.SelectionSet, depth, introspecting)
}

func tooLarge(what string, limit int, unit string) *gqlerror.Error {
	return &gqlerror.Error{
		Message:    fmt.Sprintf("%s may have at most %d %s", what, limit, unit),
		Extensions: map[string]any{"code": string(belfry.TooLarge), "limit": limit},
	}
}

// printable is a panic's value and where it happened.
func printable(p any) string { return fmt.Sprintf("%v\n%s", p, debug.Stack()) }
