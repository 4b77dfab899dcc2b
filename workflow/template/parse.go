package template

import (
	"fmt"
	"slices"
	"strings"
)

// node prints something, or changes the rendering.
type node interface {
	render(*state) error
}

// body is a sequence of nodes.
type body struct {
	nodes  []node
	weight int // what entering it costs, in units of work
	// blank says that nothing but space can come of it; a block of only such bodies prints not even that.
	blank bool
}

func (b *body) render(s *state) error {
	if err := s.spend(b.weight); err != nil {
		return err
	}
	for _, n := range b.nodes {
		if err := n.render(s); err != nil {
			return err
		}
		if s.stop != noInterrupt {
			return nil
		}
	}
	return nil
}

// verbatim is text that is printed as it is.
type verbatim string

func (v verbatim) render(s *state) error { return s.write(string(v)) }

// printed is {{ }} or echo.
type printed struct {
	place
	of expr
}

func (o *printed) render(s *state) error {
	start := len(s.out)
	v, err := o.of.eval(s)
	if err == nil {
		err = s.print(v)
	}
	if len(s.out) > start && len(s.printed) < maxMarkers {
		s.printed = append(s.printed, span{start, len(s.out)})
	}
	return o.wrap(err)
}

// unit is a template with its partials, while they are compiled.
type unit struct {
	partials   Partials
	compiled   map[string]*partial
	open       []string // partials that are being compiled, outermost first
	bytes      int
	tokens     int
	roots      map[string]bool
	vars       map[string]bool // keys of vars; empty: any
	anyRoot    bool            // a name is made when rendering
	lax        bool
	everything bool // all partials were compiled
}

// parser builds the nodes of one source.
type parser struct {
	unit     *unit
	src      *source
	tokens   []token
	at       int
	open     []token // blocks
	bound    []map[string]bool
	nesting  int // brackets of an expression
	joined   int // comparisons of a condition
	isolated bool
}

func (u *unit) parse(src *source, isolated bool) (*body, *Error) {
	tokens, err := scan(src)
	if err != nil {
		return nil, err
	}
	if u.tokens += len(tokens); u.tokens > MaxTokens {
		return nil, &Error{Partial: src.partial, Message: fmt.Sprintf("the template and its partials have more than %d texts and tags; shorten them", MaxTokens)}
	}
	p := &parser{unit: u, src: src, tokens: tokens, isolated: isolated}
	b, _, err := p.body()
	return b, err
}

// body reads nodes up to one of the tags that end it, which it returns; without such tags up to the end.
func (p *parser) body(ends ...string) (*body, token, *Error) {
	p.bound = append(p.bound, map[string]bool{})
	defer func() { p.bound = p.bound[:len(p.bound)-1] }()
	return p.nodes(ends...)
}

func (p *parser) nodes(ends ...string) (*body, token, *Error) {
	b := &body{blank: true}
	for p.at < len(p.tokens) {
		t := p.tokens[p.at]
		p.at++
		if t.kind == tagToken && slices.Contains(ends, t.name) {
			return b, t, nil
		}
		b.weight += 1 + len(t.args)/32
		switch t.kind {
		case textToken:
			if t.args != "" {
				b.nodes = append(b.nodes, verbatim(t.args))
				b.blank = b.blank && isSpace(t.args) && !t.verbatim
			}
		case outputToken:
			n, err := p.print(t)
			if err != nil {
				return nil, t, err
			}
			b.nodes = append(b.nodes, n)
			b.blank = false
		case tagToken:
			blank, err := p.tag(t, b)
			if err != nil {
				return nil, t, err
			}
			b.blank = b.blank && blank
		}
	}
	if n := len(p.open); n > 0 && len(ends) > 0 {
		return nil, token{}, p.src.at(p.open[n-1].offset, "{%% %s %%} is not closed; add {%% end%s %%}", p.open[n-1].name, p.open[n-1].name)
	}
	return b, token{}, nil
}

// args starts reading the arguments of a tag.
func (p *parser) args(t token) (*lexer, *Error) {
	if len(t.args) > MaxTag {
		return nil, p.src.at(t.offset, "this tag is longer than %d bytes; assign parts of it first", MaxTag)
	}
	p.nesting, p.joined = 0, 0
	return newLexer(p.src, t.args, t.argsAt), nil
}

func (p *parser) place(t token) place { return place{p.src, t.offset} }

func (p *parser) print(t token) (node, *Error) {
	l, err := p.args(t)
	if err != nil {
		return nil, err
	}
	e, err := p.output(l)
	return &printed{p.place(t), e}, err
}

// tagParsers has every tag that can start something. Each returns its node, and whether it prints nothing.
var tagParsers map[string]func(*parser, token) (node, bool, *Error)

