package condition

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// containsFunction is the function of the operator contains, a word that the
// expression form has between two values.
const containsFunction = "contains_any"

// operatorOf are the operators of the structured form by the functions that do the
// same in the expression form: equal_to(recipient.plan, "pro").
var operatorOf = func() map[string]string {
	names := map[string]string{}
	for _, operator := range append(Operators(), later...) {
		names[functionOf(operator)] = operator
	}
	return names
}()

func functionOf(operator string) string {
	if operator == "contains" {
		return containsFunction
	}
	return operator
}

// operatorCalls replaces calls of operator functions by checks. It works on the tree as
// it was written: arguments are read, not run, so that they mean what they mean in
// the structured form, where unset differs from null.
type operatorCalls struct {
	source  string
	options Options
	checks  []check
	err     *Error
}

// Visit implements ast.Visitor.
func (o *operatorCalls) Visit(node *ast.Node) {
	call, ok := (*node).(*ast.CallNode)
	if !ok || o.err != nil {
		return
	}
	if _, ok := operatorName(call); !ok {
		return
	}
	n, problem := conditionOf(call)
	if problem != nil {
		o.err = located(o.source, problem.node.Location(), "%s", problem.message)
		return
	}
	compiled, err := compileNode("", n, o.options)
	if err != nil {
		o.err = located(o.source, call.Location(), "%s", err.Message)
		return
	}
	o.checks = append(o.checks, compiled)
	ast.Patch(node, invoke("_check", &ast.IntegerNode{Value: len(o.checks) - 1}, &ast.NilNode{}))
}

func operatorName(n *ast.CallNode) (string, bool) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return "", false
	}
	operator, ok := operatorOf[callee.Value]
	return operator, ok
}

// problem is why a call has no structured form.
type problem struct {
	node    ast.Node
	message string
}

// conditionOf reads the call of an operator function as a structured condition.
func conditionOf(call *ast.CallNode) (Node, *problem) {
	operator, ok := operatorName(call)
	if !ok {
		return Node{}, &problem{call, "this is not an operator"}
	}
	name, wanted := functionOf(operator), 1
	if takesArgument(operator) {
		wanted = 2
	}
	if len(call.Arguments) != wanted {
		return Node{}, &problem{call, name + "() takes " + map[int]string{1: "a path and nothing else", 2: "a path and one value"}[wanted]}
	}
	n := Node{Operator: operator}
	m, whole := mentioned(call.Arguments[0])
	if n.Variable, ok = m.dotted(); !whole || !ok {
		return Node{}, &problem{call.Arguments[0], name + "() takes a path such as recipient.plan first; for computed values use ==, > and the like"}
	}
	if wanted == 1 {
		return n, nil
	}
	value, problem := argumentOf(call.Arguments[1], operator)
	if problem != nil {
		return Node{}, problem
	}
	n.Argument = encode(value)
	return n, nil
}

// argumentOf is the JSON value of an argument; paths are dotted texts.
func argumentOf(n ast.Node, operator string) (any, *problem) {
	list, isList := n.(*ast.ArrayNode)
	if !isList || !isBetween(operator) {
		return pathOrLiteral(n)
	}
	values := make([]any, len(list.Nodes))
	for i, entry := range list.Nodes {
		value, problem := pathOrLiteral(entry)
		if problem != nil {
			return nil, problem
		}
		values[i] = value
	}
	return values, nil
}

func pathOrLiteral(n ast.Node) (any, *problem) {
	if m, whole := mentioned(n); whole {
		if dotted, ok := m.dotted(); ok {
			return dotted, nil
		}
	}
	v, ok := literal(n)
	if !ok {
		return nil, &problem{n, "an operator takes a literal or a path such as recipient.plan; for computed values use ==, > and the like"}
	}
	// In the structured form this text would be looked up; here nobody would expect it.
	if s, ok := v.(string); ok && isPath(s) {
		return nil, &problem{n, "write " + clip(s) + ` without quotes to look it up; to mean the text, quote it twice: "\"` + clip(s) + `\""`}
	}
	return v, nil
}

func isPath(s string) bool { _, ok := parsePath(s); return ok }

// literal is the value of a literal: nil, bool, int, float64, string or a list of them.
func literal(n ast.Node) (any, bool) {
	switch n := n.(type) {
	case *ast.NilNode:
		return nil, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.FloatNode:
		return n.Value, true
	case *ast.StringNode:
		return n.Value, true // valid UTF-8: the source is, and escapes are characters
	case *ast.UnaryNode:
		switch v, _ := literal(n.Node); v := v.(type) {
		case int:
			return map[string]int{"-": -v, "+": v}[n.Operator], !isNot(n)
		case float64:
			return map[string]float64{"-": -v, "+": v}[n.Operator], !isNot(n)
		}
	case *ast.ArrayNode:
		values := make([]any, len(n.Nodes))
		for i, entry := range n.Nodes {
			v, ok := literal(entry)
			if !ok {
				return nil, false
			}
			values[i] = v
		}
		return values, true
	}
	return nil, false
}

// spelled writes a value as a literal of the expression form. Objects have none.
func spelled(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "nil", true
	case bool, int:
		s, _ := text(v)
		return s, true
	case float64:
		return spelledFloat(v), true
	case string:
		return strconv.Quote(v), true
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			part, ok := spelled(v[i])
			if !ok {
				return "", false
			}
			parts[i] = part
		}
		return "[" + strings.Join(parts, ", ") + "]", true
	default:
		return "", false
	}
}

// spelledFloat keeps what is beyond the exact integers a float, in JSON and in an
// expression: it has a point or an exponent.
func spelledFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// encode writes a value as JSON. It can't fail for what literals hold.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // an argument has a size limit
	if err := encoder.Encode(exactFloats(v)); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSpace(b.Bytes())
}

func exactFloats(v any) any {
	switch v := v.(type) {
	case float64:
		return json.Number(spelledFloat(v))
	case []any:
		exact := make([]any, len(v))
		for i := range v {
			exact[i] = exactFloats(v[i])
		}
		return exact
	default:
		return v
	}
}
