package template

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/osteele/liquid/expressions"
)

// limitError is a bound that was hit, or an argument a filter can't take; it names the way out.
type limitError string

func (e limitError) Error() string { return string(e) }

const errWork = limitError("the template does too much work for this data; loop over fewer entries or use fewer filters")

// place is where a node came from, for its errors.
type place struct {
	src    *source
	offset int
}

// wrap makes the error of a node an *Error that knows where it happened.
func (p place) wrap(err error) error {
	if err == nil {
		return nil
	}
	e := fromCause(err)
	if e.Line == 0 {
		e.Partial = p.src.partial
		e.Line, e.Column = position(p.src.text, p.offset)
	}
	return e
}

// fromCause turns an error of a filter, of the library or of the context into an *Error.
func fromCause(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if f, ok := errors.AsType[expressions.FilterError](err); ok {
		return fromCause(f.Err) // the library's type has no Unwrap
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Message: "the rendering was cancelled", cause: err}
	}
	if limit, ok := errors.AsType[limitError](err); ok {
		return &Error{Message: string(limit)}
	}
	return &Error{Message: brief(err)}
}

// fromPanic is the error of a rendering that panicked.
func fromPanic(r any) *Error {
	switch r := r.(type) {
	case expressions.InterpreterError:
		return &Error{Message: string(r)}
	case error:
		if limit, ok := errors.AsType[limitError](r); ok {
			return &Error{Message: string(limit)}
		}
	}
	return &Error{Message: fmt.Sprintf("the template failed (%s); check the values it uses", brief(r))}
}

// brief is the first line of what a library says.
func brief(v any) string {
	s, _, _ := strings.Cut(fmt.Sprint(v), "\n")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
