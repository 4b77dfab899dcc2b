package condition

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

// predicates are the functions over lists the virtual machine runs itself.
var predicates = []string{"any", "all", "none", "one", "count", "find"}

// methods are the only methods that may be called, on times and durations.
var methods = []string{
	"Year", "Month", "Day", "Hour", "Minute", "Second", "Weekday", "YearDay", "Unix", "UnixMilli",
	"Before", "After", "Equal", "Sub", "Add", "AddDate", "Hours", "Minutes", "Seconds",
}

// guard refuses sources that could exhaust the compiler or the virtual machine. A
// stack overflow or an allocation of a terabyte ends the process and can't be
// recovered from, so this runs before anything recurses, folds constants, or
// compiles a pattern. It returns the size of the tree.
func guard(source string) (nodes int, err error) {
	switch {
	case len(source) > MaxSource:
		return 0, &Error{Message: fmt.Sprintf("the expression is longer than %d bytes; split the step or use the structured form", MaxSource)}
	case strings.TrimSpace(source) == "":
		return 0, &Error{Message: "the expression is empty; write one, or leave the condition out"}
	case !utf8.ValidString(source):
		return 0, &Error{Message: "the expression is not valid UTF-8; save it as UTF-8"}
	}
	if err := guardTokens(source); err != nil {
		return 0, err
	}
	config := conf.CreateNew()
	for _, option := range options() {
		option(config)
	}
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return 0, fromLibrary(err)
	}
	g := &treeGuard{source: source}
	ast.Walk(&tree.Node, g)
	if g.err != nil {
		return 0, g.err
	}
	return g.nodes, nil
}

// guardTokens bounds nesting and refuses statements before the parser, which is
// recursive, sees the source.
func guardTokens(source string) error {
	tokens, err := lexer.Lex(file.NewSource(source))
	if err != nil {
		if fe, ok := err.(*file.Error); ok {
			return located(source, fe.Location, "%s", fe.Message)
		}
		return fromLibrary(err)
	}
	brackets, prefixes, choices := 0, 0, 0
	for i, t := range tokens {
		member := i > 0 && tokens[i-1].Is(lexer.Operator, ".", "?.")
		switch {
		case t.Is(lexer.Bracket, "(", "[", "{"):
			brackets++
		case t.Is(lexer.Bracket):
			brackets--
		case t.Is(lexer.Operator, "?", "??", "?:"):
			choices++
		case t.Is(lexer.Operator, "let", "if", "else", ";") && !member:
			return located(source, t.Location, "%q is not available in conditions; write one expression, with ?: to choose", t.Value)
		}
		if t.Is(lexer.Operator, "!", "not", "-", "+") {
			prefixes++
		} else if !t.Is(lexer.Bracket) {
			prefixes = 0
		}
		if max(brackets, prefixes, choices) > MaxDepth {
			return located(source, t.Location, "nested deeper than %d levels; simplify the expression", MaxDepth)
		}
	}
	return nil
}

// treeGuard refuses every construct that is not known to be bounded.
type treeGuard struct {
	source string
	nodes  int
	err    *Error
}

func (g *treeGuard) refuse(n ast.Node, format string, args ...any) {
	if g.err == nil {
		g.err = located(g.source, n.Location(), format, args...)
	}
}

// Visit implements ast.Visitor.
func (g *treeGuard) Visit(node *ast.Node) {
	g.nodes++
	switch n := (*node).(type) {
	case *ast.BuiltinNode:
		g.builtin(n)
	case *ast.CallNode:
		g.call(n)
	case *ast.BinaryNode:
		g.binary(n)
	case *ast.IdentifierNode:
		if strings.HasPrefix(n.Value, "_") || n.Value == "$env" {
			g.refuse(n, "%s is not available; use one of the roots %s", n.Value, strings.Join(rootNames, ", "))
		}
	case *ast.PointerNode:
		if n.Name != "" {
			g.refuse(n, "#%s is not available; use # for the entry itself", n.Name)
		}
	case *ast.VariableDeclaratorNode, *ast.SequenceNode, *ast.MapNode, *ast.PairNode, *ast.BytesNode:
		g.refuse(n, "this is not available in conditions; write one expression over values and lists")
	}
}

func (g *treeGuard) builtin(n *ast.BuiltinNode) {
	if !slices.Contains(predicates, n.Name) {
		g.refuse(n, "%s() is not available in conditions; use one of %s", n.Name, available())
		return
	}
	for _, argument := range n.Arguments {
		if p, ok := argument.(*ast.PredicateNode); ok && containsPredicate(p.Node) {
			g.refuse(n, "%s() looks through a list inside another list; flatten the data", n.Name)
		}
	}
}

func (g *treeGuard) call(n *ast.CallNode) {
	switch callee := n.Callee.(type) {
	case *ast.IdentifierNode:
		f, ok := functions[callee.Value]
		if !ok {
			g.refuse(callee, "%s() is not available in conditions; use one of %s", callee.Value, available())
		} else if len(n.Arguments) < f.min || len(n.Arguments) > f.max {
			g.refuse(callee, "%s() takes %d to %d arguments, not %d", callee.Value, f.min, f.max, len(n.Arguments))
		}
	case *ast.MemberNode:
		name, ok := callee.Property.(*ast.StringNode)
		if !ok || !callee.Method || !slices.Contains(methods, name.Value) {
			g.refuse(n, "this method is not available; times and durations have %s", strings.Join(methods, ", "))
		}
	default:
		g.refuse(n, "only named functions can be called; use one of %s", available())
	}
}

func (g *treeGuard) binary(n *ast.BinaryNode) {
	switch n.Operator {
	case "..", "**", "^":
		g.refuse(n, "the operator %s is not available in conditions", n.Operator)
	case "matches":
		literal, ok := n.Right.(*ast.StringNode)
		if !ok || len(literal.Value) > MaxPattern {
			g.refuse(n, "matches needs a literal pattern of at most %d bytes on its right", MaxPattern)
			return
		}
		if _, err := compilePattern(literal.Value); err != nil {
			g.refuse(n, "%s", err.Error())
		}
	}
}

type predicateFinder struct{ found bool }

// Visit implements ast.Visitor.
func (f *predicateFinder) Visit(node *ast.Node) {
	if _, ok := (*node).(*ast.PredicateNode); ok {
		f.found = true
	}
}

func containsPredicate(n ast.Node) bool {
	f := &predicateFinder{}
	ast.Walk(&n, f)
	return f.found
}

func available() string {
	names := slices.Clone(predicates)
	for name := range functions {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
