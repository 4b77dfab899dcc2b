package condition

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// Expression writes a group in the expression form, with the operators as functions.
// It decides the same for every scope. ok is false when the group does not compile, or
// has no such form: an argument is an object, or the text would exceed [MaxSource] or
// [MaxNodes].
func Expression(g Group) (source string, ok bool) {
	ok = true
	c := &groupCompiler{options: Options{Event: true}, write: func(_ int, c check) string {
		s, fits := c.expression()
		ok = ok && fits
		return s
	}}
	source, err := c.group(g)
	if err != nil || !ok {
		return "", false
	}
	if _, err := CompileWith(source, Options{Event: true}); err != nil {
		return "", false
	}
	return source, true
}

// expression writes the call of an operator function.
func (c check) expression() (string, bool) {
	call := functionOf(c.operator) + "(" + c.variable.expression()
	if takesArgument(c.operator) {
		argument, ok := c.argument.expression()
		if !ok {
			return "", false
		}
		call += ", " + argument
	}
	// A broken encoding can't be quoted.
	return call + ")", utf8.ValidString(c.variable.String())
}

func (a argument) expression() (string, bool) {
	switch {
	case a.dynamic != nil:
		return a.dynamic.expression(), true
	case a.token != "":
		return spelled(a.token)
	case a.written != "":
		return spelled(a.written)
	case a.ends != nil:
		start, ok1 := a.ends[0].expression()
		end, ok2 := a.ends[1].expression()
		return "[" + start + ", " + end + "]", ok1 && ok2
	default:
		return spelled(a.fixed)
	}
}

// Structured is the builder form of an expression that has one: operator functions,
// their negation with not, and comparisons with == and != of a path with nil or
// with a text that doesn't spell anything else; joined by and, by or, or by or over
// and. Everything else, and what doesn't compile, has none.
func Structured(source string) (g Group, ok bool) {
	if _, err := CompileWith(source, Options{Event: true}); err != nil {
		return Group{}, false
	}
	tree, _, err := guardedParse(source)
	if err != nil {
		return Group{}, false
	}
	alternatives := operands(tree.Node, "or", "||")
	nodes := make([]Node, len(alternatives))
	for i, alternative := range alternatives {
		all, ok := conjunction(alternative)
		switch {
		case !ok:
			return Group{}, false
		case len(alternatives) == 1:
			return verified(Group{All: all})
		case len(all) == 1:
			nodes[i] = all[0]
		default:
			nodes[i] = Node{All: all}
		}
	}
	return verified(Group{Any: nodes})
}

// verified refuses groups that are beyond the limits, or mean something only as an
// expression.
func verified(g Group) (Group, bool) {
	if _, err := CompileGroupWith(g, Options{Event: true}); err != nil {
		return Group{}, false
	}
	return g, true
}

// operands flattens a chain of one operator.
func operands(n ast.Node, operators ...string) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && slices.Contains(operators, b.Operator) {
		return append(operands(b.Left, operators...), operands(b.Right, operators...)...)
	}
	return []ast.Node{n}
}

func conjunction(n ast.Node) ([]Node, bool) {
	var all []Node
	for _, operand := range operands(n, "and", "&&") {
		condition, ok := structured(operand)
		if !ok {
			return nil, false
		}
		all = append(all, condition)
	}
	return all, true
}

func structured(n ast.Node) (Node, bool) {
	switch n := n.(type) {
	case *ast.CallNode:
		condition, problem := conditionOf(n)
		return condition, problem == nil
	case *ast.UnaryNode:
		if !isNot(n) {
			return Node{}, false
		}
		condition, ok := structured(n.Node)
		if !ok {
			return Node{}, false
		}
		return negated(condition)
	case *ast.BinaryNode:
		return comparison(n)
	default:
		return Node{}, false
	}
}

var negations = map[string]string{
	"equal_to": "not_equal_to", "contains": "not_contains", "contains_all": "not_contains_all",
	"empty": "not_empty", "exists": "not_exists", "is_timestamp": "is_not_timestamp",
}

// negated turns a condition around. That of a message status is no exact negation:
// both are false when the status is unknown.
func negated(n Node) (Node, bool) {
	if p, ok := parsePath(n.Variable); !ok || isStatus(p) {
		return Node{}, false
	}
	for yes, no := range negations {
		switch n.Operator {
		case yes:
			n.Operator = no
			return n, true
		case no:
			n.Operator = yes
			return n, true
		}
	}
	return Node{}, false
}

// comparison reads path == nil and path == "text", either way round, and with !=.
func comparison(n *ast.BinaryNode) (Node, bool) {
	if n.Operator != "==" && n.Operator != "!=" {
		return Node{}, false
	}
	left, right := n.Left, n.Right
	if scalarLiteral(left) {
		left, right = right, left
	}
	m, whole := mentioned(left)
	variable, ok := m.dotted()
	if !whole || !ok || slices.ContainsFunc(m.keys, func(key any) bool { return !isString(key) }) {
		return Node{}, false // an index is no key of an object in ==, but is in an operator
	}
	condition := Node{Variable: variable, Operator: "equal_to"}
	switch right := right.(type) {
	case *ast.NilNode:
		condition.Operator = "not_exists"
	case *ast.StringNode:
		if !plainText(right.Value) {
			return Node{}, false
		}
		condition.Argument = encode(right.Value)
	default:
		return Node{}, false
	}
	if n.Operator == "!=" {
		return negated(condition)
	}
	return condition, true
}

// plainText says that equal_to finds a text equal to nothing but itself: no number,
// bool, path, nor the empty text that unset paths are.
func plainText(s string) bool {
	if _, numeric := number(s); s == "" || numeric || strings.HasPrefix(s, tokenPrefix) {
		return false
	}
	return !isPath(s) && !json.Valid([]byte(s))
}
