package template

import (
	"math"
	"strconv"
	"strings"

	"github.com/osteele/liquid/values"
)

// loopHead is what for and tablerow have in common: {% for name in list limit: 2 offset: 1 reversed %}.
type loopHead struct {
	place
	variable      string
	name          string // of the loop: variable-list, as it is written
	of            expr
	limit, offset expr // nil if there is none
	cols          expr
	resume        bool // offset: continue
	reversed      bool
}

// entries are what a loop goes over. Ranges are not spelled out: they may be longer than any list.
type entries struct {
	list  []any
	from  int // of a range
	count int
}

func (e *entries) at(i int) any {
	if e.list == nil {
		return e.from + i
	}
	return element(e.list[i])
}

func (e *entries) cut(from, to int) {
	if e.list != nil {
		e.list = e.list[from:to]
	}
	e.from += from
	e.count = to - from
}

// entriesOf makes pairs of an object, sorted by key. A text is one entry; what is no collection has none.
func entriesOf(s *state, v any) (entries, error) {
	switch v := v.(type) {
	case []any:
		return entries{list: v, count: len(v)}, nil
	case map[string]any:
		if err := s.spend(len(v)); err != nil {
			return entries{}, err
		}
		pairs := make([]any, 0, len(v))
		for _, key := range keys(v) {
			pairs = append(pairs, []any{key, v[key]})
		}
		return entries{list: pairs, count: len(pairs)}, nil
	case values.Range:
		from, to := bounds(v)
		if to < from {
			return entries{}, nil
		}
		if to-from < 0 || to-from >= 1<<40 { // work runs out long before; the difference must not overflow
			to = from + 1<<40
		}
		return entries{from: from, count: to - from + 1}, nil
	case string:
		if v != "" {
			return entries{list: []any{v}, count: 1}, nil
		}
	case values.SafeValue:
		return entriesOf(s, v.Value)
	}
	return entries{}, nil
}

// entries evaluates the head: first the offset, then the limit, then the order.
func (h *loopHead) entries(s *state) (entries, error) {
	v, err := h.of.eval(s)
	if err != nil {
		return entries{}, err
	}
	all, err := entriesOf(s, v)
	if err != nil {
		return entries{}, err
	}
	if _, isText := v.(string); isText {
		return all, nil // one entry, whatever the offset and the limit
	}
	from, to := 0, all.count
	if h.resume {
		from = s.resume[h.name]
	} else if h.offset != nil {
		if from, err = h.number(s, "offset", h.offset, 0); err != nil {
			return entries{}, err
		}
	}
	from = min(max(from, -1<<40), all.count)
	if h.limit != nil {
		limit, err := h.number(s, "limit", h.limit, math.MaxInt)
		if err != nil {
			return entries{}, err
		}
		if limit < all.count-from { // a negative offset takes from the limit
			to = max(from+max(limit, 0), 0)
		}
	}
	from = min(max(from, 0), to)
	if s.resume == nil {
		s.resume = map[string]int{}
	}
	s.resume[h.name] = to
	all.cut(from, to)
	return all, nil
}

func (h *loopHead) number(s *state, name string, e expr, missing int) (int, error) {
	v, err := e.eval(s)
	if err != nil || v == nil {
		return missing, err
	}
	return wholeArgument(name, v)
}

// loop is what forloop and tablerowloop are.
type loop struct {
	name         string
	index, count int
	cols         int // of a table; 0 for other loops
	parent       *loop
}

func (l *loop) property(name string) any {
	switch name {
	case "index":
		return l.index + 1
	case "index0":
		return l.index
	case "rindex":
		return l.count - l.index
	case "rindex0":
		return l.count - l.index - 1
	case "first":
		return l.index == 0
	case "last":
		return l.index == l.count-1
	case "length":
		return l.count
	}
	if l.cols == 0 {
		switch name {
		case "name":
			return l.name
		case "parentloop":
			if l.parent != nil {
				return l.parent
			}
		}
		return nil
	}
	switch name {
	case "col":
		return l.index%l.cols + 1
	case "col0":
		return l.index % l.cols
	case "col_first":
		return l.index%l.cols == 0
	case "col_last":
		return l.index%l.cols == l.cols-1
	case "row":
		return l.index/l.cols + 1
	}
	return nil
}

type forNode struct {
	loopHead
	body, otherwise *body
}

func (n *forNode) render(s *state) error {
	all, err := n.entries(s)
	if err != nil {
		return n.wrap(err)
	}
	if all.count == 0 {
		if n.otherwise == nil {
			return nil
		}
		return n.wrap(n.otherwise.render(s))
	}
	parent, _ := s.lookup("forloop").(*loop)
	l := &loop{name: n.name, count: all.count, parent: parent}
	depth := len(s.frames)
	defer func() { s.frames = s.frames[:depth] }()
	s.push("forloop", l)
	s.push(n.variable, nil)
	for i := range all.count {
		l.index = i
		at := i
		if n.reversed {
			at = all.count - 1 - i
		}
		s.frames[depth+1].value = all.at(at)
		s.work--
		if err := n.body.render(s); err != nil {
			return n.wrap(err)
		}
		if s.ended() {
			break
		}
	}
	return nil
}

