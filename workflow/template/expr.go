package template

import (
	"strconv"
	"strings"

	"github.com/osteele/liquid/expressions"
	"github.com/osteele/liquid/values"
)

// expr is what can be evaluated: an operand, or one with filters.
type expr interface {
	eval(*state) (any, error)
}

// operand is a constant, a path or a range. It is evaluated here, unless filters are applied to it: such expressions
// are rewritten for the library, which parses and evaluates them.
type operand interface {
	expr
	// rewrite writes the operand in the library's language.
	rewrite(*strings.Builder)
}

// constant is a literal.
type constant struct{ value any }

// blankValue and emptyValue are what the words blank and empty mean.
type (
	blankValue struct{}
	emptyValue struct{}
)

func (c constant) eval(*state) (any, error) { return c.value, nil }

func (c constant) rewrite(b *strings.Builder) {
	switch v := c.value.(type) {
	case nil:
		b.WriteString("nil")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int:
		b.WriteString(strconv.Itoa(v))
	case float64:
		text := strconv.FormatFloat(v, 'f', -1, 64)
		b.WriteString(text)
		if !strings.Contains(text, ".") {
			b.WriteString(".0")
		}
	case string:
		rewriteString(b, v)
	case blankValue:
		b.WriteString(scopeName + "[" + blankIndex + "]")
	case emptyValue:
		b.WriteString(scopeName + "[" + emptyIndex + "]")
	}
}

// rewriteString quotes a text for the library, whose strings have escapes; Liquid's have not.
func rewriteString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}

// path is a variable with what follows it: a.b["c"][d].
type path struct {
	root    string
	dynamic operand // of [name].b; root is "" then
	steps   []step
}

// step is one .name or [index]. Names and literal indexes are known when compiling.
type step struct {
	name  string
	index operand // nil for a name
}

func (p *path) eval(s *state) (any, error) {
	var v any
	if p.dynamic != nil {
		name, err := p.dynamic.eval(s)
		if err != nil {
			return nil, err
		}
		if text, ok := plain(name).(string); ok {
			v = s.lookup(text)
		}
	} else {
		v = s.lookup(p.root)
	}
	for i := range p.steps {
		if p.steps[i].index == nil {
			v = s.property(v, p.steps[i].name)
			continue
		}
		index, err := p.steps[i].index.eval(s)
		if err != nil {
			return nil, err
		}
		v = item(v, plain(index))
	}
	return v, nil
}

func (p *path) rewrite(b *strings.Builder) {
	b.WriteString(scopeName)
	if p.dynamic != nil {
		b.WriteString("[" + dynamicIndex + "][")
		p.dynamic.rewrite(b)
		b.WriteByte(']')
	} else {
		b.WriteByte('[')
		rewriteString(b, p.root)
		b.WriteByte(']')
	}
	for _, s := range p.steps {
		if s.index == nil {
			b.WriteString("." + s.name)
			continue
		}
		b.WriteByte('[')
		s.index.rewrite(b)
		b.WriteByte(']')
	}
}

// rangeOf is (from..to).
type rangeOf struct{ from, to operand }

func (r rangeOf) eval(s *state) (any, error) {
	from, err := r.from.eval(s)
	if err != nil {
		return nil, err
	}
	to, err := r.to.eval(s)
	if err != nil {
		return nil, err
	}
	return values.NewRange(integer(from), integer(to)), nil
}

func (r rangeOf) rewrite(b *strings.Builder) {
	b.WriteByte('(')
	for i, end := range []operand{r.from, r.to} {
		if c, ok := end.(constant); ok {
			end = constant{integer(c.value)} // the library takes no texts here
		}
		if i > 0 {
			b.WriteString(" .. ")
		}
		end.rewrite(b)
	}
	b.WriteByte(')')
}

// filtered is an operand with filters.
type filtered struct{ program expressions.Expression }

func (f filtered) eval(s *state) (any, error) { return f.program.Evaluate(s.library) }
