package workflow

import (
	"github.com/belfryhq/belfry/workflow/condition"
)

// Program is a compiled definition: operations, run from the first on.
type Program struct {
	Name       string
	Categories []string
	Ops        []Op
}

// Op is one operation.
type Op struct {
	Kind OpKind
	Step string // ref of the step that it belongs to

	Condition *condition.Condition // Test
	Else      int                  // Test: the operation to go on with if the condition is false
	InApp     *InAppTemplate       // SendInApp
}

// OpKind says what an operation does. A run ends when it comes to the end of its program.
type OpKind int

const (
	// Test goes on with the next operation if the condition is true, with Else otherwise.
	Test OpKind = iota
	// SendInApp renders a message and puts it into the recipient's feed.
	SendInApp
)
