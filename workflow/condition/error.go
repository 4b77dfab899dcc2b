package condition

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/file"
)

// Error says what is wrong with a condition, or why it could not be decided, and
// what to do about it.
type Error struct {
	// Line and Column are 1-based positions, in characters, in the source of
	// the expression form; 0 when unknown.
	Line, Column int
	// Path names the part of a structured condition, such as
	// "all[1].operator". Empty for the expression form.
	Path string
	// Message is a sentence for the author of the condition.
	Message string
}

func (e *Error) Error() string {
	switch {
	case e.Path != "":
		return e.Path + ": " + e.Message
	case e.Line > 0:
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	default:
		return e.Message
	}
}

func at(path, format string, args ...any) *Error {
	return &Error{Path: path, Message: fmt.Sprintf(format, args...)}
}

// located builds an Error at an offset of the source.
func located(source string, loc file.Location, format string, args ...any) *Error {
	fe := (&file.Error{Location: loc}).Bind(file.NewSource(source))
	return &Error{Line: fe.Line, Column: fe.Column + 1, Message: fmt.Sprintf(format, args...)}
}

// fromLibrary turns what the expression library reports, when it compiles or
// when it runs, into an Error.
func fromLibrary(err error) *Error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	fe, ok := errors.AsType[*file.Error](err)
	if !ok {
		message, _, _ := strings.Cut(err.Error(), "\n")
		return &Error{Message: message}
	}
	e := &Error{Message: hint(fe.Message)}
	if fe.Line > 0 {
		e.Line, e.Column = fe.Line, fe.Column+1
	}
	return e
}

// hint adds the way out to the library's messages people meet most.
func hint(message string) string {
	message, _, _ = strings.Cut(message, "\n")
	switch {
	case strings.Contains(message, "nil"):
		return message + "; a value is missing here: give it a default with ??, as in (data.count ?? 0) > 1"
	case strings.Contains(message, "bool"):
		return message + "; a condition must be true or false: compare the value, as in data.n != 0"
	case strings.Contains(message, "maximum allowed nodes"):
		return fmt.Sprintf("the expression has more than %d parts; split the step or use the structured form", MaxNodes)
	case strings.Contains(message, `Operator("contains")`):
		return message + "; contains stands between two values, its function is " + containsFunction
	case strings.HasPrefix(message, "unknown name"):
		return message + "; use one of the roots " + strings.Join(rootNames, ", ")
	case strings.HasPrefix(message, "invalid operation"):
		return message + "; convert one side with int(), float(), string() or date()"
	default:
		return message
	}
}
