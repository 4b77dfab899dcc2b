package condition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Limits of the structured form.
const (
	// MaxConditions is how many conditions a group holds, nested ones included.
	MaxConditions = 50
	// MaxArgument is the size of an argument, in bytes of JSON.
	MaxArgument = 4 << 10
	// MaxVariable is the length of a variable path, in bytes.
	MaxVariable = 255
	// MaxGroup is the size of a group, in bytes of JSON.
	MaxGroup = 64 << 10
)

// Group is the structured form: either All or Any is set.
//
//	{"all": [{"variable": "data.n", "operator": "greater_than", "argument": 1}]}
//	{"any": [{"variable": "actor.id", "operator": "exists"}, {"all": […]}]}
type Group struct {
	// All must all hold. Its nodes are plain conditions.
	All []Node `json:"all,omitempty"`
	// Any needs one node to hold. A node may be a nested "all".
	Any []Node `json:"any,omitempty"`
}

// Node is one condition, or, within Group.Any, a nested list of which all must hold.
type Node struct {
	// Variable is a path below a root, such as "recipient.plan" or "data.items.0".
	Variable string `json:"variable,omitempty"`
	// Operator is one of [Operators].
	Operator string `json:"operator,omitempty"`
	// Argument is JSON; nil (absent) for the operators that take none.
	Argument json.RawMessage `json:"argument,omitempty"`
	// All nests conditions; the other fields are then empty.
	All []Node `json:"all,omitempty"`
}

// UnmarshalJSON refuses unknown fields, "all" beside "any", and oversized groups.
// The error is an *[Error] unless the input is not JSON at all.
func (g *Group) UnmarshalJSON(input []byte) error {
	if len(input) > MaxGroup {
		return &Error{Message: fmt.Sprintf("the condition group is larger than %d bytes", MaxGroup)}
	}
	type plain Group
	if err := strict(input, (*plain)(g), `a condition group is an object with "all" or "any"`); err != nil {
		return err
	}
	if (g.All == nil) == (g.Any == nil) {
		return &Error{Message: `a condition group has either "all" or "any"; give exactly one of them`}
	}
	return nil
}

// UnmarshalJSON refuses unknown fields.
func (n *Node) UnmarshalJSON(input []byte) error {
	type plain Node
	*n = Node{}
	return strict(input, (*plain)(n), `a condition is an object with "variable", "operator" and "argument"`)
}

func strict(input []byte, into any, expected string) error {
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	if err != nil {
		return &Error{Message: fmt.Sprintf("%s (%s)", expected, strings.TrimPrefix(err.Error(), "json: "))}
	}
	return nil
}

// groupCompiler collects the checks and the expression that combines them.
type groupCompiler struct {
	options Options
	checks  []check
	// write is how a check, the i-th, appears in the expression.
	write func(i int, c check) string
}

// numbered writes what the virtual machine runs. Nothing an author wrote becomes part
// of it: it only numbers the checks, so there is nothing to quote and nothing to inject.
func numbered(i int, _ check) string { return fmt.Sprintf("_check(%s, %d, nil)", evalName, i) }

// CompileGroup compiles the structured form, without the root event. An error is
// always an *[Error] whose Path names the offending part.
func CompileGroup(g Group) (*Condition, error) { return CompileGroupWith(g, Options{}) }

// CompileGroupWith compiles the structured form. An error is always an *[Error] whose
// Path names the offending part.
func CompileGroupWith(g Group, o Options) (*Condition, error) {
	c := &groupCompiler{options: o, write: numbered}
	source, err := c.group(g)
	if err != nil {
		return nil, err
	}
	config := newConfig(20 * MaxConditions)
	tree, err := parse(source, config)
	if err != nil {
		return nil, err
	}
	program, err := link(tree, config)
	if err != nil {
		return nil, err
	}
	return &Condition{program: program, checks: c.checks}, nil
}

func (c *groupCompiler) group(g Group) (string, error) {
	switch {
	case len(g.All) > 0 && len(g.Any) > 0:
		return "", &Error{Message: `a condition group has either "all" or "any"; give exactly one of them`}
	case len(g.All) > 0:
		return c.conjunction("all", g.All)
	case len(g.Any) > 0:
		parts := make([]string, len(g.Any))
		for i, n := range g.Any {
			part, err := c.node(fmt.Sprintf("any[%d]", i), n)
			if err != nil {
				return "", err
			}
			parts[i] = part
		}
		return strings.Join(parts, " or "), nil
	default:
		return "", &Error{Message: "the condition group is empty; add a condition, or leave the group out"}
	}
}

func (c *groupCompiler) conjunction(path string, nodes []Node) (string, error) {
	parts := make([]string, len(nodes))
	for i, n := range nodes {
		here := fmt.Sprintf("%s[%d]", path, i)
		if n.All != nil {
			return "", at(here, `"all" holds plain conditions; nest an "all" only inside "any"`)
		}
		part, err := c.node(here, n)
		if err != nil {
			return "", err
		}
		parts[i] = part
	}
	return strings.Join(parts, " and "), nil
}

func (c *groupCompiler) node(path string, n Node) (string, error) {
	if n.All != nil {
		if n.Variable != "" || n.Operator != "" || n.Argument != nil {
			return "", at(path, `a nested "all" has no variable, operator or argument; give one or the other`)
		}
		if len(n.All) == 0 {
			return "", at(path+".all", "the nested group is empty; add a condition or remove it")
		}
		part, err := c.conjunction(path+".all", n.All)
		return "(" + part + ")", err
	}
	if len(c.checks) == MaxConditions {
		return "", at(path, "a group has at most %d conditions; split the step", MaxConditions)
	}
	compiled, err := compileNode(path, n, c.options)
	if err != nil {
		return "", err
	}
	c.checks = append(c.checks, compiled)
	return c.write(len(c.checks)-1, compiled), nil
}
