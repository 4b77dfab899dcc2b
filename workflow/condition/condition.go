package condition

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
)

// Limits on what authors write and on what one evaluation may cost.
const (
	// MaxSource is the longest expression, in bytes.
	MaxSource = 4 << 10
	// MaxDepth is how deep brackets, prefix operators and ?: may nest.
	MaxDepth = 32
	// MaxNodes is the size of the syntax tree.
	MaxNodes = 200
	// MaxPattern is the longest regular expression, in bytes.
	MaxPattern = 200
	// MaxPatternProgram is the size of a compiled regular expression, in
	// instructions: x{1000} is short to write and long to run.
	MaxPatternProgram = 500
	// MaxItems is the longest list any, all, none, one, count and find look through.
	MaxItems = 10_000
	// MaxWork bounds one evaluation: a unit is a value looked at, or a few bytes of
	// text compared. Running out takes tens of milliseconds.
	MaxWork = 1 << 20
)

// Condition is a compiled condition. It is immutable and safe for concurrent use.
type Condition struct {
	program  *vm.Program
	patterns []pattern // right sides of matches, in order of use
	checks   []check   // structured conditions and operator functions, in order of appearance
	source   string    // of the expression form; empty for the structured form
	mentions []mention // what the expression form looks up
}

// Compile compiles the expression form, without the root event. An error is always
// an *[Error].
func Compile(source string) (*Condition, error) { return CompileWith(source, Options{}) }

// CompileWith compiles the expression form. An error is always an *[Error].
func CompileWith(source string, o Options) (c *Condition, err error) {
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, &Error{Message: fmt.Sprintf("this expression can't be compiled (%v); write it differently", r)}
		}
	}()
	tree, config, err := guardedParse(source)
	if err != nil {
		return nil, err
	}
	mentions, err := guardTree(source, tree.Node, o)
	if err != nil {
		return nil, err
	}
	calls := &operatorCalls{source: source, options: o}
	ast.Walk(&tree.Node, calls)
	if calls.err != nil {
		return nil, calls.err
	}
	rewriter := &rewriter{source: source}
	ast.Walk(&tree.Node, rewriter)
	rewriter.truth(&tree.Node)
	if rewriter.err != nil {
		return nil, rewriter.err
	}
	program, err := link(tree, config)
	if err != nil {
		return nil, err
	}
	return &Condition{program: program, patterns: rewriter.patterns, checks: calls.checks, source: source, mentions: mentions}, nil
}

// Eval decides the condition for a scope. now is what now() and the relative
// timestamps mean. An error is always an *[Error] and comes with false: the
// condition could not be decided and never will be for this scope.
func (c *Condition) Eval(scope Scope, now time.Time) (holds bool, err error) {
	return c.run(&evaluation{condition: c, scope: scope, now: now.UTC(), work: MaxWork})
}

func (c *Condition) run(e *evaluation) (holds bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			holds, err = false, &Error{Message: fmt.Sprintf("the condition failed: %v", r)}
		}
	}()
	m := machines.Get().(*machine)
	m.environment = e.environment()
	result, runErr := m.vm.Run(c.program, &m.environment)
	m.environment = environment{}
	machines.Put(m)
	if runErr != nil {
		return false, fromLibrary(runErr)
	}
	holds, _ = result.(bool)
	return holds, nil
}

// machine is what an evaluation needs, and the next one can use again: it begins with an empty stack, and never reads what is left of the one
// before. One that panics beyond the library's own recovery is dropped.
type machine struct {
	vm          vm.VM
	environment environment
}

var machines = sync.Pool{New: func() any { return new(machine) }}

// evaluation is the state of one Eval.
type evaluation struct {
	condition *Condition
	scope     Scope
	now       time.Time
	work      int
	outcomes  []outcome // of the condition's checks; nil unless somebody asked why
}

type outcome struct {
	evaluated, holds bool
	err              error
}

// spend charges work, and fails when there is none left.
func (e *evaluation) spend(units int) error {
	e.work -= units
	if e.work < 0 {
		return &Error{Message: fmt.Sprintf("the condition is too much work for this data (limit %d units); look at less of it", MaxWork)}
	}
	return nil
}

func (e *evaluation) check(i int) (bool, error) {
	c := &e.condition.checks[i]
	holds, err := c.test(e)
	if err != nil && c.where != "" {
		err = at(c.where, "%s", err.Error())
	}
	if e.outcomes != nil {
		e.outcomes[i] = outcome{evaluated: true, holds: holds && err == nil, err: err}
	}
	return holds && err == nil, err
}

// Roots are the roots of the scope that the condition looks at, sorted.
func (c *Condition) Roots() []string {
	roots := map[string]bool{}
	for _, p := range c.paths() {
		roots[p[0]] = true
	}
	return slices.Sorted(maps.Keys(roots))
}

// Refs are the refs of the steps whose outcome the condition looks at, sorted.
func (c *Condition) Refs() []string {
	refs := map[string]bool{}
	for _, p := range c.paths() {
		if p[0] == "refs" {
			refs[p[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(refs))
}

// paths are everything the condition looks up. One below refs has two segments at least.
func (c *Condition) paths() []path {
	var all []path
	for _, m := range c.mentions {
		all = append(all, m.path())
	}
	for _, check := range c.checks {
		all = append(append(all, check.variable), check.argument.paths()...)
	}
	return all
}
