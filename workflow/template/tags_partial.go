package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/osteele/liquid/values"
)

// Partials are texts that templates take in by name with {% render %} and {% include %}: Liquid by key.
type Partials map[string]string

// MaxPartialDepth is how deep partials nest: a template may render a partial that renders a partial, and so on.
const MaxPartialDepth = 5

// partial is a compiled one. One that can't be compiled matters only when its name, made when rendering, asks for it.
type partial struct {
	key  string
	body *body
	err  *Error
}

// partialNode is render, whose partial sees only what it is given, or include, whose partial sees everything.
type partialNode struct {
	place
	unit     map[string]*partial
	static   *partial // nil when the name is only known when rendering
	name     expr
	isolated bool
	with     expr // the value of "with" and "for"
	each     bool // for
	alias    string
	args     []argument
}

type argument struct {
	name string
	of   expr
}

func (n *partialNode) render(s *state) error { return n.wrap(n.renderPartial(s)) }

func (n *partialNode) renderPartial(s *state) error {
	target, err := n.target(s)
	if err != nil {
		return err
	}
	if s.depth++; s.depth > MaxPartialDepth {
		return limitError(fmt.Sprintf("partials nest deeper than %d; does %q include itself?", MaxPartialDepth, clip(target.key)))
	}
	defer func() { s.depth-- }()
	var v any
	if n.with != nil {
		if v, err = n.with.eval(s); err != nil {
			return err
		}
	}
	alias := n.alias
	if alias == "" {
		alias = target.key[strings.LastIndexByte(target.key, '/')+1:]
	}
	if n.isolated {
		return n.renderIsolated(s, target, alias, v)
	}
	return n.include(s, target, alias, v)
}

func (n *partialNode) target(s *state) (*partial, error) {
	if n.static != nil {
		return n.static, nil
	}
	v, err := n.name.eval(s)
	if err != nil {
		return nil, err
	}
	key, _ := plain(v).(string)
	target, ok := n.unit[key]
	switch {
	case !ok:
		return nil, limitError(fmt.Sprintf("there is no partial %q; check the value of the name", clip(text(v))))
	case target.err != nil:
		return nil, target.err
	}
	return target, nil
}

// renderIsolated renders a partial once, or once for every entry of a list.
func (n *partialNode) renderIsolated(s *state, target *partial, alias string, v any) error {
	given := make([]binding, 0, len(n.args)+2)
	for _, arg := range n.args {
		v, err := arg.of.eval(s)
		if err != nil {
			return err
		}
		given = append(given, binding{arg.name, v})
	}
	outer := s.variables
	defer func() { s.variables = outer }()
	if !n.each || !isCollection(v) {
		if v != nil {
			given = append(given, binding{alias, v})
		}
		return s.isolated(target, given)
	}
	all, err := entriesOf(s, v)
	if err != nil {
		return err
	}
	l := &loop{name: alias, count: all.count}
	for l.index = range all.count {
		s.work--
		if err := s.isolated(target, append(given, binding{alias, all.at(l.index)}, binding{"forloop", l})); err != nil {
			return err
		}
	}
	return nil
}

func isCollection(v any) bool {
	switch v.(type) {
	case []any, map[string]any, values.Range:
		return true
	}
	return false
}

func (s *state) isolated(target *partial, given []binding) error {
	s.variables = variables{frames: given}
	err := target.body.render(s)
	s.stop = noInterrupt
	return err
}

// include renders a partial within the variables of the template. A list is gone through.
func (n *partialNode) include(s *state, target *partial, alias string, v any) error {
	if n.with == nil {
		v = s.lookup(target.key)
	}
	depth := len(s.frames)
	defer func() { s.frames = s.frames[:depth] }()
	for _, arg := range n.args { // each sees those before it
		v, err := arg.of.eval(s)
		if err != nil {
			return err
		}
		s.push(arg.name, v)
	}
	list, ok := v.([]any)
	if !ok {
		s.push(alias, v)
		return target.body.render(s)
	}
	s.push(alias, nil)
	at := len(s.frames) - 1
	for _, entry := range list {
		s.work--
		s.frames[at].value = element(entry)
		if err := target.body.render(s); err != nil || s.stop != noInterrupt {
			return err
		}
	}
	return nil
}

func (p *parser) parseRender(t token) (node, bool, *Error)  { return p.parsePartial(t, true) }
func (p *parser) parseInclude(t token) (node, bool, *Error) { return p.parsePartial(t, false) }

