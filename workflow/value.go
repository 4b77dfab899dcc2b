package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/template"
)

// encode returns JSON as callers write it: without the escapes for HTML, which would count towards limits.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// object compiles a JSON object whose strings are templates, at any depth.
func (c *compiler) object(path string, data map[string]any) map[string]any {
	if err := belfry.ValidateJSON(data, path); err != nil {
		c.problem(path, err)
		return nil
	}
	if b, err := encode(data); err != nil || len(b) > MaxDataSize {
		c.problemf(path, "at most %d bytes of JSON are allowed", MaxDataSize)
		return nil
	}
	out, _ := c.data([]string{path}, data).(map[string]any)
	return out
}

// data compiles the strings of a JSON value; everything else stays as it is. The path is joined only when it is needed:
// keys may be long, and many.
func (c *compiler) data(path []string, v any) any {
	if c.dynamic > MaxDataTemplates {
		return v // one problem is enough
	}
	switch v := v.(type) {
	case string:
		if !strings.Contains(v, "{{") && !strings.Contains(v, "{%") {
			return v
		}
		t := c.template(strings.Join(path, ""), v, template.Text)
		if c.dynamic++; c.dynamic > MaxDataTemplates {
			c.problemf(strings.Join(path, ""), "at most %d strings with variables are allowed in a workflow's data", MaxDataTemplates)
		}
		return t
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) { // so that problems have an order
			out[k] = c.data(append(path, "."+k), v[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = c.data(append(path, "["+strconv.Itoa(i)+"]"), e)
		}
		return out
	}
	return v
}

// fillObject renders an object that compiler.object compiled. It also returns how many bytes of JSON that is.
func fillObject(ctx context.Context, object, scope map[string]any) (map[string]any, int, error) {
	f := filler{ctx: ctx, scope: scope, left: MaxDataSize}
	v, err := f.fill(object)
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

// Object is an object that templates make: either its leaves are templates, or one template renders it as JSON, which is
// how numbers, booleans and lists get their type.
type Object struct {
	fields map[string]any
	source *template.Template
}

// objectOrJSON compiles the two ways of writing an object; exactly one must be given.
func (c *compiler) objectOrJSON(path, field string, fields map[string]any, source string) *Object {
	switch {
	case (fields == nil) == (source == ""):
		c.problemf(path, "give either %s, whose strings are templates, or json, one template that renders a JSON object", field)
		return nil
	case source != "":
		return &Object{source: c.template(path+".json", source, template.Text)}
	}
	return &Object{fields: c.object(path+"."+field, fields)}
}

// Render returns the object for a scope.
func (o *Object) Render(ctx context.Context, scope map[string]any) (map[string]any, error) {
	if o.source == nil {
		object, _, err := fillObject(ctx, o.fields, scope)
		return object, err
	}
	s, err := o.source.Render(ctx, scope)
	if err != nil {
		return nil, err
	}
	return parseObject(s)
}

// parseObject reads a JSON object that a template rendered.
func parseObject(s string) (map[string]any, error) {
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil || object == nil || decoder.More() {
		return nil, fmt.Errorf("the template rendered %.100q, which is not a JSON object: print values with the json filter", s)
	}
	if err := belfry.ValidateJSON(object, ""); err != nil {
		return nil, err
	}
	return object, nil
}