// ended takes the interrupt of a round, and reports whether the loop is over.
func (s *state) ended() bool {
	stop := s.stop
	s.stop = noInterrupt
	return stop == breakLoop
}

func (p *parser) parseFor(t token) (node, bool, *Error) {
	head, err := p.loopHead(t)
	if err != nil {
		return nil, false, err
	}
	if err := p.enter(t); err != nil {
		return nil, false, err
	}
	defer p.leave()
	n := &forNode{loopHead: *head}
	p.bound = append(p.bound, map[string]bool{head.variable: true, "forloop": true})
	b, next, err := p.body("else", "endfor")
	p.bound = p.bound[:len(p.bound)-1]
	n.body = b
	for err == nil && next.name == "else" {
		n.otherwise, next, err = p.body("else", "endfor")
	}
	if err != nil {
		return nil, false, err
	}
	return n, stripBlank(n.body, n.otherwise), nil
}

// loopHead reads what is between the tag's name and its end.
func (p *parser) loopHead(t token) (*loopHead, *Error) {
	l, err := p.args(t)
	if err != nil {
		return nil, err
	}
	h := &loopHead{place: p.place(t)}
	if l.kind != lexName || !isName(l.value) {
		return nil, l.unexpected("the name of a variable")
	}
	h.variable = l.value
	l.advance()
	if !l.acceptName("in") {
		return nil, l.unexpected("in")
	}
	start := l.start
	if h.of, err = p.operand(l); err != nil {
		return nil, err
	}
	h.name = h.variable + "-" + strings.TrimRight(l.text[start:l.start], spaces+",")
	for l.kind != lexEnd {
		if err := p.loopOption(l, t.name, h); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (p *parser) loopOption(l *lexer, tag string, h *loopHead) *Error {
	if l.accept(",") {
		return nil
	}
	if l.acceptName("reversed") {
		h.reversed = true
		return nil
	}
	option := l.value
	if l.kind != lexName || !l.peekSymbol(":") {
		return l.unexpected("limit:, offset: or reversed")
	}
	at := *l
	l.advance()
	l.advance()
	if option == "offset" && l.acceptName("continue") {
		h.resume = true
		return nil
	}
	e, err := p.operand(l)
	switch {
	case err != nil:
		return err
	case option == "limit":
		h.limit = e
	case option == "offset":
		h.offset = e
	case option == "cols" && tag == "tablerow":
		h.cols = e
	default:
		return at.fail("%s has no option %q; it takes limit, offset and reversed", tag, clip(option))
	}
	return nil
}

// interruptNode is break or continue.
type interruptNode interrupt

func (n interruptNode) render(s *state) error {
	s.stop = interrupt(n)
	return nil
}

func (p *parser) parseInterrupt(t token) (node, bool, *Error) {
	if t.args != "" {
		return nil, false, p.src.at(t.argsAt, "%s takes nothing; remove %q", t.name, clip(t.args))
	}
	if t.name == "break" {
		return interruptNode(breakLoop), false, nil
	}
	return interruptNode(continueLoop), false, nil
}

// tableNode is tablerow.
type tableNode struct {
	loopHead
	body *body
}

func (n *tableNode) render(s *state) error { return n.wrap(n.rows(s)) }

func (n *tableNode) rows(s *state) error {
	if v, err := n.of.eval(s); err != nil || !truthy(v) {
		return err
	}
	all, err := n.entries(s)
	if err != nil {
		return err
	}
	l := &loop{name: n.name, count: all.count, cols: max(all.count, 1)}
	if n.cols != nil {
		cols, err := n.cols.eval(s)
		if err != nil {
			return err
		}
		if cols == nil {
			cols = math.MaxInt
		}
		if l.cols = integer(cols); l.cols < 1 {
			return limitError("cols must be a whole number above 0; give it a default with assign")
		}
	}
	depth := len(s.frames)
	defer func() { s.frames = s.frames[:depth] }()
	s.push("tablerowloop", l)
	s.push(n.variable, nil)
	if err := s.write("<tr class=\"row1\">\n"); err != nil {
		return err
	}
	for i := range all.count {
		l.index = i
		at := i
		if n.reversed {
			at = all.count - 1 - i
		}
		s.frames[depth+1].value = all.at(at)
		s.work--
		if err := n.cell(s, l); err != nil {
			return err
		}
		if s.ended() {
			break
		}
	}
	return s.write("</tr>\n")
}

func (n *tableNode) cell(s *state, l *loop) error {
	if err := s.write(`<td class="col` + strconv.Itoa(l.index%l.cols+1) + `">`); err != nil {
		return err
	}
	if err := n.body.render(s); err != nil {
		return err
	}
	if err := s.write("</td>"); err != nil {
		return err
	}
	if l.index%l.cols == l.cols-1 && l.index != l.count-1 && s.stop != breakLoop {
		return s.write("</tr>\n<tr class=\"row" + strconv.Itoa(l.index/l.cols+2) + `">`)
	}
	return nil
}

func (p *parser) parseTableRow(t token) (node, bool, *Error) {
	head, err := p.loopHead(t)
	if err != nil {
		return nil, false, err
	}
	p.bound = append(p.bound, map[string]bool{head.variable: true, "tablerowloop": true})
	b, err := p.block(t)
	p.bound = p.bound[:len(p.bound)-1]
	return &tableNode{*head, b}, false, err
}
