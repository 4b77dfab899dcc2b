package template

// ifNode is if and unless. What it renders is the first branch whose test holds.
type ifNode struct {
	place
	branches []branch
	negate   bool // the first test: unless
}

type branch struct {
	when condition // nil for else
	body *body
}

func (n *ifNode) render(s *state) error {
	for i, b := range n.branches {
		if b.when != nil {
			holds, err := b.when.test(s)
			if err != nil {
				return n.wrap(err)
			}
			if holds == (n.negate && i == 0) {
				continue
			}
		}
		return n.wrap(b.body.render(s))
	}
	return nil
}

func (p *parser) parseIf(t token) (node, bool, *Error) {
	if err := p.enter(t); err != nil {
		return nil, false, err
	}
	defer p.leave()
	n := &ifNode{place: p.place(t), negate: t.name == "unless"}
	bodies := []*body{}
	done := false // after else, what follows is never rendered
	for clause := t; clause.name != "end"+t.name; {
		b := branch{}
		if clause.name != "else" {
			l, err := p.args(clause)
			if err != nil {
				return nil, false, err
			}
			if b.when, err = p.condition(l); err != nil {
				return nil, false, err
			}
		}
		inside, next, err := p.body("elsif", "else", "end"+t.name)
		if err != nil {
			return nil, false, err
		}
		b.body = inside
		bodies = append(bodies, inside)
		if !done {
			n.branches = append(n.branches, b)
		}
		done = done || clause.name == "else"
		clause = next
	}
	return n, stripBlank(bodies...), nil
}

// caseNode renders every when that matches, once for each of its values that does, or else its else.
type caseNode struct {
	place
	of      expr
	clauses []whenClause
}

type whenClause struct {
	values []expr // nil for else
	body   *body
}

func (n *caseNode) render(s *state) error {
	v, err := n.of.eval(s)
	if err != nil {
		return n.wrap(err)
	}
	matched := false
	for _, clause := range n.clauses {
		times := 0
		for _, e := range clause.values {
			candidate, err := e.eval(s)
			if err != nil {
				return n.wrap(err)
			}
			if equal(v, candidate, &s.work) {
				times++
			}
		}
		if clause.values == nil && !matched {
			times = 1
		} else if times > 0 {
			matched = true
		}
		for range times {
			if err := clause.body.render(s); err != nil || s.stop != noInterrupt {
				return n.wrap(err)
			}
		}
	}
	return n.wrap(s.spend(1))
}

func (p *parser) parseCase(t token) (node, bool, *Error) {
	if err := p.enter(t); err != nil {
		return nil, false, err
	}
	defer p.leave()
	l, err := p.args(t)
	if err != nil {
		return nil, false, err
	}
	n := &caseNode{place: p.place(t)}
	if n.of, err = p.operand(l); err == nil && l.kind != lexEnd {
		err = l.unexpected("the end")
	}
	if err != nil {
		return nil, false, err
	}
	_, clause, err := p.body("when", "else", "endcase") // what is before the first when is not rendered
	var bodies []*body
	for err == nil && clause.name != "endcase" {
		c := whenClause{}
		if clause.name == "when" {
			if c.values, err = p.whenValues(clause); err != nil {
				return nil, false, err
			}
		}
		c.body, clause, err = p.body("when", "else", "endcase")
		n.clauses = append(n.clauses, c)
		bodies = append(bodies, c.body)
	}
	if err != nil {
		return nil, false, err
	}
	return n, stripBlank(bodies...), nil
}

// whenValues reads values that are separated by commas or or.
func (p *parser) whenValues(t token) ([]expr, *Error) {
	l, err := p.args(t)
	if err != nil {
		return nil, err
	}
	var all []expr
	for {
		e, err := p.operand(l)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
		if l.kind == lexEnd {
			return all, nil
		}
		if !l.accept(",") && !l.acceptName("or") {
			return nil, l.unexpected("a comma, or, or the end")
		}
	}
}
