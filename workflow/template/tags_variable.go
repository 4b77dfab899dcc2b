package template

import (
	"fmt"
	"strconv"
	"strings"
)

type assignNode struct {
	place
	name string
	of   expr
}

func (n *assignNode) render(s *state) error {
	v, err := n.of.eval(s)
	if err != nil {
		return n.wrap(err)
	}
	s.assign(n.name, v)
	return nil
}

func (p *parser) parseAssign(t token) (node, bool, *Error) {
	l, err := p.args(t)
	if err != nil {
		return nil, false, err
	}
	if l.kind != lexName || !isName(l.value) || l.peekSymbol(".") {
		return nil, false, p.src.at(t.offset, "assign sets a plain name, as in {%% assign title = data.title %%}")
	}
	n := &assignNode{place: p.place(t), name: l.value}
	l.advance()
	if !l.accept("=") {
		return nil, false, l.unexpected(`"="`)
	}
	n.of, err = p.output(l)
	p.bind(n.name)
	return n, true, err
}

type captureNode struct {
	place
	name string
	body *body
}

func (n *captureNode) render(s *state) error {
	text, err := s.captured(func() error { return n.body.render(s) })
	if err != nil {
		return n.wrap(err)
	}
	s.assign(n.name, s.markup(text)) // it is escaped already
	return nil
}

func (p *parser) parseCapture(t token) (node, bool, *Error) {
	name := strings.Trim(t.args, `'"`)
	if !isName(name) {
		return nil, false, p.src.at(t.offset, "capture takes one plain name, as in {%% capture title %%}")
	}
	b, err := p.block(t)
	p.bind(name)
	return &captureNode{p.place(t), name, b}, true, err
}

func (p *parser) parseEcho(t token) (node, bool, *Error) {
	n, err := p.print(t)
	return n, false, err
}

// counterNode is increment, which prints the counter and then adds, or decrement, which subtracts first.
type counterNode struct {
	place
	name string
	by   int
}

func (n *counterNode) render(s *state) error {
	before, after := s.count(n.name, n.by)
	if n.by < 0 {
		before = after
	}
	return n.wrap(s.write(strconv.Itoa(before)))
}

func (p *parser) parseCounter(t token) (node, bool, *Error) {
	if !isName(t.args) {
		return nil, false, p.src.at(t.offset, "%s takes one plain name", t.name)
	}
	p.mention(t.args, "")
	n := &counterNode{p.place(t), t.args, 1}
	if t.name == "decrement" {
		n.by = -1
	}
	return n, false, nil
}

// cycleNode prints its values in turn. Cycles of the same group, or without a group of the same values, take turns
// together.
type cycleNode struct {
	place
	group  expr   // nil if it has none
	key    string // then
	values []expr
}

func (n *cycleNode) render(s *state) error {
	key := n.key
	if n.group != nil {
		v, err := n.group.eval(s)
		if err != nil {
			return n.wrap(err)
		}
		key = "group " + text(v)
	}
	i := s.cycles[key]
	if s.cycles == nil {
		s.cycles = map[string]int{}
	}
	s.cycles[key] = (i + 1) % len(n.values)
	if i >= len(n.values) {
		return nil
	}
	v, err := n.values[i].eval(s)
	if err == nil {
		err = s.print(v)
	}
	return n.wrap(err)
}

func (p *parser) parseCycle(t token) (node, bool, *Error) {
	l, err := p.args(t)
	if err != nil {
		return nil, false, err
	}
	n := &cycleNode{place: p.place(t), key: "values " + t.args}
	for l.kind != lexEnd {
		e, err := p.operand(l)
		if err != nil {
			return nil, false, err
		}
		if n.group == nil && len(n.values) == 0 && l.accept(":") {
			n.group = e
			continue
		}
		if _, ok := e.(constant); !ok { // the same names may mean other values: turns are taken alone
			n.key = fmt.Sprint("tag ", p.src.partial, t.offset)
		}
		n.values = append(n.values, e)
		if l.kind != lexEnd && !l.accept(",") {
			return nil, false, l.unexpected("a comma")
		}
	}
	if len(n.values) == 0 {
		return nil, false, l.unexpected("a value")
	}
	return n, false, nil
}

// ifChangedNode prints its body unless the last ifchanged printed the same.
type ifChangedNode struct {
	place
	body *body
}

func (n *ifChangedNode) render(s *state) error {
	text, err := s.captured(func() error { return n.body.render(s) })
	if err != nil || text == s.changed {
		return n.wrap(err)
	}
	s.changed = text
	return n.wrap(s.write(text))
}

func (p *parser) parseIfChanged(t token) (node, bool, *Error) {
	b, err := p.block(t)
	return &ifChangedNode{p.place(t), b}, false, err
}
