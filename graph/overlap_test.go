package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// A document that would take long to validate is refused before: a limit for each way of making one.
func TestValidationIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nested := func(n int, within string) string { return strings.Repeat("...{", n) + within + strings.Repeat("}", n) }
	c := w.environment(t, "ours")
	for name, test := range map[string]struct {
		document string
		limit    int
	}{
		"one field again and again":       {`{node(id:"1"){` + strings.Repeat("id ", 900) + `}}`, MaxSameFields},
		"fragments within fragments":      {`{node(id:"1"){` + nested(MaxFragmentNesting+1, "id") + `}}`, MaxFragmentNesting},
		"a kilobyte that takes a second":  {`{node(id:"1"){` + nested(100, strings.Repeat("id ", 300)) + `}}`, MaxFragmentNesting},
		"fields below fields of one name": {`{` + strings.Repeat(`node(id:"1"){`+strings.Repeat("id ", 20)+`}`, 20) + `}`, MaxSameFields},
		"what named fragments select":     {`{node(id:"1"){` + strings.Repeat("...f ", 300) + `}} fragment f on Node {id}`, MaxSameFields},
		"more fields than there may be":   {`{node(id:"1"){` + strings.Repeat("...f ", 30) + `}} fragment f on Node {` + strings.Repeat("a:id b:id c:id ", 20) + `}`, MaxFields},
		"a fragment that nobody uses":     {`{__typename} fragment f on Node {` + strings.Repeat("id ", 900) + `}`, MaxSameFields},
	} {
		a := c.call(test.document, nil)
		if a.code() != "TOO_LARGE" || a.Errors[0].Extensions.Limit != test.limit {
			t.Errorf("%s: %+v, want TOO_LARGE with the limit %d", name, a.Errors, test.limit)
		}
	}
	for name, document := range map[string]string{
		"fragments up to the limit": `{__typename ` + nested(MaxFragmentNesting, "__typename") + `}`,
		"a field up to the limit":   `{` + strings.Repeat("__typename ", 223) + `}`,
		"many aliases": `{` + func() (s string) {
			for i := range MaxRootFields {
				s += fmt.Sprintf("a%d: __typename ", i)
			}
			return s
		}() + `}`,
	} {
		if a := c.call(document, nil); a.code() == "TOO_LARGE" && !strings.Contains(a.Errors[0].Message, "root") {
			t.Errorf("%s: %+v", name, a.Errors)
		}
	}
	// GraphQL's own rule is still there.
	if a := c.call(`{node(id:"1"){x: id x: __typename}}`, nil); a.code() != "INVALID" || !strings.Contains(a.Errors[0].Message, "different") {
		t.Errorf("fields that can't be merged: %+v", a.Errors)
	}
	if a := c.call(`{...f} fragment f on Query {__typename ...g} fragment g on Query {...f}`, nil); a.code() != "INVALID" {
		t.Errorf("fragments that spread each other: %+v", a.Errors)
	}
}

// Fragments that spread others twice each would double the work of the check with each of them, if it didn't stop.
func TestCheckingADocumentComesToAnEnd(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]string{"fields": "__typename", "nothing": "...unknown"} {
		var b strings.Builder
		b.WriteString("{...f0}")
		for i := range 15 {
			fmt.Fprintf(&b, " fragment f%d on Query {%s}", i, strings.Repeat(fmt.Sprintf("...f%d ", i+1), 10))
		}
		b.WriteString(" fragment f15 on Query {" + last + "}")
		document, err := parser.ParseQuery(&ast.Source{Input: b.String()})
		if err != nil {
			t.Fatal(err)
		}
		if err := comparable(document); err == nil {
			t.Errorf("%s: a million of millions was let through", name)
		}
	}
}
