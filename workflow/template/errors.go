package template

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/osteele/liquid/expressions"
	"github.com/osteele/liquid/parser"
)

// limitError is a bound that was hit; it names the bound and the way out.
type limitError string

func (e limitError) Error() string { return string(e) }

const errWork = limitError("the template does too much work for this data; loop over fewer entries or use fewer filters")

// fromLibrary turns an error of the Liquid library into an *Error. The library
// wraps errors in text several times, so what was ours is looked for first.
func fromLibrary(source string, err interface {
	error
	LineNumber() int
}) *Error {
	e := &Error{Line: err.LineNumber(), Message: brief(err)}
	e.Column = columnOf(source, e.Line)
	if f, ok := errors.AsType[expressions.FilterError](err); ok {
		e.Message = brief(f.Err)
	}
	switch cause := ours(err).(type) {
	case nil:
	case limitError:
		e.Message = cause.Error()
	default:
		e.Message, e.cause = "the rendering was cancelled", cause
	}
	return e
}

func fromPanic(failed error, r any) *Error {
	if failed != nil {
		return &Error{Message: failed.Error()}
	}
	if err, ok := r.(error); ok {
		if cause := ours(err); cause != nil {
			return &Error{Message: cause.Error()}
		}
	}
	return &Error{Message: fmt.Sprintf("the template failed (%s); check the values it uses", brief(r))}
}

// ours finds a limit or the context's error among the causes.
func ours(err error) error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return known
		}
	}
	if limit, ok := errors.AsType[limitError](err); ok {
		return limit
	}
	if f, ok := errors.AsType[expressions.FilterError](err); ok {
		return ours(f.Err) // the library's type has no Unwrap
	}
	return nil
}

// decoration is what the library puts around a message, once for every level.
var decoration = regexp.MustCompile(`Liquid error(?: \(line \d+\))?(?: in template)?: | in template$`)

// brief is the first line of what the library says, without its decoration.
func brief(v any) string {
	s, _, _ := strings.Cut(fmt.Sprint(v), "\n")
	s = decoration.ReplaceAllString(s, "")
	if strings.HasPrefix(s, "can't convert") && strings.Contains(s, "type int") {
		return "a whole number is missing here, as in (1..data.count); give it a default with assign"
	}
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

// columnOf finds the column of the only tag on a line, which must then be where a
// library error, which knows lines only, comes from. Otherwise it is 0.
func columnOf(source string, line int) int {
	column, offset := 0, 0
	for _, token := range parser.Scan(source, parser.SourceLoc{LineNo: 1}, nil) {
		if token.Type == parser.ObjTokenType || token.Type == parser.TagTokenType {
			if l, c := position(source, offset); l == line {
				if column != 0 {
					return 0
				}
				column = c
			}
		}
		offset += len(token.Source)
	}
	return column
}
