package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/condition"
	"github.com/belfryhq/belfry/workflow/template"
)

// Compile checks a definition and compiles it, with the partials that its templates may render. There is a program if and
// only if there are no problems. The program keeps parts of the definition: don't change that any more.
func Compile(d *Definition, partials template.Partials) (*Program, []Problem) {
	c := &compiler{partials: partials, refs: map[string]bool{}, sends: map[string]bool{}}
	c.workflow(d)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	if c.anyRef {
		c.program.Refs = slices.AppendSeq(c.program.Refs, maps.Keys(c.sends))
	}
	slices.Sort(c.program.Refs)
	c.program.Refs = slices.Compact(c.program.Refs)
	slices.Sort(c.program.Audiences)
	c.program.Audiences = slices.Compact(c.program.Audiences)
	return &c.program, nil
}

// compiler gathers a program and what is wrong with its definition.
type compiler struct {
	program  Program
	partials template.Partials
	problems []Problem
	step     string // ref of the current step
	count    int    // steps so far
	dynamic  int    // templates with variables, in data

	refs      map[string]bool // refs of steps
	sends     map[string]bool // those of channel steps
	later     []func()        // checks that need to know all steps
	personal  bool            // a template since this was reset sees what only one run knows
	linked    bool            // a template since this was reset may name a link to preferences
	anyRef    bool            // a template mentions refs: it may be any
	seesEvent bool            // conditions see event
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

func (c *compiler) emit(op Op) int {
	c.program.Ops = append(c.program.Ops, op)
	return len(c.program.Ops) - 1
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
	if utf8.RuneCountInString(d.Description) > MaxDescriptionLength {
		c.problemf("description", "at most %d characters are allowed", MaxDescriptionLength)
	}
	if err := belfry.ValidateText(d.Description, "description"); err != nil {
		c.problem("description", err)
	}
	c.names("categories", d.Categories, MaxCategories)
	c.names("tags", d.Tags, MaxTags)
	c.oneOf("frequency", string(d.Frequency), "", string(EveryTrigger), string(OncePerRecipient), string(OncePerRecipientAndTenant))
	if c.program.Frequency = d.Frequency; d.Frequency == "" {
		c.program.Frequency = EveryTrigger
	}
	c.program.Condition = c.condition("", d.Condition, d.Conditions)
	if given(d.DataSchema) {
		if c.program.Schema, err = compileSchema(d.DataSchema); err != nil {
			c.problem("dataSchema", err)
		}
	}
	if len(d.Steps) == 0 {
		c.problemf("steps", "a workflow needs at least one step")
	}
	c.steps("steps", d.Steps, 0)
	for _, check := range c.later {
		check()
	}
}

// names checks a list of categories or tags.
func (c *compiler) names(path string, list []string, limit int) {
	if len(list) > limit {
		c.problemf(path, "at most %d are allowed", limit)
	}
	for i, name := range list {
		c.name(fmt.Sprintf("%s[%d]", path, i), name)
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

// oneOf checks a word; the empty one among words is the default.
func (c *compiler) oneOf(path, value string, words ...string) {
	if !slices.Contains(words, value) {
		c.problemf(path, "must be one of %s", strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", "))
	}
}

// steps compiles a list of steps. depth counts the branches around it.
func (c *compiler) steps(path string, steps []Step, depth int) {
	for i := range steps {
		if c.count++; c.count > MaxSteps {
			if c.count == MaxSteps+1 {
				c.problemf("steps", "at most %d steps are allowed, those in branches included", MaxSteps)
			}
			return
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		s := &steps[i]
		c.step = s.Ref
		if err := belfry.ValidateKey(s.Ref, "ref"); err != nil {
			c.step = ""
			c.problem(at+".ref", err)
		} else if c.refs[s.Ref] {
			c.problemf(at+".ref", "another step has this ref: refs are unique within a workflow")
		}
		c.refs[s.Ref] = true
		c.compileStep(at, s, depth)
	}
}

func (c *compiler) compileStep(path string, s *Step, depth int) {
	if s.Name != "" {
		c.name(path+".name", s.Name)
	}
	if utf8.RuneCountInString(s.Description) > MaxDescriptionLength || belfry.ValidateText(s.Description, "") != nil {
		c.problemf(path+".description", "must be text of at most %d characters", MaxDescriptionLength)
	}
	if n := s.kinds(); n != 1 {
		c.problemf(path, "a step has exactly one kind, such as inApp or delay: this one has %d", n)
		return
	}
	test := -1
	if s.Batch == nil && s.Branch == nil { // they say themselves that they take none
		if cond := c.condition(path, s.Condition, s.Conditions); cond != nil {
			test = c.emit(Op{Kind: OpTest, Step: s.Ref, Condition: cond})
		}
	}
	c.kind(path, s, depth)
	c.step = s.Ref
	if test >= 0 {
		c.program.Ops[test].To = len(c.program.Ops)
	}
}

// kind compiles what the step does.
func (c *compiler) kind(path string, s *Step, depth int) {
	if c.channelStep(path, s) {
		c.sends[s.Ref] = true
		return
	}
	if len(s.SendWindows) > 0 {
		c.problemf(path+".sendWindows", "only channel steps have send windows")
	}
	switch {
	case s.Delay != nil:
		c.delay(path, s)
	case s.Batch != nil:
		c.batch(path, s)
	case s.Throttle != nil:
		c.throttle(path, s)
	case s.Branch != nil:
		c.branch(path, s, depth)
	case s.RandomCohort != nil:
		c.cohort(path, s, depth)
	case s.Fetch != nil:
		c.fetch(path, s)
	case s.WaitForEvent != nil:
		c.wait(path, s)
	case s.TriggerWorkflow != nil:
		c.start(path, s)
	case s.UpdateData != nil:
		c.updateData(path, s)
	case s.UpdateUser != nil:
		c.updateRecipient(path+".updateUser", "user", s, s.UpdateUser)
	case s.UpdateObject != nil:
		c.updateRecipient(path+".updateObject", "object", s, s.UpdateObject)
	case s.UpdateTenant != nil:
		c.updateRecipient(path+".updateTenant", "tenant", s, s.UpdateTenant)
	}
}

// kinds counts the kinds that a step has.
func (s *Step) kinds() int {
	n := 0
	for _, has := range []bool{s.InApp != nil, s.Email != nil, s.SMS != nil, s.Push != nil, s.Chat != nil, s.Webhook != nil,
		s.Delay != nil, s.Batch != nil, s.Throttle != nil, s.Branch != nil, s.RandomCohort != nil, s.Fetch != nil,
		s.WaitForEvent != nil, s.TriggerWorkflow != nil, s.UpdateData != nil, s.UpdateUser != nil, s.UpdateObject != nil,
		s.UpdateTenant != nil} {
		if has {
			n++
		}
	}
	return n
}

// noCondition refuses a condition on a step that takes none.
func (c *compiler) noCondition(path string, s *Step, what string) {
	if s.Condition != "" || given(s.Conditions) {
		c.problemf(path, "%s takes no condition: put it into a branch", what)
	}
}

// condition compiles either form; nil if there is none, or a problem. path is that of what has the condition.
func (c *compiler) condition(path, expression string, group json.RawMessage) *condition.Condition {
	at := func(field string) string { return strings.TrimPrefix(path+"."+field, ".") }
	var cond *condition.Condition
	switch {
	case expression != "" && given(group):
		c.problemf(path, "give either condition or conditions, not both")
	case expression != "":
		err := belfry.ValidateText(expression, "condition")
		if err == nil {
			cond, err = condition.CompileWith(expression, condition.Options{Event: c.seesEvent})
		}
		if err != nil {
			c.problem(at("condition"), err)
			return nil
		}
	case given(group):
		var err error
		if cond, err = c.group(at("conditions"), group); err != nil {
			c.problem(at("conditions"), err)
			return nil
		}
	}
	if cond != nil {
		c.program.Refs = append(c.program.Refs, cond.Refs()...)
		c.program.Audiences = append(c.program.Audiences, cond.Audiences()...)
		c.program.SeesRefs = c.program.SeesRefs || len(cond.Refs()) > 0
		c.program.Variables = c.program.Variables || slices.Contains(cond.Roots(), "vars")
	}
	return cond
}

// group compiles the structured form, if all of it can be stored.
func (c *compiler) group(path string, raw json.RawMessage) (*condition.Condition, error) {
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
	return condition.CompileGroupWith(g, condition.Options{Event: c.seesEvent})
}

func (c *compiler) template(path, src string, f template.Format) *template.Template {
	if err := belfry.ValidateText(src, path); err != nil {
		c.problem(path, err)
		return nil
	}
	t, err := template.CompileWith(src, f, c.partials)
	if err != nil {
		c.problem(path, err)
		return nil
	}
	for _, root := range t.Roots() {
		c.personal = c.personal || slices.Contains(personalRoots, root)
		c.program.Variables = c.program.Variables || root == "vars"
		c.anyRef = c.anyRef || root == "refs"
		c.program.SeesRefs = c.program.SeesRefs || root == "refs"
		c.program.Activities = c.program.Activities || root == "activities"
	}
	if t.SeesVariable(ManagePreferencesURL) || t.SeesVariable(CommercialUnsubscribeURL) {
		c.personal, c.linked, c.program.Links = true, true, true
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
