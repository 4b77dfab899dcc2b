package condition

import (
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// newConfig describes the virtual machine: our environment and our functions.
func newConfig(maxNodes uint) *conf.Config {
	// The optimiser only matters for what the guard refuses.
	options := []expr.Option{expr.Env(&environment{}), expr.AsBool(), expr.MaxNodes(maxNodes), expr.Optimize(false)}
	for name, f := range functions {
		options = append(options, expr.Function(name, f.call, f.signature))
	}
	for name, f := range internals {
		options = append(options, expr.Function(name, f.call, f.signature))
	}
	config := conf.CreateNew()
	for _, option := range options {
		option(config)
	}
	return config
}

// link checks the types of a finished tree and turns it into a program.
func link(tree *parser.Tree, config *conf.Config) (*vm.Program, error) {
	if _, err := checker.Check(tree, config); err != nil {
		return nil, fromLibrary(err)
	}
	program, err := compiler.Compile(tree, config)
	if err != nil {
		return nil, fromLibrary(err)
	}
	return program, nil
}

func parse(source string, config *conf.Config) (*parser.Tree, error) {
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, fromLibrary(err)
	}
	return tree, nil
}
