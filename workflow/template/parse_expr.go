package template

import (
	"slices"
	"strings"

	"github.com/osteele/liquid/expressions"
)

// output reads an expression with filters, up to the end of the tag. Nothing at all is nil.
func (p *parser) output(l *lexer) (expr, *Error) {
	if l.kind == lexEnd {
		return constant{nil}, nil
	}
	e, err := p.filters(l)
	if err == nil && l.kind != lexEnd {
		err = l.unexpected("a filter or the end")
	}
	return e, err
}

// filters reads an expression and the filters after it, and has the library parse them.
func (p *parser) filters(l *lexer) (expr, *Error) {
	start := l.start
	e, err := p.operand(l)
	if err != nil || !l.is("|") {
		return e, err
	}
	var b strings.Builder
	e.rewrite(&b)
	for l.accept("|") {
		if err := p.filter(l, &b); err != nil {
			return nil, err
		}
	}
	program, parseErr := expressions.Parse(b.String())
	if parseErr != nil {
		return nil, l.src.at(l.base+start, "this can't be read (%s); write it differently", brief(parseErr))
	}
	return filtered{program}, nil
}

// filter reads a filter with its arguments. Named ones come after the others, in the order of the filter's list.
func (p *parser) filter(l *lexer, b *strings.Builder) *Error {
	if l.kind != lexName {
		return l.unexpected("the name of a filter")
	}
	name, at := l.value, l.start
	l.advance()
	f, known := filterTable()[name]
	if !known && !p.unit.lax {
		return l.src.at(l.base+at, "unknown filter %q; the filters are %s", clip(name), strings.Join(Filters(), ", "))
	}
	positional, named := []operand{}, make([]operand, len(f.named))
	if l.accept(":") {
		for first := true; (first || l.accept(",")) && l.kind != lexEnd && !l.is("|"); first = false {
			e, option, err := p.argument(l, name, f, known)
			switch {
			case err != nil:
				return err
			case option >= 0:
				named[option] = e
			default:
				positional = append(positional, e)
			}
		}
	}
	if !known {
		return nil
	}
	if n := len(positional); n < f.min || n > f.max {
		return l.src.at(l.base+at, "%s takes %s, not %d", name, f.arity(), n)
	}
	if usesLocale(name) {
		p.unit.roots["recipient"] = true
	}
	b.WriteString(" | " + name + ": " + scopeName)
	for _, e := range positional {
		b.WriteString(", ")
		e.rewrite(b)
	}
	if slices.ContainsFunc(named, func(e operand) bool { return e != nil }) {
		for range f.max - len(positional) {
			b.WriteString(", nil")
		}
		for _, e := range named {
			if e == nil {
				e = constant{nil}
			}
			b.WriteString(", ")
			e.rewrite(b)
		}
	}
	return nil
}

// argument also returns the place of a named one in the filter's list, or -1.
func (p *parser) argument(l *lexer, name string, f filter, known bool) (operand, int, *Error) {
	option := -1
	if l.kind == lexName && l.peekSymbol(":") {
		if option = slices.Index(f.named, l.value); option < 0 && known {
			return nil, 0, l.fail("%s has no option %q%s", name, clip(l.value), f.options())
		}
		l.advance()
		l.advance()
	}
	e, err := p.operand(l)
	return e, option, err
}

// words are the names that are values.
var words = map[string]any{
	"nil": nil, "null": nil, "true": true, "false": false, "blank": blankValue{}, "empty": emptyValue{},
}

// operand reads a constant, a path or a range.
func (p *parser) operand(l *lexer) (operand, *Error) {
	if p.nesting++; p.nesting > MaxDepth {
		return nil, l.fail("brackets nest deeper than %d; assign parts first", MaxDepth)
	}
	defer func() { p.nesting-- }()
	switch {
	case l.kind == lexString && l.closed:
		c := constant{l.value}
		l.advance()
		return c, nil
	case l.kind == lexNumber:
		n, err := l.number()
		l.advance()
		return constant{n}, err
	case l.kind == lexName:
		name := l.value
		l.advance()
		if v, ok := words[name]; ok && !l.is(".") && !l.is("[") {
			return constant{v}, nil
		}
		return p.variable(l, name)
	case l.is("["):
		l.advance()
		name, err := p.index(l)
		if err != nil {
			return nil, err
		}
		if c, ok := name.(constant); ok {
			if text, ok := c.value.(string); ok {
				return p.variable(l, text)
			}
		}
		p.unit.anyRoot = true
		return p.steps(l, &path{dynamic: name})
	case l.accept("("):
		return p.rangeOf(l)
	}
	return nil, l.unexpected("a value")
}

// variable reads what is behind the name of a variable.
func (p *parser) variable(l *lexer, name string) (operand, *Error) {
	to := &path{root: name}
	key := ""
	out, err := p.steps(l, to)
	if len(to.steps) > 0 {
		key = to.steps[0].name
		if c, ok := to.steps[0].index.(constant); ok {
			key, _ = c.value.(string)
		}
	}
	p.mention(name, key)
	return out, err
}

func (p *parser) rangeOf(l *lexer) (operand, *Error) {
	from, err := p.operand(l)
	if err != nil {
		return nil, err
	}
	if !l.accept("..") {
		return nil, l.unexpected(`".." of a range`)
	}
	to, err := p.operand(l)
	if err != nil {
		return nil, err
	}
	if !l.accept(")") {
		return nil, l.unexpected(`")"`)
	}
	return rangeOf{from, to}, nil
}

// index reads what is between brackets, and the closing one.
func (p *parser) index(l *lexer) (operand, *Error) {
	e, err := p.operand(l)
	if err == nil && !l.accept("]") {
		err = l.unexpected(`"]"`)
	}
	return e, err
}

func (p *parser) steps(l *lexer, to *path) (operand, *Error) {
	for {
		switch {
		case l.accept("."):
			if l.kind != lexName {
				return nil, l.unexpected("the name of a property")
			}
			to.steps = append(to.steps, step{name: l.value})
			l.advance()
		case l.accept("["):
			index, err := p.index(l)
			if err != nil {
				return nil, err
			}
			to.steps = append(to.steps, step{index: index})
		default:
			return to, nil
		}
	}
}
