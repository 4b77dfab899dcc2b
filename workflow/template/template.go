package template

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
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
	// MaxData bounds a list a filter gets or makes, in bytes of text plus 32 per
	// value.
	MaxData = 1 << 20
	// MaxDataDepth is how deep values nest that are printed or that filters look
	// into.
	MaxDataDepth = 64
	// MaxWork bounds one rendering: a unit is a node rendered, or 64 bytes a
	// filter reads or writes; a call of a filter is four. Running out takes well
	// below a second.
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
	// Partial is the key of the partial that Line and Column are in; "" for the
	// template itself.
	Partial string
	// Message is a sentence for the author of the template.
	Message string

	cause error
}

func (e *Error) Error() string {
	at := ""
	if e.Partial != "" {
		at = fmt.Sprintf("partial %q, ", clip(e.Partial))
	}
	switch {
	case e.Column > 0:
		return fmt.Sprintf("%sline %d, column %d: %s", at, e.Line, e.Column, e.Message)
	case e.Line > 0:
		return fmt.Sprintf("%sline %d: %s", at, e.Line, e.Message)
	default:
		return at + e.Message
	}
}

// Unwrap gives the context's error when that is what ended the rendering.
func (e *Error) Unwrap() error { return e.cause }

// Template is a compiled template. It is immutable and safe for concurrent use.
type Template struct {
	source string
	format Format
	root   *body // nil when static
	roots  []string
	vars   map[string]bool // keys of vars that it names; empty: any
}

// Compile checks and compiles a template without partials. An error is always an *[Error].
func Compile(source string, format Format) (*Template, error) {
	return compile(source, format, nil, false)
}

// CompileWith checks and compiles a template with the partials it may render and include. Those it names are compiled
// with it, and count towards its limits: one that is missing, has a mistake, or includes itself is an error. An error
// is always an *[Error].
func CompileWith(source string, format Format, partials Partials) (*Template, error) {
	return compile(source, format, partials, false)
}

// CompileLax is CompileWith for templates that were written elsewhere: like Liquid's reference implementation, it lets
// a value pass unchanged through filters it doesn't know.
func CompileLax(source string, format Format, partials Partials) (*Template, error) {
	return compile(source, format, partials, true)
}

func compile(text string, format Format, partials Partials, lax bool) (t *Template, err error) {
	if format != Text && format != HTML {
		return nil, &Error{Message: fmt.Sprintf("unknown template format %d; use Text or HTML", format)}
	}
	src := &source{text: text}
	if err := checkText(src); err != nil {
		return nil, err
	}
	if !strings.Contains(text, "{{") && !strings.Contains(text, "{%") {
		return &Template{source: text, format: format}, nil
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, &Error{Message: fmt.Sprintf("this template can't be compiled (%s); write it differently", brief(r))}
		}
	}()
	u := &unit{partials: partials, compiled: map[string]*partial{}, bytes: len(text), roots: map[string]bool{}, vars: map[string]bool{}, lax: lax}
	root, parseErr := u.parse(src, false)
	if parseErr != nil {
		return nil, parseErr
	}
	return &Template{source: text, format: format, root: root, roots: u.scopeRoots(), vars: u.vars}, nil
}

func checkText(src *source) *Error {
	switch {
	case len(src.text) > MaxSource:
		return &Error{Partial: src.partial, Message: fmt.Sprintf("the template is longer than %d bytes; shorten it", MaxSource)}
	case !utf8.ValidString(src.text) || strings.ContainsRune(src.text, 0):
		return &Error{Partial: src.partial, Message: "the template is not valid UTF-8 or contains NUL; save it as UTF-8 text"}
	}
	return nil
}

// IsStatic reports whether the template is plain text that renders to itself.
func (t *Template) IsStatic() bool { return t.root == nil }

// Roots lists the names of the scope that a rendering may look at, sorted: those the template and its partials mention
// and don't set themselves. Names that are no roots of every scope bring "data" with them, whose keys they may be.
func (t *Template) Roots() []string { return slices.Clone(t.roots) }

// SeesVariable reports whether a rendering may look at vars.name: the template names it, all of vars, or what is only known then.
func (t *Template) SeesVariable(name string) bool { return t.vars[name] || t.vars[""] }

// Render renders the template for a scope: map[string]any, []any, string, float64,
// int, json.Number, bool and nil. An error is always an *[Error]; it wraps the
// context's error when that ended the rendering. Other errors are deterministic.
func (t *Template) Render(ctx context.Context, scope map[string]any) (string, error) {
	out, _, err := t.render(ctx, scope, false)
	return out, err
}

// render also tells where the output has printed values, if marked asks for it.
func (t *Template) render(ctx context.Context, scope map[string]any, marked bool) (out string, printed []span, err error) {
	if t.root == nil {
		return t.source, nil, nil
	}
	s := states.Get().(*state)
	defer func() {
		if r := recover(); r != nil { // s is not to be trusted any more
			out, printed, err = "", nil, fromPanic(r)
		}
	}()
	s.begin(ctx, t.format, scope)
	if err = t.root.render(s); err == nil {
		out = clean(string(s.out))
		if marked && out == string(s.out) { // otherwise everything may have moved
			printed = slices.Clone(s.printed)
		}
	} else {
		err = fromCause(err)
	}
	s.end()
	return out, printed, err
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
