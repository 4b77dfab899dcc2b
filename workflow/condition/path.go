package condition

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser/utils"
)

// path is a variable, or an argument that is looked up when the condition runs.
type path []string

// parsePath accepts "root.key.key"; every segment is non-empty and free of spaces.
func parsePath(s string) (path, bool) {
	if len(s) > MaxVariable {
		return nil, false
	}
	segments := strings.Split(s, ".")
	if len(segments) < 2 || !isRoot(segments[0]) {
		return nil, false
	}
	for _, segment := range segments {
		if segment == "" || strings.ContainsFunc(segment, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return nil, false
		}
	}
	return segments, true
}

// lookup finds a path and says whether it is set. A set null is (nil, true).
func (p path) lookup(scope Scope) (any, bool) {
	v, set := scope[p[0]]
	for _, key := range p[1:] {
		switch container := v.(type) {
		case map[string]any:
			v, set = container[key]
		case []any:
			v = step(container, key)
			set = v != nil
		default:
			return nil, false
		}
		if !set {
			return nil, false
		}
	}
	return normal(v), set
}

// value is what a path means to all operators but exists and not_exists: an unset
// one is the empty string.
func (p path) value(scope Scope) any {
	v, set := p.lookup(scope)
	if !set {
		return ""
	}
	return v
}

func (p path) String() string { return strings.Join(p, ".") }

// keywords can't follow a dot in the expression form.
var keywords = map[string]bool{
	"not": true, "in": true, "or": true, "and": true, "matches": true, "contains": true,
	"startsWith": true, "endsWith": true, "let": true, "if": true, "else": true,
}

// expression writes the path in the expression form: data.items[0]["first-name"].
func (p path) expression() string {
	var b strings.Builder
	b.WriteString(p[0])
	for _, segment := range p[1:] {
		n, err := strconv.Atoi(segment)
		switch {
		case err == nil && strconv.Itoa(n) == segment && n > -1<<31:
			b.WriteString("[" + segment + "]")
		case utils.IsValidIdentifier(segment) && !keywords[segment]:
			b.WriteString("." + segment)
		default:
			b.WriteString("[" + strconv.Quote(segment) + "]")
		}
	}
	return b.String()
}

// mention is a value that an expression looks up: a root and the constant keys
// below it, up to the first computed one.
type mention struct {
	node ast.Node
	root string
	keys []any // string or int
}

// mentioned reads a tree as a mention; whole says that nothing in it is computed.
func mentioned(n ast.Node) (m mention, whole bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return mention{node: n, root: n.Value}, isRoot(n.Value)
	case *ast.ChainNode:
		m, whole = mentioned(n.Node)
	case *ast.MemberNode:
		if n.Method {
			return mention{}, false
		}
		if m, whole = mentioned(n.Node); whole {
			var key any
			key, whole = literal(n.Property)
			_, isText := key.(string)
			_, isIndex := key.(int)
			whole = whole && (isText || isIndex)
			m.keys = append(m.keys, key)
		}
	}
	m.node = n
	return m, whole
}

func (m mention) path() path {
	p := path{m.root}
	for _, key := range m.keys {
		segment, _ := text(key)
		p = append(p, segment)
	}
	return p
}

// dotted is the path as the structured form writes it, if it can.
func (m mention) dotted() (string, bool) {
	p := m.path()
	parsed, ok := parsePath(p.String())
	return p.String(), ok && len(parsed) == len(p)
}

func (m mention) value(scope Scope) any {
	v := normal(scope[m.root])
	for _, key := range m.keys {
		v = step(v, key)
	}
	return v
}
