package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/condition"
	"github.com/belfryhq/belfry/workflow/template"
)

// Compile checks a definition and compiles it. There is a program if and only if there are no problems. The program keeps
// parts of the definition: don't change that any more.
func Compile(d *Definition) (*Program, []Problem) {
	c := &compiler{}
	c.workflow(d)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return &c.program, nil
}

// compiler gathers a program and what is wrong with its definition.
type compiler struct {
	program  Program
	problems []Problem
	step     string // ref of the current step
	dynamic  int    // templates with variables, in data
}

// maxPath bounds the path of a problem, in bytes.
const maxPath = 1024

// problem records err at a path. Errors of conditions and templates know where in their source they are.
func (c *compiler) problem(path string, err error) {
	p := Problem{Step: c.step, Path: path, Message: err.Error()}
	if e, ok := errors.AsType[*condition.Error](err); ok {
		p.Line, p.Column, p.Message = e.Line, e.Column, e.Message
		if e.Path != "" {
			p.Path += "." + e.Path
		}
	}
	if e, ok := errors.AsType[*template.Error](err); ok {
		p.Line, p.Column, p.Message = e.Line, e.Column, e.Message
	}
	if e, ok := errors.AsType[*belfry.Error](err); ok {
		p.Message = e.Message
		if strings.HasPrefix(e.Field, path) {
			p.Path = e.Field // it says more
		}
	}
	if len(p.Path) > maxPath {
		p.Path = strings.ToValidUTF8(p.Path[:maxPath], "") + "…"
	}
	if len(c.problems) < MaxProblems {
		c.problems = append(c.problems, p)
	}
}

func (c *compiler) problemf(path, format string, args ...any) {
	c.problem(path, fmt.Errorf(format, args...))
}

func (c *compiler) workflow(d *Definition) {
	b, err := encode(d)
	switch {
	case err != nil:
		c.problemf("", "not representable as JSON: %v", err)
		return
	case len(b) > MaxDefinitionSize:
		c.problemf("", "the definition is too large: at most %d bytes of JSON", MaxDefinitionSize)
		return
	}
	c.name("name", d.Name)
	if len(d.Categories) > MaxCategories {
		c.problemf("categories", "at most %d categories are allowed", MaxCategories)
	}
	for i, name := range d.Categories {
		c.name(fmt.Sprintf("categories[%d]", i), name)
	}
	if len(d.Steps) == 0 {
		c.problemf("steps", "a workflow needs at least one step")
	}
	if len(d.Steps) > MaxSteps {
		c.problemf("steps", "at most %d steps are allowed", MaxSteps)
		return
	}
	c.program.Name, c.program.Categories = d.Name, d.Categories
	seen := make(map[string]bool)
	for i := range d.Steps {
		path := fmt.Sprintf("steps[%d]", i)
		s := &d.Steps[i]
		c.step = s.Ref
		if err := belfry.ValidateKey(s.Ref, "ref"); err != nil {
			c.step = ""
			c.problem(path+".ref", err)
		} else if seen[s.Ref] {
			c.problemf(path+".ref", "another step has this ref: refs are unique within a workflow")
		}
		seen[s.Ref] = true
		c.compileStep(path, s)
	}
}

// name checks what people call something.
func (c *compiler) name(path, name string) {
	switch {
	case strings.TrimSpace(name) == "":
		c.problemf(path, "must not be empty")
	case utf8.RuneCountInString(name) > MaxNameLength:
		c.problemf(path, "at most %d characters are allowed", MaxNameLength)
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || r == utf8.RuneError }):
		c.problemf(path, "must not contain control characters or invalid UTF-8")
	}
}

func (c *compiler) compileStep(path string, s *Step) {
	if s.Name != "" {
		c.name(path+".name", s.Name)
	}
	test := -1
	if cond := c.condition(path, s); cond != nil {
		test = len(c.program.Ops)
		c.program.Ops = append(c.program.Ops, Op{Kind: Test, Step: s.Ref, Condition: cond})
	}
	if s.InApp == nil {
		c.problemf(path, "a step needs a kind: give inApp")
		return
	}
	c.program.Ops = append(c.program.Ops, Op{Kind: SendInApp, Step: s.Ref, InApp: c.inApp(path+".inApp", s.InApp)})
	if test >= 0 {
		c.program.Ops[test].Else = len(c.program.Ops)
	}
}

