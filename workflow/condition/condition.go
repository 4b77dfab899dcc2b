package condition

import (
	"fmt"
	"time"

	"github.com/expr-lang/expr"
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

// Scope holds the values conditions see, by root: data, recipient, actor, tenant,
// workflow, run, refs, vars. Below the roots are map[string]any, []any, string,
// float64, int, json.Number, bool and nil. Other keys are ignored.
type Scope = map[string]any

var rootNames = []string{"data", "recipient", "actor", "tenant", "workflow", "run", "refs", "vars"}

// environment is what the virtual machine sees: the roots, and the state of the
// evaluation under a name that the guard keeps out of reach of authors.
type environment struct {
	Data      any         `expr:"data"`
	Recipient any         `expr:"recipient"`
	Actor     any         `expr:"actor"`
	Tenant    any         `expr:"tenant"`
	Workflow  any         `expr:"workflow"`
	Run       any         `expr:"run"`
	Refs      any         `expr:"refs"`
	Vars      any         `expr:"vars"`
	Eval      *evaluation `expr:"_eval"`
}

const evalName = "_eval"

// evaluation is the state of one Eval.
type evaluation struct {
	condition *Condition
	scope     Scope
	now       time.Time
	work      int
}

// Condition is a compiled condition. It is immutable and safe for concurrent use.
type Condition struct {
	program  *vm.Program
	patterns []pattern // right sides of matches, in order of use
	checks   []check   // structured conditions, in order of appearance
}

// Compile compiles the expression form. An error is always an *[Error].
func Compile(source string) (c *Condition, err error) {
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, &Error{Message: fmt.Sprintf("this expression can't be compiled (%v); write it differently", r)}
		}
	}()
	nodes, err := guard(source)
	if err != nil {
		return nil, err
	}
	rewriter := &rewriter{source: source, left: nodes}
	program, compileErr := expr.Compile(source, append(options(), expr.Patch(rewriter))...)
	if rewriter.err != nil {
		return nil, rewriter.err
	}
	if compileErr != nil {
		return nil, fromLibrary(compileErr)
	}
	return &Condition{program: program, patterns: rewriter.patterns}, nil
}

func options() []expr.Option {
	// The optimiser only matters for what the guard refuses.
	opts := []expr.Option{expr.Env(&environment{}), expr.AsBool(), expr.MaxNodes(MaxNodes), expr.Optimize(false)}
	for name, f := range functions {
		opts = append(opts, expr.Function(name, f.call, f.signature))
	}
	for name, f := range internals {
		opts = append(opts, expr.Function(name, f.call, f.signature))
	}
	return opts
}

// Eval decides the condition for a scope. now is what now() and the relative
// timestamps mean. An error is always an *[Error] and comes with false: the
// condition could not be decided and never will be for this scope.
func (c *Condition) Eval(scope Scope, now time.Time) (holds bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			holds, err = false, &Error{Message: fmt.Sprintf("the condition failed: %v", r)}
		}
	}()
	env := environment{
		Data: scope["data"], Recipient: scope["recipient"], Actor: scope["actor"], Tenant: scope["tenant"],
		Workflow: scope["workflow"], Run: scope["run"], Refs: scope["refs"], Vars: scope["vars"],
		Eval: &evaluation{condition: c, scope: scope, now: now.UTC(), work: MaxWork},
	}
	result, runErr := expr.Run(c.program, &env)
	if runErr != nil {
		return false, fromLibrary(runErr)
	}
	holds, _ = result.(bool)
	return holds, nil
}

// spend charges work, and fails when there is none left.
func (e *evaluation) spend(units int) error {
	e.work -= units
	if e.work < 0 {
		return &Error{Message: fmt.Sprintf("the condition is too much work for this data (limit %d units); look at less of it", MaxWork)}
	}
	return nil
}
