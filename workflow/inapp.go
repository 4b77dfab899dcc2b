package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/template"
)

// MaxDataSize bounds the data of a message, as written and as rendered, in bytes of JSON.
const MaxDataSize = 64 << 10

// InAppTemplate is a compiled InApp.
type InAppTemplate struct {
	Channel   string
	format    Format
	body      *template.Template
	actionURL *template.Template // nil if there is none
	buttons   []buttonTemplate
	data      map[string]any // leaves may be *template.Template
}

type buttonTemplate struct{ label, action *template.Template }

// Rendered is a filled-in message.
type Rendered struct {
	Content  belfry.Content
	Warnings []string // what was left out, and why
	Size     int      // about how many bytes Content takes
}

// Render fills in the message. Links that turn out unsafe or empty are left out rather than failing the message; the
// warnings say which.
func (t *InAppTemplate) Render(ctx context.Context, scope map[string]any) (out Rendered, err error) {
	content := &out.Content
	if content.Body, err = t.renderBody(ctx, scope); err != nil {
		return out, fmt.Errorf("body: %w", err)
	}
	if t.actionURL != nil {
		if content.ActionURL, err = out.renderURL(ctx, t.actionURL, scope, "actionUrl"); err != nil {
			return out, err
		}
	}
	out.Size = len(content.Body.Content) + len(content.Body.Rendered) + len(content.ActionURL)
	for i, b := range t.buttons {
		at := fmt.Sprintf("buttons[%d]", i)
		label, err := b.label.Render(ctx, scope)
		if err != nil {
			return out, fmt.Errorf("%s.label: %w", at, err)
		}
		action, err := out.renderURL(ctx, b.action, scope, at+".action")
		if err != nil {
			return out, err
		}
		if action != "" {
			content.Buttons = append(content.Buttons, belfry.Button{Label: label, Action: action})
			out.Size += len(label) + len(action)
		}
	}
	if t.data != nil {
		data, size, err := t.renderData(ctx, scope)
		if err != nil {
			return out, fmt.Errorf("data: %w", err)
		}
		content.Data = data
		out.Size += size
	}
	return out, nil
}

func (t *InAppTemplate) renderBody(ctx context.Context, scope map[string]any) (belfry.Body, error) {
	content, err := t.body.Render(ctx, scope)
	if err != nil {
		return belfry.Body{}, err
	}
	if t.format == Text {
		return belfry.Body{Format: belfry.TextBody, Content: content, Rendered: content}, nil
	}
	html, err := template.Markdown(content)
	return belfry.Body{Format: belfry.MarkdownBody, Content: content, Rendered: html}, err
}

// renderURL returns "" with a warning for a link that must not be followed.
func (out *Rendered) renderURL(ctx context.Context, t *template.Template, scope map[string]any, path string) (string, error) {
	s, err := t.Render(ctx, scope)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	s = strings.TrimSpace(s)
	url, ok := template.SafeURL(s)
	if !ok {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%s: left out, %.100q is not a safe URL", path, s))
		return "", nil
	}
	return url, nil
}

// renderData also returns how many bytes of JSON the data is.
func (t *InAppTemplate) renderData(ctx context.Context, scope map[string]any) (map[string]any, int, error) {
	f := filler{ctx: ctx, scope: scope, left: MaxDataSize}
	v, err := f.fill(t.data)
	if err != nil {
		return nil, 0, err
	}
	b, err := encode(v)
	if err != nil {
		return nil, 0, err
	}
	if len(b) > MaxDataSize {
		return nil, 0, errDataSize
	}
	return v.(map[string]any), len(b), nil
}

// encode returns JSON as callers write it: without the escapes for HTML, which would count towards limits.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

var errDataSize = fmt.Errorf("more than %d bytes of JSON", MaxDataSize)

// filler renders the templates among the leaves of a JSON value.
type filler struct {
	ctx   context.Context
	scope map[string]any
	left  int // bytes that may still be rendered
}

func (f *filler) fill(v any) (any, error) {
	switch v := v.(type) {
	case *template.Template:
		s, err := v.Render(f.ctx, f.scope)
		if f.left -= len(s); err == nil && f.left < 0 {
			err = errDataSize
		}
		return s, err
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) { // so that the same fails first each time
			filled, err := f.fill(v[k])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			out[k] = filled
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			filled, err := f.fill(e)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out[i] = filled
		}
		return out, nil
	}
	return v, nil
}
