package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/template"
)

// MaxDataSize bounds the rendered data of a message, in bytes of JSON.
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

// Render fills in the message. Links that turn out unsafe or empty are left out rather than failing the message; the
// warnings say which.
func (t *InAppTemplate) Render(ctx context.Context, scope map[string]any) (content belfry.Content, warnings []string, err error) {
	if content.Body, err = t.renderBody(ctx, scope); err != nil {
		return content, nil, fmt.Errorf("body: %w", err)
	}
	if t.actionURL != nil {
		if content.ActionURL, err = renderURL(ctx, t.actionURL, scope, "actionUrl", &warnings); err != nil {
			return content, nil, err
		}
	}
	for i, b := range t.buttons {
		at := fmt.Sprintf("buttons[%d]", i)
		label, err := b.label.Render(ctx, scope)
		if err != nil {
			return content, nil, fmt.Errorf("%s.label: %w", at, err)
		}
		action, err := renderURL(ctx, b.action, scope, at+".action", &warnings)
		if err != nil {
			return content, nil, err
		}
		if action != "" {
			content.Buttons = append(content.Buttons, belfry.Button{Label: label, Action: action})
		}
	}
	if t.data != nil {
		if content.Data, err = t.renderData(ctx, scope); err != nil {
			return content, nil, fmt.Errorf("data: %w", err)
		}
	}
	return content, warnings, nil
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
func renderURL(ctx context.Context, t *template.Template, scope map[string]any, path string, warnings *[]string) (string, error) {
	s, err := t.Render(ctx, scope)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	s = strings.TrimSpace(s)
	url, ok := template.SafeURL(s)
	if !ok {
		*warnings = append(*warnings, fmt.Sprintf("%s: left out, %.100q is not a safe URL", path, s))
		return "", nil
	}
	return url, nil
}

func (t *InAppTemplate) renderData(ctx context.Context, scope map[string]any) (map[string]any, error) {
	f := filler{ctx: ctx, scope: scope, left: MaxDataSize}
	v, err := f.fill(t.data)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxDataSize {
		return nil, errDataSize
	}
	return v.(map[string]any), nil
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
		for k, e := range v {
			filled, err := f.fill(e)
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