func (p *parser) parsePartial(t token, isolated bool) (node, bool, *Error) {
	l, err := p.args(t)
	if err != nil {
		return nil, false, err
	}
	if p.isolated && !isolated {
		return nil, false, p.src.at(t.offset, "a partial that is rendered can't include others; use render")
	}
	n := &partialNode{place: p.place(t), isolated: isolated, unit: p.unit.compiled}
	at := l.base + l.start
	if n.name, err = p.operand(l); err != nil {
		return nil, false, err
	}
	if err := p.partialOptions(l, n); err != nil {
		return nil, false, err
	}
	key, ok := n.name.(constant)
	name, isText := key.value.(string)
	switch {
	case ok && isText:
		n.static, err = p.unit.partial(place{p.src, at}, name, isolated)
		if err == nil && !isolated && n.with == nil {
			p.mention(name, "")
		}
	case isolated || ok:
		err = p.src.at(at, "%s takes the name of a partial in quotes, as in {%% %s 'card' %%}", t.name, t.name)
	default:
		p.unit.anyRoot = true
		p.unit.all()
	}
	return n, false, err
}

// partialOptions reads: with value as name, or: for list as name, and then name: value, …
func (p *parser) partialOptions(l *lexer, n *partialNode) (err *Error) {
	l.accept(",")
	n.each = l.kind == lexName && l.value == "for" && !l.peekSymbol(":")
	if n.each || (l.kind == lexName && l.value == "with" && !l.peekSymbol(":")) {
		l.advance()
		if n.with, err = p.operand(l); err != nil {
			return err
		}
		if l.acceptName("as") {
			if l.kind != lexName || !isName(l.value) {
				return l.unexpected("a name")
			}
			n.alias = l.value
			l.advance()
		}
	}
	for l.kind != lexEnd {
		if l.accept(",") {
			continue
		}
		if l.kind != lexName || !l.peekSymbol(":") {
			return l.unexpected("name: value")
		}
		arg := argument{name: l.value}
		l.advance()
		l.advance()
		if arg.of, err = p.operand(l); err != nil {
			return err
		}
		n.args = append(n.args, arg)
	}
	return nil
}

// partial compiles the partial of a key, once.
func (u *unit) partial(from place, key string, isolated bool) (*partial, *Error) {
	id := key
	if isolated {
		id = "render\x00" + key // what it may mention differs
	}
	if done, ok := u.compiled[id]; ok && done.body != nil {
		return done, nil
	}
	text, ok := u.partials[key]
	if !ok {
		return nil, from.src.at(from.offset, "there is no partial %q; publish it, or check its name", clip(key))
	}
	for _, open := range u.open {
		if open == key {
			return nil, from.src.at(from.offset, "partials include each other in a circle: %s; take one out", strings.Join(append(u.open, key), " > "))
		}
	}
	if len(u.open) >= MaxPartialDepth {
		return nil, from.src.at(from.offset, "partials nest deeper than %d: %s; flatten them", MaxPartialDepth, strings.Join(append(u.open, key), " > "))
	}
	if u.bytes += len(text); u.bytes > MaxSource {
		return nil, from.src.at(from.offset, "the template and its partials are longer than %d bytes together; shorten them", MaxSource)
	}
	src := &source{partial: key, text: text}
	if err := checkText(src); err != nil {
		return nil, err
	}
	u.open = append(u.open, key)
	defer func() { u.open = u.open[:len(u.open)-1] }()
	b, err := u.parse(src, isolated)
	if err != nil {
		return nil, err
	}
	done := &partial{key: key, body: b}
	u.compiled[id] = done
	return done, nil
}

// all compiles every partial, for names that are made when rendering. One with a mistake fails when it is asked for.
func (u *unit) all() {
	if u.everything {
		return
	}
	u.everything = true
	open, bytes, tokens := u.open, u.bytes, u.tokens
	u.open = nil
	for _, key := range slices.Sorted(maps.Keys(u.partials)) {
		u.bytes, u.tokens = bytes, tokens // a limit each, not together: few of them will be asked for
		if _, err := u.partial(place{&source{}, 0}, key, false); err != nil {
			u.compiled[key] = &partial{key: key, err: err}
		}
	}
	u.open, u.bytes, u.tokens = open, bytes, tokens
}
