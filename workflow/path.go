package workflow

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/belfryhq/belfry/workflow/template"
)

// maxPathLength bounds a path into the scope, in bytes.
const maxPathLength = 255

// scopeRoots are the names that a path may begin with. Any other first name is one of the data.
var scopeRoots = []string{"data", "recipient", "actor", "tenant", "vars", "workflow", "run", "refs"}

// Path finds a value in a scope: data.order.id, or order.id for short.
type Path []string

// parsePath reads a path.
func parsePath(s string) (Path, error) {
	if s == "" || len(s) > maxPathLength {
		return nil, fmt.Errorf("give a path of 1 to %d bytes, such as data.due_at", maxPathLength)
	}
	segments := strings.Split(s, ".")
	for _, segment := range segments {
		if segment == "" || strings.ContainsFunc(segment, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return nil, fmt.Errorf("a path is made of names with dots between them, such as data.due_at")
		}
	}
	if !slices.Contains(scopeRoots, segments[0]) {
		segments = append([]string{"data"}, segments...)
	}
	return segments, nil
}

func (p Path) String() string { return strings.Join(p, ".") }

// Lookup returns the value at a path, nil if there is none.
func (p Path) Lookup(scope map[string]any) any {
	var v any = scope
	for _, name := range p {
		switch container := v.(type) {
		case map[string]any:
			v = container[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(container) {
				return nil
			}
			v = container[i]
		default:
			return nil
		}
	}
	return v
}

// MaxKeySize bounds the key of a batch, throttle or cohort, in bytes of JSON.
const MaxKeySize = 512

// Key groups what a recipient gets by a value: a path, or a Liquid template.
type Key struct {
	path Path
	text *template.Template
}

// key compiles a key; nil if there is none.
func (c *compiler) key(path, source string) *Key {
	if source == "" {
		return nil
	}
	if strings.Contains(source, "{{") || strings.Contains(source, "{%") {
		return &Key{text: c.template(path, source, template.Text)}
	}
	p, err := parsePath(source)
	if err != nil {
		c.problem(path, err)
	}
	c.looksUp(p)
	return &Key{path: p}
}

// looksUp notes what has to be loaded for a path.
func (c *compiler) looksUp(p Path) {
	switch {
	case len(p) == 0:
	case p[0] == "vars":
		c.program.Variables = true
	case p[0] == "refs" && len(p) > 1:
		c.program.Refs, c.program.SeesRefs = append(c.program.Refs, p[1]), true
	}
}

// Of is the key for a scope as canonical JSON: equal values have equal keys. Nothing, and what is too large to be a key,
// is an error. A nil Key is always the empty string.
func (k *Key) Of(ctx context.Context, scope map[string]any) (string, error) {
	if k == nil {
		return "", nil
	}
	var v any
	if k.text != nil {
		s, err := k.text.Render(ctx, scope)
		if err != nil {
			return "", err
		}
		if s = strings.TrimSpace(s); s != "" {
			v = s
		}
	} else {
		v = k.path.Lookup(scope)
	}
	if v == nil || v == "" {
		return "", fmt.Errorf("the key is empty")
	}
	b, err := encode(v)
	if err != nil {
		return "", fmt.Errorf("the key is not representable as JSON")
	}
	if len(b) > MaxKeySize {
		return "", fmt.Errorf("the key is larger than %d bytes", MaxKeySize)
	}
	return string(bytes.TrimSpace(b)), nil
}
