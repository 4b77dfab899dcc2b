package encoder

import (
	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/graph/model"
)

var badgeEvent = object[model.BadgeEvent]{[]string{"BadgeEvent"}, map[string]field[model.BadgeEvent]{
	"badge":    one(&badge, func(e *model.BadgeEvent) *belfry.Badge { return &e.Badge }),
	"position": pure(func(b []byte, e *model.BadgeEvent) []byte { return appendString(b, e.Position) }),
}}

// BadgeSelection is what a subscription has selected of the events of a badge, compiled. It is immutable.
type BadgeSelection struct{ value value[model.BadgeEvent] }

// CompileBadge compiles what a validated subscription, with its variables, selects of a badge's events.
func CompileBadge(op *graphql.OperationContext, selected ast.SelectionSet) BadgeSelection {
	c := compiler{op: &graphql.OperationContext{Doc: op.Doc, Variables: op.Variables}}
	return BadgeSelection{compile(&c, &badgeEvent, selected)}
}

// Append appends an event. If ok is false it can't be encoded, and is for gqlgen.
func (s BadgeSelection) Append(b []byte, e *model.BadgeEvent) (_ []byte, ok bool) {
	b, err := encode(b, e, s.value)
	return b, err == nil
}
