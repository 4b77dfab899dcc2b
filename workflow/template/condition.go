package template

import (
	"cmp"
	"strings"

	"github.com/osteele/liquid/values"
)

// condition is the test of if, unless and elsif: comparisons joined by and and or, which have no precedence and group
// from the right. (The library groups from the left.)
type condition interface {
	test(*state) (bool, error)
}

type (
	truth      struct{ of expr }
	comparison struct {
		operator    string
		left, right expr
	}
	junction struct {
		or          bool
		left, right condition
	}
)

func (t truth) test(s *state) (bool, error) {
	v, err := t.of.eval(s)
	return truthy(v), err
}

func truthy(v any) bool { return v != nil && v != false }

func (j junction) test(s *state) (bool, error) {
	left, err := j.left.test(s)
	if err != nil || left == j.or {
		return left, err
	}
	return j.right.test(s)
}

func (c comparison) test(s *state) (bool, error) {
	left, err := c.left.eval(s)
	if err != nil {
		return false, err
	}
	right, err := c.right.eval(s)
	if err != nil {
		return false, err
	}
	holds := compare(c.operator, left, right, &s.work)
	return holds, s.spend(1)
}

// compare never fails: values of different kinds are not equal, and neither is less.
func compare(operator string, left, right any, work *int) bool {
	left, right = plain(left), plain(right)
	switch operator {
	case "==":
		return equal(left, right, work)
	case "!=", "<>":
		return !equal(left, right, work)
	case "contains":
		return contains(left, right, work)
	}
	order, ok := compared(left, right)
	if !ok {
		return false
	}
	switch operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}

// compared orders two numbers or two texts.
func compared(a, b any) (int, bool) {
	if x, ok := a.(string); ok {
		y, ok := b.(string)
		return strings.Compare(x, y), ok
	}
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			return cmp.Compare(x, y), true
		}
	}
	x, ok := floatOf(a)
	if !ok {
		return 0, false
	}
	y, ok := floatOf(b)
	return cmp.Compare(x, y), ok
}

func contains(left, right any, work *int) bool {
	if !truthy(left) || !truthy(right) {
		return false
	}
	switch left := left.(type) {
	case string:
		*work -= len(left) / 64
		return strings.Contains(left, text(right))
	case []any:
		for _, v := range left {
			if equal(element(v), right, work) {
				return true
			}
		}
	case map[string]any:
		key, ok := right.(string)
		if ok {
			_, ok = left[key]
		}
		return ok
	case values.Range:
		n, ok := right.(int)
		from, to := bounds(left)
		return ok && n >= from && n <= to
	}
	return false
}

// condition reads the test of an if, up to the end of the tag.
func (p *parser) condition(l *lexer) (condition, *Error) {
	left, err := p.comparison(l)
	if err != nil {
		return nil, err
	}
	if l.kind == lexEnd {
		return left, nil
	}
	or := l.acceptName("or")
	if !or && !l.acceptName("and") {
		return nil, l.unexpected("an operator, and, or, or the end")
	}
	if p.joined++; p.joined > MaxTag/4 {
		return nil, l.fail("the condition is too long; assign parts of it first")
	}
	right, err := p.condition(l)
	return junction{or, left, right}, err
}

func (p *parser) comparison(l *lexer) (condition, *Error) {
	left, err := p.operand(l)
	if err != nil {
		return nil, err
	}
	operator := l.value
	if l.kind != lexOperator && (l.kind != lexName || operator != "contains") {
		return truth{left}, nil
	}
	l.advance()
	right, err := p.operand(l)
	return comparison{operator, left, right}, err
}
