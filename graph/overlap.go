package graph

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// What validating a document may cost. That two fields can be merged is found out by comparing all those with one name, each
// with each, again for every fragment around them: a document of a kilobyte could take a second, and anybody can send it.
const (
	// MaxFragmentNesting is how many fragments may be within each other, without a field in between.
	MaxFragmentNesting = 20
	// MaxSameFields bounds how often fields of one name may stand in one place: the sum of the squares, over a document.
	MaxSameFields = 50_000
)

// validationRules are GraphQL's, of which the one that compares fields comes only when it is known to be cheap.
func validationRules() *rules.Rules {
	all := rules.NewDefaultRules()
	merged := rules.OverlappingFieldsCanBeMergedRule
	all.ReplaceRule(merged.Name, func(observers *core.Events, addError core.AddErrFunc) {
		begun := false
		observers.OnOperation(func(walker *core.Walker, _ *ast.OperationDefinition) {
			if begun {
				return
			}
			begun = true
			if err := comparable(walker.Document); err != nil {
				addError(func(e *gqlerror.Error) { e.Message, e.Extensions = err.Message, err.Extensions })
				return
			}
			own := &core.Events{}
			merged.RuleFunc(own, addError)
			core.Walk(walker.Schema, walker.Document, own)
		})
	})
	return all
}

// comparable reports what makes a document too dear to validate; nil if nothing does. It may be invalid in any way.
func comparable(document *ast.QueryDocument) *gqlerror.Error {
	for _, op := range document.Operations {
		c := overlap{document: document, active: map[string]bool{}}
		if err := c.count([]ast.SelectionSet{op.SelectionSet}); err != nil {
			return err
		}
	}
	for _, f := range document.Fragments { // those that nobody uses too
		c := overlap{document: document, active: map[string]bool{f.Name: true}}
		if err := c.count([]ast.SelectionSet{f.SelectionSet}); err != nil {
			return err
		}
	}
	return nil
}

// overlap counts what is compared in one operation, or fragment.
type overlap struct {
	document *ast.QueryDocument
	active   map[string]bool // fragments around the place
	fields   int             // with fragments expanded
	places   int             // where fields are, or fragments
	pairs    int
}

// count counts what is selected in one place: by several sets, if fields of one name have one each.
func (c *overlap) count(sets []ast.SelectionSet) *gqlerror.Error {
	same := map[string][]ast.SelectionSet{}
	times := map[string]int{}
	for _, set := range sets {
		if err := c.collect(set, 0, same, times); err != nil {
			return err
		}
	}
	for name, n := range times {
		if c.pairs += n * n; c.pairs > MaxSameFields {
			return tooLarge("a document", MaxSameFields, fmt.Sprintf("pairs of fields of one name in one place, such as %.40q", name))
		}
	}
	for _, below := range same {
		if err := c.count(below); err != nil {
			return err
		}
	}
	return nil
}

// collect finds the fields of a set, those in its fragments too.
func (c *overlap) collect(set ast.SelectionSet, nesting int, same map[string][]ast.SelectionSet, times map[string]int) *gqlerror.Error {
	if nesting > MaxFragmentNesting {
		return tooLarge("a document", MaxFragmentNesting, "fragments within each other")
	}
	for _, s := range set {
		if c.places++; c.places > 2*MaxFields { // fragments of nothing but fragments
			return tooLarge("a document", MaxFields, "fields")
		}
		var err *gqlerror.Error
		switch s := s.(type) {
		case *ast.Field:
			if c.fields++; c.fields > MaxFields {
				return tooLarge("a document", MaxFields, "fields")
			}
			times[s.Alias]++
			if len(s.SelectionSet) > 0 {
				same[s.Alias] = append(same[s.Alias], s.SelectionSet)
			}
		case *ast.InlineFragment:
			err = c.collect(s.SelectionSet, nesting+1, same, times)
		case *ast.FragmentSpread:
			f := c.document.Fragments.ForName(s.Name)
			if f == nil || c.active[s.Name] { // both are found out by others
				continue
			}
			c.active[s.Name] = true
			err = c.collect(f.SelectionSet, nesting+1, same, times)
			delete(c.active, s.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
