package graph

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/introspection"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// The API's own types don't nest deep enough to reach MaxDepth; these do.
var deepSchema = gqlparser.MustLoadSchema(&ast.Source{Name: "deep.graphqls", Input: `
	type Query { a: Query  n: Int }`})

// limited says what documentLimits makes of a query.
func limited(t *testing.T, query string, l documentLimits) error {
	t.Helper()
	doc, errs := gqlparser.LoadQueryWithRules(deepSchema, query, rules.NewDefaultRules())
	if errs != nil {
		t.Fatal(errs)
	}
	if err := l.MutateOperationContext(t.Context(), &graphql.OperationContext{Operation: doc.Operations[0]}); err != nil {
		return err
	}
	return nil
}

// nest selects n in so many levels of fields.
func nest(levels int) string {
	return strings.Repeat("{ a ", levels-1) + "{ n }" + strings.Repeat(" }", levels-1)
}

func TestDepthIsLimited(t *testing.T) {
	t.Parallel()
	through := func(levels int) string { // a fragment and an inline fragment, which don't count themselves
		return "{ ... on Query { ...f } } fragment f on Query " + nest(levels)
	}
	for name, query := range map[string]func(int) string{"in place": nest, "through fragments": through} {
		if err := limited(t, query(MaxDepth), documentLimits{}); err != nil {
			t.Errorf("%s, %d levels: %v", name, MaxDepth, err)
		}
		err := limited(t, query(MaxDepth+1), documentLimits{})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(MaxDepth)) {
			t.Errorf("%s, %d levels: %v, want an error with the limit", name, MaxDepth+1, err)
		}
	}
}

// A long alias in a fragment is repeated wherever the fragment is spread: in what is kept of a subscription, and in answers.
func TestLengthOfAliasesIsLimited(t *testing.T) {
	t.Parallel()
	aliases := map[string]func(string) string{
		"at the root":  func(alias string) string { return "{ " + alias + ": n }" },
		"of an object": func(alias string) string { return "{ " + alias + ": a { n } }" },
		"through a fragment": func(alias string) string {
			return "{ x: a { ...f } y: a { ...f } } fragment f on Query { " + alias + ": n }"
		},
		"within introspection": func(alias string) string { return "{ __schema { " + alias + ": description } }" },
	}
	for name, query := range aliases {
		if err := limited(t, query(strings.Repeat("x", MaxAliasSize)), documentLimits{introspection: true}); err != nil {
			t.Errorf("%s, %d bytes: %v", name, MaxAliasSize, err)
		}
		err := limited(t, query(strings.Repeat("x", MaxAliasSize+1)), documentLimits{introspection: true})
		if refused, ok := errors.AsType[*gqlerror.Error](err); !ok || refused.Extensions["code"] != "TOO_LARGE" || refused.Extensions["limit"] != MaxAliasSize {
			t.Errorf("%s, %d bytes: %v, want TOO_LARGE with the limit", name, MaxAliasSize+1, err)
		}
	}
}

func TestIntrospectionMayBeDeepButNotWide(t *testing.T) {
	t.Parallel()
	types := "{ __schema { types { fields { type " + strings.Repeat("{ ofType ", MaxDepth) + "{ name }" + strings.Repeat(" }", MaxDepth) + " } } } }"
	if err := limited(t, types, documentLimits{introspection: true}); err != nil {
		t.Errorf("deep: %v", err)
	}
	if err := limited(t, introspection.Query, documentLimits{introspection: true}); err != nil {
		t.Errorf("what tools send: %v", err)
	}
	var wide strings.Builder
	for i := range MaxFields {
		fmt.Fprintf(&wide, "a%d: description ", i)
	}
	if err := limited(t, "{ __schema { "+wide.String()+"} }", documentLimits{introspection: true}); err == nil {
		t.Error("wide: no error")
	}
	for _, query := range []string{types, `{ __type(name: "Query") { name } }`, "{ ...f } fragment f on Query { ... on Query { __schema { description } } }"} {
		if err := limited(t, query, documentLimits{}); err == nil {
			t.Errorf("where introspection is off, %s is let through", query)
		}
	}
	if err := limited(t, "{ __typename }", documentLimits{}); err != nil {
		t.Errorf("__typename isn't introspection: %v", err)
	}
}

func TestNestingOfVariablesIsLimited(t *testing.T) {
	t.Parallel()
	for levels, ok := range map[int]bool{1: true, MaxNesting: true, MaxNesting + 1: false, 9000: false} {
		var v any = 1
		for i := range levels - 1 {
			if v = []any{v}; i%2 == 0 {
				v = vars{"b": 1, "a": v.([]any)[0]}
			}
		}
		err := documentLimits{}.MutateOperationParameters(t.Context(), &graphql.RawParams{Variables: vars{"a": v}})
		if (err == nil) != ok {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
}
