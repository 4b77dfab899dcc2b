package template

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/osteele/liquid/parser"
	"github.com/osteele/liquid/render"
)

// Limits on what authors write and on what one rendering may cost.
const (
	// MaxSource is the longest template, in bytes.
	MaxSource = 64 << 10
	// MaxTag is the longest {{ }} or {% %}, in bytes.
	MaxTag = 4 << 10
	// MaxTokens is the number of texts, outputs and tags.
	MaxTokens = 5000
	// MaxDepth is how deep blocks nest, and brackets within a tag.
	MaxDepth = 32
	// MaxOutput is the longest rendering, in bytes.
	MaxOutput = 64 << 10
	// MaxValue is the longest text a filter or capture makes, in bytes.
	MaxValue = 64 << 10
	// MaxRange is the longest range a filter takes; for loops may go on until
	// the work budget ends.
	MaxRange = 1000
	// MaxData bounds the values a template is given and the lists it makes of
	// them, in bytes of text plus 32 per value.
	MaxData = 1 << 20
	// MaxDataDepth is how deep the values nest.
	MaxDataDepth = 64
	// MaxWork bounds one rendering: a unit is a node rendered, or 64 bytes a
	// filter reads or writes. Running out takes well below a second.
	MaxWork = 100_000
)

// Format says how values are printed.
type Format int

const (
	// Text prints values as they are: subjects, plain bodies, URLs, JSON.
	Text Format = iota
	// HTML escapes printed values. Texts that go through [Markdown] use it.
	HTML
)

// Error says what is wrong with a template, or why it could not be rendered, and
// what to do about it.
type Error struct {
	// Line and Column are 1-based positions, in characters; 0 when unknown.
	Line, Column int
	// Message is a sentence for the author of the template.
	Message string

	cause error
}

func (e *Error) Error() string {
	switch {
	case e.Column > 0:
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	case e.Line > 0:
		return fmt.Sprintf("line %d: %s", e.Line, e.Message)
	default:
		return e.Message
	}
}

// Unwrap gives the context's error when that is what ended the rendering.
func (e *Error) Unwrap() error { return e.cause }

// Template is a compiled template. It is immutable and safe for concurrent use.
type Template struct {
	source string
	format Format
	root   render.Node // nil when static
	names  map[string]bool
}

// Compile checks and compiles a template. An error is always an *[Error].
func Compile(source string, format Format) (t *Template, err error) {
	switch {
	case format != Text && format != HTML:
		return nil, &Error{Message: fmt.Sprintf("unknown template format %d; use Text or HTML", format)}
	case len(source) > MaxSource:
		return nil, &Error{Message: fmt.Sprintf("the template is longer than %d bytes; shorten it", MaxSource)}
	case !utf8.ValidString(source) || strings.ContainsRune(source, 0):
		return nil, &Error{Message: "the template is not valid UTF-8 or contains NUL; save it as UTF-8 text"}
	case !strings.Contains(source, "{{") && !strings.Contains(source, "{%"):
		return &Template{source: source, format: format}, nil
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, &Error{Message: fmt.Sprintf("this template can't be compiled (%s); write it differently", brief(r))}
		}
	}()
	checked, err := lint(source)
	if err != nil {
		return nil, err
	}
	root, parseErr := compiler().Compile(source, parser.SourceLoc{Pathname: "template", LineNo: 1})
	if parseErr != nil {
		return nil, fromLibrary(source, parseErr)
	}
	instrument(root)
	return &Template{source: source, format: format, root: root, names: checked}, nil
}

// IsStatic reports whether the template is plain text that renders to itself.
func (t *Template) IsStatic() bool { return t.root == nil }

// Render renders the template for a scope: map[string]any, []any, string, float64,
// int, json.Number, bool and nil. An error is always an *[Error]; it wraps the
// context's error when that ended the rendering. Other errors are deterministic.
func (t *Template) Render(ctx context.Context, scope map[string]any) (out string, err error) {
	if t.root == nil {
		return t.source, nil
	}
	if ctx.Err() != nil {
		return "", &Error{Message: "the rendering was cancelled", cause: ctx.Err()}
	}
	m := machines[t.format].Get().(*machine)
	defer func() {
		if r := recover(); r != nil {
			out, err = "", fromPanic(m.state.failed, r)
		}
		m.state = state{}
		machines[t.format].Put(m)
	}()
	bindings, size, err := t.bindings(scope)
	if err != nil {
		return "", err
	}
	m.state = state{ctx: ctx, work: MaxWork, scanCost: size / scanUnit, timestamp: scope["timestamp"]}
	bindings[stateName] = &m.state
	w := &boundedWriter{limit: MaxOutput, what: "the output", state: &m.state}
	if renderErr := render.Render(t.root, w, bindings, m.config); renderErr != nil {
		return "", fromLibrary(t.source, renderErr)
	}
	return clean(w.text.String()), nil
}

// bindings picks the roots the template mentions and makes their values ready. It
// returns their size as well.
func (t *Template) bindings(scope map[string]any) (map[string]any, int, error) {
	bound := make(map[string]any, len(t.names)+1)
	n := normalizer{left: MaxData}
	for name := range t.names {
		v, ok := scope[name]
		if !ok {
			continue
		}
		normal, err := n.normal(v, MaxDataDepth)
		if err != nil {
			return nil, 0, err
		}
		bound[name] = normal
	}
	return bound, MaxData - n.left, nil
}

// clean makes the output storable: valid UTF-8 without NUL, whatever filters cut.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.ContainsRune(s, 0) {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return s
}