func init() { // the table and the tags refer to each other
	tagParsers = map[string]func(*parser, token) (node, bool, *Error){
		"if": (*parser).parseIf, "unless": (*parser).parseIf, "case": (*parser).parseCase,
		"for": (*parser).parseFor, "tablerow": (*parser).parseTableRow,
		"break": (*parser).parseInterrupt, "continue": (*parser).parseInterrupt,
		"assign": (*parser).parseAssign, "capture": (*parser).parseCapture, "echo": (*parser).parseEcho,
		"increment": (*parser).parseCounter, "decrement": (*parser).parseCounter,
		"cycle": (*parser).parseCycle, "ifchanged": (*parser).parseIfChanged,
		"render": (*parser).parseRender, "include": (*parser).parseInclude,
	}
}

// Tags lists the tags templates can use, sorted.
func Tags() []string {
	names := []string{"#", "comment", "doc", "liquid", "raw"}
	for name := range tagParsers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// tag adds a tag to a body, and reports whether it prints nothing.
func (p *parser) tag(t token, to *body) (bool, *Error) {
	if t.name == "liquid" {
		return p.liquid(t, to)
	}
	parse, ok := tagParsers[t.name]
	if !ok {
		return false, p.misplaced(t)
	}
	n, blank, err := parse(p, t)
	if err != nil {
		return false, err
	}
	to.nodes = append(to.nodes, n)
	return blank, nil
}

// misplaced is the error of a tag that starts nothing.
func (p *parser) misplaced(t token) *Error {
	open := "no block is open"
	if n := len(p.open); n > 0 {
		open = fmt.Sprintf("the open block is {%% %s %%}", p.open[n-1].name)
	}
	switch _, closes := tagParsers[strings.TrimPrefix(t.name, "end")]; {
	case t.name == "else" || t.name == "elsif" || t.name == "when":
		return p.src.at(t.offset, "{%% %s %%} does not belong here; %s", t.name, open)
	case strings.HasPrefix(t.name, "end") && (closes || t.name == "endraw" || t.name == "endcomment" || t.name == "enddoc"):
		return p.src.at(t.offset, "{%% %s %%} closes nothing here; %s", t.name, open)
	}
	return p.src.at(t.offset, "unknown tag %q; the tags are %s", clip(t.name), strings.Join(Tags(), ", "))
}

// enter opens a block; leave closes it.
func (p *parser) enter(t token) *Error {
	p.open = append(p.open, t)
	if len(p.open) > MaxDepth {
		return p.src.at(t.offset, "blocks nest deeper than %d; simplify the template", MaxDepth)
	}
	return nil
}

func (p *parser) leave() { p.open = p.open[:len(p.open)-1] }

// block reads the body of a block that has no clauses.
func (p *parser) block(t token) (*body, *Error) {
	if err := p.enter(t); err != nil {
		return nil, err
	}
	defer p.leave()
	b, _, err := p.body("end" + t.name)
	return b, err
}

// stripBlank takes the spaces out of the bodies of a block that prints nothing else.
func stripBlank(bodies ...*body) bool {
	for _, b := range bodies {
		if b != nil && !b.blank {
			return false
		}
	}
	for _, b := range bodies {
		if b != nil {
			b.nodes = slices.DeleteFunc(b.nodes, func(n node) bool { _, text := n.(verbatim); return text })
		}
	}
	return true
}

// liquid reads the tag of this name: a tag a line, without delimiters.
func (p *parser) liquid(t token, to *body) (bool, *Error) {
	if err := p.enter(t); err != nil {
		return false, err
	}
	defer p.leave()
	lines, err := p.lines(t)
	if err != nil {
		return false, err
	}
	if p.unit.tokens += len(lines); p.unit.tokens > MaxTokens {
		return false, p.src.at(t.offset, "the template has more than %d texts and tags; shorten it", MaxTokens)
	}
	tokens, at := p.tokens, p.at
	p.tokens, p.at = lines, 0
	b, _, err := p.nodes()
	p.tokens, p.at = tokens, at
	if err != nil {
		return false, err
	}
	to.nodes = append(to.nodes, b.nodes...)
	to.weight += b.weight
	return b.blank, nil
}

// lines makes a token of every line. Comments are left out.
func (p *parser) lines(t token) ([]token, *Error) {
	var tokens []token
	offset, comments := t.argsAt, 0
	for line := range strings.SplitAfterSeq(t.args, "\n") {
		one := token{kind: tagToken, args: line, argsAt: offset}
		offset += len(line)
		one.trimArgs()
		one.offset = one.argsAt
		one.name = tagName.FindString(one.args)
		switch {
		case one.name == "comment" || one.name == "doc":
			comments++
		case comments > 0 && (one.name == "endcomment" || one.name == "enddoc"):
			comments--
		case comments > 0 || one.args == "" || one.args[0] == '#':
		case one.name == "":
			return nil, p.src.at(one.offset, "a line of {%% liquid %%} starts with a tag, but one is %q", clip(one.args))
		default:
			one.args, one.argsAt = one.args[len(one.name):], one.argsAt+len(one.name)
			one.trimArgs()
			tokens = append(tokens, one)
		}
	}
	if comments > 0 {
		return nil, p.src.at(t.offset, "a comment in {%% liquid %%} is not closed; add endcomment")
	}
	return tokens, nil
}
