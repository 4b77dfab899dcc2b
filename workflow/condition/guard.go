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

// guardedParse parses sources that can't exhaust the compiler. A stack overflow or an
// allocation of a terabyte ends the process and can't be recovered from, so length
// and nesting are looked at before anything recurses.
func guardedParse(source string) (*parser.Tree, *conf.Config, error) {
	switch {
	case len(source) > MaxSource:
		return nil, nil, &Error{Message: fmt.Sprintf("the expression is longer than %d bytes; split the step or use the structured form", MaxSource)}
	case strings.TrimSpace(source) == "":
		return nil, nil, &Error{Message: "the expression is empty; write one, or leave the condition out"}
	case !utf8.ValidString(source):
		return nil, nil, &Error{Message: "the expression is not valid UTF-8; save it as UTF-8"}
	}
	if err := guardTokens(source); err != nil {
		return nil, nil, err
	}
	config := newConfig(MaxNodes)
	tree, err := parse(source, config)
	return tree, config, err
}

// guardTree refuses trees that could exhaust the virtual machine, before anything folds
// constants or compiles a pattern. It returns what the tree looks up.
func guardTree(source string, root ast.Node, o Options) ([]mention, error) {
	g := &treeGuard{source: source, options: o}
	ast.Walk(&root, g)
	g.needsBool(root)
	for _, m := range g.mentions {
		if m.root == "refs" && (len(m.keys) == 0 || !isString(m.keys[0])) {
			g.refuse(m.node, "refs is followed by the ref of a step, as in refs.inbox.seen, so that only what is needed is loaded")
		}
	}
	if g.err != nil {
		return nil, g.err
	}
	return g.mentions, nil
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
	source   string
	options  Options
	mentions []mention
	err      *Error
}

func (g *treeGuard) refuse(n ast.Node, format string, args ...any) {
	if g.err == nil {
		g.err = located(g.source, n.Location(), format, args...)
	}
}

// Visit implements ast.Visitor.
func (g *treeGuard) Visit(node *ast.Node) {
	g.mention(*node)
	switch n := (*node).(type) {
	case *ast.BuiltinNode:
		g.builtin(n)
	case *ast.CallNode:
		g.call(n)
	case *ast.BinaryNode:
		g.binary(n)
	case *ast.UnaryNode:
		if isNot(n) {
			g.needsBool(n.Node)
		}
	case *ast.ConditionalNode:
		g.needsBool(n.Cond)
	case *ast.PredicateNode:
		g.needsBool(n.Node)
	case *ast.IdentifierNode:
		g.identifier(n)
	case *ast.PointerNode:
		if n.Name != "" {
			g.refuse(n, "#%s is not available; use # for the entry itself", n.Name)
		}
	case *ast.VariableDeclaratorNode, *ast.SequenceNode, *ast.MapNode, *ast.PairNode, *ast.BytesNode:
		g.refuse(n, "this is not available in conditions; write one expression over values and lists")
	}
}

// mention remembers what is looked up: the longest of data, data.a, data.a.b.
func (g *treeGuard) mention(n ast.Node) {
	m, whole := mentioned(n)
	if !whole {
		return
	}
	var inner ast.Node
	switch n := n.(type) {
	case *ast.MemberNode:
		inner = n.Node
	case *ast.ChainNode:
		inner = n.Node
	}
	g.mentions = slices.DeleteFunc(g.mentions, func(m mention) bool { return m.node == inner })
	g.mentions = append(g.mentions, m)
}

func (g *treeGuard) identifier(n *ast.IdentifierNode) {
	switch {
	case strings.HasPrefix(n.Value, "_") || n.Value == "$env":
		g.refuse(n, "%s is not available; use one of the roots %s", n.Value, g.options.roots())
	case n.Value == eventRoot && !g.options.Event:
		g.refuse(n, eventMisplaced)
	}
}

// needsBool refuses what can't be true or false.
func (g *treeGuard) needsBool(n ast.Node) {
	if neverBool(n) {
		g.refuse(n, "a true or false value is needed here; compare it, as in data.n != 0")
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
		if _, ok := operatorOf[callee.Value]; ok {
			return // operatorCalls looks at it
		}
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
	case "and", "&&", "or", "||":
		g.needsBool(n.Left)
		g.needsBool(n.Right)
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

func isNot(n *ast.UnaryNode) bool { return n.Operator == "not" || n.Operator == "!" }

func isString(v any) bool { _, ok := v.(string); return ok }

// neverBool says that, whatever the data, this is not a bool.
func neverBool(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.ArrayNode, *ast.SliceNode:
		return true
	case *ast.UnaryNode:
		return !isNot(n)
	case *ast.BinaryNode:
		switch n.Operator {
		case "+", "-", "*", "/", "%":
			return true
		case "??":
			return neverBool(n.Left) && neverBool(n.Right)
		}
	case *ast.ConditionalNode:
		return neverBool(n.Exp1) && neverBool(n.Exp2)
	case *ast.ChainNode:
		return neverBool(n.Node)
	case *ast.BuiltinNode:
		return n.Name == "count"
	case *ast.CallNode:
		switch callee := n.Callee.(type) {
		case *ast.IdentifierNode:
			_, ok := functions[callee.Value]
			return ok && callee.Value != "get"
		case *ast.MemberNode:
			name, ok := callee.Property.(*ast.StringNode)
			return ok && !slices.Contains([]string{"Before", "After", "Equal"}, name.Value)
		}
	}
	return false
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
	return strings.Join(names, ", ") + ", or an operator such as equal_to"
}