// condition compiles either form; nil if there is none, or a problem.
func (c *compiler) condition(path string, s *Step) *condition.Condition {
	structured := len(s.Conditions) > 0 && string(s.Conditions) != "null"
	switch {
	case s.Condition != "" && structured:
		c.problemf(path, "give either condition or conditions, not both")
	case s.Condition != "":
		err := belfry.ValidateText(s.Condition, "condition")
		if err == nil {
			var cond *condition.Condition
			if cond, err = condition.Compile(s.Condition); err == nil {
				return cond
			}
		}
		c.problem(path+".condition", err)
	case structured:
		cond, err := compileGroup(path+".conditions", s.Conditions)
		if err == nil {
			return cond
		}
		c.problem(path+".conditions", err)
	}
	return nil
}

// compileGroup compiles the structured form, if all of it can be stored.
func compileGroup(path string, raw json.RawMessage) (*condition.Condition, error) {
	var g condition.Group
	if err := json.Unmarshal(raw, &g); err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) { // decoding repairs it silently
		return nil, belfry.Errorf(belfry.Invalid, "text must be valid UTF-8")
	}
	var v any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	if err := belfry.ValidateJSON(v, path); err != nil {
		return nil, err
	}
	return condition.CompileGroup(g)
}

func (c *compiler) inApp(path string, in *InApp) *InAppTemplate {
	t := &InAppTemplate{Channel: in.Channel, format: in.Format}
	if err := belfry.ValidateKey(in.Channel, "channel"); err != nil {
		c.problem(path+".channel", err)
	}
	bodyFormat := template.Text
	switch in.Format {
	case Text:
	case Markdown:
		bodyFormat = template.HTML
	default:
		c.problemf(path+".format", "must be TEXT or MARKDOWN")
	}
	if strings.TrimSpace(in.Body) == "" {
		c.problemf(path+".body", "must not be empty")
	}
	t.body = c.template(path+".body", in.Body, bodyFormat)
	if in.ActionURL != "" {
		t.actionURL = c.url(path+".actionUrl", in.ActionURL)
	}
	if len(in.Buttons) > MaxButtons {
		c.problemf(path+".buttons", "at most %d buttons are allowed", MaxButtons)
	}
	for i, b := range in.Buttons {
		at := fmt.Sprintf("%s.buttons[%d]", path, i)
		if strings.TrimSpace(b.Label) == "" {
			c.problemf(at+".label", "must not be empty")
		}
		t.buttons = append(t.buttons, buttonTemplate{
			label:  c.template(at+".label", b.Label, template.Text),
			action: c.url(at+".action", b.Action),
		})
	}
	if in.Data != nil {
		t.data = c.inAppData(path+".data", in.Data)
	}
	return t
}

func (c *compiler) inAppData(path string, data map[string]any) map[string]any {
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

func (c *compiler) template(path, src string, f template.Format) *template.Template {
	if err := belfry.ValidateText(src, path); err != nil {
		c.problem(path, err)
		return nil
	}
	t, err := template.Compile(src, f)
	if err != nil {
		c.problem(path, err)
	}
	return t
}

// url compiles the template of a URL; one without variables can be judged now.
func (c *compiler) url(path, src string) *template.Template {
	t := c.template(path, src, template.Text)
	if t != nil && t.IsStatic() {
		if _, ok := template.SafeURL(src); !ok {
			c.problemf(path, "must be an http, https or mailto URL, or a path that begins with a single '/'")
		}
	}
	return t
}

// data compiles the strings of a JSON value; everything else stays as it is. The path is joined only when it is needed:
// keys may be long, and many.
func (c *compiler) data(path []string, v any) any {
	if c.dynamic > MaxDataTemplates {
		return v // one problem is enough
	}
	switch v := v.(type) {
	case string:
		t, err := template.Compile(v, template.Text)
		if err != nil {
			c.problem(strings.Join(path, ""), err)
		} else if t.IsStatic() {
			return v
		}
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
