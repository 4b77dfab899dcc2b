package condition

import (
	"github.com/expr-lang/expr/ast"
)

// rewriter replaces, in a tree the guard has passed, every operation whose cost
// depends on the data, or that would fail on a missing value, by a call to our own
// function for it. The functions get the evaluation as their first argument.
type rewriter struct {
	source   string
	patterns []pattern
	err      *Error
}

func (r *rewriter) replace(node *ast.Node, name string, arguments ...ast.Node) {
	ast.Patch(node, invoke(name, arguments...))
}

func (r *rewriter) fail(n ast.Node, message string) {
	if r.err == nil {
		r.err = located(r.source, n.Location(), "%s", message)
	}
}

func invoke(name string, arguments ...ast.Node) *ast.CallNode {
	all := append([]ast.Node{&ast.IdentifierNode{Value: evalName}}, arguments...)
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: all}
}

// Visit implements ast.Visitor. Children come before their parents.
func (r *rewriter) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		r.member(node, n)
	case *ast.ChainNode:
		*node = n.Node // "?." is how every lookup works
	case *ast.PointerNode:
		if n.Name == "" {
			r.replace(node, "_item", n)
		}
	case *ast.SliceNode:
		r.slice(n)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value[0] != '_' {
			n.Arguments = append([]ast.Node{&ast.IdentifierNode{Value: evalName}}, n.Arguments...)
		}
	case *ast.BuiltinNode:
		n.Arguments[0] = locatedAs(n.Arguments[0], invoke("_items", n.Arguments[0]))
	case *ast.PredicateNode:
		r.truth(&n.Node)
	case *ast.ConditionalNode:
		r.truth(&n.Cond)
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			r.truth(&n.Node)
		}
	case *ast.BinaryNode:
		r.binary(node, n)
	}
}

func locatedAs(old, replacement ast.Node) ast.Node {
	replacement.SetLocation(old.Location())
	return replacement
}

func (r *rewriter) member(node *ast.Node, n *ast.MemberNode) {
	n.Optional = false
	if n.Method {
		return // the callee of a call the guard allowed
	}
	if inner, ok := n.Node.(*ast.CallNode); ok && isCallTo(inner, "_get") {
		inner.Arguments = append(inner.Arguments, n.Property)
		ast.Patch(node, inner)
		return
	}
	r.replace(node, "_get", n.Node, n.Property)
}

func isCallTo(n *ast.CallNode, name string) bool {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	return ok && callee.Value == name
}

// slice leaves slicing to the virtual machine, which doesn't copy.
func (r *rewriter) slice(n *ast.SliceNode) {
	n.Node = locatedAs(n.Node, invoke("_sliceable", n.Node))
}

func (r *rewriter) binary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "and", "&&", "or", "||":
		r.truth(&n.Left)
		r.truth(&n.Right)
	case "+":
		r.replace(node, "_add", n.Left, n.Right)
	case "in":
		r.replace(node, "_in", n.Left, n.Right)
	case "contains", "startsWith", "endsWith":
		r.replace(node, "_"+n.Operator, n.Left, n.Right)
	case "matches":
		compiled, err := compilePattern(n.Right.(*ast.StringNode).Value)
		if err != nil {
			r.fail(n, err.Error())
			return
		}
		r.patterns = append(r.patterns, compiled)
		r.replace(node, "_matches", n.Left, &ast.IntegerNode{Value: len(r.patterns) - 1})
	case "==", "!=":
		if scalarLiteral(n.Left) || scalarLiteral(n.Right) {
			return // cheap and right in the virtual machine
		}
		name := map[string]string{"==": "_equal", "!=": "_unequal"}[n.Operator]
		r.replace(node, name, n.Left, n.Right)
	}
}

func scalarLiteral(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode:
		return true
	default:
		return false
	}
}

// truth makes a missing value false where a bool is needed, and says so in plain
// words when there is another value.
func (r *rewriter) truth(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BoolNode:
		return
	case *ast.CallNode:
		if isCallTo(n, "_check") {
			return // so that it costs the same as in the structured form
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||", "==", "!=", "<", "<=", ">", ">=":
			return
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return
		}
	}
	*node = locatedAs(*node, invoke("_truth", *node))
}
